"""`ringback operator`: who may use the console, and login links for them."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from worker.cli.context import AsJson, Context, complain, name_skipped, open_context, show_fields, show_json, show_table
from worker.operator import Operator, Role
from worker.operators import Operators, login_path
from worker.order import rfc3339

app = typer.Typer(no_args_is_help=True, help="Create, list and lock out users of the console.")

Id = Annotated[str, typer.Argument(help="The operator's id, op_...", metavar="ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Their name in the audit.", metavar="NAME")],
    role: Annotated[
        Role, typer.Option(help="A viewer reads, an operator acts, an admin also changes callers and operators.")
    ],
    as_json: AsJson = False,
) -> None:
    """Create an operator of the console, and show a link that logs in once, within 10 minutes.

    Example: ringback operator create alice --role operator
    """
    context = open_context()
    operators = Operators(context.store)
    operator = operators.create(name, role, context.now())
    context.audit("change_operator", operator.id, f"created {operator.name} as {role}")
    _show_link(context, operator, as_json)


@app.command()
def link(id: Id, as_json: AsJson = False) -> None:
    """Make another login link for an operator.

    Example: ringback operator link op_1f0c
    """
    context = open_context()
    operator = Operators(context.store).get(id)
    context.audit("change_operator", id, "made a login link")
    _show_link(context, operator, as_json)


@app.command()
def revoke(id: Id, as_json: AsJson = False) -> None:
    """Lock an operator out for good; all sessions end at once.

    Example: ringback operator revoke op_1f0c
    """
    context = open_context()
    operator = Operators(context.store).revoke(id, context.now())
    context.audit("change_operator", id, "revoked")
    shown = {"id": id, "revoked_at": rfc3339(operator.revoked_at)}
    (show_json if as_json else show_fields)(shown)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all operators.

    Example: ringback operator list
    """
    skipped: list[str] = []
    operators = [_public(one) for one in Operators(open_context().store).all(skipped)]
    name_skipped(skipped)
    if as_json:
        return show_json(operators)
    head = ["id", "name", "role", "created_at", "revoked_at"]
    show_table(head, [[one[name] for name in head] for one in operators], empty="There are no operators yet.")
    return None


def _show_link(context: Context, operator: Operator, as_json: bool) -> None:
    token = Operators(context.store).link(operator.id)
    made = {**operator.public(), "login_url": _web_address() + login_path(token)}
    (show_json if as_json else show_fields)(made)
    if not as_json:
        complain("The link logs in once, within 10 minutes; `ringback operator link` makes another.")


def _web_address() -> str:
    """Where the web is: $RINGBACK_URL, the `ringback up` that runs in this folder, or $PORT of this machine."""
    from worker.local.up import FOLDER, web_address

    return (
        os.environ.get("RINGBACK_URL", "").rstrip("/")
        or web_address(FOLDER)
        or (f"http://127.0.0.1:{os.environ.get('PORT') or 8000}")
    )


def _public(operator: Operator) -> dict[str, Any]:
    return {
        **operator.public(),
        "created_at": rfc3339(operator.created_at), "revoked_at": rfc3339(operator.revoked_at),
    }  # fmt: skip
