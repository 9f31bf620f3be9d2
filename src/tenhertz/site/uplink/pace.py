"""How much may be under way: enough to fill the link, so little that live rows do not queue.

A delay-based window, as in LEDBAT (RFC 6817): it grows while acknowledgements come about as quickly
as they ever did, and shrinks when they come later, because then it is our own bytes that wait.
"""

from __future__ import annotations

_FIRST_BYTES = 8_192
_LEAST_BYTES = 4_096
_MOST_BYTES = 1 << 20
# The least delay is forgotten after this long, so that a link that became slower is believed.
_MEMORY_NS = 120_000_000_000
_LEAST_PATIENCE_S = 3.0
_MOST_PATIENCE_S = 60.0


class Pace:
    """The window of one connection. Time is an argument."""

    def __init__(self, backlog_share: float) -> None:
        self._backlog_share = backlog_share
        self.window_bytes = float(_FIRST_BYTES)
        self.flying_bytes = 0
        self.smooth_s = 0.0  # the usual time to an acknowledgement
        self._least_s = 0.0
        self._least_at_ns = 0
        self._shrunk_ns = 0
        self._doubt = 1.0  # grows with every time that nothing was answered

    @property
    def live_open(self) -> bool:
        """Whether new rows may go out."""
        return self.flying_bytes < 2 * self.window_bytes

    @property
    def backlog_open(self) -> bool:
        """Whether old rows may go out."""
        return self.flying_bytes < self._backlog_share * self.window_bytes

    @property
    def batch_bytes(self) -> int:
        """How large a batch may be, so that others find room beside it."""
        return int(min(65_536, max(2_048, self.window_bytes / 4)))

    @property
    def patience_ns(self) -> int:
        """How long an acknowledgement may take before the fleet is asked what it has."""
        usual_s = max(_LEAST_PATIENCE_S, 1.0 + 4.0 * self.smooth_s)
        return int(min(_MOST_PATIENCE_S, usual_s * self._doubt) * 1e9)

    def sent(self, size: int) -> None:
        """Bytes went out."""
        self.flying_bytes += size

    def acknowledged(self, size: int, took_s: float, now_ns: int) -> None:
        """Bytes came home after `took_s`."""
        self.flying_bytes = max(0, self.flying_bytes - size)
        self._doubt = 1.0
        self.smooth_s += (took_s - self.smooth_s) / 8 if self.smooth_s else took_s
        if not self._least_s or took_s < self._least_s or now_ns > self._least_at_ns + _MEMORY_NS:
            self._least_s, self._least_at_ns = took_s, now_ns
        if took_s < 1.25 * self._least_s + 0.3:
            self.window_bytes = min(_MOST_BYTES, self.window_bytes + size)
        elif took_s > 1.5 * self._least_s + 0.75:
            self._shrink(now_ns)

    def unanswered(self, now_ns: int) -> None:
        """Nothing came for too long; what was under way counts as lost."""
        self.flying_bytes = 0
        self._doubt = min(2.0 * self._doubt, 4.0)
        self._shrink(now_ns)

    def begin(self) -> None:
        """A new connection: nothing is under way."""
        self.flying_bytes = 0

    def _shrink(self, now_ns: int) -> None:
        if now_ns - self._shrunk_ns >= self.smooth_s * 1e9:  # once for each round
            self.window_bytes = max(_LEAST_BYTES, self.window_bytes / 2)
            self._shrunk_ns = now_ns
