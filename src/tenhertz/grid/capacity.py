"""How much may be sold, how much of it is maintained, and how long it lasts.

Formulas for planning, bids and reports, for a float or for arrays. Not here: what happens while
delivering (`droop`, `energy`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from tenhertz.grid._array import Quantity, largest, namespace_of, smallest
from tenhertz.grid.energy_levels import MIN_PER_H
from tenhertz.grid.profiles import Profile


class Room(msgspec.Struct, frozen=True):
    """Power and energy in both directions, all counted as at least 0."""

    power_up_w: Quantity
    power_down_w: Quantity
    energy_up_wh: Quantity
    energy_down_wh: Quantity


def room_needed(profile: Profile, capacities_w: Mapping[str, Quantity]) -> Room:
    """What products sold together must keep free (TRD v1.1 table 10): the sum over the products.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop.
    """
    up_w: Quantity = 0.0
    down_w: Quantity = 0.0
    up_wh: Quantity = 0.0
    down_wh: Quantity = 0.0
    for product_id, capacity_w in capacities_w.items():
        one = profile.droop_product(product_id).reservation
        up_w = up_w + capacity_w * one.power_up
        down_w = down_w + capacity_w * one.power_down
        up_wh = up_wh + capacity_w * (one.energy_up_min / MIN_PER_H)
        down_wh = down_wh + capacity_w * (one.energy_down_min / MIN_PER_H)
    return Room(up_w, down_w, up_wh, down_wh)


Limit = Literal["power up", "power down", "energy"]


class LargestSale(msgspec.Struct, frozen=True):
    """The most that fits, by product id, and which limit holds it."""

    capacities_w: dict[str, float]
    limited_by: Limit


def largest_sale(
    profile: Profile,
    mix: Mapping[str, float],
    power_up_w: float,
    power_down_w: float,
    energy_wh: float,
) -> LargestSale:
    """The most that a storage may sell of products in the proportions of `mix` (TRD v1.1 table 10).

    `mix` maps a product id to its part, such as {"fcr-d-up": 1, "fcr-d-down": 1}; only the
    proportions count. The charge is assumed to be where the products need it, so that the energy
    of both directions together must fit in `energy_wh`. `power_up_w` and `power_down_w` are what
    the storage can discharge and charge, beyond its baseline.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop.
        ValueError: nothing in the mix, a negative part, or a negative power or energy.
    """
    if not sum(mix.values()) > 0.0 or min(mix.values()) < 0.0:
        raise ValueError(f"the mix {dict(mix)} must have parts of at least 0, and one above 0")
    if min(power_up_w, power_down_w, energy_wh) < 0.0:
        raise ValueError("power_up_w, power_down_w and energy_wh must be at least 0")
    need = room_needed(profile, mix)
    limits: tuple[tuple[Limit, float, Quantity], ...] = (
        ("power up", power_up_w, need.power_up_w),
        ("power down", power_down_w, need.power_down_w),
        ("energy", energy_wh, need.energy_up_wh + need.energy_down_wh),
    )
    scale, limited_by = math.inf, limits[0][0]
    for name, have, per_unit in limits:
        # A mix of floats needs floats; a product that needs none of a kind is not limited by it.
        needed = float(per_unit)  # type: ignore[arg-type]
        if needed > 0.0 and have / needed < scale:
            scale, limited_by = have / needed, name
    return LargestSale({name: scale * part for name, part in mix.items()}, limited_by)


class Maintained(msgspec.Struct, frozen=True):
    """What is maintained of the FCR sold, given where the baseline is."""

    fcr_n_w: Quantity
    fcr_d_up_w: Quantity
    fcr_d_down_w: Quantity


def maintained_capacity(
    *,
    power_min_w: Quantity,
    power_max_w: Quantity,
    baseline_w: Quantity,
    fcr_n_w: Quantity = 0.0,
    fcr_d_up_w: Quantity = 0.0,
    fcr_d_down_w: Quantity = 0.0,
    ffr_w: Quantity = 0.0,
    frr_up_w: Quantity = 0.0,
    frr_down_w: Quantity = 0.0,
) -> Maintained:
    """What the headroom leaves of each FCR (TRD v1.1 eq. 29-31).

    Where headroom is short, FCR-D is cut first, then FFR, FCR-N, and FRR last (3.9). So FCR-N
    has what FRR leaves, and FCR-D up what FRR, FFR and FCR-N leave. Where even FRR does not fit,
    FCR-N is 0: eq. 29 as printed would be negative there.
    """
    up_w = power_max_w - baseline_w - frr_up_w
    down_w = baseline_w - frr_down_w - power_min_w
    n_w = largest(smallest(up_w, down_w, fcr_n_w), 0.0)
    return Maintained(
        fcr_n_w=n_w,
        fcr_d_up_w=largest(smallest(up_w - ffr_w - n_w, fcr_d_up_w), 0.0),
        fcr_d_down_w=largest(smallest(down_w - n_w, fcr_d_down_w), 0.0),
    )


class Endurance(msgspec.Struct, frozen=True):
    """For how many minutes full activation lasts in each direction; inf where it never ends."""

    up_min: Quantity
    down_min: Quantity

    @property
    def both_min(self) -> Quantity:
        """What FCR-N reports: the shorter of the two."""
        return smallest(self.up_min, self.down_min)


def endurance(
    *,
    energy_now_wh: Quantity,
    energy_min_wh: Quantity,
    energy_max_wh: Quantity,
    capacity_up_w: Quantity,
    capacity_down_w: Quantity,
    setpoint_w: Quantity = 0.0,
    inflow_w: Quantity = 0.0,
) -> Endurance:
    """How long the energy lasts at full activation about a set point (TRD v1.1, data, endurance).

    `inflow_w` is what flows into the storage by itself (nothing into a battery). The formula as
    printed takes the magnitude of the quotient. Report 0 instead for a direction in which AEM is
    active (3.5).
    """
    return Endurance(
        up_min=_minutes(energy_now_wh - energy_min_wh, setpoint_w + capacity_up_w - inflow_w),
        down_min=_minutes(energy_max_wh - energy_now_wh, inflow_w - setpoint_w + capacity_down_w),
    )


def _minutes(energy_wh: Quantity, power_w: Quantity) -> Quantity:
    array = namespace_of(energy_wh, power_w)
    if array is None:
        return math.inf if power_w == 0.0 else abs(float(energy_wh / power_w)) * MIN_PER_H  # type: ignore[arg-type]
    still = power_w == 0.0
    # Divide by 1 where nothing flows: a division by 0 would warn, and its result is not used.
    minutes = array.abs(energy_wh / array.where(still, 1.0, power_w)) * MIN_PER_H
    return array.where(still, math.inf, minutes)  # type: ignore[no-any-return]
