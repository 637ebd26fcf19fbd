"""The command line, `ringback`: one module per subject, all of them thin.

`context` is where a command meets the settings, the store and the terminal. Heavy imports are made inside the
commands, so that `--help` answers at once.
"""

from __future__ import annotations

import typer

from worker.cli import account, calibrate, callers, checkup, events, listen, money, operators, orders, running, trigger
from worker.cli.context import Commands

__all__ = ["app", "main"]

app = typer.Typer(
    name="ringback",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Buys a number at OTPGet, waits for its code and calls back with a signed webhook.",
)
running.register(app)
app.add_typer(callers.app, name="caller")
app.add_typer(orders.app, name="order")
app.add_typer(events.app, name="events")
app.add_typer(operators.app, name="operator")
account.register(app)
money.register(app)
checkup.register(app)
calibrate.register(app)
listen.register(app)
trigger.register(app)


def main() -> None:
    """The entry point of the `ringback` command."""
    app()
