"""The rules as data, and how an exit reads."""

from __future__ import annotations

import pytest

from tenhertz.supervise import BackOff, ChildSpec, Exit, Intensity


async def never_started():
    raise AssertionError


def test_jitter_only_shortens_and_by_its_share_at_most():
    backoff = BackOff(first_s=1.0, second_s=1.0, max_s=8.0, jitter=0.25)
    assert [backoff.delay_s(n, lambda: 0.0) for n in range(6)] == [1, 1, 2, 4, 8, 8]
    assert [backoff.delay_s(n, lambda: 1.0) for n in range(6)] == [0.75, 0.75, 1.5, 3, 6, 6]


def test_a_million_failures_in_a_row_still_give_the_maximum():
    assert BackOff(max_s=5.0, jitter=0.0).delay_s(1_000_000, lambda: 0.0) == 5.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: BackOff(first_s=6.0, max_s=5.0),
        lambda: BackOff(first_s=-1.0),
        lambda: BackOff(factor=0.5),
        lambda: BackOff(jitter=1.5),
        lambda: Intensity(restarts=-1),
        lambda: Intensity(within_s=0.0),
        lambda: ChildSpec(name="", start=never_started),
        lambda: ChildSpec(name="a", start=never_started, start_timeout_s=0.0),
        lambda: ChildSpec(name="a", start=never_started, stop_timeout_s=-1.0),
    ],
)
def test_rules_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError, match=r"must|needs"):
        make()


@pytest.mark.parametrize(
    ("exit_", "sentence"),
    [
        (Exit.exit_code(3), "ended with exit code 3"),
        (Exit.killed(9), "was killed by SIGKILL"),
        (Exit.killed(40), "was killed by signal 40"),
        (Exit.failed(ValueError("no such port")), "failed with ValueError: no such port"),
        (Exit.failed(ValueError()), "failed with ValueError"),
        (Exit.heartbeat_lost(1.25), "heartbeat lost for 1.25 s"),
        (Exit.returned(), "returned"),
    ],
)
def test_an_exit_reads_as_a_plain_sentence(exit_, sentence):
    assert str(exit_) == sentence
