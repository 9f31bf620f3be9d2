"""The command line, one file a verb.

`main` is the program's entry. It turns a `UserError` into one line on standard error and its exit
code; a programming error keeps its traceback.
"""

from __future__ import annotations

import sys

import typer

from tenhertz import __version__
from tenhertz.cli import fleet, sim, site
from tenhertz.cli.demo import demo
from tenhertz.errors import UserError

app = typer.Typer(
    name="tenhertz",
    help="Runs batteries as one grid resource.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", epilog="Example: tenhertz demo --headless --duration 30 --json")(demo)
app.add_typer(site.app, name="site")
app.add_typer(fleet.app, name="fleet")
app.add_typer(sim.app, name="sim")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the shape typer calls
    if wanted:
        typer.echo(f"tenhertz {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(  # noqa: FBT001
        False,  # noqa: FBT003
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and exit.",
    ),
) -> None:
    """Runs batteries as one grid resource."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except UserError as mistake:
        sys.stderr.write(f"tenhertz: {mistake}\n")
        sys.exit(mistake.exit_code)
