"""`tenhertz sim`: hangs the simulator's own verbs into the command line."""

from tenhertz.sim.commands import app

__all__ = ["app"]
