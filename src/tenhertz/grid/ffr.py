"""FFR: off until the frequency falls to the trigger, then fully on, then ready again in time.

State in, state out, for one unit. Not a droop, and the only product here with a shape in time:

    armed -> support -> deactivation -> buffer -> recovery -> armed
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from tenhertz.errors import UserError
from tenhertz.grid._array import require_finite
from tenhertz.grid.profiles import Profile, StepProduct
from tenhertz.grid.schedule import NS_PER_S

FfrPhase = Literal["armed", "support", "deactivation", "buffer", "recovery"]


class FfrRules(msgspec.Struct, frozen=True):
    """How one unit delivers FFR; made by `ffr_rules`, which checks it against the profile.

    The power rises in a line over `activation_ramp_s`, stays until `support_s` after it is full,
    falls at `deactivation_per_s` of the capacity per second, is 0 for `buffer_s`, and then takes
    `recovery_power` of the capacity until what was given is taken back.
    """

    capacity_w: float
    trigger_hz: float
    activation_ramp_s: float
    support_s: float
    deactivation_per_s: float
    buffer_s: float
    recovery_power: float

    @property
    def full_until_s(self) -> float:
        """From the trigger to the end of full power."""
        return self.activation_ramp_s + self.support_s

    @property
    def zero_from_s(self) -> float:
        """From the trigger to the end of the deactivation."""
        return self.full_until_s + 1.0 / self.deactivation_per_s

    @property
    def recovery_from_s(self) -> float:
        """From the trigger to the end of the buffer."""
        return self.zero_from_s + self.buffer_s

    @property
    def armed_from_s(self) -> float:
        """From the trigger until ready again: what was given (losses apart) is taken back."""
        if self.recovery_power == 0.0:
            return self.recovery_from_s
        ramps_s = (self.activation_ramp_s + 1.0 / self.deactivation_per_s) / 2.0
        return self.recovery_from_s + (self.support_s + ramps_s) / self.recovery_power


class FfrState(msgspec.Struct, frozen=True):
    """When the activation began (None: not in one), and whether the trigger may act.

    `above` is False until the frequency has been above the trigger since the last activation.
    """

    last_ns: int
    triggered_ns: int | None = None
    above: bool = True


class FfrOutput(msgspec.Struct, frozen=True):
    """The power asked for now (+ discharges), the phase, and a trigger that found it not ready."""

    power_w: float
    phase: FfrPhase
    missed_trigger: bool


def ffr_rules(
    profile: Profile,
    capacity_w: float,
    trigger_hz: float,
    *,
    activation_ramp_s: float = 0.0,
    deactivation_per_s: float = math.inf,
    support_s: float | None = None,
    recovery_power: float = 0.0,
) -> FfrRules:
    """The behaviour of a unit, checked against the product "ffr" of the profile.

    `support_s` None is the shortest that `deactivation_per_s` (a part of the capacity per second)
    allows: 5 s up to 20 % per second, else 30 s. `recovery_power` 0 leaves the recovery to others.

    Raises:
        UserError: the profile has no FFR, or not this trigger, or the behaviour is not allowed;
            the text says which number and what would be.
    """
    product = profile.product("ffr")
    if not isinstance(product, StepProduct):
        raise UserError(f"product 'ffr' of profile {profile.name} is not one of on and off")
    full_activation_s = _full_activation_s(product, trigger_hz)
    if not (math.isfinite(capacity_w) and capacity_w >= 0.0):
        raise UserError(f"FFR capacity is {capacity_w} W; it must be at least 0")
    if not 0.0 <= activation_ramp_s <= full_activation_s:
        raise UserError(
            f"FFR activation_ramp_s is {activation_ramp_s}; with a trigger at {trigger_hz} Hz it "
            f"must be within 0 and {full_activation_s}"
        )
    if not deactivation_per_s > 0.0:
        raise UserError(f"FFR deactivation_per_s is {deactivation_per_s}; it must be above 0")
    gentle = deactivation_per_s <= product.gentle_deactivation_per_s
    least_s = product.short_support_s if gentle else product.long_support_s
    if support_s is not None and not support_s >= least_s:
        raise UserError(
            f"FFR support_s is {support_s}; with a deactivation of {deactivation_per_s:.0%} of "
            f"the capacity per second it must be at least {least_s}"
        )
    if not 0.0 <= recovery_power <= product.recovery_power_max:
        raise UserError(
            f"FFR recovery_power is {recovery_power}; it must be within 0 and "
            f"{product.recovery_power_max}"
        )
    rules = FfrRules(
        capacity_w=capacity_w,
        trigger_hz=trigger_hz,
        activation_ramp_s=activation_ramp_s,
        support_s=least_s if support_s is None else support_s,
        deactivation_per_s=deactivation_per_s,
        buffer_s=product.buffer_s,
        recovery_power=recovery_power,
    )
    if rules.armed_from_s > product.ready_again_s:
        raise UserError(
            f"FFR would be ready again {rules.armed_from_s:.0f} s after its trigger; it must be "
            f"within {product.ready_again_s:.0f} s: shorten the support or recover faster"
        )
    return rules


def _full_activation_s(product: StepProduct, trigger_hz: float) -> float:
    for one in product.triggers:
        if one.trigger_hz == trigger_hz:
            return one.full_activation_s
    known = ", ".join(f"{one.trigger_hz}" for one in product.triggers)
    raise UserError(f"there is no FFR trigger at {trigger_hz} Hz; choose one of {known}")


def start_ffr(now_ns: int) -> FfrState:
    """The state of a unit that is ready from `now_ns` on."""
    return FfrState(last_ns=now_ns)


def step_ffr(
    rules: FfrRules, state: FfrState, frequency_hz: float, now_ns: int
) -> tuple[FfrState, FfrOutput]:
    """One cycle: the new state, and the power asked for.

    The trigger acts at or below `trigger_hz`. An activation runs its course whatever the
    frequency does. A frequency that stays below all the while does not trigger twice: it has to
    be above the trigger once in between. A fall that comes before the unit is ready again is
    told once, as `missed_trigger`.

    Raises:
        ValueError: the time goes back, or the frequency is NaN or infinite.
    """
    require_finite(frequency_hz, "frequency_hz")
    if now_ns < state.last_ns:
        raise ValueError(f"time goes back, from {state.last_ns} ns to {now_ns} ns")
    triggered_ns = state.triggered_ns
    if triggered_ns is not None and (now_ns - triggered_ns) / NS_PER_S >= rules.armed_from_s:
        triggered_ns = None
    falls = state.above and frequency_hz <= rules.trigger_hz
    missed = falls and triggered_ns is not None
    if falls and triggered_ns is None:
        triggered_ns = now_ns
    above = frequency_hz > rules.trigger_hz
    power_w, phase = _shape(rules, triggered_ns, now_ns)
    return FfrState(now_ns, triggered_ns, above), FfrOutput(power_w, phase, missed)


def _shape(rules: FfrRules, triggered_ns: int | None, now_ns: int) -> tuple[float, FfrPhase]:
    if triggered_ns is None:
        return 0.0, "armed"
    elapsed_s = (now_ns - triggered_ns) / NS_PER_S
    if elapsed_s < rules.activation_ramp_s:
        return rules.capacity_w * (elapsed_s / rules.activation_ramp_s), "support"
    if elapsed_s < rules.full_until_s:
        return rules.capacity_w, "support"
    if elapsed_s < rules.zero_from_s:
        given_back = (elapsed_s - rules.full_until_s) * rules.deactivation_per_s
        return rules.capacity_w * (1.0 - given_back), "deactivation"
    if elapsed_s < rules.recovery_from_s:
        return 0.0, "buffer"
    return -rules.capacity_w * rules.recovery_power, "recovery"
