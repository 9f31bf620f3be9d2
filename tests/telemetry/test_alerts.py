"""One alert for an entity and family; every change that matters is told, also after a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tenhertz.errors import UserError
from tenhertz.telemetry.alerts import AlertBook
from tenhertz.telemetry.outbox import Outbox
from tenhertz.telemetry.rules.change import Change
from tenhertz.telemetry.rules.ruleset import Level

S = 1_000_000_000
ALL = ("warning", "critical", "emergency")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    book = AlertBook(tmp_path / "alerts.sqlite", most_closed=3)
    yield book
    book.close()


def change(
    level: Level,
    kind: Literal["raised", "cleared"] = "raised",
    *,
    entity: str = "pack-1",
    point: str = "voltage_v",
) -> Change:
    family = f"cell/{point}/above"
    rule = f"{point} {level}"
    text = f"{entity} {level} {kind}"
    return Change("site", entity, rule, family, level, kind, 3.7, 2, 5, 6, False, text)


def test_a_family_has_one_alert_that_escalates_goes_back_and_clears(book: AlertBook) -> None:
    (raised,) = book.apply([change("warning")], 10)
    assert (raised.level, raised.state, raised.raised_ns) == ("warning", "raised", 5)
    (escalated,) = book.apply([change("emergency")], 20)
    assert (escalated.number, escalated.level, escalated.state) == (
        raised.number,
        "emergency",
        "escalated",
    )
    assert book.apply([change("critical")], 25) == []
    assert book.apply([change("emergency", "cleared")], 30) == []
    (still,) = book.open_alerts()
    assert (still.level, still.text) == ("critical", "pack-1 critical raised")
    assert book.apply([change("critical", "cleared")], 31) == []
    (cleared,) = book.apply([change("warning", "cleared")], 40)
    assert (cleared.number, cleared.state, cleared.cleared_ns) == (raised.number, "cleared", 40)
    assert cleared.peak == "emergency"
    assert book.open_alerts() == []
    assert book.history(5) == [cleared]


def test_other_entities_and_families_have_their_own_alert(book: AlertBook) -> None:
    changes = [
        change("warning"),
        change("critical", entity="pack-2"),
        change("warning", point="temperature_c"),
    ]
    told = book.apply(changes, 1)
    assert len({alert.number for alert in told}) == 3
    assert next(alert.entity for alert in book.open_alerts()) == "pack-2"


def test_the_same_change_twice_changes_nothing(book: AlertBook) -> None:
    assert len(book.apply([change("warning"), change("warning")], 1)) == 1
    assert len(book.apply([change("warning", "cleared")] * 2, 2)) == 1
    assert book.apply([change("critical", "cleared")], 3) == []


def test_raised_again_is_a_new_alert(book: AlertBook) -> None:
    (first,) = book.apply([change("warning")], 1)
    book.apply([change("warning", "cleared")], 2)
    (second,) = book.apply([change("warning")], 3)
    assert second.number > first.number


def test_acknowledged_until_it_escalates(book: AlertBook) -> None:
    (raised,) = book.apply([change("warning")], 1)
    seen = book.acknowledge(raised.number, "night shift", 2)
    assert (seen.state, seen.acknowledged_by, seen.acknowledged_ns) == (
        "acknowledged",
        "night shift",
        2,
    )
    (escalated,) = book.apply([change("critical")], 3)
    assert (escalated.state, escalated.acknowledged_by, escalated.acknowledged_ns) == (
        "escalated",
        "",
        None,
    )


@pytest.mark.parametrize(("number", "who"), [(99, "x"), (1, " ")])
def test_only_an_open_alert_is_acknowledged_and_by_someone(
    book: AlertBook, number: int, who: str
) -> None:
    book.apply([change("warning")], 1)
    with pytest.raises(UserError, match=f"alert {number}"):
        book.acknowledge(number, who, 2)


def test_history_is_bounded_and_what_it_forgets_is_counted(book: AlertBook) -> None:
    book.apply([change("critical", entity="stays")], 0)
    for at in range(5):
        book.apply([change("warning")], at)
        book.apply([change("warning", "cleared")], at)
    counts = book.counts()
    assert (counts["closed"], counts["forgotten"], counts["open_critical"]) == (3, 2, 1)
    assert len(book.history(100)) == 4


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.sqlite")
    book.outbox.enlist({"a": ALL})
    told = book.apply([change("warning")], 1)
    book.close()
    again = AlertBook(tmp_path / "alerts.sqlite")
    assert again.open_alerts() == told
    assert [active.rule for active in again.active("site")] == ["voltage_v warning"]
    assert again.active("elsewhere") == []
    assert len(again.outbox.take_due(1, 9)) == 1
    again.close()


def test_what_fails_half_way_leaves_nothing(
    book: AlertBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.outbox.enlist({"a": ALL})

    def put(*_: object) -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(book.outbox, "put", put)
        with pytest.raises(sqlite3.OperationalError):
            book.apply([change("warning")], 1)
    assert book.open_alerts() == []
    assert len(book.apply([change("warning")], 2)) == 1


def test_another_connection_reads_and_takes_notices(book: AlertBook, tmp_path: Path) -> None:
    other = AlertBook(tmp_path / "alerts.sqlite")
    other.outbox.enlist({"a": ALL})
    book.apply([change("warning")], 1)
    (notice,) = other.outbox.take_due(1, 9)
    other.outbox.sent(notice.id)
    assert book.counts()["notices_waiting"] == 0
    assert book.counts()["notices_sent"] == 1
    other.close()


def test_each_receiver_has_its_own_notices_of_the_levels_it_wants(book: AlertBook) -> None:
    book.outbox.enlist({"all": ALL, "gravest": ("emergency",)})
    for each in (
        change("warning"),
        change("emergency"),
        change("emergency", "cleared"),
        change("warning", "cleared"),
    ):
        book.apply([each], 1)
    titles = {
        name: [notice.title for notice in book.outbox.take_due(1, 9, name)]
        for name in ("all", "gravest")
    }
    assert titles["all"] == [
        "warning raised: site pack-1",
        "emergency escalated: site pack-1",
        "warning cleared: site pack-1",
    ]
    # It heard of the emergency, so it hears of the end, though the level was lower by then.
    assert titles["gravest"] == titles["all"][1:]


def test_a_failure_is_tried_again_ever_later_up_to_five_minutes(book: AlertBook) -> None:
    book.outbox.enlist({"a": ALL})
    book.apply([change("warning")], 0)
    pauses = []
    now_ns = 0
    for _ in range(8):
        (notice,) = book.outbox.take_due(now_ns, 9)
        book.outbox.failed(notice.id, now_ns, "refused")
        (due_ns,) = {waiting.due_ns for waiting in book.outbox.take_due(1 << 60, 9)}
        assert book.outbox.take_due(due_ns - 1, 9) == []
        pauses.append((due_ns - now_ns) / S)
        now_ns = due_ns
    assert pauses == [1, 2, 5, 15, 60, 300, 300, 300]
    assert book.counts()["notices_failed"] == 8
    assert book.outbox.take_due(now_ns, 9)[0].cause == "refused"


def test_a_full_outbox_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.sqlite")
    book.outbox = Outbox(book._database, most_waiting=2)
    book.outbox.enlist({"a": ALL})
    book.apply([change("warning", entity=f"pack-{number}") for number in range(5)], 1)
    waiting = book.outbox.take_due(1, 9)
    assert [notice.title[-6:] for notice in waiting] == ["pack-3", "pack-4"]
    assert book.counts()["notices_dropped"] == 3
    book.outbox.failed(1, 2, "a notice that was dropped while it was being sent")
    book.outbox.sent(2)
    assert book.counts()["notices_waiting"] == 2
    book.close()


def test_a_receiver_that_is_no_more_keeps_nothing(book: AlertBook) -> None:
    book.outbox.enlist({"a": ALL, "b": ALL})
    book.apply([change("warning")], 1)
    book.outbox.enlist({"b": ALL})
    assert {notice.receiver for notice in book.outbox.take_due(1, 9)} == {"b"}
