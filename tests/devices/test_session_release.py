"""Release: the power to zero, control handed back, in full, whatever was going on before."""

import pytest

from tenhertz.devices import Demand

RELEASE = [
    ("write", 200, bytes(4)),
    ("write", 202, b"\x00\x02"),
    ("write", 204, b"\x00\x03"),
    ("write", 203, b"\x00\x00"),
]
LOCAL = {"source": 0, "state": 1}


def test_release_brings_the_power_to_zero_and_hands_control_back(rig):
    rig.in_control()
    assert rig.demand(Demand.RELEASE).what == RELEASE[0]
    assert rig.answer_all() == RELEASE
    assert rig.session.settled


def test_release_waits_for_the_open_answer_and_lets_samples_through(rig):
    rig.in_control()
    rig.sample()
    assert rig.demand(Demand.RELEASE) is None
    assert rig.answer().what == RELEASE[0]
    rig.sample()
    assert rig.answer().what == ("read", 100, 40)
    assert rig.answer().what == RELEASE[1]


def test_a_refused_step_does_not_end_the_release_and_the_whole_is_repeated(rig):
    rig.in_control()
    rig.demand(Demand.RELEASE)
    assert rig.refuse().what == RELEASE[1]
    assert rig.answer_all() == RELEASE[1:]
    assert not rig.session.settled
    assert rig.session.wake_ns == rig.now_ns + 3_000_000_000
    assert rig.at(3000).resume().what == RELEASE[0]
    rig.answer_all()
    assert rig.session.settled


def test_a_release_that_was_refused_does_not_blind_the_site(rig):
    rig.in_control()
    rig.demand(Demand.RELEASE)
    rig.refuse()
    rig.answer_all()
    assert rig.at(100).sample().what == ("read", 100, 40)


@pytest.mark.parametrize("outcome", ["answer", "refuse"])
def test_the_answer_to_a_step_of_the_taking_does_not_count_for_the_release(rig, outcome):
    rig.connect()
    rig.demand(Demand.POWER)
    rig.sample()
    rig.answer(**LOCAL)
    assert rig.demand(Demand.RELEASE) is None
    assert getattr(rig, outcome)().what == RELEASE[0]
    assert rig.answer_all() == RELEASE
    assert rig.session.settled


def test_a_release_that_was_interrupted_starts_over_on_the_next_connection(rig):
    rig.in_control()
    rig.demand(Demand.RELEASE)
    rig.answer()
    rig.session.connection_lost()
    assert rig.connect().what == RELEASE[0]


def test_a_release_that_is_done_is_not_repeated_on_the_next_connection(rig):
    """By then the device may be in the hands of somebody else."""
    rig.in_control()
    rig.demand(Demand.RELEASE)
    rig.answer_all()
    rig.session.connection_lost()
    assert rig.connect() is None
