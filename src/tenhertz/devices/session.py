"""The conversation with one Modbus TCP device, without a socket and without a clock.

Intents come in (`sample`, `set_power`, `demand`), bytes come in (`receive_data`), and each call
returns the frame to send now, or None while the line is taken. One transaction is open at a time.
What is wanted waits in slots, not in a queue: of two setpoints only the newer is sent, and nothing
can pile up. The order when the line is free: stop, sample, control sequence, setpoint. A setpoint
has no effect before control is taken, and behind it, on a slow device, the sequence would starve.

A stop does not wait for its turn: it is sent at once, over whatever is open, and kept up until the
device has acknowledged every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from tenhertz.devices.battery import Condition, Demand, Reading
from tenhertz.devices.modbus import Fate, Frame, FrameReader, NotModbusError, judge
from tenhertz.devices.sequence import RETRY_NS, Sequence
from tenhertz.devices.wiring import Setpoint, Wiring

_NS_PER_MS = 1_000_000
# A device that leaves this many requests in a row unanswered gets a new connection.
TIMEOUTS_BEFORE_RECONNECT = 3
# A well-formed but unasked-for frame is harmless; this many within one connection are not.
STRAY_FRAMES_ALLOWED = 50
# A reading older than this is no basis for a decision.
SILENT_AFTER_NS = 500 * _NS_PER_MS


class _Open(IntEnum):
    NOTHING = 0
    SAMPLE = 1
    POWER = 2
    STEP = 3


@dataclass(slots=True)
class Counters:
    """What happened on the line since the start."""

    samples: int = 0
    missed: int = 0  # a sample was asked for while the previous one was still out
    writes: int = 0
    rejected: int = 0  # writes refused by the device
    exceptions: int = 0  # reads refused by the device
    timeouts: int = 0
    late: int = 0  # replies to requests that were given up, and frames nobody asked for
    wrong_unit: int = 0
    garbage: int = 0  # connections ended because the bytes were not Modbus
    connects: int = 0


class Session:
    """One device's state: what is open, what is wanted, what was measured."""

    __slots__ = (
        "_block",
        "_demand",
        "_expected",
        "_gathered",
        "_image_moved_ns",
        "_kind",
        "_last_image",
        "_power_asked",
        "_power_due",
        "_power_payload",
        "_quiet_until_ns",
        "_reader",
        "_retry_ns",
        "_sample_due",
        "_sampling",
        "_sent_ns",
        "_sequence",
        "_size",
        "_stray",
        "_timeout_ns",
        "_timeouts_in_a_row",
        "_transaction_id",
        "acknowledged_ns",
        "broken",
        "connected",
        "counters",
        "measured_at_ns",
        "name",
        "power_w",
        "rated_power_w",
        "reading",
        "round_trip_ns",
        "sampled",
        "values",
        "wiring",
    )

    def __init__(
        self,
        name: str,
        wiring: Wiring,
        rated_power_w: float = 0.0,
        sampled: Callable[[Session], None] | None = None,
    ) -> None:
        """Make a session; `sampled` is called with it at once for every complete sample."""
        self.sampled = sampled
        self.name = name
        self.wiring = wiring
        self.rated_power_w = rated_power_w
        self.counters = Counters()
        self.connected = False
        self.broken = ""  # why the connection must be given up; empty while it is sound
        self.values: tuple[float, ...] | None = None
        self.reading: Reading | None = None
        self.measured_at_ns = 0
        self.round_trip_ns = 0
        self.power_w = 0.0  # the newest setpoint wanted
        self.acknowledged_ns = 0  # when the device last acknowledged a setpoint
        self._demand = Demand.OBSERVE
        self._timeout_ns = wiring.timing.reply_timeout_ms * _NS_PER_MS
        self._transaction_id = 0
        self._retry_ns = 0
        self._last_image = -1.0
        self._image_moved_ns = 0
        self._sequence = Sequence()
        self._reset_line()

    def _reset_line(self) -> None:
        self._reader = FrameReader()
        self._kind = _Open.NOTHING
        self._expected = b""
        self._size = 0
        self._sent_ns = 0
        self._block = 0
        self._gathered: tuple[float, ...] = ()
        self._sampling = False
        self._sample_due = False
        self._power_due = False  # a setpoint from before the connection is old
        self._power_asked = False
        self._timeouts_in_a_row = 0
        self._stray = 0
        self._quiet_until_ns = 0

    # -- the connection -----------------------------------------------------------------------

    def connection_made(self, now_ns: int) -> bytes | None:
        """A new connection stands. A stop, or a release that was not done, goes out first."""
        self._reset_line()
        self.connected = True
        self.broken = ""
        self.counters.connects += 1
        self._image_moved_ns = now_ns
        self._retry_ns = now_ns
        # A release that is done is not said again: the device may be in other hands by now.
        if self._sequence.left or self._demand is not Demand.RELEASE:
            self._begin_steps()
        return self._next(now_ns)

    def connection_lost(self) -> None:
        """The connection is gone; what was open is lost."""
        self.connected = False
        self._reset_line()

    # -- what the site wants --------------------------------------------------------------------

    def sample(self, now_ns: int) -> bytes | None:
        """Want a measurement. Counted as missed if the previous one is still out."""
        if not self.connected:
            return None
        if self._sampling:
            self.counters.missed += 1
            return None
        self._sampling = self._sample_due = True
        return None if self._kind else self._next(now_ns)

    def set_power(self, power_w: float, now_ns: int) -> bytes | None:
        """Want a power (W, positive feeds the grid); an older one not yet sent is replaced.

        Without a connection it is not kept: by the time there is one, it is old.

        Raises:
            ValueError: the power is not a number or does not fit the device's registers.
        """
        setpoint = self.wiring.setpoint
        if setpoint is None:
            raise ValueError(f"{self.name} ({self.wiring.map_name}) cannot be controlled")
        self._power_payload = setpoint.encode(power_w)
        self.power_w = power_w
        self._power_due = self._power_asked = self.connected
        return None if self._kind else self._next(now_ns)

    def demand(self, demand: Demand, now_ns: int) -> bytes | None:
        """Observe, control, release or stop.

        The same demand again changes nothing, but for a stop, which is sent again.
        """
        if demand is self._demand and demand is not Demand.STOP:
            return None
        self._demand = demand
        self._power_due = self._power_asked = False
        self._retry_ns = now_ns
        self._begin_steps()
        if demand is Demand.STOP and self.connected:
            self._abandon()
        return None if self._kind else self._next(now_ns)

    def _begin_steps(self) -> None:
        wanted = {Demand.STOP: self.wiring.stop, Demand.RELEASE: self.wiring.release}
        self._sequence.begin(wanted.get(self._demand, ()), lasting=True)

    @property
    def settled(self) -> bool:
        """Whether nothing of a control sequence is left to do."""
        return not self._sequence.left

    @property
    def wake_ns(self) -> int:
        """When to call `resume` because a pause ends; 0 if nothing waits for one."""
        if self._kind or not self.connected:
            return 0
        if self._sample_due or (self._power_due and self._demand is Demand.POWER):
            return self._quiet_until_ns
        sequence = self._sequence
        return max(self._quiet_until_ns, sequence.again_ns) if sequence.left else 0

    def resume(self, now_ns: int) -> bytes | None:
        """Send what waited for a pause."""
        return self._next(now_ns) if self.connected and not self._kind else None

    # -- the line ---------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now_ns: int) -> bytes | None:
        """Take bytes from the device; return the next frame to send, if any."""
        whole = len(data) == self._size and data.startswith(self._expected)
        if whole and self._kind and self._reader.empty:
            self._on_reply(data, now_ns)
            return self._next(now_ns)
        return self._receive_slowly(data, now_ns)

    def _receive_slowly(self, data: bytes, now_ns: int) -> bytes | None:
        try:
            frames = self._reader.feed(data)
        except NotModbusError as error:
            self.counters.garbage += 1
            self.broken = f"the device sent bytes that are not Modbus TCP ({error})"
            return None
        for frame in frames:
            self._on_frame(frame, now_ns)
        if self._stray > STRAY_FRAMES_ALLOWED:
            self.counters.garbage += 1
            self.broken = f"the device sent {self._stray} frames that nobody asked for"
        return None if self._kind or self.broken else self._next(now_ns)

    def _on_frame(self, frame: Frame, now_ns: int) -> None:
        function = self._expected[7] if self._kind else 0
        waiting_for = self._transaction_id_open if self._kind else None
        fate = judge(frame, waiting_for, self.wiring.unit_id, function, self._size)
        if fate is Fate.REPLY and frame.data.startswith(self._expected):
            self._on_reply(frame.data, now_ns)
        elif fate is Fate.EXCEPTION:
            self._on_exception(now_ns)
        elif fate is Fate.WRONG_UNIT:
            self.counters.wrong_unit += 1
            self._stray += 1
        else:
            self.counters.late += 1
            self._stray += 1

    @property
    def _transaction_id_open(self) -> int:
        return self._expected[0] << 8 | self._expected[1]

    def _on_reply(self, data: bytes, now_ns: int) -> None:
        kind = self._kind
        self._kind = _Open.NOTHING
        self._timeouts_in_a_row = 0
        if kind is _Open.SAMPLE:
            self._on_block(data, now_ns)
            return
        self._quiet_until_ns = now_ns + self.wiring.timing.gap_after_write_ms * _NS_PER_MS
        if kind is _Open.POWER:
            self.acknowledged_ns = now_ns
        elif self._transaction_id_open == self._sequence.transaction_id:  # not an earlier demand's
            self._step_done(now_ns)

    def _on_block(self, data: bytes, now_ns: int) -> None:
        blocks = self.wiring.blocks
        block = blocks[self._block]
        values = block.decode(data)
        self._gathered = self._gathered + values if self._block else values
        self._block += 1
        if self._block < len(blocks):
            return
        self._block = 0
        self._sampling = self._sample_due = False
        self.counters.samples += 1
        if self._stray:
            self._stray -= 1  # now and then a late reply is no babble
        # The device measured between our question and its answer: the middle is the best guess.
        self.round_trip_ns = now_ns - self._sent_ns
        self.measured_at_ns = now_ns - self.round_trip_ns // 2
        self.values = self._gathered
        if self.wiring.setpoint is not None:
            self.reading = reading = self.wiring.assemble(self.values)
            if reading.image_counter != self._last_image:
                self._last_image = reading.image_counter
                self._image_moved_ns = now_ns
            self._take_if_lost(reading, now_ns)
        if self.sampled is not None:
            self.sampled(self)

    def _take_if_lost(self, reading: Reading, now_ns: int) -> None:
        wiring = self.wiring
        if self._demand is not Demand.POWER or self._sequence.left or now_ns < self._retry_ns:
            return
        faulted = bool(wiring.fault_when) and wiring.shows(reading, wiring.fault_when)
        if not faulted and not wiring.shows(reading, wiring.remote_when):
            self._sequence.begin(wiring.take, lasting=False)
            self._retry_ns = now_ns + RETRY_NS

    def _on_exception(self, now_ns: int) -> None:
        kind = self._kind
        self._kind = _Open.NOTHING
        self._timeouts_in_a_row = 0
        if kind is _Open.SAMPLE:
            self.counters.exceptions += 1
            self._sampling = self._sample_due = False
            self._block = 0
            return
        self.counters.rejected += 1
        self._quiet_until_ns = now_ns + self.wiring.timing.gap_after_write_ms * _NS_PER_MS
        open_step = self._transaction_id_open == self._sequence.transaction_id
        if kind is _Open.STEP and open_step and self._sequence.refused(now_ns):
            self._retry_ns = now_ns + RETRY_NS

    def _step_done(self, now_ns: int) -> None:
        if self._sequence.acknowledged(now_ns):
            # Taking control sets the power to zero; what is asked for goes out again behind it.
            self._power_due = self._power_asked

    def overdue(self, now_ns: int) -> bytes | None:
        """Give up a request that was not answered in time; call at least once per period."""
        if not self._kind or now_ns - self._sent_ns < self._timeout_ns:
            return None
        self.counters.timeouts += 1
        self._timeouts_in_a_row += 1
        if self._timeouts_in_a_row >= TIMEOUTS_BEFORE_RECONNECT:
            self.broken = f"{self._timeouts_in_a_row} requests in a row were not answered"
            return None
        self._abandon()
        return self._next(now_ns)

    def _abandon(self) -> None:
        if self._kind is _Open.SAMPLE:
            self._sampling = self._sample_due = False
            self._block = 0
        elif self._kind is _Open.POWER:
            self._power_due = True
        self._kind = _Open.NOTHING

    def _next(self, now_ns: int) -> bytes | None:
        """Choose what to send; the line must be free."""
        if not self.connected:
            return None
        steps_due = self._sequence.due(now_ns)
        if steps_due and self._demand is Demand.STOP:
            return self._send_step(now_ns)
        if now_ns < self._quiet_until_ns:
            return None
        if self._sample_due:
            return self._send_block(now_ns)
        if steps_due:
            return self._send_step(now_ns)
        if self._power_due and self._demand is Demand.POWER:
            return self._send_power(now_ns)
        return None

    def _send_block(self, now_ns: int) -> bytes:
        self._transaction_id = at = (self._transaction_id + 1) & 0xFF
        request = self.wiring.blocks[self._block].request
        self._expected = request.reply_heads[at]
        self._size = request.reply_size
        self._kind = _Open.SAMPLE
        self._sent_ns = now_ns
        return request.frames[at]

    def _send_power(self, now_ns: int) -> bytes:
        self._transaction_id = at = (self._transaction_id + 1) & 0xFF
        self._power_due = False
        setpoint = self.wiring.setpoint
        assert setpoint is not None
        return self._send_write(setpoint, at, self._power_payload, _Open.POWER, now_ns)

    def _send_step(self, now_ns: int) -> bytes:
        fresh_id = (self._transaction_id + 1) & 0xFF
        step = self._sequence.step(fresh_id)
        at = self._sequence.transaction_id
        if at == fresh_id:
            self._transaction_id = at
        return self._send_write(step.target, at, step.target.encode(step.value), _Open.STEP, now_ns)

    def _send_write(
        self, target: Setpoint, transaction_id: int, payload: bytes, kind: _Open, now_ns: int
    ) -> bytes:
        self._expected = expected = target.replies[transaction_id]
        self._size = len(expected)
        self._kind = kind
        self._sent_ns = now_ns
        self.counters.writes += 1
        return target.heads[transaction_id] + payload

    # -- how it stands ----------------------------------------------------------------------------

    def condition(self, now_ns: int) -> Condition:
        """How the device stands at `now_ns`."""
        if not self.connected:
            return Condition.ABSENT
        reading = self.reading
        if reading is None or now_ns - self.measured_at_ns > SILENT_AFTER_NS:
            return Condition.SILENT
        needed = reading.power_w + reading.soc + reading.charge_limit_w + reading.discharge_limit_w
        if needed != needed:  # one of them is NaN: the device has no value to decide by
            return Condition.SILENT
        wiring = self.wiring
        if now_ns - self._image_moved_ns > wiring.timing.stuck_after_ms * _NS_PER_MS:
            return Condition.STUCK
        if wiring.fault_when and wiring.shows(reading, wiring.fault_when):
            return Condition.FAULTED
        if self._demand is Demand.POWER and wiring.shows(reading, wiring.remote_when):
            return Condition.CONTROLLED
        return Condition.OBSERVED
