"""Test orders: placed where the sandbox provider is used, each for an item that plays a story."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access
from web.console.access import Turned
from web.console.page import place_of
from web.parts import parts
from worker.caller import Caller
from worker.callers import Callers
from worker.operator import Act
from worker.order import Acquisition, Order
from worker.rental import ID_PREFIX, PRODUCT, Rental
from worker.webhooks.guard import CallbackRefused

ITEMS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "cheap": ("server", {"type": "1"}),
    "sms": ("service", {"type": "4", "country": "33"}),
    "email": ("service", {"domain": "gmail.com"}),
    PRODUCT: ("pricing", {"country": "PK", "provider": "1"}),
}
"""Per product the field that names the story, and what else is ordered."""


def form() -> dict[str, object]:
    """What the form offers; empty without a sandbox."""
    if not parts().settings.sandbox_url:
        return {}
    from web.sandbox.stories import STORIES  # what directs the sandbox is loaded where there is one

    callers = [one for one in Callers(parts().store).all() if one.revoked_at is None]
    return {"stories": list(STORIES.values()), "test_callers": callers, "products": _products()}


def _products() -> tuple[str, ...]:
    return tuple(one for one in parts().settings.products if one in ITEMS)


def place() -> Response:
    """Place an order, or a rental, whose item plays a story at the sandbox."""
    shared = parts()
    if not shared.settings.sandbox_url:
        raise Turned(404, "test orders need the sandbox provider")
    from web.sandbox.stories import items_of

    product, item = request.form.get("product", "cheap"), f"story-{request.form.get('story', '')}"
    if product not in _products() or item not in items_of(product):
        raise Turned(422, "choose a product and one of its stories")
    caller = Callers(shared.store).get(request.form.get("caller", ""))
    order = _order(product, item, caller, _callback(caller))
    access.audit(Act.TEST_ORDER, order.id, item)
    created = shared.store.create(order, caller.caps)
    if created.outcome != "created":
        raise Turned(409, f"the order was not accepted: {created.reason or created.outcome}")
    return redirect(place_of(order.id) or "/console", 303)


def _callback(caller: Caller) -> str:
    """Where its webhooks go; without a callback they are there to be read."""
    if caller.callback_url:
        try:
            parts().callbacks.check(caller.callback_url, caller.id)
        except CallbackRefused as refused:
            raise Turned(422, f"the caller's callback is refused: {refused}") from None
    return caller.callback_url or ""


def _order(product: str, item: str, caller: Caller, callback: str) -> Acquisition:
    field, rest = ITEMS[product]
    asked: dict[str, Any] = {
        "caller": caller.id, "callback_url": callback, "created_at": parts().clock(), "purpose": "console test",
        "item": {field: item, **rest},
    }  # fmt: skip
    name = secrets.token_hex(12)
    if product == PRODUCT:
        return Rental(id=ID_PREFIX + name, **asked)
    return Order(id=f"ord_{name}", product=product, timeout=parts().settings.order_timeout, **asked)
