"""`tenhertz site`: run a site, look at it, stop it."""

from __future__ import annotations

import math
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tenhertz.errors import UserError

if TYPE_CHECKING:
    from tenhertz.site.paths import Parts

app = typer.Typer(help="Run a site, look at it, stop it.", no_args_is_help=True)

ConfigPath = Annotated[Path, typer.Argument(help="The site's configuration, a TOML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(epilog="Example: tenhertz site run site.toml")
def run(config: ConfigPath) -> None:
    """Run the site until Ctrl-C or SIGTERM."""
    from tenhertz.site.run import run_site

    sys.exit(run_site(config))


@app.command(epilog="Example: tenhertz site check site.toml")
def check(config: ConfigPath, *, json: Json = False) -> None:
    """Check a configuration without running it."""
    from tenhertz.site.check import checked_config

    found = checked_config(config)
    if json:
        typer.echo(msgspec.json.encode({"ok": True, "units": len(found.unit)}).decode())
    else:
        typer.echo(f"{config}: {len(found.unit)} units, {len(found.contract)} contracts: fine")


@app.command(epilog="Example: tenhertz site status site.toml --json")
def status(config: ConfigPath, *, json: Json = False) -> None:
    """Show how a running site stands."""
    from tenhertz.cli.site_view import status_table
    from tenhertz.site.status import decode_control, decode_gateway, decode_uplink

    parts = _parts(config)
    control, gateway = parts.control.read(), parts.gateway.read()
    if not control or not gateway:
        raise UserError("the site is starting; ask again in a moment")
    found, stored = decode_control(control), decode_gateway(gateway)
    notice = parts.uplink.read()
    sent = decode_uplink(notice) if notice else None
    age_s = (time.monotonic_ns() - parts.control.heartbeat[1]) / 1e9
    if json:
        told = {"beat_age_s": round(age_s, 3), "control": found, "gateway": stored, "uplink": sent}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        status_table(found, stored, age_s, sent)


@app.command(epilog="Example: tenhertz site stop site.toml")
def stop(
    config: Annotated[
        Path | None, typer.Argument(help="The site's configuration; only its name counts here.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="The site's name, where the file is not at hand or broken.")
    ] = "",
) -> None:
    """De-energise all units and hold them so, until `resume`."""
    from tenhertz.site.mailbox import Mailbox
    from tenhertz.site.segment import runtime_dir

    found, runtime = (name, "") if name else _name_in(config)
    try:
        mailbox = Mailbox(runtime_dir(found, runtime) / "mailbox")
    except FileNotFoundError:
        raise UserError(f"site '{found}' has never run here: there is nothing to stop") from None
    mailbox.stop()
    typer.echo("stop posted: the units are de-energised within the next tick and stay so")


def _name_in(config: Path | None) -> tuple[str, str]:
    """The site's name and runtime folder, whatever else is wrong with the file: a stop passes."""
    if config is None:
        raise UserError("which site? give its configuration file or --name")
    try:
        site = tomllib.loads(config.read_text(encoding="utf-8"))["site"]
        return str(site["name"]), str(site.get("runtime_dir", ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: no site name can be read ({error}); give --name") from error


@app.command(epilog="Example: tenhertz site resume site.toml")
def resume(config: ConfigPath) -> None:
    """Lift a stop."""
    _parts(config).mailbox.lift_stop()
    typer.echo("stop lifted")


@app.command(
    "set-power", epilog="Example: tenhertz site set-power site.toml --power-kw -50 --lease-s 30"
)
def set_power(
    config: ConfigPath,
    power_kw: Annotated[float, typer.Option(help="Positive feeds the grid.")],
    lease_s: Annotated[float, typer.Option(min=0.1, max=3600, help="It ends by itself.")] = 10.0,
) -> None:
    """Wish for a power of the whole site; limits and reserve contracts come first."""
    from tenhertz.site.mailbox import PowerWish

    if not math.isfinite(power_kw):
        raise UserError(f"--power-kw {power_kw} is not a power; give a number of kW")
    now_ns = time.time_ns()
    wish = PowerWish(power_kw * 1000, now_ns, now_ns + round(lease_s * 1e9))
    _parts(config).mailbox.post(wish)
    typer.echo(f"asked for {power_kw:g} kW for {lease_s:g} s")


def _parts(config_path: Path) -> Parts:
    from tenhertz.lock import is_held
    from tenhertz.site.config import load_config
    from tenhertz.site.paths import open_parts

    config = load_config(config_path)
    absent = UserError(
        f"site '{config.site.name}' is not running here; start it with "
        f"'tenhertz site run {config_path}'"
    )
    try:
        parts = open_parts(config, create=False)
    except (FileNotFoundError, ValueError):
        raise absent from None
    # The parent may have been killed: as long as the control process runs, it can be reached.
    if not any(is_held(parts.folder / f"{who}.lock") for who in ("parent", "control")):
        raise absent
    return parts
