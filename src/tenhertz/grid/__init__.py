"""What the power system asks for: products, droop laws, energy management, test signals.

A guided tour, in the order in which a site meets it:

- `load_profile("nordic-1.1")`: one edition of the rules, as data, product by product.
- `largest_sale`, `room_needed`: how much a storage may sell; `maintained_capacity`, `endurance`:
  what of it is there now, and for how long.
- `PlanEntry`, `Schedule`: what was sold for which time; `HandOver`: how that starts and ends.
- `activation`, `reserve_power_w`, `site_power`: from a frequency to a power.
- `energy_rules`, `start_energy`, `step_energy`: the same for a storage that may run empty or
  full (NEM and AEM).
- `ffr_rules`, `start_ffr`, `step_ffr`: the reserve that is off or fully on.
- `share`: one power, shared among the units of a site.
- `ramp_sequence`, `step_signal`, `Sine`, `load_recording`: frequencies to try all this on.

Everything is pure or an explicit state machine whose time is an argument: no clock, no numeric
library, and no I/O but the reading of the package's own data and of a recording. The formulas
hold for floats (a battery) and for arrays (a fleet). Power is positive when it feeds the grid.
"""

from tenhertz.grid.allocation import Shares, share
from tenhertz.grid.capacity import (
    Endurance,
    LargestSale,
    Maintained,
    Room,
    endurance,
    largest_sale,
    maintained_capacity,
    room_needed,
)
from tenhertz.grid.droop import (
    SitePower,
    activation,
    reserve_power_w,
    site_power,
    site_power_w,
)
from tenhertz.grid.energy import (
    EnergyOutput,
    EnergyRules,
    EnergyState,
    ProductOutput,
    energy_rules,
    start_energy,
    step_energy,
)
from tenhertz.grid.energy_levels import Thresholds, free_of_nem, stacked_thresholds, thresholds
from tenhertz.grid.ffr import (
    FfrOutput,
    FfrPhase,
    FfrRules,
    FfrState,
    ffr_rules,
    start_ffr,
    step_ffr,
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
from tenhertz.grid.signals import (
    Gap,
    Leg,
    Polyline,
    Recording,
    Signal,
    Sine,
    load_recording,
    parse_recording,
    ramp_sequence,
    recording_names,
    step_signal,
)

__all__ = [
    "DroopProduct",
    "EndOfProvision",
    "Endurance",
    "EnergyManagement",
    "EnergyOutput",
    "EnergyRules",
    "EnergyState",
    "FfrOutput",
    "FfrPhase",
    "FfrRules",
    "FfrState",
    "FfrTrigger",
    "Gap",
    "HandOver",
    "HandOverStep",
    "LargestSale",
    "Leg",
    "Maintained",
    "Phase",
    "PlanEntry",
    "Polyline",
    "ProductInput",
    "ProductOutput",
    "Profile",
    "Recording",
    "Reservation",
    "Room",
    "Schedule",
    "Shares",
    "Signal",
    "Sine",
    "SitePower",
    "StepProduct",
    "Thresholds",
    "activation",
    "endurance",
    "energy_rules",
    "ffr_rules",
    "free_of_nem",
    "largest_sale",
    "load_profile",
    "load_recording",
    "maintained_capacity",
    "parse_profile",
    "parse_recording",
    "planned_power_w",
    "profile_names",
    "ramp_sequence",
    "recording_names",
    "reserve_power_w",
    "room_needed",
    "schedule_of",
    "share",
    "site_power",
    "site_power_w",
    "stacked_thresholds",
    "start_energy",
    "start_ffr",
    "step_energy",
    "step_ffr",
    "step_signal",
    "thresholds",
]
