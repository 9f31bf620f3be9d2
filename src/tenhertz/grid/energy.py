"""Energy management of a limited energy reservoir: NEM refills it, AEM protects it.

State in, state out (TRD v1.1 3.5), for one battery or, with arrays, a fleet; products that share
a storage together. Not here: the levels (`energy_levels`), how much may be sold (`capacity`), and
the baseline, to which the power from here is added.

Memory: each product keeps its last 300 samples twice, which for a fleet is about 5 kB a battery.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from tenhertz.grid._array import (
    Condition,
    Quantity,
    clip,
    negated,
    plain,
    require_finite,
    rounded,
    where,
)
from tenhertz.grid.energy_levels import Thresholds, energy_management_of, stacked_thresholds
from tenhertz.grid.profiles import DroopProduct, Profile
from tenhertz.grid.schedule import NS_PER_S

# Samples of the reference are whole multiples of 2**-30 Hz (1 nHz). Then the running sum of 300
# is exact, and a reference that has come back to 50 Hz is 50 Hz, after any number of years.
STEPS_PER_HZ = 2.0**30


class ProductRules(msgspec.Struct, frozen=True):
    """One product as sold on one storage: its levels, and the power of its NEM."""

    product: DroopProduct
    capacity_w: Quantity
    nem_power_w: Quantity
    levels: Thresholds


class EnergyRules(msgspec.Struct, frozen=True):
    """What `step_energy` works by; made by `energy_rules` for each change of the capacities."""

    products: dict[str, ProductRules]
    nem_low_hz: float
    nem_high_hz: float


class ProductEnergy(msgspec.Struct, frozen=True):
    """What is remembered of one product.

    Latches of NEM and AEM at the low and at the high end, the samples of NEM (-1, 0, 1) and of
    the shift of the reference (Hz) over the length of the mean, oldest first, and their sums.
    """

    nem_low: Condition
    nem_high: Condition
    aem_low: Condition
    aem_high: Condition
    nem_samples: tuple[Quantity, ...]
    nem_sum: Quantity
    shift_samples: tuple[Quantity, ...]
    shift_sum: Quantity


class EnergyState(msgspec.Struct, frozen=True):
    """What is remembered of one storage (or a fleet, where its members hold arrays)."""

    last_ns: int
    next_sample_ns: int
    products: dict[str, ProductEnergy]


class ProductOutput(msgspec.Struct, frozen=True):
    """What one product asks for, with its energy management.

    `power_w` holds activation and NEM after the cap of the product; `cut_w` is what the cap cut
    off. `nem_allowed` is -1 (charge), 0 or 1 (discharge), `nem_current` its mean. `reference_hz`
    is where the law now asks for nothing. `in_aem_low` and `in_aem_high` say that the product
    does not count as maintained: report an endurance of 0 in that direction.
    """

    power_w: Quantity
    cut_w: Quantity
    nem_power_w: Quantity
    nem_allowed: Quantity
    nem_current: Quantity
    reference_hz: Quantity
    in_aem_low: Condition
    in_aem_high: Condition


class EnergyOutput(msgspec.Struct, frozen=True):
    """What all products of the storage ask for: their sum, and each by its id."""

    power_w: Quantity
    products: dict[str, ProductOutput]


def energy_rules(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    energy_wh: Quantity,
    nem_power: Mapping[str, float] | None = None,
) -> EnergyRules:
    """The rules for products that share a storage with `energy_wh` for reserves.

    `nem_power` raises the power of NEM, as a part of the capacity, up to what the profile allows
    (FCR-N: from 0.34 to at most 0.50; TRD v1.1 3.5).

    Raises:
        UserError: a product that the profile does not have, or that follows no droop.
        ValueError: no energy management in the profile, a capacity below 0, an energy not above
            0, or a `nem_power` outside of what is allowed.
    """
    levels = stacked_thresholds(profile, capacities_w, energy_wh)
    products = {}
    for product_id, capacity_w in capacities_w.items():
        product = profile.droop_product(product_id)
        management = energy_management_of(product)
        part = (nem_power or {}).get(product_id, management.nem_power)
        if not management.nem_power <= part <= management.nem_power_max:
            raise ValueError(
                f"nem_power of {product_id} is {part}; it must be within "
                f"{management.nem_power} and {management.nem_power_max}"
            )
        products[product_id] = ProductRules(
            product, plain(capacity_w), plain(capacity_w * part), levels[product_id]
        )
    return EnergyRules(products, profile.normal_low_hz, profile.normal_high_hz)


def start_energy(now_ns: int) -> EnergyState:
    """The state of a storage that begins to provide: neither NEM nor AEM in the last 300 s."""
    return EnergyState(last_ns=now_ns, next_sample_ns=now_ns, products={})


def step_energy(
    rules: EnergyRules,
    state: EnergyState,
    soc: Quantity,
    frequency_hz: Quantity,
    now_ns: int,
) -> tuple[EnergyState, EnergyOutput]:
    """One cycle: the new state, and what the products ask for (TRD v1.1 3.5).

    Call it as often as you like: the means take one sample a second. Seconds without a call
    count as the last sample before them. A product that is new in `rules` starts fresh; one
    that is gone is forgotten.

    Raises:
        ValueError: the time goes back, or a single `soc` or `frequency_hz` is NaN or infinite.
            In an array, NaN in either gives NaN as the power, and leaves the state usable.
    """
    require_finite(soc, "soc")
    require_finite(frequency_hz, "frequency_hz")
    soc, frequency_hz = plain(soc), plain(frequency_hz)
    if now_ns < state.last_ns:
        raise ValueError(f"time goes back, from {state.last_ns} ns to {now_ns} ns")
    due = 0
    if now_ns >= state.next_sample_ns:
        due = (now_ns - state.next_sample_ns) // NS_PER_S + 1
    products = {}
    outputs = {}
    power_w: Quantity = 0.0
    in_band = (frequency_hz > rules.nem_low_hz) & (frequency_hz < rules.nem_high_hz)  # type: ignore[operator]
    for product_id, product_rules in rules.products.items():
        known = state.products.get(product_id) or _fresh(product_rules.product)
        known, output = _step_product(product_rules, known, soc, frequency_hz, in_band, due)
        products[product_id] = known
        outputs[product_id] = output
        power_w = power_w + output.power_w
    next_ns = state.next_sample_ns + due * NS_PER_S
    return EnergyState(now_ns, next_ns, products), EnergyOutput(power_w, outputs)


def _fresh(product: DroopProduct) -> ProductEnergy:
    none = (0.0,) * energy_management_of(product).mean_s
    return ProductEnergy(
        nem_low=False,
        nem_high=False,
        aem_low=False,
        aem_high=False,
        nem_samples=none,
        nem_sum=0.0,
        shift_samples=none,
        shift_sum=0.0,
    )


def _step_product(
    rules: ProductRules,
    known: ProductEnergy,
    soc: Quantity,
    frequency_hz: Quantity,
    in_band: Condition,
    due: int,
) -> tuple[ProductEnergy, ProductOutput]:
    product, level = rules.product, rules.levels
    nem_low = _latch_below(known.nem_low, soc, level.nem_enable_low, level.nem_disable_low)
    nem_high = _latch_above(known.nem_high, soc, level.nem_enable_high, level.nem_disable_high)
    aem_low = _latch_below(known.aem_low, soc, level.aem_enable_low, level.aem_disable_low)
    aem_high = _latch_above(known.aem_high, soc, level.aem_enable_high, level.aem_disable_high)
    allowed = where(in_band, where(nem_high, 1.0, 0.0) - where(nem_low, 1.0, 0.0), 0.0)
    saturated_hz = clip(frequency_hz, product.lower_hz, product.upper_hz)
    # A reading of NaN must not stay in the mean for 300 s: the sample before it stands in.
    shift_hz = where(aem_low | aem_high, saturated_hz - product.zero_hz, 0.0)
    shift_hz = where(shift_hz == shift_hz, shift_hz, known.shift_samples[-1])
    shift_hz = rounded(shift_hz * STEPS_PER_HZ) / STEPS_PER_HZ
    nem_samples, nem_sum = _sample(known.nem_samples, known.nem_sum, allowed, due)
    shift_samples, shift_sum = _sample(known.shift_samples, known.shift_sum, shift_hz, due)
    known = ProductEnergy(
        nem_low, nem_high, aem_low, aem_high, nem_samples, nem_sum, shift_samples, shift_sum
    )
    nem_current = nem_sum / len(nem_samples)
    reference_hz = product.zero_hz + shift_sum / len(shift_samples)
    nem_power_w = rules.nem_power_w * nem_current
    wanted_w = rules.capacity_w * _shifted(product, reference_hz, saturated_hz) + nem_power_w
    wanted_w = where(soc == soc, wanted_w, math.nan)
    power_w = _capped(rules, wanted_w)
    return known, ProductOutput(
        power_w=power_w,
        cut_w=wanted_w - power_w,
        nem_power_w=nem_power_w,
        nem_allowed=allowed,
        nem_current=nem_current,
        reference_hz=reference_hz,
        in_aem_low=aem_low,
        in_aem_high=aem_high,
    )


def _shifted(product: DroopProduct, reference_hz: Quantity, saturated_hz: Quantity) -> Quantity:
    """The activation about a moved reference, before its cap (TRD v1.1 3.5, the law in AEM).

    Unlike `droop.activation` it may leave the direction of the product: a reference that has
    followed a low frequency makes FCR-D up charge when the frequency returns.
    """
    error_hz = reference_hz - saturated_hz
    if product.full_up_hz is None:
        return error_hz / (product.upper_hz - product.zero_hz)
    if product.full_down_hz is None:
        return error_hz / (product.zero_hz - product.lower_hz)
    up = clip(error_hz, 0.0, math.inf) / (product.zero_hz - product.lower_hz)
    return up + clip(error_hz, -math.inf, 0.0) / (product.upper_hz - product.zero_hz)


def _capped(rules: ProductRules, wanted_w: Quantity) -> Quantity:
    """Within capacity and NEM in the directions sold, within NEM in the other (TRD v1.1 3.5)."""
    whole_w = rules.capacity_w + rules.nem_power_w
    upper_w = rules.nem_power_w if rules.product.full_up_hz is None else whole_w
    lower_w = -rules.nem_power_w if rules.product.full_down_hz is None else -whole_w
    return clip(wanted_w, lower_w, upper_w)


def _sample(
    samples: tuple[Quantity, ...], total: Quantity, value: Quantity, due: int
) -> tuple[tuple[Quantity, ...], Quantity]:
    """Take `value` as the newest of `due` samples; those missed before it repeat the last one."""
    if due == 0:
        return samples, total
    length = len(samples)
    new = (samples[-1],) * min(due - 1, length - 1) + (value,)
    for gone, come in zip(samples, new, strict=False):
        total = total - gone + come
    return samples[len(new) :] + new, total


def _latch_below(held: Condition, soc: Quantity, enable: Quantity, disable: Quantity) -> Condition:
    # "Not yet at", rather than "below", so that a reading of NaN changes nothing.
    return (soc < enable) | (held & negated(soc >= disable))  # type: ignore[operator]


def _latch_above(held: Condition, soc: Quantity, enable: Quantity, disable: Quantity) -> Condition:
    return (soc > enable) | (held & negated(soc <= disable))  # type: ignore[operator]
