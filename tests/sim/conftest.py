"""Ports for the servers under test, apart for tests that run at the same time."""

import random
import socket

import pytest

DOOR_OFFSET = 1000


def _free(port: int) -> bool:
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            wire.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture
def base_port() -> int:
    """The first of eight free ports whose fault doors are free too.

    Chosen by the system's randomness: the seeded one is the same in every worker.
    """
    chance = random.SystemRandom()
    while True:
        base = chance.randrange(10_000, 30_000)
        if all(_free(p) and _free(p + DOOR_OFFSET) for p in range(base, base + 8)):
            return base
