"""The ring: in order, counted to the record, and never torn."""

import struct

import pytest

from tenhertz.site import ring as ring_module
from tenhertz.site.ring import Ring

BODY = struct.Struct("<QQ")


def body(number):
    return BODY.pack(number, ~number & 0xFFFFFFFFFFFFFFFF)


def bodies(first, count):
    return [body(number) for number in range(first, first + count)]


@pytest.fixture
def ring(tmp_path):
    made = Ring(tmp_path / "ring", BODY.size, 8, create=True)
    made.open_for_writing()
    return made


def word(ring, index, value):
    """Set a header word, as a writer that dies in the middle leaves it."""
    ring._words[index] = value


def test_records_come_out_in_the_order_they_went_in(ring):
    ring.append(bodies(0, 3))
    ring.append(bodies(3, 2))

    assert ring.read(0, 100) == (0, bodies(0, 5), 0)
    assert ring.read(2, 2) == (2, bodies(2, 2), 0)
    assert ring.read(5, 100) == (5, [], 0)


def test_what_was_overrun_is_counted_to_the_record(ring):
    ring.append(bodies(0, 8))
    ring.append(bodies(8, 3))

    assert ring.read(0, 100) == (3, bodies(3, 8), 3)


def test_a_ring_that_is_full_to_the_slot_has_lost_nothing(ring):
    ring.append(bodies(0, 8))

    assert ring.read(0, 100) == (0, bodies(0, 8), 0)


def test_each_reader_has_its_own_position_and_may_resume(ring):
    ring.append(bodies(0, 6))
    quick = ring.read(0, 6)
    lagging = ring.read(0, 2)
    ring.append(bodies(6, 2))

    assert ring.read(quick.first + 6, 100).records == bodies(6, 2)
    assert ring.read(lagging.first + 2, 100) == (2, bodies(2, 6), 0)


def test_a_reader_of_another_mapping_sees_the_same(ring):
    ring.append(bodies(0, 4), tally=3)
    other = Ring.attach(ring.path)

    assert (other.body_bytes, other.capacity) == (BODY.size, 8)
    assert other.read(0, 10) == ring.read(0, 10)
    assert other.state == ring.state


def test_the_tally_is_the_writers_own_count(ring):
    ring.append(bodies(0, 3), tally=2)
    ring.append(bodies(3, 1))
    ring.append([], tally=5)

    assert ring.state.tally == 7
    assert ring.state.written == 4


def test_more_at_once_than_there_are_slots_is_refused_before_anything_is_written(ring):
    with pytest.raises(ValueError, match="9 records at once in a ring of 8"):
        ring.append(bodies(0, 9))

    assert ring.state.written == 0


def test_closing_and_opening_shows(ring):
    assert not ring.state.closed
    ring.close_for_writing()
    assert Ring.attach(ring.path).state.closed
    ring.open_for_writing()
    assert not ring.state.closed


def test_a_record_that_was_claimed_but_not_published_is_not_delivered(ring):
    ring.append(bodies(0, 4))
    word(ring, ring_module._W_CLAIMED, 6)

    assert ring.read(0, 100) == (0, bodies(0, 4), 0)


def test_what_a_claim_may_be_writing_over_is_counted_as_lost(ring):
    ring.append(bodies(0, 8))
    word(ring, ring_module._W_CLAIMED, 10)

    assert ring.read(0, 100) == (2, bodies(2, 6), 2)


def test_a_writer_goes_on_where_the_last_one_published(ring):
    ring.append(bodies(0, 4), tally=4)
    word(ring, ring_module._W_CLAIMED, 6)  # it died between claim and publication
    half = struct.pack("<QII", 4, 0, 0) + body(99)
    at = 4096 + 4 * ring._slot_bytes
    ring._memory[at : at + len(half)] = half

    successor = Ring(ring.path, BODY.size, 8, create=False)
    successor.open_for_writing()
    successor.append(bodies(4, 1), tally=1)

    assert ring.read(0, 100) == (0, bodies(0, 5), 0)
    assert ring.state.tally == 5


def test_a_reader_gets_past_the_slots_that_a_dead_writer_had_begun(ring):
    ring.append(bodies(0, 8))
    word(ring, ring_module._W_CLAIMED, 10)
    for sequence in (8, 9):  # written whole, never published
        slot = struct.pack("<QII", sequence, 0, 0) + body(77)
        at = 4096 + sequence % 8 * ring._slot_bytes
        ring._memory[at : at + len(slot)] = slot

    ring.open_for_writing()
    ring.append(bodies(8, 1))
    # Slot 1 held record 1, which the dead writer destroyed: it is lost although it was not claimed.
    assert ring.read(0, 100) == (2, bodies(2, 7), 2)


def test_a_torn_slot_is_not_delivered_nor_what_comes_after_it(ring):
    ring.append(bodies(0, 5))
    ring._memory[4096 + 2 * ring._slot_bytes + 20] ^= 1

    assert ring.read(0, 100) == (0, bodies(0, 2), 0)
    assert ring.read(2, 100) == (2, [], 0)


def test_a_torn_slot_does_not_hold_the_reader_once_it_is_written_over(ring):
    ring.append(bodies(0, 8))
    ring._memory[4096 + 2 * ring._slot_bytes + 20] ^= 1
    ring.append(bodies(8, 3))

    assert ring.read(2, 100) == (3, bodies(3, 8), 1)


def test_a_ring_outlives_its_writer(tmp_path, ring):
    ring.append(bodies(0, 3), tally=3)
    epoch = ring.state.epoch

    again = Ring(tmp_path / "ring", BODY.size, 8, create=True)

    assert again.state == (epoch, 3, 3, False)
    assert again.read(0, 10).records == bodies(0, 3)


@pytest.mark.parametrize(("body_bytes", "capacity"), [(BODY.size, 9), (8, 8), (BODY.size, 4000)])
def test_another_layout_makes_an_empty_ring_of_a_new_epoch(tmp_path, ring, body_bytes, capacity):
    ring.append(bodies(0, 3), tally=3)
    before = ring.state.epoch

    made = Ring(tmp_path / "ring", body_bytes, capacity, create=True)

    assert made.state.epoch > before
    assert made.state[1:] == (0, 0, False)
    assert made.read(0, 10) == (0, [], 0)


def test_a_reader_refuses_a_ring_of_another_layout(tmp_path, ring):
    with pytest.raises(ValueError, match="not a ring of 9 records of 16 bytes"):
        Ring(ring.path, BODY.size, 9, create=False)
    assert Ring.attach(tmp_path / "ring").capacity == 8


@pytest.mark.parametrize("content", [b"", b"0123456789", b"x" * 4095, b"\0" * 8192, b"x" * 9000])
def test_a_foreign_file_is_refused_as_a_ring(tmp_path, content):
    (tmp_path / "foreign").write_bytes(content)

    with pytest.raises(ValueError, match="foreign is not a ring"):
        Ring.attach(tmp_path / "foreign")


def test_a_ring_whose_end_is_cut_off_is_refused(tmp_path, ring):
    (tmp_path / "cut").write_bytes(ring.path.read_bytes()[:4096])

    with pytest.raises(ValueError, match="cut is not a ring"):
        Ring.attach(tmp_path / "cut")


def test_no_ring_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        Ring.attach(tmp_path / "none")
