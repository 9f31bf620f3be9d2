"""How long samples take from their measurement until they are durable here: a histogram.

The bins grow by 2 % each, so a quantile is known to 1 %, in bounded memory, whatever the count.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_LOWEST_MS = 0.1
_GROWTH = math.log(1.02)
_BINS = 1200  # up to about 24 days


class LagHistogram:
    """Counts delays in ms."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, delays_ms: NDArray[np.float64]) -> None:
        """Count delays, shape (n,); what is below 0.1 ms counts as that."""
        place = np.log(np.maximum(delays_ms, _LOWEST_MS) / _LOWEST_MS) / _GROWTH
        bins = np.minimum(place.astype(np.int64), _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    @property
    def count(self) -> int:
        """How many were counted."""
        return int(self._counts.sum())

    def quantile_ms(self, share: float) -> float | None:
        """The delay that `share` of all do not exceed; None without any."""
        total = self.count
        if not total:
            return None
        rank = min(total - 1, int(share * total))
        index = int(np.searchsorted(np.cumsum(self._counts), rank, side="right"))
        return round(_LOWEST_MS * math.exp((index + 0.5) * _GROWTH), 2)
