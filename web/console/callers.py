"""Callers: their caps and their use, what they spend, which of their endpoints fail; admins change them."""

from __future__ import annotations

from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access, filters
from web.console.access import Turned
from web.console.money import KINDS
from web.console.page import day, render
from web.parts import parts
from worker.caller import Caller
from worker.callers import Callers
from worker.operator import Act
from worker.store.queries import OrderFilter
from worker.webhooks.guard import CallbackRefused

WEEK = 7 * 86_400.0
MOST_LISTED = 200
"""Callers listed with their use."""
CAPS = ("max_in_flight", "orders_per_minute", "orders_per_day")
"""Caps on orders, which are changed here; the one on money is changed on the command line."""


def index() -> str:
    """Every caller with its use."""
    store, now = parts().store, parts().clock()
    callers = Callers(store).all()
    shown = callers[-MOST_LISTED:][::-1]
    return render(
        "callers.html", title="Callers", callers=shown, uncounted=len(callers) - len(shown),
        use={one.id: store.queries.caller_use(one.id, now) for one in shown},
    )  # fmt: skip


def show(caller_id: str) -> str:
    """One caller."""
    return _page(_callers().get(caller_id))


def _page(caller: Caller, shown: dict[str, str] | None = None) -> str:
    store, now = parts().store, parts().clock()
    moved = [one for one in store.queries.money(now - WEEK, now) if one.caller == caller.id]
    spend = {kind: sum(one.count for one in moved if one.kind in lines) for kind, lines in KINDS.items()}
    page = store.queries.orders(OrderFilter(caller=caller.id), now, limit=10)
    events, _ = store.events(caller.id, order=None, status="exhausted", limit=10, before=None)
    return render(
        "caller.html", title=f"Caller {caller.name}", caller=caller, use=store.queries.caller_use(caller.id, now),
        page=page, exhausted=events, spend=spend, secrets=len(caller.live_secrets(now)), shown=shown,
        since=day(now - WEEK), caps=[(name, getattr(caller.caps, name)) for name in CAPS],
        most_spent=caller.caps.max_spend_per_day, failing=store.queries.failing(now, caller.id),
        address=filters.address,
    )  # fmt: skip


def create() -> str:
    """A new caller; its secrets stand on this page and on no other."""
    name, callback = request.form.get("name", "").strip()[:64], request.form.get("callback_url", "").strip() or None
    if not name or not name.isprintable():
        raise Turned(422, "give the caller a name")
    if callback:
        try:
            parts().callbacks.check(callback, access.current().id)
        except CallbackRefused as refused:
            raise Turned(422, f"the callback is refused: {refused}") from None
    caller, api_key, secret = _callers().create(name, parts().clock(), callback_url=callback)
    access.audit(Act.CHANGE_CALLER, caller.id, "created")
    return _page(caller, {"API key": api_key, "Webhook secret": secret})


def limits(caller_id: str) -> Response:
    """Change the caps; an empty field is no cap."""
    _callers().get(caller_id)
    given: dict[str, Any] = {name: _cap(name) for name in CAPS if name in request.form}
    access.audit(Act.CHANGE_CALLER, caller_id, f"caps {', '.join(f'{name} {value}' for name, value in given.items())}")
    _callers().change_caps(caller_id, **given)
    return redirect(f"/console/callers/{caller_id}?done=saved", 303)


def _cap(name: str) -> int | None:
    text = request.form.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise Turned(422, f"{name.replace('_', ' ')} must be a whole number of at least 1, or empty")
    return int(text)


def rotate_key(caller_id: str) -> str:
    """A new API key, shown once."""
    access.audit(Act.CHANGE_CALLER, _callers().get(caller_id).id, "rotated its API key")
    api_key = _callers().rotate_key(caller_id)
    return _page(_callers().get(caller_id), {"API key": api_key})


def rotate_secret(caller_id: str) -> str:
    """A new webhook secret, shown once; the old one signs beside it for a day."""
    access.audit(Act.CHANGE_CALLER, _callers().get(caller_id).id, "rotated its webhook secret")
    secret = _callers().rotate_secret(caller_id, parts().clock())
    return _page(_callers().get(caller_id), {"Webhook secret": secret})


def revoke(caller_id: str) -> Response:
    """Lock a caller out for good."""
    access.audit(Act.CHANGE_CALLER, _callers().get(caller_id).id, "revoked")
    _callers().revoke(caller_id, parts().clock())
    return redirect(f"/console/callers/{caller_id}?done=revoked", 303)


def _callers() -> Callers:
    return Callers(parts().store)
