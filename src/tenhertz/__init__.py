"""tenhertz: a fleet of batteries as one grid resource, from the register to the market."""

__version__ = "0.1.0"
