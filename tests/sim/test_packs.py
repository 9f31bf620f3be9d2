"""The simulated gateways: what they say as the link reads it, what they keep, what they give up."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tenhertz.errors import UserError
from tenhertz.link import Intervals, Kind, subscription, topic
from tenhertz.link.decode import decode_batch, read_dictionary, read_uplink
from tenhertz.link.frame import Frame
from tenhertz.link.schema_pb2 import Ack, Batch, Birth, Downlink, Gone, Rebirth
from tenhertz.mqtt import Broker, Link
from tenhertz.sim.commands import app
from tenhertz.sim.pack_gateway import FULL, LATE_S, Bodies, Fault, Layout, PackGateway
from tenhertz.sim.packs import PackOptions, run_packs

AT_NS = 1_800_000_000_000_000_000
STREAM = 2**63 + 5
LAYOUT = Layout(packs=3, cells=2, rate_hz=1.0)
BODIES = Bodies(LAYOUT, seed=1)


def gateway(
    layout: Layout = LAYOUT, *, keep_bytes: int = 1 << 30, fault: Fault = "none", every: int = 3
) -> PackGateway:
    bodies = BODIES if layout is LAYOUT else Bodies(layout, seed=1)
    names = [f"pack-{number}" for number in range(layout.packs)]
    return PackGateway(
        "gate-001",
        names,
        bodies,
        layout,
        stream=STREAM,
        keep_bytes=keep_bytes,
        fault=fault,
        fault_every=every,
    )


def spoken(source: PackGateway, now_s: float = 0.0) -> list[Birth | Batch | Gone]:
    """All that it has to say, sent at `now_s`."""
    said = []
    while (messages := source.peek()) is not None:
        for data in messages:
            message = read_uplink(data)
            said.append(getattr(message, message.WhichOneof("body") or ""))
        source.sent(now_s)
    return said


def batches(source: PackGateway, now_s: float = 0.0) -> list[Batch]:
    return [said for said in spoken(source, now_s) if isinstance(said, Batch)]


def frames(source: PackGateway) -> list[Frame]:
    said = spoken(source)
    assert isinstance(said[0], Birth)
    dictionary = read_dictionary(said[0])
    return [decode_batch(batch, dictionary) for batch in said[1:] if isinstance(batch, Batch)]


def acknowledgement(*bounds: int, kind: int = Kind.CELL, stream: int = STREAM) -> bytes:
    ack = Ack(version=2, stream=stream, server="server-1")
    ack.held.add(kind=kind, bounds=bounds)  # type: ignore[arg-type]
    return Downlink(ack=ack).SerializeToString()


# -- batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packs", "rate_hz", "ticks", "chunks"),
    [(625, 10.0, 1, 1), (62, 10.0, 10, 1), (10, 10.0, 10, 1), (1300, 10.0, 1, 3), (9, 0.1, 1, 1)],
)
def test_every_pack_is_measured_once_a_tick_and_rows_are_numbered_without_a_hole(
    packs: int, rate_hz: float, ticks: int, chunks: int
) -> None:
    layout = Layout(packs, 2, rate_hz)
    assert (layout.ticks, len(layout.chunks)) == (ticks, chunks)
    source = gateway(layout)
    source.begin(AT_NS)
    source.take(0, AT_NS, 0.0)
    found = frames(source)
    rows = [
        (int(time_ns), int(entity))
        for frame in found
        for time_ns, entity in zip(frame.time_ns, frame.entity, strict=True)
    ]
    period_ns = round(1e9 / rate_hz)
    expected = [(AT_NS + tick * period_ns, pack) for tick in range(ticks) for pack in range(packs)]
    assert sorted(rows) == expected
    numbers = [int(number) for frame in found for number in frame.sequence]
    assert numbers == list(range(1, packs * ticks + 1))


def test_cells_are_healthy_and_move_slowly() -> None:
    source = gateway(Layout(50, 16, 10.0))
    source.begin(AT_NS)
    for beat in range(70):
        source.take(beat, AT_NS + beat * 10**9, 0.0)
    found = frames(source)
    for frame in found:
        voltage, heat = (frame.columns[name].physical for name in ("voltage_v", "temperature_c"))
        assert 3.2 < voltage.min() <= voltage.max() < 3.4
        assert 24 < heat.min() <= heat.max() < 26
    for before, after in pairwise(found):
        first, second = (f.columns["voltage_v"].values for f in (before, after))
        assert abs(first.astype(int) - second).max() <= 20


def test_one_cell_of_a_hot_pack_stands_at_85_degrees_and_no_other() -> None:
    source = gateway(Layout(700, 4, 10.0))
    source.begin(AT_NS)
    source.take(0, AT_NS, 0.0, hot_pack=699)
    hot = [
        (int(frame.entity[row]), int(cell), round(float(heat[row, cell]), 3))
        for frame in frames(source)
        for heat in [frame.columns["temperature_c"].physical]
        for row, cell in zip(*(heat > 80).nonzero(), strict=True)
    ]
    assert hot == [(699, 0, 85.0)]


# -- acknowledgements -------------------------------------------------------------------------


def taken(source: PackGateway, beats: int, now_s: float = 0.0) -> None:
    for beat in range(beats):
        source.take(beat, AT_NS + beat * 10**9, now_s)


def test_a_batch_is_kept_until_all_of_its_rows_are_acknowledged() -> None:
    source = gateway()
    source.begin(AT_NS)
    taken(source, 3)  # rows 1 to 3, 4 to 6, 7 to 9
    spoken(source)
    source.hear(acknowledgement(1, 3, 4, 7), AT_NS, 1.5)
    assert (source.waiting, source.tally.acked, source.rows_waiting) == (2, 3, 6)
    assert source.tally.ack_s == [1.5]
    source.hear(acknowledgement(1, 10, stream=7), AT_NS, 2.0)  # of another stream
    source.hear(acknowledgement(1, 10, kind=Kind.SAMPLE), AT_NS, 2.0)
    assert source.waiting == 2
    source.hear(acknowledgement(1, 10), AT_NS, 2.0)
    assert source.settled


@pytest.mark.parametrize("by", ["connection", "rebirth"])
def test_a_new_session_is_born_first_and_then_tells_everything_again(by: str) -> None:
    source = gateway()
    source.begin(AT_NS)
    taken(source, 2)
    first = spoken(source)
    if by == "connection":
        source.begin(AT_NS)
    else:
        source.hear(Downlink(rebirth=Rebirth(version=2)).SerializeToString(), AT_NS, 0.1)
    again = spoken(source)
    assert isinstance(first[0], Birth)
    assert isinstance(again[0], Birth)
    assert again[0].session > first[0].session
    assert again[1:] == first[1:]
    assert source.tally.resent == 6


def test_a_batch_that_was_overtaken_is_sent_again_when_it_is_late_and_only_that() -> None:
    source = gateway()
    source.begin(AT_NS)
    taken(source, 3)
    spoken(source)
    source.hear(acknowledgement(1, 4, 7, 10), AT_NS, 1.0)
    source.send_late_again(AT_NS, LATE_S - 0.1)
    assert spoken(source) == []
    source.send_late_again(AT_NS, LATE_S + 0.1)
    birth, batch = spoken(source, LATE_S + 0.1)
    assert isinstance(birth, Birth)
    assert isinstance(batch, Batch)
    assert (batch.first, batch.rows) == (4, 3)
    source.send_late_again(AT_NS, LATE_S + 0.2)
    assert spoken(source) == []


def test_a_fleet_that_is_slow_but_answers_is_not_told_everything_twice() -> None:
    source = gateway()
    source.begin(AT_NS)
    taken(source, 4)
    spoken(source)
    source.hear(acknowledgement(1, 4), AT_NS, LATE_S)
    source.send_late_again(AT_NS, LATE_S + 1)
    assert spoken(source) == []
    source.send_late_again(AT_NS, 2 * LATE_S + 1)  # now it is silent
    assert [batch.first for batch in batches(source)] == [4, 7, 10]


# -- what is given up -------------------------------------------------------------------------


def test_when_memory_is_full_the_oldest_go_and_are_reported_as_one() -> None:
    source = gateway(keep_bytes=2 * len(BODIES.get(0, 0)))
    taken(source, 5)
    source.begin(AT_NS)
    said = spoken(source)
    assert isinstance(said[0], Birth)
    assert isinstance(said[1], Gone)
    assert (said[1].first, said[1].end, said[1].cause) == (1, 10, FULL)
    assert [batch.first for batch in said[2:] if isinstance(batch, Batch)] == [10, 13]
    tally = source.tally
    assert (tally.taken, tally.gone, source.rows_waiting) == (15, 9, 6)


def test_a_report_of_lost_rows_is_repeated_until_it_is_acknowledged() -> None:
    source = gateway(keep_bytes=len(BODIES.get(0, 0)))
    source.begin(AT_NS)
    taken(source, 2)
    spoken(source)
    source.hear(acknowledgement(4, 7), AT_NS, 1.0)
    assert not source.settled
    source.send_late_again(AT_NS, 2 * LATE_S)
    assert [type(said) for said in spoken(source, 2 * LATE_S)] == [Birth, Gone]
    source.hear(acknowledgement(1, 7), AT_NS, 2 * LATE_S)
    assert source.settled
    assert (source.tally.acked, source.tally.gone, source.tally.gone_acked) == (3, 3, 3)


@given(st.lists(st.sampled_from(["take", "speak", "ack", "late", "break"]), max_size=40))
def test_every_row_is_acknowledged_reported_or_kept_whatever_happens(steps: list[str]) -> None:
    source = gateway(keep_bytes=3 * len(BODIES.get(0, 0)))
    source.begin(AT_NS)
    arrived: set[int] = set()
    told: set[int] = set()
    now_s = 0.0
    for number, step in enumerate([*steps, "speak", "ack"]):
        now_s += 2.0
        if step == "take":
            source.take(number, AT_NS + number, now_s)
        elif step == "speak":
            for said in spoken(source, now_s):
                if isinstance(said, Batch):
                    arrived |= set(range(said.first, said.first + said.rows))
                elif isinstance(said, Gone):
                    told |= set(range(said.first, said.end))
        elif step == "ack" and arrived | told:
            bounds = [bound for row in sorted(arrived | told) for bound in (row, row + 1)]
            whole = [b for b in bounds if bounds.count(b) == 1]
            source.hear(acknowledgement(*whole), AT_NS, now_s)
        elif step == "late":
            source.send_late_again(AT_NS, now_s)
        elif step == "break":
            source.begin(AT_NS)
    tally = source.tally
    assert tally.taken == tally.acked + tally.gone + source.rows_waiting
    assert arrived | told == set(range(1, tally.taken + 1))
    assert source.settled


# -- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "heard"), [("omit", [1, 4, 10]), ("repeat", [1, 4, 7, 7, 10])])
def test_a_fault_meets_each_so_many_th_batch(fault: Fault, heard: list[int]) -> None:
    source = gateway(fault=fault, every=3)
    source.begin(AT_NS)
    taken(source, 4)
    assert [batch.first for batch in batches(source)] == heard
    assert source.tally.faults == 1


# -- options and the whole --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"broker": "nowhere"}, "--broker nowhere must be HOST:PORT"),
        ({"packs": 3}, "--packs must be from 16"),
        ({"qos": 2}, "--qos must be from 0 to 1"),
        ({"fault": "explode"}, "--fault explode is none of none, omit, repeat, garble, cut"),
        ({"seconds": 0}, "--seconds and --keep-mb must be above 0"),
        ({"spike_pack": 10_001}, "--spike-pack must be from 0 to 10000"),
    ],
)
def test_an_option_that_cannot_be_followed_is_named(wrong: dict[str, object], words: str) -> None:
    options = PackOptions(**({"broker": "127.0.0.1:1883", "fleet": "demo"} | wrong))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        options.check()


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from tenhertz.sim.__main__ import app
from tenhertz.errors import UserError
try:
    app(["packs", "--broker", "127.0.0.1:1", "--fleet", "demo"], standalone_mode=False)
except UserError as mistake:
    print(mistake)
"""


