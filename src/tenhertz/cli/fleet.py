"""`tenhertz fleet`: run a fleet server, look at it, keep its data safe, command sites.

One file a group of verbs: `fleet_look` reads, `fleet_keep` backs up, `fleet_order` commands. Here
stand the verbs of the server itself and of its keys.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tenhertz.cli.fleet_keep import add_keeping
from tenhertz.cli.fleet_look import add_looking
from tenhertz.cli.fleet_order import add_ordering
from tenhertz.cli.fleet_words import ConfigPath, Json
from tenhertz.errors import UserError

app = typer.Typer(
    help="Run a fleet server, look at it, back it up, command sites.", no_args_is_help=True
)

_NEEDED = ("duckdb", "grpc", "numpy", "pyarrow", "websockets")
_ALWAYS_THERE = ("key", "token")


@app.callback()
def _fleet(context: typer.Context) -> None:
    """Run a fleet server, look at it, back it up, command sites."""
    if context.invoked_subcommand in _ALWAYS_THERE:
        return
    for name in _NEEDED:
        if find_spec(name) is None:
            raise UserError(
                f"'{name}' is not installed, which a fleet server needs: pip install "
                "'tenhertz[cloud]'"
            )


@app.command(epilog="Example: tenhertz fleet serve fleet.toml")
def serve(config: ConfigPath) -> None:
    """Run the fleet server until Ctrl-C or SIGTERM."""
    from tenhertz.telemetry.serve import serve as run

    sys.exit(run(config))


@app.command(epilog="Example: tenhertz fleet check fleet.toml")
def check(config: ConfigPath, *, json: Json = False) -> None:
    """Check a configuration, and the files that it names, without running it."""
    from tenhertz.telemetry.check import checked_fleet

    found = checked_fleet(config)
    if json:
        told = {"ok": True, "sources": len(found.source), "store": found.store.kind}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo(f"{config}: {len(found.source)} [[source]], {found.store.kind} store: fine")


@app.command(epilog="Example: tenhertz fleet status fleet.toml --json")
def status(config: ConfigPath, *, json: Json = False) -> None:
    """Show how the running server stands."""
    from tenhertz.cli.fleet_status import read_status, status_view
    from tenhertz.telemetry.config import load_fleet

    found = read_status(load_fleet(config), config)
    if json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        status_view(found)


@app.command(epilog="Example: tenhertz fleet key fleet.key")
def key(path: Annotated[Path, typer.Argument(help="The file to make.")]) -> None:
    """Make the key that signs commands; sites obey it when they are told its public half."""
    from tenhertz.link.signature import new_key

    public = new_key(path)
    typer.echo(f"private key, for this server only: {path}")
    typer.echo("public key, for the site.toml of every site that is to obey:\n")
    typer.echo(f'[uplink]\ntrusted_keys = {{ fleet = "{public}" }}\n')
    typer.echo("'fleet' is the key's name, as command.key_name has it in fleet.toml")


@app.command(epilog="Example: tenhertz fleet token")
def token(*, json: Json = False) -> None:
    """Make a random token for a source that sends over gRPC or WebSocket. Stored nowhere."""
    import hashlib
    import secrets

    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    if json:
        told = {"token": secret, "token_sha256": digest}
        typer.echo(msgspec.json.encode(told).decode())
        return
    typer.echo(f"token, for the source: {secret}\n")
    typer.echo("for its [[source]] table in fleet.toml:\n")
    typer.echo(f'token_sha256 = "{digest}"')


add_looking(app)
add_keeping(app)
add_ordering(app)
