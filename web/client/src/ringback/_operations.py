"""The calls of the API, one function each: what is asked, and how the answer is read. Pure; nothing is sent here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote

from ringback._reading import Unreadable, read
from ringback.errors import FieldError, Problem, UnexpectedAnswer, problem_class
from ringback.models import (
    Balance,
    Countries,
    Delivery,
    Message,
    Order,
    Products,
    Rental,
    RentalCountries,
    RentalPrices,
    Servers,
    Services,
)

T = TypeVar("T")
M = TypeVar("M")

MOST_PER_PAGE = 100
"""What one page of a list holds at most."""
NOT_MODIFIED = 304
LONGEST_WAIT = 60
"""Seconds for which the service holds an answer at most."""

Money = Decimal | str | int
"""An amount in PKR. A float is none: it cannot say 45.10."""


class NewOrder(TypedDict, total=False):
    """The fields of a new order; which of them it takes depends on its product (`client.products()` lists them)."""

    product: str
    """`cheap` (the default), `sms` or `email`."""
    server: str
    """cheap: the provider's server, by its id."""
    type: str
    """cheap, sms: the provider's type of number."""
    service: str
    """sms, email: what the code is for, by its code."""
    country: str
    """sms: where the number is from, by its id."""
    domain: str
    """email: the domain of the address."""
    max_price: Money
    """sms, email: PKR above which nothing is bought."""
    callback_url: str
    """Where the webhooks go; the caller's own callback unless given."""
    metadata: Mapping[str, Any]
    """Comes back untouched; at most 4 KiB."""
    purpose: str
    """A short label."""
    timeout: float
    """Seconds after the purchase at which an order without a code is cancelled."""
    extra: Mapping[str, Any]
    """Fields that this version does not know, sent as they are."""


class NewRental(TypedDict, total=False):
    """The fields of a new rental."""

    pricing: str
    """The offer, by its id in `rentals.prices()`."""
    country: str
    """The country, by its code in `rentals.countries()`."""
    provider: str
    """The provider's provider."""
    max_price: Money
    """PKR above which nothing is rented."""
    callback_url: str
    """Where the webhooks go; the caller's own callback unless given."""
    metadata: Mapping[str, Any]
    """Comes back untouched; at most 4 KiB."""
    purpose: str
    """A short label."""
    extra: Mapping[str, Any]
    """Fields that this version does not know, sent as they are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `held` is for how many seconds the service may hold the answer back."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    held: float = 0.0

    @property
    def idempotency_key(self) -> str | None:
        """The key under which it does its work once, however often it is sent."""
        return self.headers.get("Idempotency-Key")

    def holding(self, seconds: float | None) -> Request:
        """The request, its answer held back for so many whole seconds at most; None: as it is."""
        if seconds is None:
            return self
        held = max(0, int(min(seconds, LONGEST_WAIT)))
        return replace(self, query={**self.query, "wait": str(held)}, held=float(held))

    def within(self, seconds: float) -> Request:
        """The request as it can be sent while so many seconds are left: it is held no longer than they last."""
        return self.holding(seconds) if seconds < self.held else self


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """A request and how its answer is read. `repeatable`: sent twice, it does no more than sent once."""

    request: Request
    read: Callable[[Reply], T]
    repeatable: bool = True


class Page(NamedTuple, Generic[M]):
    """A part of a list."""

    items: tuple[M, ...]
    next_cursor: str | None


# Orders.


def create_order(fields: Mapping[str, Any], wait: float | None, idempotency_key: str | None) -> Operation[Order]:
    """Place an order."""
    return Operation(_purchase("/v1/orders", fields, wait, idempotency_key), _order)


def get_order(
    order_id: str, *, wait: float | None = None, wait_for: str | None = None, known: Order | None = None
) -> Operation[Order]:
    """Read an order; with `known`, an answer of 304 is the order as it is known."""
    request = _get(f"/v1/orders/{_id(order_id)}", held=wait, wait_for=wait_for)
    if known is None or known.etag is None:
        return Operation(request, _order)
    request = replace(request, headers={"If-None-Match": known.etag})
    return Operation(request, lambda reply: known if reply.status == NOT_MODIFIED else _order(reply))


def cancel_order(order_id: str) -> Operation[Order]:
    """Cancel an order."""
    return Operation(Request("POST", f"/v1/orders/{_id(order_id)}/cancel"), _order)


def list_orders(limit: int, cursor: str | None, *, status: str | None) -> Operation[Page[Order]]:
    """A page of orders, newest first."""
    return Operation(_get("/v1/orders", status=status, limit=limit, cursor=cursor), _page(Order))


# Events.


def get_event(event_id: str) -> Operation[Delivery]:
    """Read an event."""
    return Operation(_get(f"/v1/events/{_id(event_id)}"), _one(Delivery))


def list_events(
    limit: int = MOST_PER_PAGE,
    cursor: str | None = None,
    *,
    order: str | None = None,
    status: str | None = None,
    type: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    failing: bool = False,
    after: str | None = None,
    payload: bool = False,
    wait: float | None = None,
) -> Operation[Page[Delivery]]:
    """A page of events: newest first; oldest first with `after`, an event's id or empty for all that are kept."""
    request = _get(
        "/v1/events", held=wait, order=order, status=status, type=type, since=_moment(since), until=_moment(until),
        failing=failing or None, after=after, payload=payload or None, limit=limit, cursor=cursor,
    )  # fmt: skip
    return Operation(request, _page(Delivery))


