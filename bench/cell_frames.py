"""Frames of cell samples for the benchmarks of stores, as the server's decoder makes them."""

from __future__ import annotations

import numpy as np

from tenhertz.link import Kind
from tenhertz.link.frame import Column, Frame

CELLS = 16
GATEWAYS = 16
_VARIANTS = 16
_PERIOD_NS = 100_000_000


class CellFrames:
    """The packs of a fleet, instant after instant, shared among gateways. Values walk at random."""

    def __init__(self, packs: int, *, begin_ns: int, period_ns: int = _PERIOD_NS) -> None:
        random = np.random.default_rng(1)
        self.packs = packs
        self.period_ns = period_ns
        self._at_ns = begin_ns
        self._instant = 0
        self._bounds = [packs * number // GATEWAYS for number in range(GATEWAYS + 1)]
        self._entities = [
            tuple(f"pack-{pack + 1:06}" for pack in range(self._bounds[n], self._bounds[n + 1]))
            for n in range(GATEWAYS)
        ]
        shape = (_VARIANTS, packs, CELLS)
        steps = random.integers(-1, 2, shape, np.int16)
        self._voltage = 3300 + random.integers(-15, 16, shape[1:], np.int16) + steps.cumsum(0)
        steps = random.integers(-1, 2, shape, np.int16) // 2
        self._temperature = 250 + random.integers(-9, 10, shape[1:], np.int16) + steps.cumsum(0)
        self._current = 50 + random.integers(-1, 2, shape[:2], np.int16).cumsum(0)

    def source(self, number: int) -> str:
        """The name of a gateway."""
        return f"gate-{number + 1:03}"

    def entities(self, number: int) -> tuple[str, ...]:
        """The packs of a gateway."""
        return self._entities[number]

    @property
    def at_ns(self) -> int:
        """The instant that comes next."""
        return self._at_ns

    def next_commit(self, instants: int) -> list[Frame]:
        """A frame a gateway and instant, over the instants that come next."""
        made = []
        for _ in range(instants):
            place = self._instant % (2 * _VARIANTS)
            variant = min(place, 2 * _VARIANTS - 1 - place)
            made += [self._frame(number, variant) for number in range(GATEWAYS)]
            self._instant += 1
            self._at_ns += self.period_ns
        return made

    def _frame(self, number: int, variant: int) -> Frame:
        packs = slice(self._bounds[number], self._bounds[number + 1])
        rows = packs.stop - packs.start
        first = 1 + self._instant * rows
        return Frame(
            self.source(number),
            number + 1,
            Kind.CELL,
            np.arange(first, first + rows, dtype=np.int64),
            np.full(rows, self._at_ns, np.int64),
            np.arange(rows, dtype=np.uint32),
            self._entities[number],
            {
                "voltage_v": Column(self._voltage[variant, packs].astype(np.int16), 0.001),
                "current_a": Column(self._current[variant, packs].astype(np.int16), 0.1),
                "temperature_c": Column(self._temperature[variant, packs].astype(np.int16), 0.1),
            },
            self._at_ns,
        )
