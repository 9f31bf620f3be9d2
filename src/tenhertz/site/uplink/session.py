"""One site's talk with the fleet: birth, rows, acknowledgements, commands.

Nothing here waits. Time comes in; messages go out through a function that may say no.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import structlog
from google.protobuf.message import DecodeError

from tenhertz import __version__
from tenhertz.errors import UserError
from tenhertz.link import OLDEST_VERSION, VERSION, Intervals, Kind
from tenhertz.link.schema_pb2 import Ack, CommandResult, Downlink, SignedCommand, Uplink
from tenhertz.site.mailbox import ContractsPart, Mailbox, PowerWish, contract_parts
from tenhertz.site.status import UplinkStatus
from tenhertz.site.uplink.lanes import Lanes
from tenhertz.site.uplink.orders import Answer, Orders
from tenhertz.site.uplink.pace import Pace
from tenhertz.site.uplink.rows import SiteRows
from tenhertz.store import StoreTrouble
from tenhertz.store.site_schema import TABLES

# So many messages go out in one turn, so that what comes in is heard between them.
_MOST_A_TURN = 64
# Setpoints of the fleet are given on as short leases, renewed while they hold.
_LEASE_NS = 3_000_000_000
_RENEW_NS = 1_000_000_000
_TRY_STORE_NS = 1_000_000_000

_KINDS = {int(kind): kind for kind in TABLES}

Phase = Literal["down", "asked", "up"]


class Wire(Protocol):
    """The way to the fleet."""

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        ...

    def publish(self, message: bytes) -> bool:
        """Send a message; False where that is not possible now."""
        ...


class Session:
    """The talk of one site."""

    def __init__(
        self,
        open_rows: Callable[[], SiteRows],
        orders: Orders,
        mailbox: Mailbox,
        wire: Wire,
        source: str,
        *,
        backlog_share: float,
        control_since: Callable[[], int],
    ) -> None:
        """`control_since` tells which control process runs: a new one knows no contracts yet."""
        self._open_rows = open_rows
        self._orders = orders
        self._mailbox = mailbox
        self._wire = wire
        self._source = source
        self._control_since = control_since
        self._pace = Pace(backlog_share)
        self._lanes = Lanes(TABLES, self._pace)
        self._rows: SiteRows | None = None
        self._phase: Phase = "down"
        self._asked_ns = 0
        self._tried_ns = 0
        self._version = OLDEST_VERSION
        self._renewed_ns = 0
        self._contracts_told: tuple[int, bytes] | None = None
        self._log = structlog.get_logger("uplink")
        self.session = 0
        self.trouble = ""
        self.births = self.sent_rows = self.sent_bytes = self.held_rows = self.gone_rows = 0
        self.commands_accepted = self.commands_refused = self.broken = 0

    # -- the connection -----------------------------------------------------------------------

    def will(self, utc_ns: int) -> bytes | None:
        """What the broker shall say when this connection ends without a word."""
        self.session = utc_ns
        rows = self._opened(0)
        return rows.death(self.session) if rows is not None else None

    def on_up(self) -> None:
        """There is a connection."""
        self._phase = "down"
        self._log.info("connected to the fleet's broker")

    def on_down(self, why: str) -> None:
        """There is none any more."""
        self._phase = "down"
        self._log.warning("no link to the fleet; the database keeps what it would get", cause=why)

    def farewell(self) -> None:
        """Say that this site ends, and not by accident."""
        if self._wire.up and self._rows is not None and self._phase != "down":
            self._wire.publish(self._rows.death(self.session))

    def _opened(self, now_ns: int) -> SiteRows | None:
        if self._rows is None and (not now_ns or now_ns - self._tried_ns >= _TRY_STORE_NS):
            self._tried_ns = now_ns
            try:
                self._rows = self._open_rows()
                self._note("")
            except StoreTrouble as trouble:
                self._note(str(trouble))
        return self._rows

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._log.warning("nothing can be sent", cause=trouble)
        self.trouble = trouble

    # -- one turn -----------------------------------------------------------------------------

    def turn(self, now_ns: int, utc_ns: int) -> None:
        """Do what is due. `now_ns` is monotonic, `utc_ns` the same instant in UTC."""
        self._carry_out(now_ns, utc_ns)
        rows = self._opened(now_ns)
        if rows is None:
            return
        try:
            for kind, head in rows.heads().items():
                self._lanes.numbered(kind, head)
            if not self._wire.up:
                self._phase = "down"
            elif self._phase == "down":
                self._ask(rows, now_ns, utc_ns)
            elif self._phase == "asked":
                if now_ns - self._asked_ns > self._pace.patience_ns:
                    self._pace.unanswered(now_ns)
                    self._ask(rows, now_ns, utc_ns)
            elif self._lanes.late(now_ns):
                self._pace.unanswered(now_ns)
                self._ask(rows, now_ns, utc_ns)
            elif not self._beyond():
                self._send(rows, now_ns, utc_ns)
        except StoreTrouble as trouble:
            self._note(str(trouble))
            rows.close()
            self._rows = None

    def _ask(self, rows: SiteRows, now_ns: int, utc_ns: int) -> None:
        """Say who speaks; the fleet answers with what it holds."""
        if self._wire.publish(rows.birth(self.session, utc_ns, f"tenhertz {__version__}")):
            self._phase = "asked"
            self._asked_ns = now_ns
            self.births += 1

    def _beyond(self) -> bool:
        kind = self._lanes.beyond()
        if kind is not None:
            self._note(
                f"the fleet holds more {kind.name} rows than this database has numbered: it is an "
                "older copy; move store.file away, so that a new one begins"
            )
        return kind is not None

    def _send(self, rows: SiteRows, now_ns: int, utc_ns: int) -> None:
        for _ in range(_MOST_A_TURN):
            wanted = self._lanes.wanted(now_ns)
            if wanted is None:
                return
            kind = wanted.kind
            found = rows.message(
                kind,
                wanted.first,
                wanted.end,
                rows.heads()[kind],
                self._version,
                live=wanted.live,
            )
            if found is None:  # the clock was set back: the fleet forgets what came last
                self._ask(rows, now_ns, utc_ns)
                return
            if not self._wire.publish(found.message):
                return
            self._lanes.sent(wanted, found.end, len(found.message), now_ns)
            if found.gone:
                self.gone_rows += found.end - wanted.first
            else:
                self.sent_rows += found.end - wanted.first
            self.sent_bytes += len(found.message)

    # -- what comes in ------------------------------------------------------------------------

    def hear(self, payload: bytes, now_ns: int, utc_ns: int) -> None:
        """Take a message of the fleet; one that is none is counted."""
        try:
            message = Downlink.FromString(payload)
        except DecodeError:
            self.broken += 1
            return
        what = message.WhichOneof("body")
        if what == "ack":
            self._hear_ack(message.ack, now_ns)
        elif what == "rebirth":
            self._phase = "down"  # told again in the next turn
        elif what == "command":
            self._hear_command(message.command, utc_ns)
        else:
            self.broken += 1

    def _hear_ack(self, ack: Ack, now_ns: int) -> None:
        rows = self._rows
        if rows is None or ack.stream != rows.stream or self._phase == "down":
            return
        held: dict[Kind, Intervals] = {}
        try:
            for part in ack.held:
                kind = _KINDS.get(int(part.kind))
                if kind is not None:
                    held[kind] = Intervals.from_bounds(part.bounds)
        except ValueError:
            self.broken += 1
            return
        self._version = max(OLDEST_VERSION, min(VERSION, ack.version))
        for kind, there in held.items():
            self.held_rows += self._lanes.held(kind, there, now_ns)
        if self._phase == "asked":
            self._lanes.begin(held)
            self._phase = "up"

    def _hear_command(self, signed: SignedCommand, utc_ns: int) -> None:
        try:
            answer = self._orders.take(signed, utc_ns)
        except StoreTrouble as trouble:
            answer = Answer(signed.key, 0, accepted=False, text=f"cannot be kept: {trouble}")
        if answer is None:
            self._log.warning("a command was not signed by a trusted key", key=signed.key[:40])
            self.commands_refused += 1
            return
        if answer.command is not None:
            self._do(answer)
        elif not answer.accepted:
            self.commands_refused += 1
            self._log.warning("a command is refused", why=answer.text)
        result = CommandResult(
            version=1,
            source=self._source,
            key=answer.key,
            sequence=answer.sequence,
            accepted=answer.accepted,
            text=answer.text,
            at_ns=utc_ns,
        )
        self._wire.publish(Uplink(result=result).SerializeToString())

    def _do(self, answer: Answer) -> None:
        assert answer.command is not None
        what = answer.command.WhichOneof("order")
        if what == "stop":
            self._mailbox.stop()
        elif what == "resume":
            self._mailbox.lift_stop()
        self._renewed_ns = 0
        self.commands_accepted += 1
        self._log.info("a command is carried out", what=what, reason=answer.command.reason)

    def _carry_out(self, now_ns: int, utc_ns: int) -> None:
        """Renew the lease of what the fleet wants, and tell a new control process its contracts."""
        if self._renewed_ns and now_ns - self._renewed_ns < _RENEW_NS:
            return
        self._renewed_ns = now_ns
        try:
            wanted = self._orders.power_at(utc_ns)
            if wanted is not None:
                power_w, until_ns = wanted
                self._mailbox.post(PowerWish(power_w, utc_ns, min(until_ns, utc_ns + _LEASE_NS)))
            self._tell_contracts(utc_ns)
        except UserError as full:
            self._note(str(full))

    def _tell_contracts(self, utc_ns: int) -> None:
        contracts, since = self._orders.contracts, self._control_since()
        if contracts is None or not since:
            return
        told = (since, contracts.SerializeToString())
        if told != self._contracts_told:
            parts: list[ContractsPart] = contract_parts(
                [(c.product, c.capacity_w, c.start_ns, c.end_ns) for c in contracts.contracts],
                utc_ns,
            )
            for part in parts:
                self._mailbox.post(part)
            self._contracts_told = told

    @property
    def all_held(self) -> bool:
        """Whether the fleet holds every row that the database has numbered."""
        return self._phase == "up" and self._lanes.waiting_rows == 0

    # -- figures ------------------------------------------------------------------------------

    def status(self, pid: int, utc_ns: int) -> UplinkStatus:
        """How the talk stands."""
        return UplinkStatus(
            pid,
            utc_ns,
            self._wire.up,
            self._phase == "up",
            self.trouble,
            self._lanes.waiting_rows,
            self.sent_rows,
            self.sent_bytes,
            self.held_rows,
            self._lanes.resent_rows,
            self.gone_rows,
            self.births,
            round(self._pace.smooth_s * 1000, 1),
            int(self._pace.window_bytes),
            self.commands_accepted,
            self.commands_refused,
            self._orders.forged,
            self.broken,
        )
