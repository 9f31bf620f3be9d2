"""A fleet server as a process tree of its own, for tests that kill it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tenhertz.link import Kind
from tenhertz.store.embedded import EmbeddedReader

PATIENCE_S = 30.0
TOKEN = "a-token-for-tests"
_PROGRAM = (
    "import sys; from pathlib import Path; from tenhertz.telemetry.serve import serve; "
    "sys.exit(serve(Path(sys.argv[1])))"
)


def until(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait until `holds()` gives something true, and return it."""
    end_s = time.monotonic() + patience_s
    while not (found := holds()):
        assert time.monotonic() < end_s, f"waited {patience_s} s in vain: {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class FleetServer:
    """Starts, kills and asks a fleet server."""

    def __init__(self, folder: Path, mqtt_port: int | None = None) -> None:
        self.folder = folder
        self.config = folder / "fleet.toml"
        self.data = folder / "var"
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        broker = f'[mqtt]\nhost = "127.0.0.1"\nport = {mqtt_port}\n' if mqtt_port else ""
        self.config.write_text(
            '[fleet]\nname = "test"\n'
            '[http]\nlisten = "127.0.0.1:0"\n'
            '[grpc]\nlisten = "127.0.0.1:0"\n'
            f"{broker}"
            "[store]\ncommit_s = 0.1\n"
            "[spool]\nsync_ms = 5\n"
            f'[[source]]\nmatch = "site-*"\ntoken_sha256 = "{digest}"\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "log.txt").open("ab")

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the tree and wait until ingest listens."""
        (self.data / "addresses.json").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(self.config)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until(lambda: (self.data / "addresses.json").exists() and self.status(), "a server")

    def pid_of(self, name: str) -> int | None:
        """The process of one child."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            try:
                if f"tenhertz.telemetry.{name}" in child.cmdline():
                    return child.pid
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return None

    def kill(self, name: str) -> None:
        """Kill one child as a crash would, and wait until its successor is there."""
        before = until(lambda: self.pid_of(name), name)
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid_of(name) not in (None, before), f"the successor of {name}")

    def kill_all_at_once(self) -> None:
        """Kill the parent; its children end with it."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(children, PATIENCE_S)
        assert not alive, "children outlived their parent"

    def stop(self) -> int:
        """End it in order; the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._process = None
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever the test left."""
        if self._process is not None:
            if self._process.poll() is None:
                self.kill_all_at_once()
            self._process.wait()
        self._log.close()

    # -- questions ----------------------------------------------------------------------------

    def address(self, what: str) -> str:
        """host:port of `http` or `grpc`."""
        host, port = json.loads((self.data / "addresses.json").read_bytes())[what]
        return f"{host}:{port}"

    def page(self, path: str) -> bytes:
        """A page of the server; empty where it does not answer."""
        try:
            url = f"http://{self.address('http')}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except (OSError, ValueError):
            return b""

    def status(self) -> dict[str, Any]:
        """What `/status` tells; empty where nobody answers."""
        text = self.page("/status")
        return json.loads(text) if text else {}

    def stored(self, source: str, entity: str = "u1") -> list[int]:
        """The sequence numbers (the point `number` repeats them) that are stored, ascending."""
        reader = EmbeddedReader(self.data / "store")
        try:
            found = reader.range(Kind.SAMPLE, source, entity, 0, 1 << 62)
            return sorted(int(number) for number in found["number"])
        finally:
            reader.close()

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.folder / "log.txt").read_text(errors="replace")
