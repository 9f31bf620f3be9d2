"""What the site owes the grid at this instant: contracts, hand-over and energy management together.

Pure: time, frequency and state of charge come in, a proposal's numbers come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from tenhertz.grid import (
    FfrRules,
    HandOver,
    PlanEntry,
    Profile,
    Schedule,
    StepProduct,
    activation,
    ffr_rules,
    load_profile,
    schedule_of,
    start_ffr,
    step_ffr,
)
from tenhertz.grid.energy import EnergyRules, energy_rules, start_energy, step_energy
from tenhertz.site.config import Contract, SiteConfig
from tenhertz.site.mailbox import ContractsPart

_SINCE_EVER_NS = 0
_FOR_EVER_NS = 2**62
_NS_PER_S = 1_000_000_000


class Owed(NamedTuple):
    """What is owed now. Powers in W, positive feeds the grid."""

    power_w: float  # what the contracts ask for at this frequency, without the baseline
    baseline_w: float
    room_up_w: float  # what the baseline must leave free
    room_down_w: float
    capacities_w: dict[str, float]  # in force now
    ffr_missed: bool = False  # the frequency fell before FFR was ready again


class ReserveDesk:
    """Follows the contracts of one site."""

    def __init__(self, config: SiteConfig) -> None:
        self.profile: Profile = load_profile(config.reserves.profile)
        self._energy_wh = sum(unit.energy_kwh for unit in config.unit) * 1000
        self._limited_energy = config.reserves.limited_energy
        self._hand_over = HandOver(self.profile, schedule_from(config))
        self._rules: EnergyRules | None = None
        self._ruled: dict[str, float] = {}
        self._state = start_energy(0)
        self._last_utc_ns = 0
        self._ffr_trigger_hz = config.reserves.ffr_trigger_hz
        self._ffr_deactivation = config.reserves.ffr_deactivation_per_s
        self._ffr_rules: FfrRules | None = None
        self._ffr_state = start_ffr(0)
        if any(contract.product == "ffr" for contract in config.contract):
            self._ffr(0.0)  # a trigger that the profile does not have shows at start
        self._config = config
        self._parts: dict[int, ContractsPart] = {}

    def hear(self, part: ContractsPart) -> None:
        """Take contracts of the fleet; once all parts are there they replace those before.

        Those in the configuration stay. Whoever sent them has checked the products.
        """
        if any(other.generation != part.generation for other in self._parts.values()):
            self._parts.clear()
        self._parts[part.part] = part
        if len(self._parts) < part.parts:
            return
        sent = [contract for one in self._parts.values() for contract in one.contracts]
        self._parts.clear()
        self._hand_over.follow(schedule_from(self._config, sent))

    def owed(self, now_ns: int, utc_ns: int, frequency_hz: float, soc: float) -> Owed:
        """What is owed at this instant; without a frequency (NaN) no reserve is activated.

        A UTC clock that is set back does not undo a hand-over: the plan waits for it.
        """
        self._last_utc_ns = utc_ns = max(utc_ns, self._last_utc_ns)
        known = not math.isnan(frequency_hz)
        seen_hz = frequency_hz if known else self.profile.nominal_hz
        given = self._hand_over.step(utc_ns, seen_hz)
        active: dict[str, float] = {}
        power_w = room_up_w = room_down_w = 0.0
        ffr_missed = False
        for product_id, inputs in given.products.items():
            product = self.profile.product(product_id)
            if isinstance(product, StepProduct):
                ffr_w, ffr_missed = self._ffr_power_w(inputs.owed_w, seen_hz, now_ns)
                power_w += ffr_w
                room_up_w += inputs.owed_w
                if inputs.owed_w:
                    active[product_id] = inputs.owed_w
                continue
            if not inputs.capacity_w:
                continue
            if inputs.phase == "active":
                active[product_id] = inputs.capacity_w
                reserved = product.reservation
                room_up_w += inputs.capacity_w * reserved.power_up
                room_down_w += inputs.capacity_w * reserved.power_down
            else:
                power_w += inputs.capacity_w * activation(product, inputs.frequency_hz)
        droop = {name: w for name, w in active.items() if name in self.profile.droop}
        if droop:
            power_w += self._active_power_w(droop, seen_hz, soc, now_ns)
        return Owed(
            power_w if known else 0.0,
            given.baseline_w,
            room_up_w,
            room_down_w,
            active,
            ffr_missed,
        )

    def _ffr(self, capacity_w: float) -> FfrRules:
        rules = self._ffr_rules
        if rules is None or rules.capacity_w != capacity_w:
            self._ffr_rules = rules = ffr_rules(
                self.profile,
                capacity_w,
                self._ffr_trigger_hz,
                deactivation_per_s=self._ffr_deactivation,
            )
        return rules

    def _ffr_power_w(
        self, capacity_w: float, frequency_hz: float, now_ns: int
    ) -> tuple[float, bool]:
        self._ffr_state, output = step_ffr(
            self._ffr(capacity_w), self._ffr_state, frequency_hz, now_ns
        )
        return output.power_w, output.missed_trigger

    def _active_power_w(
        self, capacities_w: dict[str, float], frequency_hz: float, soc: float, now_ns: int
    ) -> float:
        if not self._limited_energy or math.isnan(soc):
            return sum(
                capacity_w * float(activation(self.profile.droop_product(name), frequency_hz))
                for name, capacity_w in capacities_w.items()
            )
        if self._rules is None or capacities_w != self._ruled:
            self._rules = energy_rules(self.profile, capacities_w, self._energy_wh)
            self._ruled = dict(capacities_w)
            if self._state.last_ns == 0:
                self._state = start_energy(now_ns)
        self._state, output = step_energy(self._rules, self._state, soc, frequency_hz, now_ns)
        power_w = output.power_w
        assert isinstance(power_w, float)
        return power_w


def schedule_from(config: SiteConfig, sent: Sequence[tuple[str, float, int, int]] = ()) -> Schedule:
    """The contracts of a configuration, and those that were sent (product, W, start and end), as
    one plan; those of one product add up.
    """
    spans: list[tuple[int, int, str, float]] = [
        (*_span(c), c.product, c.capacity_kw * 1000) for c in config.contract
    ]
    spans += [(start_ns, end_ns, product, watts) for product, watts, start_ns, end_ns in sent]
    edges = {_SINCE_EVER_NS, _FOR_EVER_NS}
    for start_ns, end_ns, _, _ in spans:
        edges |= {start_ns, end_ns}
    cuts = sorted(edges)
    entries = []
    for start_ns, end_ns in pairwise(cuts):
        capacities: dict[str, float] = {}
        for first, last, product, watts in spans:
            if first <= start_ns and end_ns <= last:
                capacities[product] = capacities.get(product, 0.0) + watts
        entries.append(PlanEntry(start_ns, end_ns, capacities, config.reserves.baseline_kw * 1000))
    return schedule_of(entries)


def _span(contract: Contract) -> tuple[int, int]:
    return (
        _utc_ns(contract.start) if contract.start else _SINCE_EVER_NS,
        _utc_ns(contract.end) if contract.end else _FOR_EVER_NS,
    )


def _utc_ns(instant: datetime) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return round((instant.astimezone(UTC) - epoch).total_seconds() * _NS_PER_S)
