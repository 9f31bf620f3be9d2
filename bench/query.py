"""How quickly the embedded store answers: the newest row of every pack, and an hour of one pack.

Rows are counted as `battery_telemetry` shows them, one a cell and instant: the default of 100
million are 625 instants of 10,000 packs with 16 cells, spread over one hour. The peer is DuckDB's
SQL over the same Parquet files, in turn with the reader. For the newest rows the peer is told to
look at the last minute only; the reader needs no such hint.

    python bench/query.py --json
    python bench/query.py --rows 5000000 --seconds 3 --json

Prints one JSON line; docs/benchmarks.md says what each figure means.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from cell_frames import CELLS, GATEWAYS, CellFrames
from tenhertz.link import Kind
from tenhertz.store.contract import Retention
from tenhertz.store.embedded import EmbeddedReader, EmbeddedStore
from tenhertz.store.embedded.catalogue import SEGMENT_FOLDER, Catalogue

_HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000
_INSTANTS_A_COMMIT = 10

_LATEST = """
SELECT source, entity, max(time_ns) AS at_ns, arg_max(voltage_v, time_ns),
       arg_max(current_a, time_ns), arg_max(temperature_c, time_ns)
FROM read_parquet($files) WHERE time_ns >= $start
GROUP BY source, entity ORDER BY source, entity
"""
_HOUR = """
SELECT time_ns // 60000000000 AS minute, count(*),
       avg(list_avg(voltage_v)), min(list_min(voltage_v)), max(list_max(voltage_v)),
       avg(current_a), min(current_a), max(current_a),
       avg(list_avg(temperature_c)), min(list_min(temperature_c)), max(list_max(temperature_c))
FROM read_parquet($files)
WHERE source = $source AND entity = $entity AND time_ns >= $start AND time_ns < $end
GROUP BY minute ORDER BY minute
"""


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=100e6, help="one a cell and instant")
    parser.add_argument("--packs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of asking, for each question")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    return parser.parse_args()


def build(folder: Path, args: argparse.Namespace, begin_ns: int) -> tuple[CellFrames, int]:
    """A store of about so many rows over an hour; how many there are."""
    instants = max(1, round(args.rows / (args.packs * CELLS)))
    frames = CellFrames(args.packs, begin_ns=begin_ns, period_ns=_HOUR_NS // instants)
    store = EmbeddedStore(folder, Retention(None, None))
    store.recover()
    done = position = 0
    while done < instants:
        part = min(_INSTANTS_A_COMMIT, instants - done)
        position += 1
        store.commit(frames.next_commit(part), {}, position)
        done += part
        while store.upkeep(time.time_ns()):
            pass
    store.close()
    return frames, instants * args.packs * CELLS


def files_of(folder: Path) -> list[str]:
    """The files that hold the rows."""
    catalogue = Catalogue(folder, writable=False)
    try:
        found = catalogue.segments(Kind.CELL, minutes=False)
    finally:
        catalogue.close()
    return [str(folder / SEGMENT_FOLDER / segment.file) for segment in found]


def in_turns(seconds: float, *ask: Callable[[], int]) -> list[dict[str, Any]]:
    """Ask each in turn; ms by quantile. Every answer must have as many rows as the first one's."""
    taken: list[list[float]] = [[] for _ in ask]
    expected = [question() for question in ask]  # not timed: files become warm
    assert len(set(expected)) == 1, expected
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s or len(taken[0]) < 3:
        for question, times in zip(ask, taken, strict=True):
            began_s = time.perf_counter()
            assert question() == expected[0]
            times.append((time.perf_counter() - began_s) * 1000)
    return [
        {
            "p50_ms": round(float(np.quantile(times, 0.5)), 2),
            "p99_ms": round(float(np.quantile(times, 0.99)), 2),
            "asked": len(times),
        }
        for times in taken
    ]


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build, then ask."""
    begin_ns = (time.time_ns() - _HOUR_NS) // _MINUTE_NS * _MINUTE_NS
    began_s = time.monotonic()
    frames, rows = build(folder, args, begin_ns)
    built_s = time.monotonic() - began_s
    reader, peer, files = EmbeddedReader(folder), duckdb.connect(), files_of(folder)
    chance = random.Random(1)

    def anyone() -> tuple[str, str]:
        number = chance.randrange(GATEWAYS)
        return frames.source(number), chance.choice(frames.entities(number))

    def latest() -> int:
        return len(reader.latest(Kind.CELL)["time_ns"])

    def peer_latest() -> int:
        # With few rows the last instant is longer ago than a minute.
        start_ns = frames.at_ns - max(_MINUTE_NS, 2 * frames.period_ns)
        which = {"files": files, "start": start_ns}
        return len(peer.execute(_LATEST, which).fetchnumpy()["at_ns"])

    def hour() -> int:
        found = reader.range(Kind.CELL, *anyone(), begin_ns, begin_ns + _HOUR_NS, _MINUTE_NS)
        return len(found["time_ns"])

    def peer_hour() -> int:
        source, entity = anyone()
        which = {"files": files, "source": source, "entity": entity}
        span = {"start": begin_ns, "end": begin_ns + _HOUR_NS}
        return len(peer.execute(_HOUR, which | span).fetchnumpy()["minute"])

    ours_latest, theirs_latest = in_turns(args.seconds, latest, peer_latest)
    ours_hour, theirs_hour = in_turns(args.seconds, hour, peer_hour)
    reader.close()
    peer.close()
    return {
        "rows": rows,
        "packs": args.packs,
        "build_s": round(built_s, 1),
        "bytes_per_row": round(sum(Path(file).stat().st_size for file in files) / rows, 2),
        "files": len(files),
        "latest": {
            **ours_latest,
            "peer": theirs_latest,
            "peer_ratio": _ratio(ours_latest, theirs_latest),
        },
        "hour": {**ours_hour, "peer": theirs_hour, "peer_ratio": _ratio(ours_hour, theirs_hour)},
        "peer": "DuckDB SQL over the same Parquet files",
    }


def _ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """How many times as long the peer takes."""
    return round(float(theirs["p50_ms"] / ours["p50_ms"]), 2)


def main() -> None:
    """Measure, beside a peer."""
    args = options()
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-bench-"))
    try:
        result = run(args, folder / "store")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
