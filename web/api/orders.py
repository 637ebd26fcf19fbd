"""Orders: placed, read, listed and cancelled. A new order is one script; a worker's clock finds it within a tick."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic_core import PydanticCustomError

from web.api import openapi, requests, schemas
from web.api.authentication import confirm, own
from web.api.callbacks import told
from web.api.long_poll import Wait
from web.api.problems import CODES, Problem
from web.api.requests import takes
from web.api.responses import Answer, answer, unreadable
from web.client import has_left
from web.middleware import about
from web.parts import Parts, current_caller, parts
from web.request_state import request_state
from worker import tally
from worker.announce import announced
from worker.caller import Caller
from worker.compact_json import ascii_json
from worker.event import endpoint_of
from worker.journal import Entry, line
from worker.order import DEFAULT_PRODUCT, ITEM_FIELDS, Acquisition, Order, Settlement
from worker.reading import listing_name
from worker.schedule import after_caller_cancel
from worker.store import Created, Idempotency, Written
from worker.webhooks.guard import CallbackRefused

MOST_TRIES = 10
"""Times that a cancel is tried anew because the order changed meanwhile."""
CLOSED = {"switched_off": "buying_switched_off", "below_min_balance": "balance_below_floor"}
MOST_NAMED = 20
"""Servers named to whoever asks for one that is not there."""
CLOSED_RETRY = 60
"""Seconds after which to ask again while buying is closed."""


@cache
def routes() -> APIBlueprint:
    """The routes under /v1/orders."""
    api = APIBlueprint("orders", __name__, url_prefix="/v1", abp_tags=[openapi.ORDERS], abp_security=openapi.BEARER)
    api.post("/orders", responses=openapi.answers(202, "Order", 400, 409, 413, 415, 422, 429, 503))(create)
    api.get("/orders", responses=openapi.answers(200, schemas.Orders, 404, 422))(index)
    api.get("/orders/<order:order_id>", responses=openapi.order_answers())(show)
    api.post("/orders/<order:order_id>/cancel", responses=openapi.answers(202, "Order", 404, 422))(cancel)
    return api


# Placing an order.


@takes(query=schemas.NewOrderQuery, header=schemas.OrderHeaders, body=schemas.NewOrder)
def create() -> Response:
    """Place an order.

    A worker buys a number as soon as it is the order's turn, and the webhooks follow. Send an `Idempotency-Key`: the
    same request with the same key is the same order, however often you send it. The callback is checked before any
    money is spent.
    """
    seconds = requests.query(schemas.NewOrderQuery).wait if request.query_string else 0
    if not seconds:
        return _placed()
    # Its place comes first: what finds the room full is refused before it has bought anything.
    with _place(seconds) as wait:
        answered = _placed()
        order = parts().store.load(answered.headers["Location"].rpartition("/")[2])
        if order is not None:  # a replay may be about one that is no longer kept
            answered.set_data(ascii_json(_held(order, wait, _is_bought).public()))
    return answered


def _placed() -> Response:
    """Place the order that is asked for."""
    shared, caller = parts(), current_caller()
    key = requests.headers(schemas.OrderHeaders).idempotency_key
    asked = requests.body()
    used = idempotency(key, asked) if key is not None else None
    if used and (known := shared.store.replayed(caller.id, used)):
        return _created(known)
    order = _new(requests.checked(_body_of(asked), asked, context=Judge(shared, caller)), shared, caller)
    payload = ascii_json(order.public()).encode()
    if used:
        used = Idempotency(used.key, used.body, payload)
    created = shared.store.create(order, caller.caps, used, price=counted(order, caller))
    if created.outcome != "created":
        return _created(created)
    tally.accepted(shared.counters, order)
    return _accepted(order.id, payload)


def idempotency(key: str, asked: Any) -> Idempotency:
    """Digests of the key and of what was asked, however it was spelled."""
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return Idempotency(_digest(key), _digest(canonical), b"")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Judge:
    """What is known of the values of an order's or a rental's fields while its request is read."""

    __slots__ = ("_caller", "_parts")

    def __init__(self, shared: Parts, caller: Caller) -> None:
        self._parts = shared
        self._caller = caller

    def callback(self, url: str | None) -> str | None:
        """The callback that counts, once the guard has let it pass; None: the events are only recorded."""
        callback = self._caller.callback_url if url is None else url
        if callback is None:
            return None
        try:
            self._parts.callbacks.check(callback, self._caller.id)
        except CallbackRefused as refused:
            code, why = told(refused)
            about(callback=refused.code.value)
            why = why if url is not None else f"{why} (this caller's default callback)"
            raise PydanticCustomError(code, "{why}", {"why": why}) from None
        return callback

    def server(self, server: str, type: str) -> None:
        """Let a server pass that the last reading lists, and any while there is none."""
        listed = self._parts.servers.of(type)
        if listed and server not in listed:
            known = ", ".join(listed[:MOST_NAMED])
            why = (
                f"is not one of the servers of type {type}: {known} (/v1/servers?type={type}&refresh=true updates them)"
            )
            raise PydanticCustomError("unknown_server", "{why}", {"why": why})


def _body_of(asked: Any) -> type[schemas.OrderBody]:
    """The schema that an order's product asks for. Raises Problem (422) for one that is unknown or not on sale here."""
    product = asked.get("product", DEFAULT_PRODUCT) if isinstance(asked, dict) else DEFAULT_PRODUCT
    if not isinstance(product, str) or product not in schemas.ORDER_BODIES:
        known = " or ".join(f"`{one}`" for one in schemas.ORDER_BODIES)
        message = f"must be {known}; rentals are placed with POST /v1/rentals"
        raise requests.invalid([{"field": "product", "code": "unknown", "message": message}])
    check_on_sale(product)
    return schemas.ORDER_BODIES[product]


