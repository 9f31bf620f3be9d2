"""What the power system asks for: products, droop laws, energy management, test signals.

A guided tour, in the order in which a site meets it:

- `load_profile("nordic-1.1")`: one edition of the rules, as data.
- `activation`, `reserve_power_w`, `site_power`: from a frequency to a power.
- `PlanEntry`, `Schedule`: what was sold for which time; `HandOver`: how that starts and ends.

Everything is pure or an explicit state machine whose time is an argument: no I/O, no clock, no
numeric library. The formulas hold for floats (a battery) and for arrays (a fleet). Power is
positive when it feeds the grid.
"""

from tenhertz.grid.droop import (
    SitePower,
    activation,
    reserve_power_w,
    site_power,
    site_power_w,
)
from tenhertz.grid.hand_over import HandOver, HandOverStep, Phase, ProductInput, planned_power_w
from tenhertz.grid.profiles import (
    DroopProduct,
    EndOfProvision,
    EnergyManagement,
    FfrTrigger,
    Profile,
    Reservation,
    StepProduct,
    load_profile,
    parse_profile,
    profile_names,
)
from tenhertz.grid.schedule import PlanEntry, Schedule, schedule_of

__all__ = [
    "DroopProduct",
    "EndOfProvision",
    "EnergyManagement",
    "FfrTrigger",
    "HandOver",
    "HandOverStep",
    "Phase",
    "PlanEntry",
    "ProductInput",
    "Profile",
    "Reservation",
    "Schedule",
    "SitePower",
    "StepProduct",
    "activation",
    "load_profile",
    "parse_profile",
    "planned_power_w",
    "profile_names",
    "reserve_power_w",
    "schedule_of",
    "site_power",
    "site_power_w",
]
