"""Rendering a page: what every page shares, how values are shown, and what is masked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import Flask, g, render_template, request
from markupsafe import Markup

from web.parts import parts
from worker.errors import StoreUnavailable
from worker.event import Event
from worker.logs import mask_number
from worker.operator import Act
from worker.order import Order, rfc3339
from worker.rental import PRODUCT
from worker.store.queries import MOST

HIDDEN = "•••"
SECURITY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
NAVIGATION = (
    ("/console", "Overview"),
    ("/console/orders", "Orders"),
    ("/console/rentals", "Rentals"),
    ("/console/webhooks", "Webhooks"),
    ("/console/callers", "Callers"),
    ("/console/money", "Money"),
    ("/console/provider", "Provider"),
    ("/console/workers", "Workers"),
    ("/console/audit", "Audit"),
)
PLACES: Mapping[str, str] = {
    "ord_": "/console/orders", "rnt_": "/console/rentals", "evt_": "/console/webhooks", "cal_": "/console/callers",
}  # fmt: skip
"""The page under which an id with this prefix has its own."""
TONES: Mapping[str, str] = {
    "received": "good", "delivered": "good", "finished": "good", "refunded": "good", "on": "good", "done": "good",
    "ok": "good", "active": "good", "charged": "good",
    "waiting": "busy", "buying": "busy", "queued": "idle", "pending": "busy", "cancelling": "busy", "running": "busy",
    "expired": "odd", "cancelled": "idle", "unconfirmed": "odd", "warn": "odd", "gone": "odd", "stopped": "odd",
    "recorded": "idle", "ended": "idle", "failed": "bad", "exhausted": "bad", "fail": "bad", "revoked": "bad",
    "paused": "bad",
}  # fmt: skip
"""How loudly a word is shown."""


def install(app: Flask) -> None:
    """Make the ways of showing values known to the templates."""
    app.jinja_env.filters.update(
        clock=clock, day=day, moment=rfc3339, span=span, ago=ago, number=mask_number, address=masked_address,
        place=without_query, words=words, tone=tone, page_of=place_of,
    )  # fmt: skip
    app.jinja_env.globals["most_walked"] = MOST
    app.jinja_env.finalize = harmless


def render(template: str, **values: Any) -> str:
    """A page. Whatever stands in `values` was written by others and is escaped."""
    operator = g.get("operator")
    return render_template(
        template, navigation=navigation() if operator else (), here=request.path, operator=operator,
        now=parts().clock(), may=lambda act: operator is not None and operator.may(Act(act)),
        sandbox=parts().settings.sandbox_url, notice=request.args.get("done"), notices=NOTICES, **values,
    )  # fmt: skip


def navigation() -> list[tuple[str, str]]:
    """The pages with their names; that of rentals where they can be had, or once were."""
    rented = PRODUCT in parts().settings.products
    with suppress(StoreUnavailable):  # the page that says so has a navigation, too
        rented = rented or parts().store.queries.any_rentals()
    return [(path, name) for path, name in NAVIGATION if rented or path != PLACES["rnt_"]]


def place_of(name: str) -> str | None:
    """The page of what an id names; None for the id of something that has none."""
    return f"{PLACES[name[:4]]}/{name}" if name[:4] in PLACES else None


NOTICES = {
    "cancelled": "The cancel is accepted. A worker gives the number back as soon as the provider allows.",
    "redelivered": "The webhook is being sent again, with the same webhook-id.",
    "underway": "An attempt is under way at the moment; look again when it has ended.",
    "unchanged": "The order is ending or has already ended: nothing was changed.",
    "off": "Buying is switched off. Polls, cancels and webhooks continue.",
    "on": "Buying is switched on. Other reasons why it is paused, if any, are below.",
    "asked": "A worker is reading it again; look again in a moment.",
    "stopped": "The redelivery is stopped. Webhooks already sent stay sent.",
    "saved": "The change is saved.",
    "revoked": "It is revoked as of now.",
    "reconciled": "The journal was compared with the balances; the result is below.",
}
"""What is said after an act; pages get the word in their address, never the text."""


def harmless(value: Any) -> Any:
    """Text of others without characters that could steer the page's order or hide in it; None shows as a dash."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash, as in tables
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in value)
    return value


# How values are shown.


def clock(at: float | None) -> str | None:
    """A moment as date and time of day in UTC; of today, the time alone."""
    if at is None:
        return None
    then, today = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(parts().clock(), UTC)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%-d %b %H:%M:%S")


def day(at: float) -> str:
    """A moment as a date in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def span(seconds: float | None) -> str | None:
    """A span in the two units that matter."""
    if seconds is None:
        return None
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def ago(at: float | None) -> str | None:
    """How long ago a moment was, or how far ahead it is."""
    if at is None:
        return None
    passed = parts().clock() - at
    if abs(passed) < 1:
        return "just now"
    return f"{span(passed)} ago" if passed >= 0 else f"in {span(-passed)}"


def words(name: str | None) -> str | None:
    """A name of ours as words."""
    return None if name is None else name.replace("_", " ")


def tone(word: object) -> str:
    """The class by which a word is coloured; the word itself is always there."""
    return TONES.get(str(word), "idle")


# What is masked.


def masked_address(address: str | None) -> str | None:
    """An email address with its local part hidden."""
    return None if address is None else f"{HIDDEN}@{address.rpartition('@')[2]}"


def without_query(url: str | None) -> str | None:
    """An address as it may be shown: what is behind the question mark may be a secret."""
    return url if url is None or "?" not in url else url.partition("?")[0] + f"?{HIDDEN}"


MESSAGE = ("code", "text", "sender")
"""What of a rental's message is for its caller alone."""


def masked_payload(event: Event) -> str:
    """A webhook's body, readable, with code, number and address masked."""
    try:
        message = json.loads(event.body)
    except ValueError:
        return HIDDEN
    data = message.get("data")
    if isinstance(data, dict):
        _mask(data)
    inner = message.get("message")
    if isinstance(inner, dict):
        message["message"] = {name: HIDDEN if name in MESSAGE else value for name, value in inner.items()}
    return json.dumps(message, indent=2, ensure_ascii=False)


def _mask(data: dict[str, Any]) -> None:
    if data.get("otp") is not None:
        data["otp"] = HIDDEN
    for name, mask in (("number", mask_number), ("address", masked_address)):
        if data.get(name) is not None:
            data[name] = mask(str(data[name]))
    if isinstance(data.get("callback_url"), str):
        data["callback_url"] = without_query(data["callback_url"])


def masked_answer(excerpt: str, secrets: list[str]) -> str:
    """What a receiver answered, without what it may have echoed: the words of the values, and every run of digits."""
    for secret in secrets:
        for word in {secret, *re.findall(r"\w{3,}", secret)}:
            excerpt = excerpt.replace(word, HIDDEN)
    return re.sub(r"\d{3,}", HIDDEN, excerpt)


def secrets_of(order: Order | None, event: Event) -> list[str]:
    """What an answer to a webhook may echo and must not show: code, number and address."""
    bought = order.purchase if order else None
    values: list[Any] = [order.otp] if order else []
    values += [bought.number, bought.address, bought.as_sold] if bought else []
    try:
        body = json.loads(event.body)
    except ValueError:
        body = {}
    for part, names in (("data", ("otp", "number", "address")), ("message", MESSAGE)):
        if isinstance(body.get(part), dict):
            values += [body[part].get(name) for name in names]
    return sorted({str(value) for value in values if value}, key=len, reverse=True)
