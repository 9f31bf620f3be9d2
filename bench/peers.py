"""Other ways to poll devices at ten hertz, for comparison: read 40 registers, write 2, each period.

Usage: peers.py KIND PORT DEVICES SECONDS. Prints one JSON line. Built on pymodbus alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable

import uvloop
from pymodbus.client import AsyncModbusTcpClient, ModbusTcpClient

PERIOD_S = 0.1
VALUES = [0, 1234]


class Tally:
    """What one peer achieved."""

    def __init__(self, devices: int, seconds: float) -> None:
        self.devices, self.seconds = devices, seconds
        self.last = [0.0] * devices
        self.gaps_ms: list[float] = []
        self.cycles = 0
        self.begin = 0.0

    def sampled(self, device: int) -> None:
        """Note that a device was read."""
        now = time.monotonic()
        if self.last[device]:
            self.gaps_ms.append((now - self.last[device]) * 1000)
        self.last[device] = now

    def report(self, cpu_s: float) -> dict[str, object]:
        """The figures."""
        took_s = time.monotonic() - self.begin
        expected = self.devices * self.seconds / PERIOD_S
        gaps = sorted(self.gaps_ms) or [0.0]

        def at(share: float) -> float:
            return round(gaps[min(len(gaps) - 1, int(share * len(gaps)))], 2)

        return {
            "cycles_per_device_s": round(self.cycles / self.devices / took_s, 3),
            "missed_pct": round(max(0.0, 100 * (1 - self.cycles / expected)), 3),
            "spacing_ms": {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": gaps[-1]},
            "cpu_pct": round(100 * cpu_s / took_s, 1),
        }


def cycle(client: ModbusTcpClient, tally: Tally, device: int) -> None:
    """One read and one write."""
    client.read_holding_registers(100, count=40, device_id=1)
    tally.sampled(device)
    client.write_registers(200, VALUES, device_id=1)
    tally.cycles += 1


def connected(port: int) -> ModbusTcpClient:
    """A synchronous client."""
    client = ModbusTcpClient("127.0.0.1", port=port)
    client.connect()
    return client


def sequential(port: int, tally: Tally) -> None:
    """One thread that polls all in turn."""
    clients = [connected(port + n) for n in range(tally.devices)]
    begin = tally.begin = time.monotonic()
    until = begin + tally.seconds
    due = begin
    while time.monotonic() < until:
        for device, client in enumerate(clients):
            cycle(client, tally, device)
            if time.monotonic() >= until:
                return
        due = max(due + PERIOD_S, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def threads(port: int, tally: Tally) -> None:
    """A thread a device."""
    clients = [connected(port + n) for n in range(tally.devices)]
    begin = tally.begin = time.monotonic()

    def work(device: int) -> None:
        due = begin
        while due < begin + tally.seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            cycle(clients[device], tally, device)
            due = max(due + PERIOD_S, time.monotonic() - PERIOD_S)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(tally.devices)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


async def asynchronous(port: int, tally: Tally) -> None:
    """pymodbus' asyncio client, a task a device, on uvloop."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port + n) for n in range(tally.devices)]
    for start in range(0, len(clients), 100):
        await asyncio.gather(*(client.connect() for client in clients[start : start + 100]))
    begin = tally.begin = time.monotonic()

    async def work(device: int) -> None:
        client = clients[device]
        due = begin + PERIOD_S * device / tally.devices
        while due < begin + tally.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await client.read_holding_registers(100, count=40, device_id=1)
            tally.sampled(device)
            await client.write_registers(200, VALUES, device_id=1)
            tally.cycles += 1
            due = max(due + PERIOD_S, time.monotonic() - PERIOD_S)

    await asyncio.gather(*(work(device) for device in range(tally.devices)))


def main() -> None:
    """Run one peer."""
    kind, port, devices, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    tally = Tally(devices, float(seconds))
    ways: dict[str, Callable[[], None]] = {
        "sequential": lambda: sequential(port, tally),
        "threads": lambda: threads(port, tally),
        "pymodbus-async": lambda: uvloop.run(asynchronous(port, tally)),
    }
    before = time.process_time()
    ways[kind]()
    print(json.dumps(tally.report(time.process_time() - before)))


if __name__ == "__main__":
    main()
