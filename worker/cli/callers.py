"""`ringback caller`: the systems that may post orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from worker import announce
from worker.caller import Caller, Caps
from worker.cli.context import (
    AsJson,
    Context,
    complain,
    name_skipped,
    open_context,
    option,
    say,
    seconds,
    show_fields,
    show_json,
    show_table,
    without_query,
)
from worker.errors import RingbackError
from worker.event import endpoint_of
from worker.order import decimal, rfc3339

app = typer.Typer(no_args_is_help=True, help="Create, list and change the systems that may post orders.")

Id = Annotated[str, typer.Argument(help="The caller's id, cal_...", metavar="ID")]
Cap = Annotated[int | None, typer.Option(min=1, help="A cap; no cap by default.", metavar="N")]
NO_CAP = 0
_MOST_PKR = Decimal(10**9)


class CallbackUnfit(RingbackError):
    """Webhooks must not be sent to the callback; the message says why."""


def _cap(text: str) -> int:
    if text == "none":
        return NO_CAP
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise ValueError("must be a whole number of at least 1, or none")
    return int(text)


def _amount(text: str) -> Decimal:
    if text == "none":
        return Decimal(NO_CAP)
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(NO_CAP)
    if not (amount.is_finite() and 0 < amount <= _MOST_PKR):
        raise ValueError("must be an amount in PKR like 500 or 37.50, or none")
    return amount


Spend = Annotated[Any, option(_amount, metavar="PKR", help="A cap on its spending per day; refunds are deducted.")]
NewCap = Annotated[Any, option(_cap, metavar="N|none", help="A new cap, or none for no cap.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="A name for it.", metavar="NAME")],
    callback_url: Annotated[
        str | None, typer.Option(help="Where its webhooks go, unless an order has its own callback.")
    ] = None,
    max_in_flight: Cap = None,
    orders_per_minute: Cap = None,
    orders_per_day: Cap = None,
    max_spend_per_day: Spend = None,
    verify_callback: Annotated[
        bool, typer.Option("--verify-callback", help="Refuse orders whose callback has not answered a ping.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a caller, and show its API key and webhook secret. They are shown only once.

    Example: ringback caller create shop --callback-url https://shop.example/hooks --max-in-flight 50
    """
    if verify_callback and not callback_url:
        raise typer.BadParameter("--verify-callback needs a --callback-url to ping")
    context = open_context()
    if callback_url:
        _judge(context, callback_url)
    caller, api_key, secret = context.callers.create(
        name, context.now(), callback_url=callback_url, verify_callback=verify_callback,
        caps=Caps(max_in_flight, orders_per_minute, orders_per_day, max_spend_per_day or None),
    )  # fmt: skip
    context.audit("change_caller", caller.id, "created")
    made = {"id": caller.id, "name": caller.name, "api_key": api_key, "webhook_secret": secret}
    if as_json:
        return show_json(made)
    show_fields(made)
    complain("Save both secrets now: they are never shown again.")
    if verify_callback:
        complain(f"Make the receiver answer the challenge, then: ringback caller ping {caller.id}")
    return None


