"""What the ingest benchmark compares with: one JSON message a cell sample, as many systems send it.

msgspec is the quickest of the JSON decoders that were measured. The peer looks for less than the
server does: it knows no duplicates, no validation, and two limits instead of a set of rules.
"""

from __future__ import annotations

import time

import msgspec

_SAMPLES = 10_000


class _CellSample(msgspec.Struct):
    pack: str
    cell: int
    time_ns: int
    voltage_v: float
    temperature_c: float


class JsonPeer:
    """10,000 messages, decoded and looked at one by one."""

    def __init__(self) -> None:
        now_ns = time.time_ns()
        self._messages = [
            msgspec.json.encode(
                _CellSample(
                    f"pack-{n // 16:06}",
                    n % 16,
                    now_ns,
                    round(3.3 + n % 7 / 1000, 3),
                    25 + n % 5 / 10,
                )
            )
            for n in range(_SAMPLES)
        ]
        self._decode = msgspec.json.Decoder(_CellSample).decode
        self.alerts = 0

    def work(self) -> tuple[int, float]:
        """Look at all of them once; how many, and the time it took in s."""
        decode = self._decode
        began_s = time.perf_counter()
        for message in self._messages:
            sample = decode(message)
            if sample.voltage_v > 3.65 or sample.temperature_c > 55.0:
                self.alerts += 1
        return _SAMPLES, time.perf_counter() - began_s
