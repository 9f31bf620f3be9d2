"""A control sequence on its way to the device: which step is next, and what a refusal means.

Pure bookkeeping; the session sends the steps.
"""

from __future__ import annotations

from tenhertz.devices.wiring import Step

# After a sequence the device needs time to start; after a refusal, time to come round.
RETRY_NS = 3_000_000_000
_NO_ID = -1


class Sequence:
    """The steps still to be acknowledged, one after the other.

    A lasting sequence (stop, release) is not ended by a refusal: the other steps may still get
    through, and all of them go again after a pause until every one has been acknowledged. Taking
    control ends at the first refusal.
    """

    __slots__ = ("_again_ns", "_at", "_lasting", "_refused", "_steps", "transaction_id")

    def __init__(self) -> None:
        self.begin((), lasting=False)

    def begin(self, steps: tuple[Step, ...], *, lasting: bool) -> None:
        """Start over with `steps`."""
        self._steps = steps
        self._at = 0
        self._lasting = lasting
        self._refused = False
        self._again_ns = 0
        self.transaction_id = _NO_ID

    @property
    def left(self) -> bool:
        """Whether a step is left to be acknowledged."""
        return bool(self._steps)

    @property
    def again_ns(self) -> int:
        """Before this instant nothing is to be sent."""
        return self._again_ns

    def due(self, now_ns: int) -> bool:
        """Whether a step is to be sent now."""
        return bool(self._steps) and now_ns >= self._again_ns

    def step(self, fresh_id: int) -> Step:
        """The step to send.

        One that got no answer is sent again under its own transaction id, so that an answer to
        either attempt counts; a new step takes `fresh_id`.
        """
        if self.transaction_id == _NO_ID:
            self.transaction_id = fresh_id
        return self._steps[self._at]

    def acknowledged(self, now_ns: int) -> bool:
        """The step that was sent is done; True if that was the last of all."""
        self._at += 1
        self.transaction_id = _NO_ID
        if self._at < len(self._steps):
            return False
        if self._refused and self._lasting:
            self._at = 0
            self._refused = False
            self._again_ns = now_ns + RETRY_NS
            return False
        self._steps = ()
        return True

    def refused(self, now_ns: int) -> bool:
        """The device refused the step that was sent; True if that ends the sequence."""
        if self._lasting:
            self._refused = True
            self.acknowledged(now_ns)
            return False
        self._steps = ()
        return True
