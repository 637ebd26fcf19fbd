"""`ringback journal`, `reconcile`, `buying`: the money's diary, whether it adds up, and the kill switch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer

from worker.cli.context import (
    AsJson,
    Context,
    cell,
    open_context,
    option,
    say,
    seconds,
    show_fields,
    show_json,
    show_table,
)
from worker.order import rfc3339
from worker.reconciliation import Report

SWITCHED_OFF = "switched_off"
"""The pause that only an operator sets and lifts (`worker.gate.Pause`)."""
_COLUMNS = ("kind", "order", "caller", "status", "settlement")


class Moment(float):
    """A point in time, in epoch seconds; as an option a span back from now is one too."""


def _since(text: str) -> Moment | float:
    """A span back from now, or a date with an optional time, in UTC unless it says otherwise."""
    try:
        return seconds(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a duration like 24h or 7d, or a date like 2026-11-22 or 2026-11-22T10:00Z") from None
    return Moment((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


Since = Annotated[
    Any, option(_since, metavar="DURATION|DATE", help="Where to begin: 24h, 7d, 2026-11-22, 2026-11-22T10:00Z.")
]


def _price(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not found.is_finite() or found <= 0:
        raise ValueError("must be an amount in PKR, like 12.50")
    return found


class Switch(StrEnum):
    """What to do about buying."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


def register(app: typer.Typer) -> None:
    """Give the commands to the command line."""
    for command in (journal, reconcile, buying):
        app.command()(command)


def journal(since: Since = "24h", as_json: AsJson = False) -> None:
    """Print the journal of money.

    It has every intent to buy and its outcome, every cancel, finish and refund, and every change of the balance. With
    --json, one object per line.

    Example: ringback journal --since 24h --json
    """
    context = open_context()
    lines = context.store.journal(_start(context, since))
    if as_json:
        for at, fields in lines:
            typer.echo(json.dumps({"at": rfc3339(at), **fields}))
        return
    rows = [(rfc3339(at), *(fields.get(name) for name in _COLUMNS), _rest(fields)) for at, fields in lines]
    show_table(["at", *_COLUMNS, "details"], rows, empty="The journal has no lines since then.")


def reconcile(
    since: Since = "7d",
    price: Annotated[
        Any,
        option(_price, metavar="PKR", help="What a number costs; by default what the balances show or last showed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the money that is unaccounted for.

    Compares the journal with the balances read along the way; exits with 1 if anything is unaccounted for. A price that
    the balances show is remembered for times when they show none.

    Example: ringback reconcile --since 7d --price 12.50
    """
    from worker import reconciliation

    context = open_context()
    known = context.store.account().get(reconciliation.LEARNT_PRICE)
    report = reconciliation.reconcile(
        context.store.journal(_start(context, since)), context.now(),
        price=price, remembered=Decimal(known) if known else None,
    )  # fmt: skip
    if report.inferred is not None and str(report.inferred) != known:
        context.store.remember(reconciliation.LEARNT_PRICE, str(report.inferred))
    show_json(report.public()) if as_json else _tell(report)
    if not report.clean:
        raise typer.Exit(1)


def buying(
    switch: Annotated[Switch, typer.Argument(help="off pauses all buying, on lifts that pause, status shows it.")],
    reason: Annotated[str, typer.Option(help="Why; shown in the audit and by doctor.")] = "",
    as_json: AsJson = False,
) -> None:
    """Pause or resume all buying; everything else continues.

    Example: ringback buying off --reason audit
    """
    context = open_context()
    if switch is Switch.OFF:
        context.store.pause(
            SWITCHED_OFF, {"since": context.now(), "by": "operator", **({"reason": reason} if reason else {})}
        )
        context.audit("switch_buying", "off", reason)
    elif switch is Switch.ON:
        context.store.resume(SWITCHED_OFF)
        context.audit("switch_buying", "on", reason)
    left = context.store.pauses()
    if as_json:
        return show_json({"buying": not left, "paused": left})
    say(f"Buying is paused: {', '.join(sorted(left))}." if left else "Buying is on.")
    if switch is Switch.ON and left:
        say("These pauses end by themselves once their cause is gone; `ringback doctor` says what to do.")
    return None


def _start(context: Context, since: float) -> float:
    return since if isinstance(since, Moment) else context.now() - since


def _rest(fields: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items() if name not in _COLUMNS)


def _tell(report: Report) -> None:
    payload = report.public()
    show_fields({f"orders {name}": count for name, count in payload["orders"].items() if count})
    show_fields({"price of a number": cell(payload["price"]), "spent (known)": f"{report.spent} PKR"})
    if report.unpriced:
        say(f"The balances do not show the price of {report.unpriced} purchases.")
    if report.uncovered:
        say(f"{report.uncovered} purchases and refunds came before the first or after the last reading of the balance.")
    if report.doubts:
        say("\nIn doubt:")
        show_table(
            ["order", "caller", "since", "why"],
            [(d.order, d.caller, rfc3339(d.at), d.why) for d in report.doubts],
            empty="",
        )
    if report.unaccounted:
        say("\nUnaccounted changes of the balance:")
        rows = [(rfc3339(s.start), rfc3339(s.end), s.before, s.after, s.verdict) for s in report.unaccounted]
        show_table(["from", "to", "balance before", "after", "what is known"], rows, empty="")
    say("\nEverything is accounted for." if report.clean else "\nNot everything is accounted for.")
