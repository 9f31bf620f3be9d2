"""How the programs log: one line an event on standard error, with UTC time, no debug noise."""

from __future__ import annotations

import logging
import sys

import structlog


def set_up_log() -> None:
    """Configure logging for this process; call once, first thing."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
