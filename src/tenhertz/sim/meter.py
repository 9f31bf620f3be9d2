"""The frequency meter of docs/devices/frequency-meter.md: one block, computed when read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from tenhertz.sim.registers import Refusal, cut

BLOCK_AT = 19000
_BLOCK = struct.Struct(">fff40xf44xf")  # 52 registers; those not listed are zero
_PHASE_V = 230.0


class MeterRegisters:
    """A meter that shows the frequency it is given, 230 V a phase and the power it is given."""

    def __init__(self, frequency_hz: Callable[[int], float], power_w: Callable[[], float]) -> None:
        self._frequency_hz = frequency_hz
        self._power_w = power_w
        self._held: bytes | None = None

    def hold(self, now_ns: int, *, held: bool) -> None:
        """Stop the values at this instant, or let them go."""
        if not held:
            self._held = None
        elif self._held is None:
            self._held = self._block(now_ns)

    def frequency_hz(self, now_ns: int) -> float:
        """The true grid frequency, Hz, whatever the registers say."""
        return self._frequency_hz(now_ns)

    def read(self, now_ns: int, address: int, count: int) -> bytes | Refusal:
        """Answer a read; see `Registers`."""
        found = cut(BLOCK_AT, self._held or self._block(now_ns), address, count)
        return Refusal.ADDRESS if found is None else found

    def write(self, now_ns: int, address: int, values: Sequence[int]) -> Refusal | None:
        """Refuse: all that is not a read of the block has no address here."""
        return Refusal.ADDRESS

    def _block(self, now_ns: int) -> bytes:
        return _BLOCK.pack(
            _PHASE_V, _PHASE_V, _PHASE_V, self._power_w(), self._frequency_hz(now_ns)
        )
