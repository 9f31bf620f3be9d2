"""Quantiles of delays, known to one part in a hundred, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.telemetry.lag import LagHistogram

DELAYS = st.lists(st.floats(0.2, 1e6), min_size=1, max_size=60)


@given(DELAYS, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_sorted_delays(delays: list[float], share: float) -> None:
    histogram = LagHistogram()
    for delay in delays:
        histogram.add(np.array([delay]))
    rank = min(len(delays) - 1, int(share * len(delays)))
    assert histogram.quantile_ms(share) == pytest.approx(sorted(delays)[rank], rel=0.015, abs=0.01)
    assert histogram.count == len(delays)


def test_without_a_delay_there_is_no_quantile() -> None:
    assert LagHistogram().quantile_ms(0.5) is None


@pytest.mark.parametrize(("delay", "told"), [(-5000.0, 0.1), (0.0, 0.1), (1e12, 2.07e9)])
def test_delays_beyond_the_bins_count_at_their_ends(delay: float, told: float) -> None:
    histogram = LagHistogram()
    histogram.add(np.array([delay]))
    assert histogram.quantile_ms(0.5) == pytest.approx(told, rel=0.05)
