"""The ring against a list: each record is delivered once and in order, or counted as lost."""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenhertz.site import ring as ring_module
from tenhertz.site.ring import Ring

CAPACITY = 7
BODY = struct.Struct("<QQ")


class RingAndList(RuleBasedStateMachine):
    """One writer that may die, two readers that may lag."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ring"
        self.ring = Ring(self.path, BODY.size, CAPACITY, create=True)
        self.ring.open_for_writing()
        self.written = []
        self.positions = [0, 0]
        self.claimed = 0  # the largest claim ever: below it by a ring, records are gone

    def teardown(self):
        self.folder.cleanup()

    def next_bodies(self, count):
        first = len(self.written)
        return [BODY.pack(number, number * 3) for number in range(first, first + count)]

    @rule(count=st.integers(0, CAPACITY))
    def append(self, count):
        new = self.next_bodies(count)
        self.ring.append(new, tally=count)
        self.written += new
        self.claimed = max(self.claimed, len(self.written))

    @rule(claimed=st.integers(1, CAPACITY), begun=st.integers(0, CAPACITY))
    def die_and_start_again(self, claimed, begun):
        sequence = len(self.written)
        self.claimed = max(self.claimed, sequence + claimed)
        self.ring._words[ring_module._W_CLAIMED] = self.claimed
        for lost in range(sequence, sequence + min(begun, claimed)):
            at = 4096 + lost % CAPACITY * self.ring._slot_bytes
            self.ring._memory[at : at + 16] = struct.pack("<QII", lost, 1, 0)
        self.ring = Ring(self.path, BODY.size, CAPACITY, create=True)
        self.ring.open_for_writing()

    @rule(reader=st.sampled_from([0, 1]), most=st.integers(1, 2 * CAPACITY))
    def read(self, reader, most):
        position = self.positions[reader]
        batch = Ring.attach(self.path).read(position, most)

        assert batch.lost == batch.first - position
        end = batch.first + len(batch.records)
        assert batch.records == self.written[batch.first : end]
        assert len(batch.records) <= most
        # Nothing is given up that is still there.
        assert batch.first == max(position, self.claimed - CAPACITY)
        self.positions[reader] = end

    @rule(reader=st.sampled_from([0, 1]))
    def catch_up(self, reader):
        batch = self.ring.read(self.positions[reader], 10 * CAPACITY)
        self.positions[reader] = batch.first + len(batch.records)
        assert self.positions[reader] == max(len(self.written), self.claimed - CAPACITY)

    @invariant()
    def the_counts_hold(self):
        assert self.ring.state.written == self.ring.state.tally == len(self.written)


RingAndList.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestRingAndList = RingAndList.TestCase

WRITER = """
import struct, sys
from pathlib import Path
from tenhertz.site.ring import Ring
ring = Ring(Path(sys.argv[1]), 64, 64, create=False)
ring.open_for_writing()
total = int(sys.argv[2])
number = 0
while number < total:
    count = 1 + number % 13
    ring.append([struct.pack("<Q", n) * 8 for n in range(number, number + count)], tally=count)
    number += count
ring.close_for_writing()
"""


@pytest.mark.slow
def test_beside_a_writer_at_full_speed_nothing_is_torn_and_nothing_uncounted(tmp_path):
    ring = Ring(tmp_path / "ring", 64, 64, create=True)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(ring.path), "200000"]) as writer:
        position = delivered = lost = 0
        while not ring.state.closed or position < ring.state.written:
            batch = ring.read(position, 40)
            for number, body in enumerate(batch.records, batch.first):
                assert body == struct.pack("<Q", number) * 8
            position = batch.first + len(batch.records)
            delivered += len(batch.records)
            lost += batch.lost
            assert writer.poll() in (None, 0)
    assert delivered + lost == ring.state.written == ring.state.tally >= 200_000
    assert delivered > 0
    assert lost > 0
