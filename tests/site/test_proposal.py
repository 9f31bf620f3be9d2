"""Who decides: the more important bound what the less important may ask."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenhertz.site.proposal import Proposal, Reason, decide

PROTECTION, RESERVE, PLAN, WISH = Reason.PROTECTION, Reason.RESERVE, Reason.PLAN, Reason.WISH


def limits(lower, upper, reason=PROTECTION):
    return Proposal(reason, lower_w=lower, upper_w=upper)


def reserve(added=0.0, up=0.0, down=0.0, reason=RESERVE):
    return Proposal(reason, added_w=added, room_up_w=up, room_down_w=down)


def plan(target):
    return Proposal(PLAN, target_w=target)


def wish(target):
    return Proposal(WISH, target_w=target)


# What is proposed, then power, baseline, reason, who limited, how much is short.
TABLE = {
    "nothing": ([], 0, 0, Reason.IDLE, None, 0),
    "a plan": ([plan(50)], 50, 50, PLAN, None, 0),
    "the plan before the wish": ([wish(9), plan(50)], 50, 50, PLAN, None, 0),
    "a wish": ([wish(-9)], -9, -9, WISH, None, 0),
    "a stop": ([plan(50), Proposal(Reason.STOP), reserve(20)], 0, 0, Reason.STOP, None, 0),
    "a reserve alone": ([reserve(20)], 20, 0, RESERVE, None, 0),
    "a reserve on a plan": ([plan(50), reserve(20)], 70, 50, RESERVE, None, 0),
    "a test": ([reserve(20, reason=Reason.TEST)], 20, 0, Reason.TEST, None, 0),
    "wish above limit": ([limits(-100, 100), wish(150)], 100, 100, WISH, PROTECTION, 50),
    "wish below limit": ([limits(-100, 100), wish(-150)], -100, -100, WISH, PROTECTION, -50),
    "wish at limit": ([limits(-100, 100), wish(100)], 100, 100, WISH, None, 0),
    "reserve beyond": ([limits(-100, 100), reserve(130)], 100, 0, RESERVE, PROTECTION, 30),
    "room is kept": (
        [limits(-100, 100), reserve(0, 60, 60), wish(90)],
        40,
        40,
        RESERVE,
        RESERVE,
        50,
    ),
    "room below is kept": (
        [limits(-100, 100), reserve(0, 60, 60), wish(-90)],
        -40,
        -40,
        RESERVE,
        RESERVE,
        -50,
    ),
    "room of a test": (
        [limits(-100, 100), reserve(0, 60, 60, Reason.TEST), wish(90)],
        40,
        40,
        Reason.TEST,
        Reason.TEST,
        50,
    ),
    "room on one side only, target beyond the other limit": (
        [limits(-100, 100), reserve(0, 60, 0), wish(-150)],
        -100,
        -100,
        RESERVE,
        PROTECTION,
        -50,
    ),
    "target beyond limit and room": (
        [limits(-100, 100), reserve(0, 60, 0), wish(150)],
        40,
        40,
        RESERVE,
        PROTECTION,
        110,
    ),
    "room and activation": (
        [limits(-100, 100), reserve(60, 60, 60), wish(90)],
        100,
        40,
        RESERVE,
        RESERVE,
        50,
    ),
    "room moves nothing that nobody asked for": (
        [limits(-100, 30), reserve(0, 60, 60)],
        0,
        0,
        RESERVE,
        None,
        0,
    ),
    "a full battery with too much sold rests": (
        [limits(0, 100), reserve(0, 60, 60)],
        0,
        0,
        RESERVE,
        None,
        0,
    ),
    "room takes a plan back to zero and not beyond": (
        [limits(-100, 30), reserve(0, 60, 60), plan(20)],
        0,
        0,
        RESERVE,
        RESERVE,
        20,
    ),
    "who narrowed the other side did not limit": (
        [limits(-100, 50), limits(-10, math.inf, RESERVE), wish(80)],
        50,
        50,
        WISH,
        PROTECTION,
        30,
    ),
    "who narrowed this side did": (
        [limits(-100, 50), limits(-10, math.inf, RESERVE), wish(-80)],
        -10,
        -10,
        WISH,
        RESERVE,
        -70,
    ),
    "contradiction below": (
        [limits(10, 20), limits(-9, -5, RESERVE), wish(0)],
        10,
        10,
        WISH,
        PROTECTION,
        -10,
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_follows_from_the_proposals(case):
    proposals, power, baseline, reason, limited_by, short = TABLE[case]
    for given_order in (proposals, proposals[::-1]):
        assert decide(given_order) == (power, baseline, reason, limited_by, short)


watts = st.floats(-1e6, 1e6)
room = st.floats(0, 1e6)


@st.composite
def bounds(draw):
    low, high = sorted([draw(watts), draw(watts)])
    return (
        draw(st.sampled_from([low, -math.inf])),
        draw(st.sampled_from([high, math.inf])),
    )


@st.composite
def proposal(draw, reasons):
    lower, upper = draw(st.just((-math.inf, math.inf)) | bounds())
    return Proposal(
        draw(st.sampled_from(reasons)),
        draw(watts | st.just(math.nan)),
        draw(st.just(0.0) | watts),
        draw(st.just(0.0) | room),
        draw(st.just(0.0) | room),
        lower,
        upper,
    )


ANY = [reason for reason in Reason if reason is not Reason.STOP]


@given(st.lists(proposal(ANY), max_size=6), st.integers(0, 6))
def test_a_stop_beats_everything(proposals, where):
    proposals.insert(where, Proposal(Reason.STOP))
    assert decide(proposals) == (0.0, 0.0, Reason.STOP, None, 0.0)


@given(st.lists(proposal(ANY), max_size=6))
def test_the_most_important_bounds_always_hold(proposals):
    decision = decide(proposals)
    assert math.isfinite(decision.power_w)
    lower, upper = -math.inf, math.inf
    for p in sorted(proposals, key=lambda p: p.reason):
        # Where a less important bound contradicts, the more important ones hold.
        if max(lower, p.lower_w) <= min(upper, p.upper_w):
            lower, upper = max(lower, p.lower_w), min(upper, p.upper_w)
        else:
            break
    assert lower <= decision.power_w <= upper


@given(st.lists(proposal(ANY), max_size=6))
def test_what_is_short_and_who_limited_tell_the_same_story(proposals):
    decision = decide(proposals)
    added = math.fsum(p.added_w for p in proposals)
    targets = [p for p in sorted(proposals, key=lambda p: p.reason) if not math.isnan(p.target_w)]
    if targets:
        wanted = targets[0].target_w + added
        assert decision.short_w == pytest.approx(wanted - decision.power_w, abs=1e-3)
    if decision.limited_by is None:
        assert decision.short_w == pytest.approx(0.0, abs=1e-3)
    else:
        asking = [
            p.reason
            for p in proposals
            if math.isfinite(p.lower_w) or math.isfinite(p.upper_w) or p.room_up_w or p.room_down_w
        ]
        assert decision.limited_by in asking


@given(bounds(), room, room, watts)
def test_the_room_of_a_reserve_stays_free_where_zero_leaves_it(bound, up, down, target):
    lower, upper = bound
    decision = decide([limits(lower, upper), reserve(0.0, up, down), wish(target)])
    if upper >= up and -lower >= down:
        assert upper - decision.baseline_w >= up - 1e-6
        assert decision.baseline_w - lower >= down - 1e-6


@given(bounds(), room, room, watts)
def test_room_never_moves_a_battery_beyond_what_was_asked(bound, up, down, target):
    lower, upper = bound
    decision = decide([limits(lower, upper), reserve(0.0, up, down), wish(target)])
    if lower <= 0.0 <= upper:
        assert min(target, 0.0) <= decision.baseline_w <= max(target, 0.0)
