"""`ringback demo`, `up`, `sandbox`: what runs until it is done or stopped."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

Port = Annotated[
    int | None, typer.Option(min=1, max=65535, metavar="PORT", help="The web's port; default $PORT, or else 8000.")
]


def register(app: typer.Typer) -> None:
    """Give the commands to the command line."""
    app.command()(demo)
    app.command()(up)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
        sandbox
    )


def demo(
    product: Annotated[str, typer.Option(help="What to order: cheap, sms or email.")] = "cheap",
) -> None:
    """Play one order from POST to verified webhook.

    Starts real processes with an embedded store; only the provider is the sandbox.

    Example: ringback demo --product email
    """
    from worker.local import demo as play

    if product not in play.ORDERS:
        raise typer.BadParameter(f"must be one of {', '.join(play.ORDERS)}", param_hint="--product")
    raise typer.Exit(play.run(product))


def up(
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Use the sandbox provider even if a provider key is set.")
    ] = False,
    port: Port = None,
    sandbox_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="The sandbox provider's port; default 9000 or a free one."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes to start.")] = 1,
) -> None:
    """Run the whole service on this machine until Ctrl-C.

    Example: ringback up --sandbox
    """
    from worker.local import up as running

    raise typer.Exit(running.up(sandbox=sandbox, port=port, sandbox_port=sandbox_port, workers=workers))


def sandbox(context: typer.Context) -> None:
    """Run the sandbox provider alone.

    `ringback sandbox --help` shows its options. It replaces this process, so stopping this process stops the sandbox.

    Example: ringback sandbox --port 9000 --code-after 5
    """
    os.execv(sys.executable, [sys.executable, "-u", "-m", "web.sandbox", *context.args])  # noqa: S606 - no shell wanted
