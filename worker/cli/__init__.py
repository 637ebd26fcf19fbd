"""The command line, `ringback`: one module per subject, all of them thin.

`context` is where a command meets the settings, the store and the terminal. Heavy imports are made inside the
commands, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli import (
    account,
    calibrate,
    callers,
    checkup,
    events,
    keys,
    listen,
    money,
    operators,
    orders,
    rentals,
    running,
    trigger,
)
from worker.cli.context import Commands
from worker.store import FORMAT

__all__ = ["app", "main"]

app = typer.Typer(
    name="ringback",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Buys a number from OTPGet, waits for its code and calls back with a signed webhook.",
)
running.register(app)
app.add_typer(callers.app, name="caller")
app.add_typer(orders.app, name="order")
app.add_typer(rentals.app, name="rental")
app.add_typer(events.app, name="events")
app.add_typer(operators.app, name="operator")
app.add_typer(keys.app, name="keys")
account.register(app)
money.register(app)
checkup.register(app)
calibrate.register(app)
listen.register(app)
trigger.register(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ringback {version('ringback')}, records of format {FORMAT}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Buys a number from OTPGet, waits for its code and calls back with a signed webhook."""


def main() -> None:
    """The entry point of the `ringback` command."""
    app()
