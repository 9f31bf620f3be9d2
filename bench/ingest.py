"""How many cell samples a second the fleet server takes in, and what becomes of them.

The core: batches of 10,000 cell samples through decoding, accounting, validation and the built-in
rules for LFP cells, in one thread. Its peer, in turn with it: a JSON message a cell sample, decoded
by msgspec into a struct, and two limits. With `--wire` the whole way besides: simulated gateways,
Mosquitto, the server's processes, the store; every row is accounted for in the end.

    python bench/ingest.py --seconds 20 --json
    python bench/ingest.py --wire --store postgresql --seconds 60 --json

Prints one JSON line; docs/benchmarks.md says what each figure means.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from ingest_peers import JsonPeer
from ingest_wire import wire_run
from tenhertz.sim import wire
from tenhertz.sim.pack_gateway import Bodies, Layout
from tenhertz.telemetry.books import Books
from tenhertz.telemetry.intake import Intake
from tenhertz.telemetry.rules import RuleEngine, load_rules

PACKS, CELLS, RATE_HZ, GATEWAYS = 625, 16, 10.0, 16
TURN_S = 0.5  # how long one side works before it is the other's turn


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each part")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    parser.add_argument("--wire", action="store_true", help="the whole way instead of the core")
    parser.add_argument("--store", choices=("embedded", "postgresql"), default="embedded")
    parser.add_argument("--packs", type=int, default=10_000)
    parser.add_argument("--gateways", type=int, default=GATEWAYS)
    parser.add_argument("--rate-hz", type=float, default=RATE_HZ)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1)
    parser.add_argument("--window", type=int, default=0, help="see tenhertz sim packs --help")
    parser.add_argument("--fault", default="none", help="see tenhertz sim packs --help")
    parser.add_argument("--commit-s", type=float, default=1.0, help="store.commit_s of the server")
    return parser.parse_args()


class _Source:
    """Makes the messages of one gateway."""

    def __init__(self, number: int, layout: Layout, bodies: Bodies) -> None:
        self.name = f"gate-{number:03}"
        self._speaker = wire.Speaker(self.name, number)
        names = tuple(f"pack-{pack:06}" for pack in range(layout.packs))
        self._names = wire.Names(names, ("voltage_v", "current_a", "temperature_c"))
        self._form = wire.BatchForm(self._speaker, self._names, layout.columns)
        self._bodies = bodies
        self._next = 1

    def birth(self, at_ns: int) -> bytes:
        """Its first message."""
        return wire.birth(self._speaker, at_ns, at_ns, self._names, self._next)

    def batch(self, beat: int, at_ns: int) -> bytes:
        """A row of each pack at one instant."""
        first, self._next = self._next, self._next + PACKS
        return self._form.fill(first, PACKS, self._next, at_ns, self._bodies.get(0, beat))


class Core:
    """The work of the ingest process on a message, without channels and disk."""

    def __init__(self) -> None:
        self.intake = Intake(Books(), lambda _source: True)
        rules = load_rules(("lfp",), Path())
        layout = Layout(PACKS, CELLS, RATE_HZ)
        bodies = Bodies(layout, seed=1)
        self._sources = [_Source(number, layout, bodies) for number in range(GATEWAYS)]
        self._engines = {source.name: RuleEngine(rules, source.name) for source in self._sources}
        self._beat = 0
        self._at_ns = time.time_ns()
        self.changes = 0
        self.receive_s = self.rules_s = 0.0
        for source in self._sources:
            self.intake.receive(source.birth(self._at_ns), self._at_ns, source.name, _room)

    def prepare(self, beats: int) -> list[tuple[int, str, bytes]]:
        """The messages of so many instants: when, of whom, what."""
        made = []
        for _ in range(beats):
            self._at_ns += round(1e9 / RATE_HZ)
            made += [
                (self._at_ns, source.name, source.batch(self._beat, self._at_ns))
                for source in self._sources
            ]
            self._beat += 1
        return made

    def work(self, messages: list[tuple[int, str, bytes]]) -> float:
        """Take the messages in; the time it took in s."""
        receive, engines, clock = self.intake.receive, self._engines, time.perf_counter
        rules_s = 0.0
        began_s = clock()
        for at_ns, source, message in messages:
            taken = receive(message, at_ns, source, _room)
            looked_s = clock()
            assert taken.frame is not None
            self.changes += len(engines[source].look(taken.frame, at_ns))
            rules_s += clock() - looked_s
        took_s = clock() - began_s
        self.rules_s += rules_s
        self.receive_s += took_s - rules_s
        return took_s


def _room(_size: int) -> bool:
    return True


def core_run(seconds: float) -> dict[str, Any]:
    """The core and its peer in turns."""
    core, peer = Core(), JsonPeer()
    core.work(core.prepare(1))
    peer.work()
    core.receive_s = core.rules_s = 0.0
    samples = core.intake.counts.numbers
    took_s = peer_s = 0.0
    peer_samples = 0
    batches = 0
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        turn_s = 0.0
        while turn_s < TURN_S and time.monotonic() < until_s:
            messages = core.prepare(10)
            batches += len(messages)
            turn_s += core.work(messages)
        took_s += turn_s
        turn_s = 0.0
        while turn_s < TURN_S and (not peer_samples or time.monotonic() < until_s):
            count, worked_s = peer.work()
            peer_samples += count
            turn_s += worked_s
        peer_s += turn_s
    samples = core.intake.counts.numbers - samples
    ours, theirs = samples / took_s, peer_samples / peer_s
    return {
        "part": "core",
        "seconds": round(took_s, 2),
        "batches": batches,
        "samples_per_s": round(ours),
        "receive_us_per_batch": round(core.receive_s / batches * 1e6, 1),
        "rules_us_per_batch": round(core.rules_s / batches * 1e6, 1),
        "alert_changes": core.changes,
        "peer": {"name": "msgspec JSON, one message a cell sample", "samples_per_s": round(theirs)},
        "peer_ratio": round(ours / theirs, 2),
    }


def main() -> None:
    """Measure one part."""
    args = options()
    result = wire_run(args) if args.wire else core_run(args.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
