"""The overview: what needs a person now, in words, and how the service is doing."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from flask import redirect, request
from werkzeug.wrappers import Response

from web.console import access, charts, words
from web.console.access import Turned
from web.console.page import clock, render
from web.console.words import Matter
from web.parts import parts
from worker import doctor
from worker.callers import Callers
from worker.metrics import label_of
from worker.operator import Act
from worker.order import TERMINAL, Order
from worker.schedule import LIFE
from worker.store.figures import Series
from worker.webhooks.guard import CallbackRefused

HOUR, DAY = 3600.0, 86_400.0
SHOWN = 60
"""Minutes of the chart."""
TIMES = "code_to_webhook_seconds_bucket"
"""How many codes were with their caller in which time: each bucket holds its own, not those of the buckets below."""


def show() -> str:
    """The overview."""
    store, now = parts().store, parts().clock()
    figures = store.figures.read(now - HOUR, now)
    minute = int(now // 60)
    ended = by_label(figures, "orders_ended", "status")
    buckets = {end: sum(amounts.values()) for end, amounts in by_label(figures, TIMES, "le").items()}
    order = [status.value for status in TERMINAL]
    return render(
        "overview.html", title="Overview", lanes=store.depths(),
        matters=sorted(matters(now, figures), key=lambda one: one.level != "fail"),
        workers=store.workers(LIFE), tick=store.last_tick(), balance=store.reading("balance"), pauses=store.pauses(),
        states=store.queries.states(now), webhooks=store.queries.event_states(now),
        p50=words.percentile(buckets, 0.5), p99=words.percentile(buckets, 0.99),
        chart=charts.stacked({kind: ended.get(kind, {}) for kind in sorted(order)}, minute - SHOWN + 1, minute),
        **_test_order(),
    )  # fmt: skip


def matters(now: float, figures: Series) -> Iterator[Matter]:
    """What needs a person."""
    store = parts().store
    for finding in (*doctor.check_persistence(store), doctor.check_workers(store), *doctor.check_lanes(store)):
        if finding.level is not doctor.Level.OK:
            what = f"{finding.subject}: {finding.meaning}."
            yield Matter(finding.level.value, what[:1].upper() + what[1:], finding.advice, "/console/workers")
    for reason, details in sorted(store.pauses().items()):
        yield words.of_pause(reason, clock(details.get("since")), str(details.get("reason") or ""))
    if doubt := words.of_doubt(store.queries.in_doubt(now - DAY)):
        yield doubt
    for one in store.queries.failing(now):
        yield words.of_endpoint(one, clock(one.since) or "", clock(one.last_good))
    for kind, amounts in by_label(figures, "alerts", "kind").items():
        if matter := words.of_alert(kind, sum(amounts.values())):
            yield matter


def by_label(figures: Series, name: str, label: str) -> Mapping[str, Mapping[int, float]]:
    """One counter's figures by the value of a label: value → minute → how much."""
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for counter, amounts in figures.items():
        if counter.partition("{")[0] == name:
            for minute, amount in amounts.items():
                found[label_of(counter, label)][minute] += amount  # type: ignore[assignment]
    return found


# Test orders, in sandbox mode alone.


def _test_order() -> dict[str, object]:
    if not parts().settings.sandbox_url:
        return {}
    from web.sandbox.stories import STORIES  # what directs the sandbox is loaded where there is one

    callers = [one for one in Callers(parts().store).all() if one.revoked_at is None and one.callback_url]
    return {"stories": list(STORIES.values()), "test_callers": callers, "products": products()}


def products() -> tuple[str, ...]:
    """The products that can be ordered here."""
    return tuple(one for one in parts().settings.products if one in _ITEMS)


_ITEMS: Mapping[str, Mapping[str, str]] = {
    "cheap": {"type": "1"},
    "sms": {"type": "4", "country": "33"},
    "email": {"domain": "gmail.com"},
}
"""What a test order of a product has beside the item that is named after its story."""


def place_test_order() -> Response:
    """Place an order whose item plays a story at the sandbox."""
    shared = parts()
    if not shared.settings.sandbox_url:
        raise Turned(404, "test orders need the sandbox provider")
    from web.sandbox.stories import items_of

    product, item = request.form.get("product", "cheap"), f"story-{request.form.get('story', '')}"
    if product not in products() or item not in items_of(product):
        raise Turned(422, "choose a product and one of its stories")
    caller = Callers(shared.store).get(request.form.get("caller", ""))
    try:
        shared.callbacks.check(caller.callback_url or "", caller.id)
    except CallbackRefused as refused:
        raise Turned(422, f"the caller's callback is refused: {refused}") from None
    order = Order(
        id="ord_" + secrets.token_hex(12), caller=caller.id, callback_url=caller.callback_url or "",
        timeout=shared.settings.order_timeout, created_at=shared.clock(), purpose="console test",
        product=product, item=_item(product, item),
    )  # fmt: skip
    access.audit(Act.TEST_ORDER, order.id, item)
    created = shared.store.create(order, caller.caps)
    if created.outcome != "created":
        raise Turned(409, f"the order was not accepted: {created.reason or created.outcome}")
    return redirect(f"/console/orders/{order.id}", 303)


def _item(product: str, item: str) -> dict[str, str]:
    named = {"server": item} if product == "cheap" else {"service": item}
    return {**named, **_ITEMS[product]}