@pytest.mark.slow
def test_without_numpy_it_says_what_to_install() -> None:
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMPY], capture_output=True, text=True, timeout=30
    )
    assert "pip install 'tenhertz[cloud]'" in found.stdout, found.stderr


def test_the_verb_helps_with_an_example() -> None:
    shown = CliRunner().invoke(app, ["packs", "--help"])
    assert shown.exit_code == 0
    assert "Example: tenhertz sim packs" in shown.output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    program = shutil.which("mosquitto", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("Mosquitto is not installed")
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    process = subprocess.Popen([program, "-c", conf], stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + 10
        while not listens(port):
            assert time.monotonic() < until_s, "the broker does not listen"
        yield port
    finally:
        process.terminate()
        process.wait(10)


class SmallFleet:
    """Takes every batch and acknowledges it at once, with the link's own code."""

    def __init__(self, port: int) -> None:
        self.held: dict[str, Intervals] = {}
        self.deaths = 0
        self.up = asyncio.Event()
        self.link = Link(
            Broker(port=port),
            "small-fleet",
            beside=Path(),
            subscriptions=[subscription("demo", "up")],
            on_message=self._take,
            on_up=self.up.set,
        )

    def _take(self, name: str, data: bytes) -> None:
        message = read_uplink(data)
        self.deaths += message.HasField("death")
        if not message.HasField("batch"):
            return
        batch = message.batch
        held = self.held.setdefault(batch.source, Intervals())
        held.add(batch.first, batch.first + batch.rows)
        answer = acknowledgement(*held.bounds, stream=batch.stream)
        self.link.publish(topic("demo", batch.source, "down"), answer, qos=0)


async def reported(port: int, *options: str) -> tuple[dict[str, float], SmallFleet]:
    """What the simulator says in the end, and what arrived of it."""
    fleet, stop = SmallFleet(port), asyncio.Event()
    running = asyncio.ensure_future(fleet.link.run(stop))
    words = ["-m", "tenhertz.sim", "packs", "--broker", f"127.0.0.1:{port}", "--fleet", "demo"]
    async with asyncio.timeout(40):
        await fleet.up.wait()
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, *options, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
    stop.set()
    await running
    assert process.returncode == 0
    found: dict[str, float] = json.loads(said)
    return found, fleet


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.parametrize("qos", ["0", "1"])
def test_every_row_arrives_over_connections_that_break(broker: int, qos: str) -> None:
    load = ("--packs", "40", "--cells", "2", "--gateways", "4", "--seconds", "2", "--rate-hz", "20")
    options = ("--qos", qos, "--fault", "cut", "--fault-every", "2")
    report, fleet = asyncio.run(reported(broker, *load, *options))
    assert report["faults"] > 0
    assert report["connections"] > 4
    assert report["rows_taken"] == report["rows_acked"] == 40 * 20 * 2
    assert [list(held) for held in fleet.held.values()] == [[(1, 401)]] * 4


@pytest.mark.slow
def test_without_a_broker_it_says_so() -> None:
    options = PackOptions(broker=f"127.0.0.1:{free_port()}", fleet="demo", packs=1, gateways=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenhertz.sim.packs._CONNECT_S", 0.2)
        with pytest.raises(UserError, match="no MQTT broker answers at 127"):
            run_packs(options)
