"""What holds for every test."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A program that was run within a test has set up its log for the output of that test.

    After it that output is closed, and whatever logs in a later test would fail on it.
    """
    yield
    structlog.reset_defaults()
