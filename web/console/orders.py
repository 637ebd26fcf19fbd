"""Orders: found by a filter that stands in the address, and one on a page of its own with all that is known of it."""

from __future__ import annotations

from typing import get_args

from flask import redirect, request
from werkzeug.wrappers import Response

from web.api.orders import MOST_TRIES, save_cancel
from web.console import access, charts, filters, words
from web.console.access import Turned
from web.console.page import masked_answer, place_of, render, secrets_of
from web.parts import parts
from worker.callers import Callers
from worker.errors import NotFound
from worker.operator import Act
from worker.order import ErrorCode, Order, Settlement, Status
from worker.rental import ID_PREFIX, PRODUCT
from worker.settings import Product

EVENTS_SHOWN = 50
CANCELLABLE = (Status.QUEUED, Status.BUYING, Status.WAITING)
REVEALED = ("code", "number", "address")
"""What can be revealed."""
SETTLEMENTS = [one for one in Settlement if one is not Settlement.CHARGED]
"""What becomes of an order's money; the one left out is for rentals, whose money never comes back."""


def index() -> str | Response:
    """Orders by filter, newest first."""
    asked = request.args
    if found := _by_id(asked.get("id", "").strip()):
        return redirect(found, 303)
    wanted, store = filters.orders(asked), parts().store
    page = store.queries.orders(wanted, parts().clock(), cursor=asked.get("cursor"))
    return render(
        "orders.html", title="Orders", page=page, asked=asked, address=filters.address, total=sum(page.counts.values()),
        callers=Callers(store).all(), settlements=SETTLEMENTS, errors=list(ErrorCode),
        products=[one for one in get_args(Product) if one != PRODUCT], unknown_id=asked.get("id"),
    )  # fmt: skip


def _by_id(name: str) -> str | None:
    """The page of what an id names, whatever it is the id of; None where there is no such thing (any more)."""
    store = parts().store
    load = {"ord_": store.load, "rnt_": store.load_rental, "evt_": store.load_event, "cal_": store.caller}
    return place_of(name) if name[:4] in load and load[name[:4]](name) else None


def show(order_id: str) -> str:
    """One order: did it run, is it stuck, where is the money."""
    return _page(_found(order_id))


def _page(order: Order, revealed: tuple[str, str] | None = None) -> str:
    store, now = parts().store, parts().clock()
    events, _ = store.events(order.caller, order=order.id, status=None, limit=EVENTS_SHOWN, before=None)
    wake = store.queries.wake_of(order.id)
    return render(
        "order.html", title=f"Order {order.id}", order=order, bought=order.purchase, events=events,
        caller=store.caller(order.caller), journal=store.queries.journal_of(order.id), wake=wake,
        course=charts.course(order, now), ran=words.did_it_run(order),
        stuck=words.is_it_stuck(order, wake, events, now), money=words.where_is_the_money(order),
        flags=words.advice_on(order.flags),
        facts={**order.item, "highest price": order.max_price, "purpose": order.purpose},
        can_cancel=order.status in CANCELLABLE,
        hidden=[what for what in REVEALED if _value(order, what)], revealed=revealed,
        answer=lambda event, attempt: masked_answer(attempt.excerpt, secrets_of(order, event)),
    )  # fmt: skip


def _value(order: Order, what: str) -> str | None:
    """What is masked elsewhere."""
    return order.otp if what == "code" else getattr(order.purchase, what, None)


def cancel(order_id: str) -> Response:
    """Cancel it as its caller would."""
    _found(order_id)
    access.audit(Act.CANCEL, order_id, access.reason())
    for _ in range(MOST_TRIES):
        before = _found(order_id)
        after = before.ask_cancel(parts().clock())
        if after is before:
            return redirect(f"/console/orders/{order_id}?done=unchanged", 303)
        if save_cancel(before, after):
            return redirect(f"/console/orders/{order_id}?done=cancelled", 303)
    raise Turned(503, "the order keeps changing; try again")


def reveal(order_id: str) -> str:
    """Show one masked value, once, to somebody who says why."""
    order, what = _found(order_id), request.form.get("what", "")
    if what not in REVEALED:
        raise Turned(422, "choose one value to reveal")
    value = _value(order, what)
    if not value:
        raise Turned(404, f"this order has no {what}, or it has been erased")
    access.audit_reveal(order_id, what)
    return _page(order, revealed=(what, value))


def _found(order_id: str) -> Order:
    order = None if order_id.startswith(ID_PREFIX) else parts().store.load(order_id)
    if order is None:
        raise NotFound(f"order {order_id} does not exist or is no longer kept")
    return order
