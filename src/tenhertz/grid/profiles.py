"""Editions of the rules, as data: which products there are, and every number of theirs.

A profile is one TOML file in `profiles/`, read into frozen structs. To correct a number, change
that file. Not for what a site sold: that is a `Schedule`. Not for formulas: those are in
`droop`, `energy`, `ffr` and `capacity`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from tenhertz.errors import UserError


class Reservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one watt sold must keep free (TRD v1.1 table 10).

    Powers are multiples of the capacity; energies are minutes of full activation.
    """

    power_up: float
    power_down: float
    energy_up_min: float
    energy_down_min: float


class EnergyManagement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a limited energy reservoir refills (NEM) and protects itself (AEM); TRD v1.1 3.5.

    Levels are minutes of full activation, counted from the empty or the full end. `mean_s` is
    the length of both moving means, in seconds and so in samples.
    """

    nem_power: float
    nem_power_max: float
    nem_enable_min: float
    nem_disable_min: float
    aem_enable_min: float
    aem_disable_min: float
    mean_s: int


class EndOfProvision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How provision stops when its period ends (TRD v1.1, start and end of provision).

    "frequency-step": the input of the law steps to where it asks for nothing. "when-idle": the
    product stays active until the frequency asks for nothing by itself; if that takes longer
    than `ramp_after_s`, it may ramp down over `ramp_s`.
    """

    how: Literal["frequency-step", "when-idle"]
    ramp_after_s: float | None = None
    ramp_s: float | None = None

    def __post_init__(self) -> None:
        if (self.ramp_after_s is None) != (self.ramp_s is None):
            raise ValueError("ramp_after_s and ramp_s go together: give both or neither")


class DroopProduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reserve whose power follows the frequency along a straight line.

    Zero at `zero_hz`, all of it at `full_up_hz` (discharging) and `full_down_hz` (charging); a
    direction that is None is not part of the product.
    """

    title: str
    zero_hz: float
    reservation: Reservation
    end: EndOfProvision
    insensitivity_max_hz: float
    may_continue_beyond_band: bool
    full_up_hz: float | None = None
    full_down_hz: float | None = None
    energy_management: EnergyManagement | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if self.full_up_hz is None and self.full_down_hz is None:
            raise ValueError("a droop product needs full_up_hz, full_down_hz or both")
        if self.full_up_hz is not None and self.full_up_hz >= self.zero_hz:
            raise ValueError("full_up_hz must lie below zero_hz")
        if self.full_down_hz is not None and self.full_down_hz <= self.zero_hz:
            raise ValueError("full_down_hz must lie above zero_hz")

    @property
    def lower_hz(self) -> float:
        """The lower end of the band: full activation up, or zero if it only goes down."""
        return self.zero_hz if self.full_up_hz is None else self.full_up_hz

    @property
    def upper_hz(self) -> float:
        """The upper end of the band: full activation down, or zero if it only goes up."""
        return self.zero_hz if self.full_down_hz is None else self.full_down_hz


class FfrTrigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the pairs that an FFR provider chooses from."""

    trigger_hz: float
    full_activation_s: float


class StepProduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reserve that is off or fully on: FFR. Powers are fractions of the capacity."""

    title: str
    triggers: tuple[FfrTrigger, ...]
    short_support_s: float
    long_support_s: float
    gentle_deactivation_per_s: float
    ready_again_s: float
    buffer_s: float
    recovery_power_max: float
    over_delivery_max: float
    id: str = ""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One edition of the rules of one synchronous area.

    `droop` and `step` hold the products by their id, such as "fcr-n" or "ffr". The normal band
    is `normal_low_hz`..`normal_high_hz`.
    """

    name: str
    title: str
    edition: str
    nominal_hz: float
    normal_low_hz: float
    normal_high_hz: float
    droop: dict[str, DroopProduct]
    step: dict[str, StepProduct] = {}

    @property
    def product_ids(self) -> tuple[str, ...]:
        """The ids of all products, in the order of the file."""
        return (*self.droop, *self.step)

    def product(self, product_id: str) -> DroopProduct | StepProduct:
        """The product with this id.

        Raises:
            UserError: the profile has no such product.
        """
        found = self.droop.get(product_id) or self.step.get(product_id)
        if found is None:
            known = ", ".join(self.product_ids)
            raise UserError(f"profile {self.name} has no product {product_id!r}; it has: {known}")
        return found

    def droop_product(self, product_id: str) -> DroopProduct:
        """The droop product with this id.

        Raises:
            UserError: the profile has no such product, or it is not a droop product.
        """
        found = self.product(product_id)
        if not isinstance(found, DroopProduct):
            raise UserError(f"product {product_id!r} of profile {self.name} follows no droop")
        return found


def profile_names() -> tuple[str, ...]:
    """The names that `load_profile` knows, sorted."""
    files = resources.files(__package__).joinpath("profiles").iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".toml")))


@cache
def load_profile(name: str) -> Profile:
    """Read a profile by name: "nordic-1.1" or "continental".

    Raises:
        UserError: there is no profile of that name, or its file cannot be read.
    """
    if name not in profile_names():
        known = ", ".join(profile_names())
        raise UserError(f"there is no profile {name!r}; the known ones are: {known}")
    file = resources.files(__package__).joinpath("profiles", f"{name}.toml")
    return parse_profile(file.read_text("utf-8"), source=f"profiles/{name}.toml")


def parse_profile(text: str, source: str) -> Profile:
    """Read a profile from the text of a TOML file; `source` is the name that errors give it.

    Raises:
        UserError: the text is no TOML, or a key is unknown, missing or of the wrong kind.
    """
    try:
        tree = tomllib.loads(text)
        for kind in ("droop", "step"):
            for product_id, table in tree.get(kind, {}).items():
                table["id"] = product_id
        return msgspec.convert(tree, Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, AttributeError, TypeError) as error:
        raise UserError(f"{source}: {error}") from error
