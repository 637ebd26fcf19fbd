"""Rentals: placed, read, listed and renewed; their messages, and what can be rented. Written like orders."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from types import MappingProxyType

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.account import age, listed, listing
from web.api.authentication import own
from web.api.orders import MOST_TRIES, Judge, check_on_sale, check_verified, counted, idempotency, refused
from web.api.problems import CODES, Problem, not_found
from web.api.requests import takes
from web.api.responses import Answer, answer
from web.middleware import about
from web.parts import current_caller, parts
from worker.compact_json import ascii_json
from worker.journal import Entry, line
from worker.pause import Pause
from worker.rental import ID_PREFIX, ITEM_FIELDS, PRODUCT, Renewal, Rental, RentalStatus
from worker.schedule import Lane, Wake
from worker.store import Created, Idempotency, Written

REPLAYED = {"Idempotency-Replayed": "true"}


@cache
def routes() -> APIBlueprint:
    """The routes under /v1/rentals, and the catalogue of rentals."""
    api = APIBlueprint("rentals", __name__, url_prefix="/v1", abp_tags=[openapi.RENTALS], abp_security=openapi.BEARER)
    api.post("/rentals", responses=openapi.answers(202, "Rental", 400, 409, 413, 415, 422, 429, 503))(create)
    api.get("/rentals", responses=openapi.answers(200, schemas.Rentals, 404, 422))(index)
    api.get("/rentals/<rental:rental_id>", responses=openapi.answers(200, schemas.Rental, 404, 422))(show)
    api.get("/rentals/<rental:rental_id>/messages", responses=openapi.answers(200, schemas.Messages, 404, 422))(
        messages
    )
    api.post(
        "/rentals/<rental:rental_id>/renew", responses=openapi.answers(202, "Rental", 400, 404, 409, 413, 415, 422, 503)
    )(renew)
    api.get("/rental-countries", responses=openapi.answers(200, schemas.RentalCountries, 422))(countries)
    api.get("/rental-prices", responses=openapi.answers(200, schemas.RentalPrices, 422))(prices)
    return api


# Renting.


@takes(header=schemas.OrderHeaders, body=schemas.NewRental)
def create() -> Response:
    """Rent a number for hours or days.

    A rental cannot be cancelled and is never refunded. Every message is sent to the callback once.
    """
    shared, caller = parts(), current_caller()
    key = requests.headers(schemas.OrderHeaders).idempotency_key
    asked = requests.body()
    used = idempotency(key, asked) if key is not None else None
    if used and (known := shared.store.replayed(caller.id, used)):
        return _created(known)
    check_on_sale(PRODUCT)
    rental = _new(requests.checked(schemas.NewRental, asked, context=Judge(shared, caller)))
    payload = ascii_json(rental.public()).encode()
    if used:
        used = Idempotency(used.key, used.body, payload)
    created = shared.store.create(rental, caller.caps, used, price=counted(rental, caller))
    return _accepted(rental.id, payload) if created.outcome == "created" else _created(created)


def _new(asked: schemas.NewRental) -> Rental:
    caller = current_caller()
    check_verified(asked.callback_url, caller)
    return Rental(
        id=ID_PREFIX + secrets.token_hex(12), caller=caller.id,
        item={name: getattr(asked, name) for name in ITEM_FIELDS},
        max_price=None if asked.max_price is None else Decimal(asked.max_price),
        callback_url=asked.callback_url or "", metadata=asked.metadata or {}, purpose=asked.purpose,
        created_at=parts().clock(),
    )  # fmt: skip


def _created(created: Created) -> Response:
    """What became of a rental, other than that it was accepted now."""
    if created.outcome != "replay":
        raise refused(created)
    return _accepted(json.loads(created.answer)["id"], created.answer, REPLAYED)


def _accepted(rental_id: str, payload: bytes, more: Mapping[str, str] = MappingProxyType({})) -> Response:
    about(rental=rental_id)
    return Answer(payload, 202, {"Location": f"/v1/rentals/{rental_id}", **more})


# Reading.


@takes(path=schemas.RentalPath)
def show(rental_id: str) -> Response:
    """Read a rental.

    Its messages have a call of their own.
    """
    return answer(_own(rental_id).public())


@takes(query=schemas.RentalsQuery)
def index() -> Response:
    """List rentals, newest first.

    Only those of the caller.
    """
    asked = requests.query(schemas.RentalsQuery)
    found, cursor = parts().store.rentals(
        current_caller().id, status=asked.status, limit=asked.limit, before=asked.cursor
    )
    return answer({"data": [rental.public() for rental in found], "next_cursor": cursor})


@takes(path=schemas.RentalPath, query=schemas.MessagesQuery)
def messages(rental_id: str) -> Response:
    """List the messages of a rental.

    In the sequence in which they were reported; with `after`, only messages after that one.
    """
    rental, asked = _own(rental_id), requests.query(schemas.MessagesQuery)
    told = [rental.shown(message) for message in rental.messages]
    if start := asked.cursor or asked.after:
        ids = [one["id"] for one in told]
        if start not in ids:
            raise not_found("message")
        told = told[ids.index(start) + 1 :]
    page = told[: asked.limit]
    return answer({"data": page, "next_cursor": page[-1]["id"] if len(told) > len(page) else None})


def _own(rental_id: str) -> Rental:
    """The caller's rental; somebody else's looks like none."""
    rental = own(parts().store.load_rental(rental_id), "rental")
    about(rental=rental_id)
    return rental


# Renewing.


@takes(path=schemas.RentalPath, header=schemas.RenewalHeaders, body=schemas.Renewal)
def renew(rental_id: str) -> Response:
    """Renew a rental.

    A renewal is a purchase: it is sent once per Idempotency-Key. `ends_at` moves only when the provider confirms it.
    """
    key = requests.headers(schemas.RenewalHeaders).idempotency_key
    asked = requests.body()
    used = idempotency(key, asked)
    body = requests.checked(schemas.Renewal, asked)
    for _ in range(MOST_TRIES):
        before = _own(rental_id)
        known = dict(before.renewal_keys).get(used.key)
        if known == used.body:  # the key asks for nothing again: the rental as it is now
            return Answer(ascii_json(before.public()).encode(), 202, REPLAYED)
        if known is not None:
            raise refused(Created("mismatch"))
        _check_renewable(before)
        most = None if body.max_price is None else Decimal(body.max_price)
        asked_for = Renewal(hours=body.duration, asked_at=parts().clock(), max_price=most)
        after = before.ask_renewal(asked_for, (used.key, used.body))
        journal = line(Entry.CALLER_RENEWAL)
        if parts().store.save(before, after, wake=Wake(Lane.POLL), journal=journal) is Written.SAVED:
            return answer(after.public(), 202)
    raise Problem(503, "busy", CODES["busy"], retry_after=1)


def _check_renewable(rental: Rental) -> None:
    """Raise Problem for a rental that cannot be renewed just now."""
    check_on_sale(PRODUCT)
    if rental.status is not RentalStatus.ACTIVE:
        raise Problem(409, "rental_not_active", CODES["rental_not_active"])
    if rental.queued or rental.buying:
        raise Problem(409, "renewal_under_way", CODES["renewal_under_way"])
    paused = parts().store.pauses()
    closed = [reason for reason in Pause if reason.closes and reason in paused]
    if closed:
        raise refused(Created("closed", reason=closed[0]))


# What can be rented.


@takes(query=schemas.RentalCountriesQuery)
def countries() -> Response:
    """List the countries in which numbers can be rented.

    As a worker last read them; `refresh=true` reads them again.
    """
    asked = requests.query(schemas.RentalCountriesQuery)
    reading = listing(f"rental_countries:{asked.provider}", refresh=asked.refresh == "true")
    return answer({"provider": asked.provider, "countries": listed(reading), **age(reading)})


@takes(query=schemas.RentalPricesQuery)
def prices() -> Response:
    """List the rental offers of a country.

    Each with its price and duration, as a worker last read it.
    """
    asked = requests.query(schemas.RentalPricesQuery)
    reading = listing(f"rental_prices:{asked.country}:{asked.provider}", refresh=asked.refresh == "true")
    shown = {"country": asked.country, "provider": asked.provider, "prices": listed(reading)}
    return answer({**shown, **age(reading)})