def _judge(context: Context, url: str) -> None:
    """Refuse an address that is none. What only the web's own settings and network can judge is mentioned: the web
    judges it anew at every order, before money is spent.
    """
    from worker.webhooks.guard import CallbackRefused, NameServersSilent, Refusal, guard_of

    try:
        asyncio.run(guard_of(context.settings).judge(url))
    except NameServersSilent:
        complain("The callback's host could not be looked up from here: no name server replied.")
    except CallbackRefused as refused:
        if refused.code not in (Refusal.UNRESOLVABLE, Refusal.BLOCKED_ADDRESS, Refusal.NOT_HTTPS, Refusal.PORT):
            raise CallbackUnfit(f"the callback is refused ({refused.code}): it {refused}") from None
        complain(f"With the settings here, orders with this callback are refused ({refused.code}): it {refused}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all callers.

    Example: ringback caller list
    """
    skipped: list[str] = []
    callers = open_context().callers.all(skipped)
    name_skipped(skipped)
    if skipped and not callers:
        raise typer.Exit(1)
    if as_json:
        return show_json([_public(caller) for caller in callers])
    rows = [
        (c.id, c.name, _standing(c), rfc3339(c.created_at), without_query(c.callback_url), _caps(c)) for c in callers
    ]
    show_table(["id", "name", "state", "created", "callback", "caps"], rows, empty="There are no callers yet.")
    return None


@app.command()
def limits(
    id: Id,
    max_in_flight: NewCap = None,
    orders_per_minute: NewCap = None,
    orders_per_day: NewCap = None,
    max_spend_per_day: Annotated[
        Any, option(_amount, metavar="PKR|none", help="A new cap on spending per day, or none for no cap.")
    ] = None,
    weight: Annotated[
        int | None, typer.Option(min=1, max=100, help="How many orders to buy per turn while others wait.", metavar="N")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a caller's caps and weight, or change the given ones.

    Example: ringback caller limits cal_1f0c --max-in-flight 100 --orders-per-day none --weight 2
    """
    context = open_context()
    callers = context.callers
    asked = {
        "max_in_flight": max_in_flight, "orders_per_minute": orders_per_minute, "orders_per_day": orders_per_day,
        "max_spend_per_day": max_spend_per_day,
    }  # fmt: skip
    changes = {name: value or None for name, value in asked.items() if value is not None}
    caller = callers.get(id)
    if changes or weight is not None:
        caller = callers.change_caps(id, weight=weight, **changes)
        context.audit("change_caller", id, "changed its caps")
    _payload({"id": id, **_shown(caller.caps), "weight": caller.weight}, as_json)


@app.command("rotate-secret")
def rotate_secret(
    id: Id,
    overlap: Annotated[
        Any, option(seconds, metavar="DURATION", help="How long webhooks are still signed with the old secret, too.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Give a caller a new webhook secret, shown once. During the overlap, webhooks carry both signatures.

    Example: ringback caller rotate-secret cal_1f0c --overlap 24h
    """
    context = open_context()
    now = context.now()
    secret = context.callers.rotate_secret(id, now, overlap)
    context.audit("change_caller", id, "rotated its webhook secret")
    _payload({"id": id, "webhook_secret": secret, "old_secret_signs_until": rfc3339(now + overlap)}, as_json)


@app.command("rotate-key")
def rotate_key(id: Id, as_json: AsJson = False) -> None:
    """Give a caller a new API key, shown once. The old one stops working at once.

    Example: ringback caller rotate-key cal_1f0c
    """
    context = open_context()
    api_key = context.callers.rotate_key(id)
    context.audit("change_caller", id, "rotated its API key")
    _payload({"id": id, "api_key": api_key}, as_json)


@app.command()
def revoke(id: Id, as_json: AsJson = False) -> None:
    """Lock a caller out for good. Its orders continue to their end, and their webhooks are still sent.

    Example: ringback caller revoke cal_1f0c
    """
    context = open_context()
    caller = context.callers.revoke(id, context.now())
    context.audit("change_caller", id, "revoked")
    _payload({"id": id, "revoked_at": rfc3339(caller.revoked_at)}, as_json)


@app.command()
def ping(
    id: Id,
    callback_url: Annotated[str | None, typer.Option(help="Where to send it; by default its own callback.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a webhook.ping to a caller's callback. A receiver that answers its challenge proves the callback.

    Example: ringback caller ping cal_1f0c
    """
    context = open_context()
    caller, now = context.callers.get(id), context.now()
    url = callback_url or caller.callback_url
    if not url:
        raise CallbackUnfit(f"caller {id} has no callback to ping")
    if callback_url:
        _judge(context, callback_url)
    event = announce.ping(id, url, now)
    context.store.add_event(event)
    _payload({"id": id, "event": event.id}, as_json, "The ping is on its way: ringback events show " + event.id)


def _payload(fields: dict[str, Any], as_json: bool, note: str = "") -> None:
    show: Callable[[Any], None] = show_json if as_json else show_fields
    show(fields)
    if note and not as_json:
        say(note)


def _public(caller: Caller) -> dict[str, Any]:
    return {
        "id": caller.id, "name": caller.name, "state": _standing(caller), "created_at": rfc3339(caller.created_at),
        "callback_url": without_query(caller.callback_url), "caps": _shown(caller.caps),
        "weight": caller.weight,
        "secrets": len(caller.secrets), "revoked_at": rfc3339(caller.revoked_at),
    }  # fmt: skip


def _standing(caller: Caller) -> str:
    if caller.revoked_at is not None:
        return "revoked"
    proven = caller.may_call(endpoint_of(caller.id, caller.callback_url or ""))
    return "active" if proven else "unverified"


def _shown(caps: Caps) -> dict[str, Any]:
    """Caps as JSON shows them."""
    return {**caps.public(), "max_spend_per_day": decimal(caps.max_spend_per_day)}


def _caps(caller: Caller) -> str:
    caps = [f"{name} {value}" for name, value in _shown(caller.caps).items() if value is not None]
    return ", ".join([*caps, *([f"weight {caller.weight}"] if caller.weight != 1 else [])])
