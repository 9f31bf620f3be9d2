"""What the fleet wants of the site: verified, remembered, and carried out also without a link.

Sans-I/O but for its small database. A genuine stop always passes. Anything else must be newer than
the last command of its key, and not expired; what was taken is remembered before it is answered, so
that a command that comes twice is done once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tenhertz.link.schema_pb2 import Command, Contracts, Plan, SignedCommand
from tenhertz.link.signature import NotGenuine, verify
from tenhertz.site.mailbox import MOST_CONTRACTS
from tenhertz.store import StoreTrouble

# How far a sender's clock may be ahead.
_AHEAD_NS = 60_000_000_000
# A command may not ask for what lies further ahead than this.
_FURTHEST_NS = 32 * 86_400_000_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS command (
    key TEXT PRIMARY KEY, sequence INTEGER NOT NULL, accepted INTEGER NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS standing (
    name TEXT PRIMARY KEY, body BLOB NOT NULL -- setpoint, plan, contracts: the command they came in
) STRICT;
"""


class Answer(NamedTuple):
    """What became of a command."""

    key: str
    sequence: int
    accepted: bool
    text: str
    command: Command | None = None  # to be carried out now


class Orders:
    """The commands of one site."""

    def __init__(
        self,
        path: Path,
        source: str,
        trusted: dict[str, Ed25519PublicKey],
        products: Collection[str] = (),
    ) -> None:
        """Open the memory of what was ordered; `products` are those that may be contracted.

        Raises:
            StoreTrouble: it cannot be opened.
        """
        self._source = source
        self._trusted = trusted
        self._products = frozenset(products)
        self._path = path
        self.forged = 0  # commands that no trusted key has signed
        try:
            self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
            self._standing = dict(self._db.execute("SELECT name, body FROM standing"))
        except sqlite3.Error as error:
            raise StoreTrouble(f"{path}: {error}") from error

    def close(self) -> None:
        """Close the memory."""
        self._db.close()

    # -- taking -------------------------------------------------------------------------------

    def take(self, signed: SignedCommand, now_ns: int) -> Answer | None:
        """Judge a command; None for one that is not genuine, which deserves no answer.

        Raises:
            StoreTrouble: it could not be remembered, so it is not done. Never for a stop.
        """
        try:
            command = verify(signed, self._trusted)
        except NotGenuine:
            self.forged += 1
            return None
        key, sequence = signed.key, command.sequence
        if command.source != self._source:
            return Answer(key, sequence, accepted=False, text=f"for '{command.source[:60]}'")
        if command.WhichOneof("order") == "stop":
            with contextlib.suppress(StoreTrouble):
                self._drop_standing()
            return Answer(key, sequence, accepted=True, text="", command=command)
        before = self._last(key)
        if before is not None and sequence == before.sequence:
            return before
        why = self._why_not(command, before, now_ns)
        if why:
            return Answer(key, sequence, accepted=False, text=why)
        answer = Answer(key, sequence, accepted=True, text="", command=command)
        self._remember(answer, command)
        return answer

    def _why_not(self, command: Command, before: Answer | None, now_ns: int) -> str:
        if before is not None and command.sequence < before.sequence:
            return "a newer command was taken before"
        if command.expires_ns <= now_ns:
            return "expired"
        if command.issued_ns > now_ns + _AHEAD_NS:
            return "issued in the future: one of the clocks is wrong"
        what = command.WhichOneof("order")
        if what is None:
            return "not known to this version"
        if what == "setpoint":
            return _doubt_power(command.setpoint.power_w, command.setpoint.until_ns, now_ns)
        if what == "contracts":
            return self._doubt_contracts(command.contracts)
        if what == "plan":
            for step in command.plan.steps:
                if step.start_ns >= step.end_ns:
                    return "a step ends before it starts"
                why = _doubt_power(step.power_w, step.end_ns, now_ns)
                if why:
                    return why
        return ""

    def _doubt_contracts(self, contracts: Contracts) -> str:
        if len(contracts.contracts) > MOST_CONTRACTS:
            return f"more than {MOST_CONTRACTS} contracts"
        for contract in contracts.contracts:
            if contract.product not in self._products:
                return f"the product '{contract.product[:40]}' is not one of this site's rules"
            if not 0.0 < contract.capacity_w < 1e10:
                return "the capacity is no number above 0"
            if not 0 <= contract.start_ns < contract.end_ns < 1 << 62:
                return "a contract ends before it starts"
        return ""

    def _last(self, key: str) -> Answer | None:
        try:
            row = self._db.execute(
                "SELECT sequence, accepted, text FROM command WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self._path}: {error}") from error
        return Answer(key, row[0], bool(row[1]), row[2]) if row else None

    def _remember(self, answer: Answer, command: Command) -> None:
        what = command.WhichOneof("order") or ""
        body = command.SerializeToString()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT OR REPLACE INTO command VALUES (?, ?, ?, ?)",
                (answer.key, answer.sequence, answer.accepted, answer.text),
            )
            if what in ("setpoint", "plan", "contracts"):
                self._db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (what, body))
            self._db.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise StoreTrouble(f"{self._path}: {error}") from error
        if what in ("setpoint", "plan", "contracts"):
            self._standing[what] = body

    def _drop_standing(self) -> None:
        """After a stop nothing of what was planned goes on by itself; contracts remain owed."""
        for name in ("setpoint", "plan"):
            self._standing.pop(name, None)
        try:
            self._db.execute("DELETE FROM standing WHERE name IN ('setpoint', 'plan')")
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self._path}: {error}") from error

    # -- carrying out -------------------------------------------------------------------------

    def power_at(self, now_ns: int) -> tuple[float, int] | None:
        """The power that is wanted now, and until when; a setpoint comes before the plan."""
        setpoint = self._command("setpoint")
        if setpoint is not None and now_ns < setpoint.setpoint.until_ns:
            return setpoint.setpoint.power_w, setpoint.setpoint.until_ns
        plan = self._command("plan")
        for step in (plan.plan if plan is not None else Plan()).steps:
            if step.start_ns <= now_ns < step.end_ns:
                return step.power_w, step.end_ns
        return None

    @property
    def contracts(self) -> Contracts | None:
        """The contracts that the fleet has sent; None if it never has."""
        command = self._command("contracts")
        return command.contracts if command is not None else None

    def _command(self, name: str) -> Command | None:
        body = self._standing.get(name)
        return Command.FromString(body) if body is not None else None


def _doubt_power(power_w: float, until_ns: int, now_ns: int) -> str:
    if not abs(power_w) < 1e10:
        return "the power is no number"
    if until_ns > now_ns + _FURTHEST_NS:
        return "more than 32 days ahead"
    return ""
