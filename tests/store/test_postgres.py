"""The PostgreSQL store against a real server: by the contract, and by what only it can do wrong."""

from __future__ import annotations

import pytest

from tenhertz.store.contract import Retention
from tenhertz.store.postgres import PostgresReader, PostgresStore

from . import contract
from .contract import Pair
from .postgres_server import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
pytestmark = [pytest.mark.interop, pytest.mark.slow]
FOR_EVER = Retention(None, None)


@pytest.fixture
def pair(postgres_url: str):
    store = PostgresStore(postgres_url, FOR_EVER, server_name="server-1")
    yield Pair(store, lambda: PostgresReader(postgres_url))
    store.close()


def test_round_trip(pair: Pair) -> None:
    contract.check_round_trip(pair)


def test_latest(pair: Pair) -> None:
    contract.check_latest(pair)


@pytest.mark.parametrize("after_upkeep", [False, True])
def test_steps(pair: Pair, after_upkeep: bool) -> None:
    contract.check_steps(pair, after_upkeep)


def test_gaps(pair: Pair) -> None:
    contract.check_gaps(pair)
