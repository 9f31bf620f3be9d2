"""The rule engine of one source: every row of every frame, judged as columns.

What it tells depends on the rows in the order of their instants and on nothing else, but for
`missing`, which goes by the clock of the server. A row that is not newer than what was seen of
its entity (a backlog) changes nothing. One engine is used by one thread.

What is exact, and what is not: above, below, spread, stuck, hold times and clearing are exact on
every sample, up to rounding (see `measure`). Rise and runaway reach back at least their window
and at most 9/8 of it (see `windows`), so that no rise within the window is missed.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenhertz.link.frame import Frame
from tenhertz.link.points import Kind
from tenhertz.telemetry.rules.change import Change
from tenhertz.telemetry.rules.places import MOST_ENTITIES, Places
from tenhertz.telemetry.rules.ruleset import Level, RuleSet
from tenhertz.telemetry.rules.watch import Watch


class RuleEngine:
    """The rules over the rows of `source`."""

    def __init__(self, rules: RuleSet, source: str, *, most_entities: int = MOST_ENTITIES) -> None:
        self._source = source
        self._watches = {
            kind: Watch(source, kind, rules.of(kind), Places(most_entities))
            for kind in Kind
            if rules.of(kind)
        }

    def look(self, frame: Frame, now_ns: int) -> list[Change]:
        """Judge a frame of the source, received at `now_ns` (UTC); changes in no certain order."""
        watch = self._watches.get(frame.kind)
        if watch is None or not frame.rows:
            return []
        return watch.look(frame, now_ns)

    def sweep(self, now_ns: int) -> list[Change]:
        """Raise what has been missing for too long by now; call it about once a second."""
        return [change for watch in self._watches.values() for change in watch.sweep(now_ns)]

    def expect(self, kind: Kind, entities: Iterable[str], now_ns: int) -> None:
        """Wait for rows of entities that were seen before a restart, from now on."""
        watch = self._watches.get(kind)
        for entity in entities if watch is not None else ():
            assert watch is not None
            watch.unwatched_rows += not watch.expect(entity, now_ns)

    def resume(self, active: Iterable[tuple[str, str, str, Level]], now_ns: int) -> list[Change]:
        """Go on with rules that were active before a restart.

        active: entity, rule, family and level of each. Returns clearings of those whose rule is no
        more, or is another one now.
        """
        known = {
            (rule.name, rule.family, rule.level): (watch, number)
            for watch in self._watches.values()
            for number, rule in enumerate(watch.rules)
        }
        gone = []
        for entity, name, family, level in active:
            found = known.get((name, family, level))
            if found is None or not found[0].resume(entity, found[1]):
                gone.append(self._gone(entity, name, family, level, now_ns))
        return gone

    def counts(self) -> dict[str, int]:
        """Rows that changed nothing: not newer than others, or not watched; and entities."""
        watches = self._watches.values()
        return {
            "stale_rows": sum(watch.stale_rows for watch in watches),
            "unwatched_rows": sum(watch.unwatched_rows for watch in watches),
            "entities": sum(len(watch.places.names) for watch in watches),
        }

    def _gone(self, entity: str, name: str, family: str, level: Level, now_ns: int) -> Change:
        text = f"{entity}: there is no rule '{name}' any more"
        return Change(
            source=self._source,
            entity=entity,
            rule=name,
            family=family,
            level=level,
            kind="cleared",
            value=0.0,
            cell=None,
            at_ns=now_ns,
            seen_ns=now_ns,
            stop=False,
            text=text,
        )
