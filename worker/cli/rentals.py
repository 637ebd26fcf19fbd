"""`ringback rental`: rent numbers through the API like everybody, look at any caller's rentals as the operator."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from worker.cli.api import Api, ApiKey, Url
from worker.cli.context import (
    AsJson,
    Reveal,
    open_context,
    option,
    show_fields,
    show_json,
    show_table,
    without_query,
)
from worker.cli.orders import HIDDEN, json_object
from worker.errors import NotFound
from worker.logs import mask_number
from worker.order import rfc3339
from worker.rental import Rental, RentalStatus

app = typer.Typer(no_args_is_help=True, help="Rent numbers for hours or days, and read their messages.")

Id = Annotated[str, typer.Argument(help="The rental's id, rnt_...", metavar="ID")]
MaxPrice = Annotated[str | None, typer.Option(help="The most that may be paid, in PKR, like 400.00.")]


@app.command()
def create(
    pricing: Annotated[str, typer.Option(help="The offer, by its id in GET /v1/rental-prices.")],
    country: Annotated[str, typer.Option(help="The country in which the offer is listed, by its code.")],
    provider: Annotated[str, typer.Option(help="The provider's own supplier.")] = "1",
    max_price: MaxPrice = None,
    callback_url: Annotated[str | None, typer.Option(help="Where the webhooks go.")] = None,
    metadata: Annotated[Any, option(json_object, metavar="JSON", help="A JSON object, returned unchanged.")] = None,
    purpose: Annotated[str | None, typer.Option(help="A short label.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never rents a second number.")] = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Rent a number through the API. A rental cannot be cancelled and is never refunded.

    Example: RINGBACK_API_KEY=rbk_... ringback rental create --pricing 101 --country PK --max-price 400
    """
    given = {
        "pricing": pricing, "country": country, "provider": provider, "max_price": max_price,
        "callback_url": callback_url, "metadata": metadata, "purpose": purpose,
    }  # fmt: skip
    with Api(url, api_key) as api:
        _show(api.rent({name: value for name, value in given.items() if value is not None}, idempotency_key), as_json)


@app.command()
def renew(
    id: Id,
    duration: Annotated[int, typer.Option(help="By how many hours to extend it.", min=1)],
    idempotency_key: Annotated[str, typer.Option(help="The same key never renews it twice.")],
    max_price: MaxPrice = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Renew a rental through the API: a purchase, sent once.

    Example: RINGBACK_API_KEY=rbk_... ringback rental renew rnt_52c1 --duration 24 --idempotency-key second-day
    """
    asked = {"duration": duration} | ({} if max_price is None else {"max_price": max_price})
    with Api(url, api_key) as api:
        _show(api.renew(id, asked, idempotency_key), as_json)


@app.command()
def show(id: Id, reveal: Reveal = False, as_json: AsJson = False) -> None:
    """Show any caller's rental, straight from the store.

    Example: ringback rental show rnt_52c1
    """
    _show(_payload(_rental(id), reveal), as_json)


@app.command()
def messages(id: Id, reveal: Reveal = False, as_json: AsJson = False) -> None:
    """Show the messages of a rented number, straight from the store.

    Example: ringback rental messages rnt_52c1 --reveal
    """
    rental = _rental(id)
    told = [rental.shown(message) for message in rental.messages]
    if not reveal:
        told = [one | {name: HIDDEN for name in ("code", "text", "sender") if one[name]} for one in told]
    if as_json:
        return show_json(told)
    names = ("id", "received_at", "sender", "code", "text")
    rows = [[one[name] for name in names] for one in told]
    show_table(names, rows, empty="There are no messages yet.")
    return None


@app.command(name="list")
def list_(
    caller: Annotated[str | None, typer.Option(help="Only this caller's.")] = None,
    status: Annotated[RentalStatus | None, typer.Option(help="Only rentals with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most, newest first.")] = 20,
    reveal: Reveal = False,
    as_json: AsJson = False,
) -> None:
    """List rentals of all callers, newest first.

    Example: ringback rental list --status active
    """
    context = open_context()
    found = context.newest(context.store.queries.rentals, caller, status, limit)
    if as_json:
        return show_json([_payload(rental, reveal) for rental in found])
    rows = [
        (
            one.id, one.caller, one.status, one.settlement, _number(one, reveal), len(one.messages),
            rfc3339(one.purchase.expires_at) if one.purchase else None, one.error,
        )
        for one in found
    ]  # fmt: skip
    head = ["id", "caller", "status", "settlement", "number", "messages", "ends", "error"]
    show_table(head, rows, empty="There are no such rentals.")
    return None


def _rental(id: str) -> Rental:
    rental = open_context().store.load_rental(id)
    if rental is None:
        raise NotFound(f"rental {id!r} does not exist or is no longer kept")
    return rental


def _payload(rental: Rental, reveal: bool) -> dict[str, Any]:
    """The rental as an operator sees it: masked unless asked otherwise."""
    bought = rental.purchase
    shown = {"caller": rental.caller, **rental.public(), "activation": bought.activation if bought else None}
    if reveal:
        return shown
    return shown | {"number": _number(rental, reveal), "callback_url": without_query(rental.callback_url or None)}


def _number(rental: Rental, reveal: bool) -> str | None:
    number = rental.purchase.number if rental.purchase else None
    return number if reveal else mask_number(number) or None


def _show(rental: dict[str, Any], as_json: bool) -> None:
    (show_json if as_json else show_fields)(rental)