def check_on_sale(product: str) -> None:
    """Raise Problem (422) for a product that is not on sale here."""
    if product not in parts().settings.products:
        field = {"field": "product", "code": "product_disabled", "message": "is not on sale here (RINGBACK_PRODUCTS)"}
        raise Problem(422, "product_disabled", CODES["product_disabled"], errors=[field])


def check_verified(callback: str | None, caller: Caller) -> None:
    """Raise Problem (409) for a callback that has to answer a ping first."""
    if callback and not caller.may_call(endpoint_of(caller.id, callback)):
        raise Problem(409, "callback_unverified", CODES["callback_unverified"])


def counted(asked: Acquisition, caller: Caller) -> Decimal | None:
    """What a purchase will count against its caller's spend cap, where that is known by now.

    It goes by what was last read, or by the setting for what has no price; the worker reads it again before it buys.
    """
    shared, known = parts(), parts().products.get(asked.product)
    if caller.caps.max_spend_per_day is None or known is None:
        return None
    if known.price_list is None or known.item is None:
        return shared.settings.cheap_price if asked.product == DEFAULT_PRODUCT else None
    place = [asked.item[name] for name in known.place_names(known.price_list)]
    reading = shared.store.reading(listing_name(known.price_list, asked.product, place))
    return None if reading.stale(shared.clock()) else reading.price_of(asked.item[known.item])


def _new(asked: schemas.OrderBody, shared: Parts, caller: Caller) -> Order:
    check_verified(asked.callback_url, caller)
    given = asked.model_dump(include=set(schemas.product_fields(asked.product)))
    return Order(
        id="ord_" + secrets.token_hex(12), caller=caller.id, product=asked.product,
        item={name: given[name] for name in ITEM_FIELDS if name in given},
        max_price=None if given.get("max_price") is None else Decimal(given["max_price"]),
        callback_url=asked.callback_url or "", metadata=asked.metadata or {}, purpose=asked.purpose,
        timeout=shared.settings.order_timeout if asked.timeout is None else asked.timeout, created_at=shared.clock(),
        origin=str(request_state().origin or ""),
    )  # fmt: skip


def _created(created: Created) -> Response:
    """What became of an order, other than that it was placed now."""
    match created.outcome:
        case "replay":
            return _accepted(json.loads(created.answer)["id"], created.answer, {"Idempotency-Replayed": "true"})
        case _:
            raise refused(created)


def refused(created: Created) -> Problem:
    """Why an order or a rental was not accepted."""
    match created.outcome:
        case "mismatch":
            return Problem(422, "idempotency_mismatch", CODES["idempotency_mismatch"], errors=[_OTHER_BODY])
        case "closed":
            code = CLOSED[created.reason]
            parts().counters.add("orders_refused", reason=code)
            return Problem(503, code, CODES[code], retry_after=CLOSED_RETRY)
        case _:
            return Problem(429, created.reason, CODES[created.reason], retry_after=created.retry_after)


