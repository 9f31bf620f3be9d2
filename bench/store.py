"""How many cell samples a second a store takes, durably: wide rows of 16 cells, a commit at a time.

Its peer is what the same database makes of narrow rows, one a cell and instant, inserted in bulk by
its quickest plain way: DuckDB from Arrow, PostgreSQL by COPY of asyncpg. Both in turn, in one call,
the same values, each commit durable.

    python bench/store.py --seconds 20 --json
    python bench/store.py --store postgresql --seconds 20 --json

Prints one JSON line; docs/benchmarks.md says what each figure means.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from cell_frames import CELLS, CellFrames
from ingest_wire import postgresql
from store_peers import open_peer
from tenhertz.store.contract import FleetStore, Retention
from tenhertz.store.embedded import EmbeddedStore


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="both sides together")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default)")
    parser.add_argument("--store", choices=("embedded", "postgresql"), default="embedded")
    parser.add_argument("--packs", type=int, default=10_000)
    parser.add_argument("--instants", type=int, default=10, help="in a commit; 10 is one second")
    parser.add_argument("--no-upkeep", action="store_true", help="leave compaction out")
    return parser.parse_args()


def open_store(args: argparse.Namespace, folder: Path, url: str) -> FleetStore:
    """A new store."""
    for_ever = Retention(None, None)
    if args.store == "embedded":
        return EmbeddedStore(folder / "store", for_ever)
    from tenhertz.store.postgres import PostgresStore

    return PostgresStore(url, for_ever, server_name="bench")


def run(args: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    """Commits of the store and of its peer, in turns."""
    store, peer = open_store(args, folder, url), open_peer(args.store, folder, url)
    frames = CellFrames(args.packs, begin_ns=time.time_ns())
    ours: list[float] = []
    theirs: list[float] = []
    upkeep_s = 0.0
    store.recover()
    store.commit(frames.next_commit(args.instants), {}, 1)  # the tables and partitions are made
    peer_samples = 0
    until_s = time.monotonic() + args.seconds
    while time.monotonic() < until_s or not theirs:
        while sum(ours) + upkeep_s <= sum(theirs) or not ours:
            made = frames.next_commit(args.instants)
            began_s = time.perf_counter()
            store.commit(made, {}, len(ours) + 2)
            ours.append(time.perf_counter() - began_s)
            began_s = time.perf_counter()
            while not args.no_upkeep and store.upkeep(time.time_ns()):
                pass
            upkeep_s += time.perf_counter() - began_s
        part = frames.next_commit(args.instants)
        peer_samples += sum(frame.numbers for frame in part)
        theirs.append(peer.insert(part))
    store.close()
    peer.close()
    samples = len(ours) * args.packs * CELLS * args.instants
    rate, peer_rate = samples / (sum(ours) + upkeep_s), peer_samples / sum(theirs)
    return {
        "store": args.store,
        "samples_per_commit": args.packs * CELLS * args.instants,
        "commits": len(ours),
        "samples_per_s": round(rate),
        "commits_only_samples_per_s": round(samples / sum(ours)),
        "commit_ms_p50": round(float(np.quantile(ours, 0.5)) * 1000, 1),
        "commit_ms_max": round(max(ours) * 1000, 1),
        "upkeep_pct": round(100 * upkeep_s / (sum(ours) + upkeep_s), 1),
        "peer": {"name": peer.name, "samples_per_s": round(peer_rate), "commits": len(theirs)},
        "peer_ratio": round(rate / peer_rate, 2),
    }


def main() -> None:
    """Measure, beside a peer."""
    args = options()
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-bench-"))
    try:
        with ExitStack() as stack:
            url = stack.enter_context(postgresql())[0] if args.store == "postgresql" else ""
            result = run(args, folder, url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
