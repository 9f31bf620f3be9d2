"""The supervision tree: children, strategies, restart intensity, escalation."""
