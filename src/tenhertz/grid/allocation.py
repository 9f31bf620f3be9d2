"""Share one power among the units of a site, in proportion to weights, within their bounds.

Exact water-filling over plain lists, for tens to hundreds of units. Not for a fleet, which needs
columns, and not for deciding the weights or the bounds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class Shares(msgspec.Struct, frozen=True):
    """`powers_w` in the order of the units; `unmet_w` is what they could not take of the target."""

    powers_w: list[float]
    unmet_w: float


def share(
    target_w: float,
    weights: Sequence[float],
    lower_w: Sequence[float],
    upper_w: Sequence[float],
) -> Shares:
    """Share `target_w` so that each unit gets `level * weight` within its bounds.

    There is one `level` for all, so a unit that meets its bound leaves the rest to the others in
    proportion. A unit that is forced (its bounds do not hold 0) keeps to its bounds, and the
    others make up for it. Units of weight 0 stay as near to 0 as they may, until all others are
    at their bounds; then they share the rest evenly. What no bound allows is `unmet_w`.
    O(n log n) sums; the same input gives the same output.

    Raises:
        ValueError: lists of different lengths, a weight below 0, a lower bound above the upper
            one, or a number that is not finite.
    """
    _check(target_w, weights, lower_w, upper_w)
    units = [
        _Unit(position, float(weight), float(lower), float(upper))
        for position, (weight, lower, upper) in enumerate(
            zip(weights, lower_w, upper_w, strict=True)
        )
    ]
    weighted = [unit for unit in units if unit.weight > 0.0]
    idle = [unit for unit in units if unit.weight == 0.0]
    powers_w = [0.0] * len(units)
    for unit in idle:
        powers_w[unit.position] = unit.within(0.0)
    others_w = math.fsum(powers_w)
    all_bound = _fill(powers_w, weighted, target_w - others_w)
    if all_bound and idle:
        others_w = math.fsum(powers_w[unit.position] for unit in weighted)
        evenly = [_Unit(unit.position, 1.0, unit.lower_w, unit.upper_w) for unit in idle]
        all_bound = _fill(powers_w, evenly, target_w - others_w)
    # Where a unit was free, what is left is rounding in the last place, and nothing is unmet.
    unmet_w = target_w - math.fsum(powers_w) if all_bound else 0.0
    return Shares(powers_w=powers_w, unmet_w=unmet_w)


class _Unit(NamedTuple):
    position: int
    weight: float
    lower_w: float
    upper_w: float

    def within(self, power_w: float) -> float:
        return min(max(power_w, self.lower_w), self.upper_w)


def _fill(powers_w: list[float], units: list[_Unit], target_w: float) -> bool:
    """Make the powers of `units` sum to the target; True if all had to go to their bounds."""
    if target_w >= math.fsum(unit.upper_w for unit in units):
        for unit in units:
            powers_w[unit.position] = unit.upper_w
        return True
    if target_w <= math.fsum(unit.lower_w for unit in units):
        for unit in units:
            powers_w[unit.position] = unit.lower_w
        return True
    level = _level(units, target_w)
    for unit in units:
        powers_w[unit.position] = unit.within(level * unit.weight)
    # What rounding left over, some units in the last place, goes to the first that can take it.
    for unit in units:
        missing_w = target_w - math.fsum(powers_w[one.position] for one in units)
        if missing_w == 0.0:
            break
        powers_w[unit.position] = unit.within(powers_w[unit.position] + missing_w)
    return False


def _level(units: list[_Unit], target_w: float) -> float:
    """The level at which the bounded shares sum to a target that lies between all bounds."""
    # The sum rises with the level, in straight lines between the levels at which a unit meets a
    # bound. Find the line by bisection, then solve on it, where the free units are known.
    corners = sorted({bound / u.weight for u in units for bound in (u.lower_w, u.upper_w)})

    def total_w(level: float) -> float:
        return math.fsum(unit.within(level * unit.weight) for unit in units)

    right = bisect_right(corners, target_w, key=total_w)
    left = corners[max(right - 1, 0)]
    right_end = corners[min(right, len(corners) - 1)]
    free = 0.0
    bound_w = []
    for unit in units:
        if unit.lower_w / unit.weight <= left and unit.upper_w / unit.weight >= right_end:
            free += unit.weight
        else:
            bound_w.append(unit.within(left * unit.weight))
    return (target_w - math.fsum(bound_w)) / free if free > 0.0 else left


def _check(
    target_w: float, weights: Sequence[float], lower_w: Sequence[float], upper_w: Sequence[float]
) -> None:
    if not len(weights) == len(lower_w) == len(upper_w):
        raise ValueError(
            f"{len(weights)} weights, {len(lower_w)} lower and {len(upper_w)} upper bounds: "
            "each unit needs one of each"
        )
    if not math.isfinite(target_w):
        raise ValueError(f"target_w is {target_w}; it must be a finite number")
    for index, numbers in enumerate(zip(weights, lower_w, upper_w, strict=True)):
        weight, lower, upper = numbers
        if not all(map(math.isfinite, numbers)) or weight < 0.0:
            raise ValueError(
                f"unit {index} has weight {weight} and bounds {lower}..{upper} W: "
                "all must be finite, and the weight at least 0"
            )
        if lower > upper:
            raise ValueError(f"unit {index} has its lower bound {lower} W above {upper} W")
