"""Droop laws: from a frequency to the power that the reserves sold ask for.

Static laws, without memory, for a float or for arrays. Power is positive when it feeds the grid.
Not here: how a small energy reservoir shifts the law (`energy`), what begins and ends with the
market time unit (`schedule`), and FFR, which is no droop (`ffr`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import overload

import msgspec

from tenhertz.grid._array import Array, Quantity, clip, plain, require_finite
from tenhertz.grid.profiles import DroopProduct, Profile


@overload
def activation(
    product: DroopProduct,
    frequency_hz: float,
    reference_hz: float | None = None,
    *,
    beyond_band: bool = False,
) -> float: ...
@overload
def activation(
    product: DroopProduct,
    frequency_hz: Array,
    reference_hz: Quantity | None = None,
    *,
    beyond_band: bool = False,
) -> Array: ...
@overload
def activation(
    product: DroopProduct,
    frequency_hz: Quantity,
    reference_hz: Quantity | None = None,
    *,
    beyond_band: bool = False,
) -> Quantity: ...
def activation(
    product: DroopProduct,
    frequency_hz: Quantity,
    reference_hz: Quantity | None = None,
    *,
    beyond_band: bool = False,
) -> Quantity:
    """How much of the capacity the frequency asks for; + discharges (TRD v1.1 eq. 12 and 23).

    FCR-N gives -1..1, FCR-D up 0..1, FCR-D down -1..0: exactly 0 and exactly ±1 at the edges of
    the band. With `beyond_band`, a product that may (FCR-D) continues its line beyond the full
    activation, without end; FCR-N never does, as it must not take the power of FCR-D.
    `reference_hz` moves the point of zero activation and keeps the slope.

    Raises:
        ValueError: a single frequency that is NaN or infinite. In an array, NaN gives NaN.
    """
    require_finite(frequency_hz, "frequency_hz")
    zero_hz = product.zero_hz if reference_hz is None else reference_hz
    error_hz = plain(zero_hz - frequency_hz)
    most = math.inf if beyond_band and product.may_continue_beyond_band else 1.0
    # The spans are differences of the same numbers as the error is at the edges of the band, so
    # that there the quotient is exactly 1. "0.1" and "0.4" would give 0.9999999999999964.
    total: Quantity = 0.0
    if product.full_up_hz is not None:
        total = clip(error_hz / (product.zero_hz - product.full_up_hz), 0.0, most)
    if product.full_down_hz is not None:
        total = total + clip(error_hz / (product.full_down_hz - product.zero_hz), -most, 0.0)
    return total


class SitePower(msgspec.Struct, frozen=True):
    """The power of a site, and what its limits cut off.

    `reserve_w` is what the products ask for, `power_w` what remains of baseline and reserves
    within the limits, `unmet_w` the part cut off (wanted less given; 0 when nothing was).
    """

    power_w: Quantity
    reserve_w: Quantity
    unmet_w: Quantity


@overload
def reserve_power_w(
    profile: Profile,
    capacities_w: Mapping[str, float],
    frequency_hz: float,
    *,
    beyond_band: bool = False,
) -> float: ...
@overload
def reserve_power_w(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    frequency_hz: Quantity,
    *,
    beyond_band: bool = False,
) -> Quantity: ...
def reserve_power_w(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    frequency_hz: Quantity,
    *,
    beyond_band: bool = False,
) -> Quantity:
    """The power that droop products sold together ask for: their sum (TRD v1.1 3.6).

    `capacities_w` maps a product id to the capacity sold, at least 0.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop (FFR).
        ValueError: a single frequency that is NaN or infinite.
    """
    require_finite(frequency_hz, "frequency_hz")
    total: Quantity = 0.0
    for product_id, capacity_w in capacities_w.items():
        product = profile.droop_product(product_id)
        total = total + capacity_w * activation(product, frequency_hz, beyond_band=beyond_band)
    return total


def site_power(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    frequency_hz: Quantity,
    baseline_w: Quantity = 0.0,
    lower_w: Quantity = -math.inf,
    upper_w: Quantity = math.inf,
    *,
    beyond_band: bool = False,
) -> SitePower:
    """Baseline and all reserves within the limits of the site, and what the limits cut off.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop (FFR).
        ValueError: a single frequency that is NaN or infinite.
    """
    reserve_w = reserve_power_w(profile, capacities_w, frequency_hz, beyond_band=beyond_band)
    wanted_w = baseline_w + reserve_w
    power_w = clip(wanted_w, lower_w, upper_w)
    return SitePower(power_w=power_w, reserve_w=reserve_w, unmet_w=wanted_w - power_w)


@overload
def site_power_w(
    profile: Profile,
    capacities_w: Mapping[str, float],
    frequency_hz: float,
    baseline_w: float = 0.0,
    lower_w: float = -math.inf,
    upper_w: float = math.inf,
    *,
    beyond_band: bool = False,
) -> float: ...
@overload
def site_power_w(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    frequency_hz: Quantity,
    baseline_w: Quantity = 0.0,
    lower_w: Quantity = -math.inf,
    upper_w: Quantity = math.inf,
    *,
    beyond_band: bool = False,
) -> Quantity: ...
def site_power_w(
    profile: Profile,
    capacities_w: Mapping[str, Quantity],
    frequency_hz: Quantity,
    baseline_w: Quantity = 0.0,
    lower_w: Quantity = -math.inf,
    upper_w: Quantity = math.inf,
    *,
    beyond_band: bool = False,
) -> Quantity:
    """The `power_w` of `site_power`, for a caller that needs only the number.

    Raises:
        UserError: a product that the profile does not have, or that follows no droop (FFR).
        ValueError: a single frequency that is NaN or infinite.
    """
    return site_power(
        profile,
        capacities_w,
        frequency_hz,
        baseline_w,
        lower_w,
        upper_w,
        beyond_band=beyond_band,
    ).power_w
