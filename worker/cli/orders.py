"""`ringback order`: place and cancel orders by the API like everybody, look at any caller's as the operator."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from worker.cli.api import Api, ApiKey, Url
from worker.cli.context import (
    AsJson,
    Reveal,
    complain,
    open_context,
    option,
    seconds,
    show_fields,
    show_json,
    show_table,
    without_query,
)
from worker.errors import NotFound
from worker.logs import mask_address, mask_number
from worker.order import Order, Status, rfc3339

app = typer.Typer(no_args_is_help=True, help="Place, show, list and cancel orders.")

HIDDEN = "***"
EVENTS_SHOWN = 50

Id = Annotated[str, typer.Argument(help="The order's id, ord_...", metavar="ID")]


def json_object(text: str) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError('must be a JSON object, like {"customer": 7}')
    return found


@app.command()
def create(
    product: Annotated[str | None, typer.Option(help="cheap (the default), sms or email.")] = None,
    server: Annotated[
        str | None, typer.Option(help="For cheap: the provider's server; `ringback servers` lists them.")
    ] = None,
    type: Annotated[str | None, typer.Option(help="For cheap and sms: the provider's type of number.")] = None,
    service: Annotated[
        str | None, typer.Option(help="For sms and email: the service's code; `ringback services` lists them.")
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="For sms: the country's id; `ringback countries` lists them.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="For email: the address's domain.")] = None,
    max_price: Annotated[str | None, typer.Option(help="For sms and email: the most that may be paid, in PKR.")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Where the webhooks go.")] = None,
    metadata: Annotated[Any, option(json_object, metavar="JSON", help="A JSON object, returned unchanged.")] = None,
    purpose: Annotated[str | None, typer.Option(help="A short label.")] = None,
    timeout: Annotated[
        Any, option(seconds, metavar="DURATION", help="When to cancel if no code has come, like 9m.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never places a second order.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exits with 1 without a code.")] = False,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Place an order through the API, as any caller does.

    Example: RINGBACK_API_KEY=rbk_... ringback order create --server 1 --type 1 --wait
    """
    given = {
        "product": product, "server": server, "type": type, "service": service, "country": country, "domain": domain,
        "max_price": max_price, "callback_url": callback_url, "metadata": metadata, "purpose": purpose,
        "timeout": timeout,
    }  # fmt: skip
    with Api(url, api_key) as api:
        order = api.place({name: value for name, value in given.items() if value is not None}, idempotency_key)
        if wait:
            complain(f"{order['id']}: {order['status']}; waiting for its end")
            order = api.until_ended(order)
    _show(order, as_json)
    if wait and order["status"] != Status.RECEIVED:
        raise typer.Exit(1)


@app.command()
def cancel(id: Id, api_key: ApiKey = None, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel an order through the API. After the purchase, this happens as soon as the provider allows.

    Example: RINGBACK_API_KEY=rbk_... ringback order cancel ord_52c1
    """
    with Api(url, api_key) as api:
        _show(api.cancel(id), as_json)


@app.command()
def show(id: Id, reveal: Reveal = False, as_json: AsJson = False) -> None:
    """Show any caller's order with its webhooks, straight from the store.

    Example: ringback order show ord_52c1
    """
    context = open_context()
    order = context.store.load(id)
    if order is None:
        raise NotFound(f"order {id!r} does not exist or is no longer kept")
    events, _ = context.store.events(order.caller, order=id, status=None, limit=EVENTS_SHOWN, before=None)
    payload = {
        **_payload(order, reveal),
        "events": [{"id": e.id, "type": e.type, "status": e.status.value} for e in events],
    }
    _show(payload, as_json)


@app.command("list")
def list_(
    caller: Annotated[str | None, typer.Option(help="Only this caller's.", metavar="ID")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")] = 20,
    reveal: Reveal = False,
    as_json: AsJson = False,
) -> None:
    """List orders of all callers, newest first.

    Example: ringback order list --status waiting
    """
    context = open_context()
    orders = context.newest(context.store.queries.orders, caller, status, limit)
    if as_json:
        return show_json([_payload(order, reveal) for order in orders])
    rows = [
        (
            o.id,
            o.caller,
            o.status,
            o.settlement,
            _contact(o, reveal),
            rfc3339(o.created_at),
            o.error,
        )
        for o in orders
    ]
    show_table(
        ["id", "caller", "status", "settlement", "number", "created", "error"], rows, empty="There are no such orders."
    )
    return None


def _payload(order: Order, reveal: bool) -> dict[str, Any]:
    """The order as an operator sees it: masked unless asked otherwise."""
    bought = order.purchase
    payload = {"caller": order.caller, **order.public(), "activation": bought.activation if bought else None}
    payload |= {"attempts": order.attempts, "cancels": order.cancels, "finishes": order.finishes}
    if reveal:
        return payload
    masked = {
        "number": mask_number(bought.number) or None if bought else None,
        "address": mask_address(bought.address) or None if bought else None,
        "otp": HIDDEN if order.otp else None,
        "callback_url": without_query(order.callback_url),
    }
    return payload | masked


def _contact(order: Order, reveal: bool) -> str | None:
    """The number or the address, masked unless asked otherwise."""
    bought = order.purchase
    if bought is None:
        return None
    return (bought.number or bought.address) if reveal else mask_number(bought.number) or mask_address(bought.address)


def _show(order: dict[str, Any], as_json: bool) -> None:
    (show_json if as_json else show_fields)(order)
