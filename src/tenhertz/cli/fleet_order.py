"""`tenhertz fleet stop, resume, set-power, plan, contracts`: signed commands to one site.

Each is sent over MQTT and ends with what the site answered: exit code 0 accepted, 1 refused, 4 no
answer. Only an answer counts: a command that the site did not confirm may or may not have reached
it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tenhertz.cli.fleet_words import ConfigPath, Json, csv_rows, instant_ns, number_in
from tenhertz.errors import UserError

if TYPE_CHECKING:
    from tenhertz.link.schema_pb2 import Command

REFUSED = 1
NO_ANSWER = 4
_EXPIRES_NS = 60 * 10**9

Site = Annotated[str, typer.Argument(help="The site's name.")]
Reason = Annotated[str, typer.Option(help="Why; it is in the site's log.")]
Timeout = Annotated[float, typer.Option(min=0.1, max=600, help="How long to wait for an answer.")]


def add_ordering(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command(epilog="Example: tenhertz fleet stop fleet.toml site-1 --reason smoke")(stop)
    app.command(epilog="Example: tenhertz fleet resume fleet.toml site-1")(resume)
    app.command(
        "set-power",
        epilog="Example: tenhertz fleet set-power fleet.toml site-1 --power-kw -50 --for-s 600",
    )(set_power)
    app.command(epilog="Example: tenhertz fleet plan fleet.toml site-1 plan.csv")(plan)
    app.command(epilog="Example: tenhertz fleet contracts fleet.toml site-1 contracts.csv")(
        contracts
    )


def stop(
    config: ConfigPath,
    site: Site,
    *,
    reason: Reason = "",
    timeout_s: Timeout = 10.0,
    json: Json = False,
) -> None:
    """De-energise a site and hold it so, until `resume`. Sent again until it answers."""
    from tenhertz.link.schema_pb2 import Stop

    command = _command(site, reason)
    command.stop.CopyFrom(Stop())
    _send(config, command, "stop", timeout_s, json=json)


def resume(
    config: ConfigPath,
    site: Site,
    *,
    reason: Reason = "",
    timeout_s: Timeout = 10.0,
    json: Json = False,
) -> None:
    """Lift a stop."""
    from tenhertz.link.schema_pb2 import Resume

    command = _command(site, reason)
    command.resume.CopyFrom(Resume())
    _send(config, command, "resume", timeout_s, json=json)


def set_power(
    config: ConfigPath,
    site: Site,
    *,
    power_kw: Annotated[str, typer.Option(help="Positive feeds the grid.")],
    for_s: Annotated[float, typer.Option(min=0.1, max=86_400, help="It ends by itself.")],
    reason: Reason = "",
    timeout_s: Timeout = 10.0,
    json: Json = False,
) -> None:
    """Ask for a power of the whole site; its limits and reserve contracts come first."""
    command = _command(site, reason)
    command.setpoint.power_w = number_in(power_kw, "--power-kw") * 1000
    command.setpoint.until_ns = command.issued_ns + round(for_s * 1e9)
    _send(config, command, "set-power", timeout_s, json=json)


def plan(
    config: ConfigPath,
    site: Site,
    file: Annotated[Path, typer.Argument(help="CSV: start,end,power_kw; instants with zone.")],
    *,
    reason: Reason = "",
    timeout_s: Timeout = 10.0,
    json: Json = False,
) -> None:
    """Replace a site's plan by that of a file; outside its steps there is none."""
    from tenhertz.link.schema_pb2 import Plan

    command = _command(site, reason)
    command.plan.CopyFrom(Plan())
    last_ns = None
    for where, row in csv_rows(file, ("start", "end", "power_kw")):
        start_ns, end_ns = _span(where, row)
        if last_ns is not None and start_ns < last_ns:
            raise UserError(f"{where}: begins before the step above it ends; order the steps")
        last_ns = end_ns
        power_w = number_in(row["power_kw"], f"{where}: power_kw") * 1000
        command.plan.steps.add(start_ns=start_ns, end_ns=end_ns, power_w=power_w)
    _send(config, command, f"plan of {len(command.plan.steps)} steps", timeout_s, json=json)


def contracts(
    config: ConfigPath,
    site: Site,
    file: Annotated[Path, typer.Argument(help="CSV: product,capacity_kw,start,end.")],
    *,
    reason: Reason = "",
    timeout_s: Timeout = 10.0,
    json: Json = False,
) -> None:
    """Replace the reserve contracts that a site has from the fleet by those of a file."""
    from tenhertz.link.schema_pb2 import Contracts

    command = _command(site, reason)
    command.contracts.CopyFrom(Contracts())
    for where, row in csv_rows(file, ("product", "capacity_kw", "start", "end")):
        start_ns, end_ns = _span(where, row)
        capacity_w = number_in(row["capacity_kw"], f"{where}: capacity_kw") * 1000
        if capacity_w <= 0:
            raise UserError(f"{where}: capacity_kw must be above 0")
        if not row["product"]:
            raise UserError(f"{where}: name a product")
        command.contracts.contracts.add(
            product=row["product"], capacity_w=capacity_w, start_ns=start_ns, end_ns=end_ns
        )
    what = f"list of {len(command.contracts.contracts)} contracts"
    _send(config, command, what, timeout_s, json=json)


def _span(where: str, row: dict[str, str]) -> tuple[int, int]:
    start_ns, end_ns = (instant_ns(row[name], f"{where}: {name}") for name in ("start", "end"))
    if start_ns >= end_ns:
        raise UserError(f"{where}: start is not before end; change one of them")
    return start_ns, end_ns


def _command(site: str, reason: str) -> Command:
    from tenhertz.link import VERSION
    from tenhertz.link.schema_pb2 import Command

    # Signs with a meaning in topics would send it to others.
    if not site or any(sign in "/+#" or not sign.isprintable() for sign in site):
        raise UserError(f"{site!r} cannot be a site: its name has no '/', '+' or '#'")
    if not reason.isprintable():
        raise UserError(f"--reason {reason!r}: write one line of plain text")
    now_ns = time.time_ns()
    return Command(
        version=VERSION,
        source=site,
        sequence=now_ns,
        issued_ns=now_ns,
        expires_ns=now_ns + _EXPIRES_NS,
        reason=reason,
    )


def _send(path: Path, command: Command, what: str, timeout_s: float, *, json: bool) -> None:
    """Send a command, tell what became of it, and end with its exit code."""
    from tenhertz.cli.fleet_wire import send
    from tenhertz.telemetry.config import load_fleet

    config = load_fleet(path)
    told = asyncio.run(send(config, path, command, timeout_s))
    if told.answer is None:
        if not told.sent:
            text = f"not sent: {told.trouble or 'no connection to the broker'}"
        else:
            text = (
                f"sent, but '{command.source}' did not answer in {timeout_s:g} s: not confirmed; "
                "it will not be repeated, so look at the site or send it again"
            )
        code = NO_ANSWER
    elif told.answer.accepted:
        text, code = f"'{command.source}' has taken it", 0
    else:
        text, code = f"'{command.source}' refuses: {told.answer.text or 'no reason given'}", REFUSED
    if json:
        answer = None if told.answer is None else told.answer.accepted
        found = {
            "sequence": command.sequence,
            "sent": told.sent,
            "accepted": answer,
            "text": told.answer.text if told.answer is not None else text,
        }
        typer.echo(msgspec.json.encode(found).decode())
    else:
        shown = "".join(sign if sign.isprintable() else "?" for sign in f"{what}: {text}")
        typer.echo(shown, err=code != 0)
    if code:
        raise typer.Exit(code)
