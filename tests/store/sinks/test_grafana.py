"""The dashboards ask only for what there is, and Grafana can tell their panels apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

GRAFANA = Path(__file__).parents[3] / "deploy/grafana"
BOARDS = sorted(GRAFANA.glob("dashboards/*.json"))
MIGRATIONS = GRAFANA.parents[1] / "src/tenhertz/store/postgres/migrations"

# Metrics and the labels that may be asked for: what the server and the sites show.
METRICS: dict[str, set[str]] = {
    "tenhertz_ingest_rows_total": set(),
    "tenhertz_ingest_numbers_total": set(),
    "tenhertz_ingest_duplicates_total": set(),
    "tenhertz_ingest_rejected_rows_total": {"reason"},
    "tenhertz_ingest_malformed_messages_total": {"reason"},
    "tenhertz_ingest_refused_messages_total": set(),
    "tenhertz_ingest_lag_seconds": {"quantile"},
    "tenhertz_spool_bytes": set(),
    "tenhertz_writer_rows_total": set(),
    "tenhertz_writer_last_commit_seconds": set(),
    "tenhertz_writer_trouble": set(),
    "tenhertz_alerts_open": {"level"},
    "tenhertz_reported_lost_rows_total": set(),
    "tenhertz_broker_connected": set(),
    "tenhertz_site_power_watts": set(),
    "tenhertz_site_frequency_hz": set(),
    "tenhertz_site_late_seconds": set(),
    "tenhertz_site_uplink_backlog_rows": set(),
    "tenhertz_site_uplink_connected": set(),
}
RELATIONS = {"battery_telemetry_between", "latest_cell", "entity", "source"}
COLUMNS = {"time", "pack_id", "cell_id", "voltage", "current", "temperature"}
SOURCES = {
    "prometheus": "tenhertz-prometheus",
    "grafana-postgresql-datasource": "tenhertz-postgres",
}


def load(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return board


def queries(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in board["panels"] for target in panel.get("targets", [])]


def asked_metrics(expr: str) -> set[str]:
    return set(re.findall(r"\btenhertz_\w+", expr))


def test_both_dashboards_are_there() -> None:
    assert [path.name for path in BOARDS] == ["fleet.json", "site.json"]
    assert len({load(path)["uid"] for path in BOARDS}) == 2


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_can_be_told_apart_and_do_not_overlap(path: Path) -> None:
    panels = load(path)["panels"]

    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_asks_a_source_that_is_provisioned(path: Path) -> None:
    panels = [panel for panel in load(path)["panels"] if panel["type"] != "row"]

    assert panels
    for panel in panels:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            source = target["datasource"]
            assert source == panel["datasource"]
            assert SOURCES[source["type"]] == source["uid"]
            asks = "expr" if source["type"] == "prometheus" else "rawSql"
            assert target[asks].strip()


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_only_metrics_and_labels_that_exist_are_asked_for(path: Path) -> None:
    for target in queries(load(path)):
        expr = target.get("expr", "")
        metrics = asked_metrics(expr)
        assert metrics <= METRICS.keys(), expr
        assert bool(metrics) == ("expr" in target)
        labels = set(re.findall(r"\bby \((\w+)\)", expr))
        labels |= set(re.findall(r"(\w+)\s*=~?\"", expr))
        labels |= set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        known = {"instance"}.union(*(METRICS[metric] for metric in metrics))
        assert labels <= known, expr


def test_every_metric_has_a_panel() -> None:
    asked = [asked_metrics(q.get("expr", "")) for path in BOARDS for q in queries(load(path))]

    assert set().union(*asked) == METRICS.keys()


def test_only_relations_and_columns_that_exist_are_asked_for() -> None:
    board = load(GRAFANA / "dashboards/fleet.json")
    texts = [target["rawSql"] for target in queries(board) if "rawSql" in target]
    variables = [variable["query"] for variable in board["templating"]["list"]]

    assert texts
    for text in texts:
        relations = set(re.findall(r"\b(?:FROM|JOIN) (\w+)", text)) - {"cells"}
        assert relations == {"battery_telemetry_between"}, text
        assert set(re.findall(r"\b(?:min|max|avg)\((\w+)\)", text)) <= COLUMNS | {"mean"}, text
    for text in variables:
        assert set(re.findall(r"\b(?:FROM|JOIN) (\w+)", text)) <= RELATIONS, text


def test_the_database_makes_what_is_asked_for() -> None:
    made = "\n".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))

    for relation in RELATIONS:
        assert re.search(rf"CREATE (TABLE|VIEW|FUNCTION) {relation}\b", made), relation
    function = made[made.index("CREATE FUNCTION battery_telemetry_between") :]
    returned = re.search(r"RETURNS TABLE \((.*?)\)", function, re.DOTALL)
    assert returned
    assert set(re.findall(r'"?(\w+)"? (?:timestamptz|text|integer|real)', returned[1])) == COLUMNS


def keys(path: Path) -> dict[str, list[str]]:
    """The values of each key of a simple YAML file, by the key alone."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        match = re.fullmatch(r"( *)(?:- )?(\w+):(?: (\S.*))?", line)
        assert match, line
        assert len(match[1]) % 2 == 0
        found.setdefault(match[2], []).append(match[3] or "")
    return found


def test_the_data_sources_are_those_of_the_dashboards() -> None:
    found = keys(GRAFANA / "provisioning/datasources/tenhertz.yaml")

    assert found["apiVersion"] == ["1"]
    kinds = found["type"]
    assert dict(zip(kinds, found["uid"], strict=True)) == SOURCES
    secret = [*found["url"], *found["user"], *found["database"], *found["password"]]
    assert all(re.fullmatch(r"(\$\{TENHERTZ_[A-Z_]+\}:?)+", value) for value in secret), secret


def test_the_dashboards_are_read_from_a_directory_that_is_named() -> None:
    found = keys(GRAFANA / "provisioning/dashboards/tenhertz.yaml")

    assert found["path"] == ["${TENHERTZ_DASHBOARDS}"]
    assert found["type"] == ["file"]