def redeliver_event(event_id: str) -> Operation[Delivery]:
    """Send an event's webhook once more; receivers know it by its id."""
    return Operation(Request("POST", f"/v1/events/{_id(event_id)}/redeliver"), _one(Delivery))


def ping(callback_url: str | None) -> Operation[Delivery]:
    """Send a `webhook.ping`; each request sends one."""
    request = Request("POST", "/v1/events/ping")
    if callback_url is not None:
        body = json.dumps({"callback_url": callback_url}).encode()
        request = replace(request, headers={"Content-Type": "application/json"}, body=body)
    return Operation(request, _one(Delivery), repeatable=False)


# Account and catalogue.


def balance(*, refresh: bool) -> Operation[Balance]:
    """Read the balance."""
    return Operation(_get("/v1/balance", refresh=refresh or None), _one(Balance))


def servers(*, type: str, refresh: bool) -> Operation[Servers]:
    """List servers."""
    return Operation(_get("/v1/servers", type=type, refresh=refresh or None), _one(Servers))


def countries(*, type: str | None, refresh: bool) -> Operation[Countries]:
    """List countries."""
    return Operation(_get("/v1/countries", type=type, refresh=refresh or None), _one(Countries))


def services(
    *, product: str, type: str | None, country: str | None, domain: str | None, refresh: bool
) -> Operation[Services]:
    """List services."""
    request = _get("/v1/services", product=product, type=type, country=country, domain=domain, refresh=refresh or None)
    return Operation(request, _one(Services))


def products() -> Operation[Products]:
    """List products."""
    return Operation(_get("/v1/products"), _one(Products))


# Rentals.


def create_rental(fields: Mapping[str, Any], idempotency_key: str | None) -> Operation[Rental]:
    """Rent a number."""
    return Operation(_purchase("/v1/rentals", fields, None, idempotency_key), _one(Rental))


def get_rental(rental_id: str) -> Operation[Rental]:
    """Read a rental."""
    return Operation(_get(f"/v1/rentals/{_id(rental_id)}"), _one(Rental))


def list_rentals(limit: int, cursor: str | None, *, status: str | None) -> Operation[Page[Rental]]:
    """A page of rentals, newest first."""
    return Operation(_get("/v1/rentals", status=status, limit=limit, cursor=cursor), _page(Rental))


def list_messages(limit: int, cursor: str | None, *, rental_id: str, after: str | None) -> Operation[Page[Message]]:
    """A page of a rental's messages."""
    path = f"/v1/rentals/{_id(rental_id)}/messages"
    return Operation(_get(path, after=after, limit=limit, cursor=cursor), _page(Message))


def renew_rental(
    rental_id: str, duration: int, max_price: Money | None, idempotency_key: str | None
) -> Operation[Rental]:
    """Renew a rental."""
    fields = {"duration": duration, "max_price": max_price}
    return Operation(_purchase(f"/v1/rentals/{_id(rental_id)}/renew", fields, None, idempotency_key), _one(Rental))


