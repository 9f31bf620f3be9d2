"""Safety rules over every sample as it arrives.

`load_rules` reads rules, built in or from files; a `RuleEngine` for each source takes frames and
tells what was raised and what cleared. What becomes of that is for `tenhertz.telemetry.alerts`.
"""

from tenhertz.telemetry.rules.change import Change
from tenhertz.telemetry.rules.engine import RuleEngine
from tenhertz.telemetry.rules.ruleset import BUILT_IN, LEVELS, Rule, RuleSet, load_rules

__all__ = ["BUILT_IN", "LEVELS", "Change", "Rule", "RuleEngine", "RuleSet", "load_rules"]
