"""At which state of charge a limited energy reservoir must act: the levels of table 11.

Only the levels; what happens at them is in `energy`. For a float or for arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from tenhertz.grid._array import Quantity, all_of, largest, plain, smallest
from tenhertz.grid.profiles import DroopProduct, EnergyManagement, Profile

MIN_PER_H = 60.0


class Thresholds(msgspec.Struct, frozen=True):
    """Levels of the state of charge, 0..1, for one product (TRD v1.1 table 11).

    "low" acts while the charge is below, "high" while it is above: enabled beyond the `enable`
    level, disabled when the `disable` level is reached. A side that the product does not have is
    at -inf (low) or inf (high), where no charge ever gets.
    """

    aem_enable_low: Quantity
    aem_disable_low: Quantity
    nem_enable_low: Quantity
    nem_disable_low: Quantity
    nem_disable_high: Quantity
    nem_enable_high: Quantity
    aem_disable_high: Quantity
    aem_enable_high: Quantity


def energy_management_of(product: DroopProduct) -> EnergyManagement:
    """The rules for a limited energy reservoir that come with this product.

    Raises:
        ValueError: its profile has none.
    """
    if product.energy_management is None:
        raise ValueError(f"the profile of {product.id!r} has no rules for energy management")
    return product.energy_management


def thresholds(
    product: DroopProduct,
    capacity_w: Quantity,
    energy_wh: Quantity,
    kept_below_wh: Quantity = 0.0,
    kept_above_wh: Quantity = 0.0,
) -> Thresholds:
    """The levels of one product (TRD v1.1 table 11), `capacity_w * minutes / energy_wh`.

    `energy_wh` is the window made available for reserves, in which the state of charge counts
    from 0 to 1. `kept_below_wh` and `kept_above_wh` are kept for other products and shift the
    levels inwards: see `stacked_thresholds`.

    Raises:
        ValueError: the profile has no energy management, the energy is not above 0, or the
            capacity is negative.
    """
    rules = energy_management_of(product)
    if not all_of(energy_wh > 0.0):  # type: ignore[operator]
        raise ValueError(f"energy_wh is {energy_wh}; it must be above 0")
    if not all_of(capacity_w >= 0.0):  # type: ignore[operator]
        raise ValueError(f"capacity_w of {product.id} is {capacity_w}; it must be at least 0")

    def low(minutes: float) -> Quantity:
        if product.full_up_hz is None:
            return -math.inf
        return plain((kept_below_wh + capacity_w * (minutes / MIN_PER_H)) / energy_wh)

    def high(minutes: float) -> Quantity:
        if product.full_down_hz is None:
            return math.inf
        return 1.0 - plain((kept_above_wh + capacity_w * (minutes / MIN_PER_H)) / energy_wh)

    return Thresholds(
        aem_enable_low=low(rules.aem_enable_min),
        aem_disable_low=low(rules.aem_disable_min),
        nem_enable_low=low(rules.nem_enable_min),
        nem_disable_low=low(rules.nem_disable_min),
        nem_disable_high=high(rules.nem_disable_min),
        nem_enable_high=high(rules.nem_enable_min),
        aem_disable_high=high(rules.aem_disable_min),
        aem_enable_high=high(rules.aem_enable_min),
    )


def stacked_thresholds(
    profile: Profile, capacities_w: Mapping[str, Quantity], energy_wh: Quantity
) -> dict[str, Thresholds]:
    """The levels of each product when several share one storage.

    TRD v1.1 gives no formula for a shared storage; it asks that each product keeps its energy and
    that FCR-N never takes that of FCR-D. The choice here: the energy of the products of one
    direction lies at the ends of the window, that of the product of both directions on top, so
    that the levels of FCR-N are shifted by `C_D-up * 20 min` from below and `C_D-down * 20 min`
    from above. A TSO has to approve such a choice.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop.
        ValueError: as of `thresholds`.
    """
    products = {product_id: profile.droop_product(product_id) for product_id in capacities_w}
    below_wh: Quantity = 0.0
    above_wh: Quantity = 0.0
    for product_id, product in products.items():
        if product.full_down_hz is None:
            minutes = product.reservation.energy_up_min
            below_wh = below_wh + capacities_w[product_id] * (minutes / MIN_PER_H)
        if product.full_up_hz is None:
            minutes = product.reservation.energy_down_min
            above_wh = above_wh + capacities_w[product_id] * (minutes / MIN_PER_H)
    stacked = {}
    for product_id, product in products.items():
        both = product.full_up_hz is not None and product.full_down_hz is not None
        stacked[product_id] = thresholds(
            product,
            capacities_w[product_id],
            energy_wh,
            below_wh if both else 0.0,
            above_wh if both else 0.0,
        )
    return stacked


def free_of_nem(levels: Mapping[str, Thresholds]) -> tuple[Quantity, Quantity]:
    """The charge, from and to, at which no product asks for NEM: where a storage comes to rest.

    Where the first is not below the second, the storage is too small for what was sold: it
    charges and discharges in turn without end. A minimum-size storage with as much FCR-D up as
    down is such a case: both levels are at one half.
    """
    low: Quantity = -math.inf
    high: Quantity = math.inf
    for level in levels.values():
        low = largest(low, level.nem_disable_low)
        high = smallest(high, level.nem_disable_high)
    return low, high