def rental_countries(*, provider: str | None, refresh: bool) -> Operation[RentalCountries]:
    """List where numbers are rented out."""
    return Operation(_get("/v1/rental-countries", provider=provider, refresh=refresh or None), _one(RentalCountries))


def rental_prices(*, country: str, provider: str | None, refresh: bool) -> Operation[RentalPrices]:
    """List offers."""
    request = _get("/v1/rental-prices", country=country, provider=provider, refresh=refresh or None)
    return Operation(request, _one(RentalPrices))


# Requests.


def _get(path: str, *, held: float | None = None, **query: Any) -> Request:
    given = {name: value for name, value in query.items() if value is not None}
    written = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    return Request("GET", path, written).holding(held)


def _purchase(path: str, fields: Mapping[str, Any], wait: float | None, idempotency_key: str | None) -> Request:
    """A POST that costs money: the same key on every try, so that it is done once."""
    known = {name: value for name, value in fields.items() if name != "extra" and value is not None}
    if "max_price" in known:
        known["max_price"] = _amount(known["max_price"])
    body = json.dumps({**known, **fields.get("extra", {})}, separators=(",", ":"), allow_nan=False).encode()
    headers = {"Idempotency-Key": _key(idempotency_key), "Content-Type": "application/json"}
    return Request("POST", path, headers=headers, body=body).holding(wait)


def _key(given: str | None) -> str:
    key = uuid.uuid4().hex if given is None else given
    if not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise ValueError("an Idempotency-Key must be printable ASCII text without spaces around it")
    return key


def _amount(value: Any) -> str:
    if isinstance(value, float):
        raise TypeError("max_price must be a Decimal, a str or an int: a float cannot be exactly 45.10")
    return str(value)


def _moment(at: datetime | None) -> str | None:
    if at is not None and at.tzinfo is None:
        raise ValueError("must be a timezone-aware datetime, such as datetime.now(UTC)")
    return at.isoformat() if at is not None else None


def _id(text: str) -> str:
    if text in ("", ".", ".."):  # another path
        raise ValueError("an id must not be empty or consist of dots")
    return quote(text, safe="")


# Answers.


def _order(reply: Reply) -> Order:
    return replace(_model(Order, reply), etag=reply.headers.get("etag"))


def _one(model: type[M]) -> Callable[[Reply], M]:
    return lambda reply: _model(model, reply)


def _page(model: type[M]) -> Callable[[Reply], Page[M]]:
    def read_page(reply: Reply) -> Page[M]:
        told = _json(reply)
        rows = told.get("data")
        if not isinstance(rows, list):
            raise _unexpected(reply, "a page must have `data`, a list")
        cursor = told.get("next_cursor")
        return Page(tuple(_fitting(model, row, reply) for row in rows), cursor if isinstance(cursor, str) else None)

    return read_page


def _model(model: type[M], reply: Reply) -> M:
    return _fitting(model, _json(reply), reply)


def _fitting(model: type[M], payload: Any, reply: Reply) -> M:
    try:
        return read(model, payload)
    except Unreadable as error:
        raise _unexpected(reply, str(error)) from None


def _json(reply: Reply) -> dict[str, Any]:
    try:
        told = json.loads(reply.body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _unexpected(reply, "it is not a JSON object")
    return told


def _unexpected(reply: Reply, why: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"a response with {reply.status} that is not from ringback: {why}")


def problem(reply: Reply, request: Request) -> Problem:
    """The error that an answer is. One that is no problem+json, as a proxy gives, has the code `http_<status>`."""
    try:
        told = _json(reply)
    except UnexpectedAnswer:
        told = {}
    listed = told.get("errors")
    errors = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return problem_class(reply.status)(
        reply.status,
        _word(told, "code") or f"http_{reply.status}",
        _word(told, "detail") or _word(told, "title") or "the response gives no reason",
        errors=[FieldError(_word(one, "field"), _word(one, "code"), _word(one, "message")) for one in errors],
        retry_after=_retry_after(reply.headers),
        request_id=reply.headers.get("x-request-id"),
        idempotency_key=request.idempotency_key,
    )


def _word(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date, as some proxies send it, is taken from the answer's own `Date`."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until, answered = parsedate_to_datetime(text), parsedate_to_datetime(headers["date"])
        return max(0.0, (until - answered).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None
