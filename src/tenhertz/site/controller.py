"""From what was measured to what each unit shall do: one tick of the site's decisions.

Sans-I/O: the image of all units, the frequency and the time come in; setpoints come out. The shell
around it is `control`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from tenhertz.devices import Condition, Reading
from tenhertz.grid.allocation import share
from tenhertz.site.config import SiteConfig
from tenhertz.site.frequency import Answer
from tenhertz.site.gate import Freshness
from tenhertz.site.mailbox import ContractsPart, Message, PowerWish, TestFrequency
from tenhertz.site.proposal import Decision, Proposal, Reason, decide
from tenhertz.site.reserve import ReserveDesk

T = TypeVar("T")

# A unit's part in the site's power follows its stored energy, but never falls to nothing by it.
_LEAST_WEIGHT = 0.05


class UnitView(Protocol):
    """What the controller needs to know of a unit."""

    rated_power_w: float
    reading: Reading | None


class Orders(NamedTuple):
    """What shall happen now."""

    decision: Decision
    stop: bool  # de-energise all units
    powers_w: list[float]  # for each controlled unit, in the order of `controlled`
    controlled: list[int]  # indices of the units that follow setpoints
    measured_w: float  # what all units with a valid reading deliver
    capacities_w: dict[str, float]
    unmet_w: float  # what was decided but no unit can deliver
    ffr_missed: bool = False  # the frequency fell before FFR was ready again
    dropped_inbound: int = 0  # signals from outside that were too old or no numbers, in all


class _Held(Generic[T]):
    """A message and its lease, which runs on the monotonic clock from the first look on."""

    def __init__(self, message: T, left_ns: int) -> None:
        self._message = message
        self._left_ns = left_ns
        self._until_ns: int | None = None

    def at(self, now_ns: int) -> T | None:
        """The message while its lease holds; setting the UTC clock neither cuts nor prolongs it."""
        if self._until_ns is None:
            self._until_ns = now_ns + self._left_ns
        return self._message if now_ns < self._until_ns else None


class Controller:
    """The decisions of one site."""

    def __init__(self, config: SiteConfig) -> None:
        self._desk = ReserveDesk(config)
        self._energies_wh = [unit.energy_kwh * 1000 for unit in config.unit]
        site = config.site
        self._import_w = math.inf if site.import_limit_kw is None else site.import_limit_kw * 1000
        self._export_w = math.inf if site.export_limit_kw is None else site.export_limit_kw * 1000
        self._wish: _Held[PowerWish] | None = None
        self._test: _Held[TestFrequency] | None = None
        self.freshness = Freshness()

    def hear(self, messages: Sequence[Message], utc_ns: int) -> None:
        """Take what the outside asks; what is too old is dropped and counted."""
        for message in messages:
            if isinstance(message, ContractsPart):
                self._desk.hear(message)
                continue
            wanted = message.power_w if isinstance(message, PowerWish) else message.frequency_hz
            if not math.isfinite(wanted):
                self.freshness.dropped += 1
                continue
            if not self.freshness.accepts(message.issued_ns, message.expires_ns, utc_ns):
                continue
            left_ns = message.expires_ns - utc_ns
            if isinstance(message, PowerWish):
                self._wish = _Held(message, left_ns)
            else:
                self._test = _Held(message, left_ns)

    def decide(
        self,
        units: Sequence[UnitView],
        conditions: Sequence[int],
        answer: Answer,
        now_ns: int,
        utc_ns: int,
        *,
        stopped: bool,
    ) -> Orders:
        """One tick. `now_ns` is monotonic, `utc_ns` the same instant in UTC."""
        frequency_hz, share_of_reserve, test = self._frequency(answer, now_ns)
        controlled = [i for i, c in enumerate(conditions) if c == Condition.CONTROLLED]
        lower_w, upper_w, weights_up, weights_down, soc, measured_w = self._survey(
            units, conditions, controlled
        )
        # The connection carries what the others do as well.
        others_w = measured_w - math.fsum(_power_w(units[i]) for i in controlled)
        owed = self._desk.owed(now_ns, utc_ns, frequency_hz, soc)
        proposals = [
            Proposal(
                Reason.PROTECTION,
                lower_w=max(math.fsum(lower_w), -self._import_w - others_w),
                upper_w=min(math.fsum(upper_w), self._export_w - others_w),
            ),
            Proposal(Reason.PLAN, target_w=owed.baseline_w),
        ]
        if owed.capacities_w or owed.power_w:
            proposals.append(
                Proposal(
                    Reason.TEST if test else Reason.RESERVE,
                    added_w=owed.power_w * share_of_reserve,
                    room_up_w=owed.room_up_w,
                    room_down_w=owed.room_down_w,
                )
            )
        wish = self._wish.at(now_ns) if self._wish else None
        if wish is not None and not owed.baseline_w:
            # Where the plan has no baseline of its own, a local wish may set one.
            proposals[1] = Proposal(Reason.WISH, target_w=wish.power_w)
        if stopped or answer.stop:
            proposals.append(Proposal(Reason.STOP))
        decision = decide(proposals)
        stop = decision.reason is Reason.STOP
        weights = weights_up if decision.power_w >= 0.0 else weights_down
        shared = share(decision.power_w, weights, lower_w, upper_w)
        return Orders(
            decision,
            stop,
            list(shared.powers_w),
            controlled,
            measured_w,
            owed.capacities_w,
            shared.unmet_w,
            owed.ffr_missed,
            self.freshness.dropped,
        )

    def _frequency(self, answer: Answer, now_ns: int) -> tuple[float, float, bool]:
        test = self._test.at(now_ns) if self._test else None
        if test is not None:
            return test.frequency_hz, 1.0, True
        return answer.frequency_hz, answer.share, False

    def _survey(
        self, units: Sequence[UnitView], conditions: Sequence[int], controlled: list[int]
    ) -> tuple[list[float], list[float], list[float], list[float], float, float]:
        """Bounds and weights of the controlled units; the site's state of charge and power."""
        lower_w, upper_w, weights_up, weights_down = [], [], [], []
        stored = capacity = 0.0
        for i in controlled:
            unit = units[i]
            reading = unit.reading
            assert reading is not None
            rated_w = unit.rated_power_w
            lower_w.append(-min(max(reading.charge_limit_w, 0.0), rated_w))
            upper_w.append(min(max(reading.discharge_limit_w, 0.0), rated_w))
            weights_up.append(rated_w * max(reading.soc, _LEAST_WEIGHT))
            weights_down.append(rated_w * max(1.0 - reading.soc, _LEAST_WEIGHT))
            stored += reading.soc * self._energies_wh[i]
            capacity += self._energies_wh[i]
        measured_w = 0.0
        for i, condition in enumerate(conditions):
            if condition >= Condition.OBSERVED and condition != Condition.STUCK:
                measured_w += _power_w(units[i])
        soc = stored / capacity if capacity else math.nan
        return lower_w, upper_w, weights_up, weights_down, soc, measured_w


def _power_w(unit: UnitView) -> float:
    assert unit.reading is not None
    return unit.reading.power_w
