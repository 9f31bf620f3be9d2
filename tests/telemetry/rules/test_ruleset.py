"""Rules are read whole, or refused with a sentence that names the mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenhertz.errors import UserError
from tenhertz.link import Kind
from tenhertz.telemetry.rules import BUILT_IN, LEVELS, load_rules

ABOVE = 'name = "x"\nkind = "above"\nrows = "cell"\nlevel = "warning"\n'


def load(tmp_path: Path, body: str) -> None:
    (tmp_path / "own.toml").write_text(f"[[rule]]\n{body}\n")
    load_rules(("own.toml",), tmp_path)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_sets_are_sound(name: str, tmp_path: Path) -> None:
    rules = load_rules((name,), tmp_path).rules
    families: dict[str, list[tuple[int, float]]] = {}
    for rule in rules:
        assert not rule.stop or rule.level == "emergency"
        if rule.kind in ("above", "below") and rule.limit is not None:
            turned = rule.limit if rule.kind == "above" else -rule.limit
            families.setdefault(rule.family, []).append((LEVELS.index(rule.level), turned))
    for steps in families.values():
        limits = [limit for _, limit in sorted(steps)]
        assert limits == sorted(limits), "a graver level has a farther limit"


def test_sets_and_files_go_together(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f'[[rule]]\n{ABOVE}point = "current_a"\nlimit = 100\n')
    rules = load_rules(("container", "own.toml"), tmp_path)
    assert [rule.name for rule in rules.of(Kind.CELL)] == ["x"]
    assert len(rules.of(Kind.SAMPLE)) == len(rules.rules) - 1
    assert rules.of(Kind.TICK) == ()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (ABOVE + 'point = "voltage_v"', "needs limit"),
        (ABOVE + "limit = 3", "needs a point"),
        (ABOVE + 'point = "soc"\nlimit = 1', "have no point 'soc'"),
        (ABOVE + 'point = "voltage_v"\nlimit = 3\nclear = 4', "must not lie above"),
        (ABOVE + 'point = "voltage_v"\nlimit = 3\nwindow_s = 4', "takes no window_s"),
        (ABOVE + 'point = "voltage_v"\nlimit = 3\nstop = true', "'emergency' only"),
        (ABOVE + 'point = "voltage_v"\nlimit = 3\nhold_s = -1', "hold_s"),
        (ABOVE + 'point = "voltage_v"\nlimt = 3', "did you mean 'limit'"),
        (ABOVE.replace("above", "abov") + "limit = 3", "did you mean 'above'"),
        (ABOVE.replace("above", "below") + 'point = "voltage_v"\nlimit = 3\nclear = 2', "below"),
        (ABOVE.replace("above", "rise") + 'point = "voltage_v"\nlimit = 3', "needs window_s"),
        (
            ABOVE.replace("above", "rise") + 'point = "voltage_v"\nlimit = 0\nwindow_s = 1',
            "greater than 0",
        ),
        (
            ABOVE.replace("above", "runaway") + 'point = "temperature_c"\nlimit = 3\nwindow_s = 1',
            "needs drop_v",
        ),
        (
            ABOVE.replace("above", "runaway")
            + 'point = "voltage_v"\nlimit = 3\nwindow_s = 1\ndrop_v = 1',
            "temperature_c",
        ),
        (ABOVE.replace("above", "spread") + 'point = "current_a"\nlimit = 3', "several cells"),
        (ABOVE.replace("above", "missing") + 'point = "voltage_v"\nwindow_s = 3', "remove point"),
        (ABOVE.replace("above", "missing") + "window_s = 3\nhold_s = 3", "takes no hold_s"),
        (ABOVE.replace("above", "missing") + "window_s = 3\nlimit = 3", "takes no limit"),
        (
            ABOVE.replace("above", "stuck") + 'point = "voltage_v"\nwindow_s = 3\nclear = 1',
            "takes no clear",
        ),
        (ABOVE.replace('"x"', '" "') + 'point = "voltage_v"\nlimit = 3', "1 to 80"),
    ],
)
def test_mistakes_are_told(body: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as caught:
        load(tmp_path, body)
    assert "own.toml" in str(caught.value)


def test_unknown_sets_missing_files_and_names_twice_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="known are lfp, nmc, container"):
        load_rules(("lto",), tmp_path)
    with pytest.raises(UserError, match=r"own\.toml cannot be read"):
        load_rules(("own.toml",), tmp_path)
    with pytest.raises(UserError, match=r"'nmc'.*stands in the built-in rules 'lfp'"):
        load_rules(("lfp", "nmc"), tmp_path)
