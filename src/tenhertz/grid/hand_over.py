"""How provision starts and ends: from a plan and a frequency to what the laws are to see.

A small state machine beside the droop laws (TRD v1.1, start and end of provision). It does not
read a clock, and it does not compute energy management. Times are UTC nanoseconds, as in the
plan. The law of a product is `capacity_w * activation(product, frequency_hz)`, with the capacity
and the frequency from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from tenhertz.grid._array import require_finite
from tenhertz.grid.droop import activation
from tenhertz.grid.profiles import DroopProduct, Profile
from tenhertz.grid.schedule import NS_PER_S, PlanEntry, Schedule

Phase = Literal["off", "active", "tail", "ramp"]


class ProductInput(msgspec.Struct, frozen=True):
    """What the law of one product is to work with now.

    `owed_w` is what the plan holds for this instant; `capacity_w` is the gain of the law, which
    after the end of a plan outlives `owed_w`. Phases: "active" within a plan, "tail" after it
    while the frequency still asks, "ramp" while the tail is let go, "off".
    """

    owed_w: float
    capacity_w: float
    frequency_hz: float
    phase: Phase


class HandOverStep(msgspec.Struct, frozen=True):
    """What holds at one instant: the inputs of the laws by product id, and the baseline."""

    products: dict[str, ProductInput]
    baseline_w: float


class _Life(msgspec.Struct, frozen=True):
    """What is remembered of one product: its last capacity, and until when it was owed."""

    capacity_w: float
    owed_until_ns: int
    phase: Phase


class HandOver:
    """Follows a schedule across its borders. `step` it at every cycle, with time never going back.

    FCR-N starts and stops by a step of its frequency input between 50.0 Hz and the measured
    frequency: its capacity stays until the next plan, so that whatever dynamics follow the law
    unwind by themselves. FCR-D ends when the frequency asks for nothing any more; if that takes
    longer than 15 min it may ramp down, over 5 min (`ramp_long_tails`). A change of volume from
    one plan to the next is delivered at once. A new baseline is reached in a straight line over
    `baseline_ramp_s` from the border on (0: at once).

    Raises:
        UserError: the schedule has a product that the profile does not have.
    """

    def __init__(
        self,
        profile: Profile,
        schedule: Schedule,
        *,
        baseline_ramp_s: float = 0.0,
        ramp_long_tails: bool = True,
    ) -> None:
        if not baseline_ramp_s >= 0.0:
            raise ValueError(f"baseline_ramp_s is {baseline_ramp_s}; it must be at least 0")
        self._profile = profile
        self._ramp_long_tails = ramp_long_tails
        self._lives: dict[str, _Life] = {}
        self._last_ns: int | None = None
        self._baseline = _BaselineRamp(round(baseline_ramp_s * NS_PER_S))
        self.follow(schedule)

    @property
    def schedule(self) -> Schedule:
        """The schedule that is followed."""
        return self._schedule

    def follow(self, schedule: Schedule) -> None:
        """Replace the schedule. What is no longer owed ends as at the end of a plan.

        Raises:
            UserError: the schedule has a product that the profile does not have.
        """
        for entry in schedule.entries:
            for product_id in entry.capacities_w:
                self._profile.product(product_id)
        self._schedule = schedule

    def step(self, now_ns: int, frequency_hz: float) -> HandOverStep:
        """What holds at `now_ns`, when `frequency_hz` is measured.

        Raises:
            ValueError: the time goes back, or the frequency is NaN or infinite.
        """
        require_finite(frequency_hz, "frequency_hz")
        if self._last_ns is not None and now_ns < self._last_ns:
            raise ValueError(f"time goes back, from {self._last_ns} ns to {now_ns} ns")
        entry = self._schedule.at(now_ns)
        owed_w: Mapping[str, float] = {} if entry is None else entry.capacities_w
        products = {
            product_id: self._step_product(product_id, entry, now_ns, frequency_hz)
            for product_id in {**self._lives, **owed_w}
        }
        baseline_w = self._baseline.step(entry, now_ns, self._last_ns)
        self._last_ns = now_ns
        return HandOverStep(products=products, baseline_w=baseline_w)

    def _step_product(
        self, product_id: str, entry: PlanEntry | None, now_ns: int, frequency_hz: float
    ) -> ProductInput:
        owed_w = 0.0 if entry is None else entry.capacities_w.get(product_id, 0.0)
        product = self._profile.product(product_id)
        if entry is not None and owed_w > 0.0:
            self._lives[product_id] = _Life(owed_w, entry.end_ns, "active")
            return ProductInput(owed_w, owed_w, frequency_hz, "active")
        life = self._lives.get(product_id)
        if life is None:
            return ProductInput(0.0, 0.0, frequency_hz, "off")
        if not isinstance(product, DroopProduct):
            return ProductInput(0.0, 0.0, frequency_hz, "off")
        if product.end.how == "frequency-step":
            self._lives[product_id] = msgspec.structs.replace(life, phase="off")
            return ProductInput(0.0, life.capacity_w, product.zero_hz, "off")
        # A plan that was withdrawn ends now, not when it would have ended.
        life = msgspec.structs.replace(life, owed_until_ns=min(life.owed_until_ns, now_ns))
        phase, share = self._tail(product, life, now_ns, frequency_hz)
        self._lives[product_id] = msgspec.structs.replace(life, phase=phase)
        return ProductInput(0.0, life.capacity_w * share, frequency_hz, phase)

    def _tail(
        self, product: DroopProduct, life: _Life, now_ns: int, frequency_hz: float
    ) -> tuple[Phase, float]:
        """The phase after the end of a plan, and the share of the capacity that remains."""
        if life.phase == "off" or activation(product, frequency_hz) == 0.0:
            return "off", 0.0
        end = product.end
        if not self._ramp_long_tails or end.ramp_after_s is None or end.ramp_s is None:
            return "tail", 1.0
        into_ramp_s = (now_ns - life.owed_until_ns) / NS_PER_S - end.ramp_after_s
        if into_ramp_s <= 0.0:
            return "tail", 1.0
        if into_ramp_s >= end.ramp_s:
            return "off", 0.0
        return "ramp", 1.0 - into_ramp_s / end.ramp_s


class _BaselineRamp:
    """The baseline between two plans: a straight line from where it was. Outside plans it is 0."""

    def __init__(self, ramp_ns: int) -> None:
        self._ramp_ns = ramp_ns
        self._from_w = 0.0
        self._to_w = 0.0
        self._start_ns = 0
        self._until_ns = 0

    def step(self, entry: PlanEntry | None, now_ns: int, last_ns: int | None) -> float:
        target_w = 0.0 if entry is None else entry.baseline_w
        if last_ns is None:
            # Nothing is known of the time before: take the plan as it stands.
            self._from_w = self._to_w = target_w
        elif target_w != self._to_w:
            # The border lies between two steps; the ramp must not depend on when they came.
            border_ns = min(self._until_ns, now_ns) if entry is None else entry.start_ns
            border_ns = max(border_ns, last_ns)
            self._from_w, self._to_w = self._at(border_ns), target_w
            self._start_ns = border_ns
        if entry is not None:
            self._until_ns = entry.end_ns
        return self._at(now_ns)

    def _at(self, now_ns: int) -> float:
        elapsed_ns = now_ns - self._start_ns
        if elapsed_ns >= self._ramp_ns:
            return self._to_w
        return self._from_w + (self._to_w - self._from_w) * (elapsed_ns / self._ramp_ns)


def planned_power_w(profile: Profile, step: HandOverStep, *, beyond_band: bool = False) -> float:
    """The power of baseline and droop products for one instant of a `HandOver`.

    FFR is not part of it: it has a state machine of its own.
    """
    power_w = step.baseline_w
    for product_id, given in step.products.items():
        product = profile.product(product_id)
        if isinstance(product, DroopProduct):
            per_unit = activation(product, given.frequency_hz, beyond_band=beyond_band)
            power_w += given.capacity_w * per_unit
    return power_w
