"""A session on a real TCP connection: asyncio Protocol, reconnection, socket options.

Nothing here waits for a device. Calls send what the session gives them; replies come in as
callbacks; a connection that fails is made anew in the background with growing, jittered pauses.
A dead device costs its own line and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from tenhertz.devices.battery import Condition, Demand, Reading
from tenhertz.devices.session import Session

CONNECT_TIMEOUT_S = 2.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# A connection must have delivered this many samples before the next failure counts as the first.
SAMPLES_THAT_PROVE_IT = 10

# Called with the line and why it went; an empty reason means that it stands.
LineChanged = Callable[["Line", str], None]


class Line(asyncio.Protocol):
    """One device's connection; remakes itself until cancelled."""

    def __init__(
        self,
        session: Session,
        host: str,
        port: int,
        *,
        clock_ns: Callable[[], int],
        random: Callable[[], float],
        connecting: asyncio.Semaphore,
        changed: LineChanged,
    ) -> None:
        self.session = session
        self.host = host
        self.port = port
        self._clock_ns = clock_ns
        self._random = random
        self._connecting = connecting
        self._changed = changed
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._waking_ns = 0
        self._reason = ""

    async def run(self) -> None:
        """Keep a connection up until cancelled."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                samples_before = self.session.counters.samples
                if await self._connect():
                    await self._closed.wait()
                    self._changed(self, self._reason)
                if self.session.counters.samples - samples_before > SAMPLES_THAT_PROVE_IT:
                    pause_s = FIRST_PAUSE_S
                # Jitter keeps a site full of devices from knocking in step after an outage.
                await asyncio.sleep(pause_s * (0.5 + self._random()))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            if self._waking is not None:
                self._waking.cancel()
            if self._transport is not None:
                self._transport.abort()

    async def _connect(self) -> bool:
        self._closed.clear()
        loop = asyncio.get_running_loop()
        try:
            async with self._connecting:
                await asyncio.wait_for(
                    loop.create_connection(lambda: self, self.host, self.port), CONNECT_TIMEOUT_S
                )
        except TimeoutError:
            self._absent(f"no answer to the connection attempt within {CONNECT_TIMEOUT_S:g} s")
            return False
        except (OSError, UnicodeError) as error:  # a host that cannot be a name is a UnicodeError
            self._absent(_plainly(error))
            return False
        return True

    def _absent(self, reason: str) -> None:
        if reason != self._reason:  # say it once, not at every attempt
            self._reason = reason
            self._changed(self, reason)

    # -- what asyncio calls ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up and tell the session."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        self._reason = ""
        self._changed(self, "")
        self._send(self.session.connection_made(self._clock_ns()))

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the session; send what it wants next."""
        frame = self.session.receive_data(data, self._clock_ns())
        if frame is not None:
            self._transport.write(frame)  # type: ignore[union-attr]
        elif self.session.broken:
            self._give_up()
        elif self.session.wake_ns:
            self._plan_wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; `run` makes the next connection."""
        self._transport = None
        self._reason = self._reason or (str(exc) if exc else "the device closed the connection")
        self.session.connection_lost()
        self._closed.set()

    # -- the Battery contract -------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the site calls the device."""
        return self.session.name

    @property
    def rated_power_w(self) -> float:
        """The device's rated power."""
        return self.session.rated_power_w

    @property
    def connected(self) -> bool:
        """Whether a session with the device is open."""
        return self.session.connected

    @property
    def reading(self) -> Reading | None:
        """The newest measurement; None before the first."""
        return self.session.reading

    @property
    def measured_at_ns(self) -> int:
        """The monotonic instant of `reading`."""
        return self.session.measured_at_ns

    def condition(self, now_ns: int) -> Condition:
        """How the device stands at `now_ns`."""
        return self.session.condition(now_ns)

    def sample(self, now_ns: int) -> None:
        """Ask for a measurement."""
        frame = self.session.sample(now_ns)
        if frame is not None:
            self._transport.write(frame)  # type: ignore[union-attr]
        elif self.session.wake_ns:
            self._plan_wake()

    def set_power(self, power_w: float, now_ns: int) -> None:
        """Ask for a power.

        Raises:
            ValueError: not a number, or beyond what the device can express.
        """
        frame = self.session.set_power(power_w, now_ns)
        if frame is not None:
            self._transport.write(frame)  # type: ignore[union-attr]
        elif self.session.wake_ns:
            self._plan_wake()

    def demand(self, demand: Demand, now_ns: int) -> None:
        """Observe, control, release or stop."""
        self._send(self.session.demand(demand, now_ns))

    def check(self, now_ns: int) -> None:
        """Give up what is overdue; call once per period."""
        frame = self.session.overdue(now_ns)
        if frame is not None:
            self._send(frame)
        elif self.session.broken:
            self._give_up()

    def _send(self, frame: bytes | None) -> None:
        if frame is not None and self._transport is not None:
            self._transport.write(frame)
        if self.session.wake_ns:
            self._plan_wake()

    def _plan_wake(self) -> None:
        wake_ns = self.session.wake_ns
        if self._waking is not None:
            if self._waking_ns <= wake_ns:
                return
            self._waking.cancel()
        self._waking_ns = wake_ns
        delay_s = max(0, wake_ns - self._clock_ns()) / 1e9
        self._waking = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self._send(self.session.resume(self._clock_ns()))

    def _give_up(self) -> None:
        if self._transport is not None:
            self._reason = self.session.broken
            self._transport.abort()


def _plainly(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"the host name cannot be looked up ({error})"
    # asyncio puts its own words and the address where the system says "Connection refused".
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