_OTHER_BODY = {
    "field": "Idempotency-Key",
    "code": "idempotency_mismatch",
    "message": "was used with another body",
}


def _accepted(order_id: str, payload: bytes, kwargs: Mapping[str, str] = MappingProxyType({})) -> Response:
    about(order=order_id, **({"replayed": True} if "Idempotency-Replayed" in kwargs else {}))
    return Answer(payload, 202, {"Location": f"/v1/orders/{order_id}", **kwargs})


# Reading orders.


@takes(path=schemas.OrderPath, query=schemas.OrderQuery, header=schemas.OrderReadHeaders)
def show(order_id: str) -> Response:
    """Read an order.

    Returns the current state. With `wait` the response is held until something has changed, so no receiver is needed.
    """
    asked = requests.query(schemas.OrderQuery)
    order = _own(order_id)
    enough = _enough(asked.wait_for, order)
    if asked.wait and not enough(order):
        with _place(asked.wait) as wait:
            order = _held(order, wait, enough)
    tag = {"ETag": f'"{order.version}"'}
    if _is_known(order):
        return Response(status=304, headers=tag)
    return Answer(ascii_json(order.public()).encode(), 200, tag)


def _enough(wait_for: str, first: Order) -> Callable[[Order], bool]:
    """What a reader waits for; `first` is the order at the moment of asking."""
    if wait_for == "number":
        return _is_bought
    if wait_for == "end":
        return lambda order: order.ended
    if request.if_none_match:
        return lambda order: not _is_known(order) or _is_over(order)
    return lambda order: order.version != first.version or _is_over(order)


def _is_bought(order: Order) -> bool:
    return order.purchase is not None or order.ended


def _is_over(order: Order) -> bool:
    """Whether nothing more will happen to it that its reader waits for."""
    return order.ended and order.settlement is not Settlement.PENDING


def _is_known(order: Order) -> bool:
    """Whether the client has the order as it is."""
    return request.if_none_match.contains_weak(str(order.version))


def _place(seconds: int) -> AbstractContextManager[Wait]:
    return parts().waiting.place(current_caller().id, seconds, partial(has_left, request.environ))


def _held(order: Order, wait: Wait, enough: Callable[[Order], bool]) -> Order:
    """The order once it is `enough`, or as it is when the wait is over."""
    version = parts().store.version_of(order.id)
    while not enough(order) and wait.until_changed(version, str(order.version).encode()):
        order = _own(order.id)
    confirm()
    return order


@takes(query=schemas.OrdersQuery)
def index() -> Response:
    """List orders, newest first.

    Continue with `cursor` as long as `next_cursor` is not null; a page may be shorter than `limit`.
    """
    asked = requests.query(schemas.OrdersQuery)
    skipped: list[str] = []
    found, cursor = parts().store.orders(
        current_caller().id, status=asked.status, limit=asked.limit, before=asked.cursor, skipped=skipped
    )
    return answer({"data": [order.public() for order in found], "next_cursor": cursor, **unreadable(skipped)})


def _own(order_id: str) -> Order:
    """The caller's order; somebody else's looks like none."""
    order = own(parts().store.load(order_id), "order")
    about(order=order_id)
    return order


# Cancelling.


@takes(path=schemas.OrderPath)
def cancel(order_id: str) -> Response:
    """Cancel an order.

    Before the purchase, nothing is bought. After it, the number is given back as soon as the provider allows, unless
    its code comes first. An order that has ended stays as it is.
    """
    for _ in range(MOST_TRIES):
        before = _own(order_id)
        if not before.understood:
            raise Problem(503, "busy", CODES["busy"], retry_after=5)
        after = before.ask_cancel(parts().clock())
        if after is before or save_cancel(before, after):
            return answer(after.public(), 202)
    raise Problem(503, "busy", CODES["busy"], retry_after=1)


def save_cancel(before: Order, after: Order) -> bool:
    """Write a cancel that was asked for; False when the order changed meanwhile, and is to be read anew."""
    shared, settings, now = parts(), parts().settings, parts().clock()
    wake = after_caller_cancel(after, now, buy_deadline=settings.buy_deadline)
    journal = line(Entry.CALLER_CANCEL)
    written = shared.store.save(before, after, wake=wake, events=announced(before, after, now), journal=journal)
    if written is not Written.SAVED:
        return False
    tally.changed(shared.counters, before, after)
    return True
