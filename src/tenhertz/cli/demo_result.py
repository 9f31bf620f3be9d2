"""What a demo run proved, computed from the site's database alone.

The figures come from what was stored, not from what the site says of itself, so that they hold
whatever was killed in between.
"""

from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import msgspec

from tenhertz.cli.demo_fleet import FleetResult
from tenhertz.grid import load_profile, site_power_w
from tenhertz.site.status import Spread
from tenhertz.store import open_for_reading

# The units start one second after the first tick and need a moment to reach their power.
SETTLE_NS = 5_000_000_000


class DemoResult(msgspec.Struct, frozen=True):
    """The JSON object that a headless demo ends with."""

    units: int
    duration_s: float
    samples: int  # taken by the control process
    expected_samples: int  # one a unit and period, from its first sample to the last tick
    missed_ticks: int
    spacing_ms: Spread | None  # between consecutive samples of a unit, as they arrived
    max_response_error_kw: float | None  # delivered against the law, instant by instant
    response_error_kw: Spread | None
    stored_rows: int
    reported_lost: int
    restarts: int
    fleet: FleetResult

    @property
    def complete(self) -> bool:
        """Whether every sample that was taken is in both databases, once, or reported as lost."""
        fleet = self.fleet
        return (
            0 < self.samples == self.stored_rows
            and self.samples == fleet.samples_stored + fleet.reported_lost
            and fleet.duplicates == 0
        )


def read_result(
    database: Path,
    *,
    epoch: int,
    taken: int,
    units: int,
    period_ms: int,
    capacities_w: dict[str, float],
    profile: str,
    restarts: int,
    duration_s: float,
    fleet: FleetResult,
) -> DemoResult:
    """Read the figures of one run from its database."""
    with open_for_reading(database) as db:
        stored = db.execute(
            "SELECT count(DISTINCT number) FROM sample WHERE epoch = ?", (epoch,)
        ).fetchone()[0]
        lost = db.execute("SELECT coalesce(sum(samples), 0) FROM loss").fetchone()[0]
        ticks = db.execute(
            "SELECT at_ns, frequency_hz, power_w FROM tick ORDER BY at_ns"
        ).fetchall()
        period_ns = period_ms * 1_000_000
        expected, gaps = _arrivals(db, units, period_ns, ticks[-1][0] if ticks else 0)
    missed = sum(max(0, round((b[0] - a[0]) / period_ns) - 1) for a, b in pairwise(ticks))
    errors = _errors_kw(ticks, capacities_w, profile)
    return DemoResult(
        units=units,
        duration_s=round(duration_s, 1),
        samples=taken,
        expected_samples=expected,
        missed_ticks=missed,
        spacing_ms=_spread(gaps),
        max_response_error_kw=round(max(errors), 2) if errors else None,
        response_error_kw=_spread(errors),
        stored_rows=stored,
        reported_lost=lost,
        restarts=restarts,
        fleet=fleet,
    )


def _arrivals(
    db: sqlite3.Connection, units: int, period_ns: int, end_ns: int
) -> tuple[int, list[float]]:
    """Samples to be expected, and the gaps between consecutive ones of each unit in ms."""
    expected = 0
    gaps: list[float] = []
    for unit in range(units):
        rows = db.execute(
            "SELECT measured_at_ns + round_trip_us * 500 FROM sample WHERE unit = ? ORDER BY 1",
            (unit,),
        ).fetchall()
        arrived = [row[0] for row in rows]
        if arrived:
            expected += max(len(arrived), round((end_ns - arrived[0]) / period_ns) + 1)
            gaps += [(b - a) / 1e6 for a, b in pairwise(arrived)]
    return expected, gaps


def _errors_kw(
    ticks: list[tuple[int, float | None, float]], capacities_w: dict[str, float], profile: str
) -> list[float]:
    rules = load_profile(profile)
    errors = []
    for at_ns, frequency_hz, power_w in ticks:
        if frequency_hz is not None and at_ns - ticks[0][0] > SETTLE_NS:
            wanted_w = site_power_w(rules, capacities_w, frequency_hz)
            assert isinstance(wanted_w, float)
            errors.append(abs(power_w - wanted_w) / 1000)
    return errors


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return Spread(at(0.5), at(0.99), at(0.999), round(ordered[-1], 2))
