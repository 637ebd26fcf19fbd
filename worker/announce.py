"""Turning a change of an order into the webhook that is owed for it. Pure but for a ping's random id."""

from __future__ import annotations

import hashlib
import secrets

from worker.event import Event, EventStatus
from worker.order import EventType, Order, caused_event
from worker.webhooks.message import render

ID_BYTES = 12
"""Bytes of an event's id."""


def event_id(kind: EventType, order: Order) -> str:
    """The id of an order's event, the `webhook-id` of every attempt. An order has one event of a kind for a number.

    Derived, so that a store that lost its last writes announces the same thing under the same id, and receivers that
    know it already are not told twice.
    """
    subject = f"{order.id} {order.handle} {kind.value}"
    return "evt_" + hashlib.sha256(subject.encode()).hexdigest()[: 2 * ID_BYTES]


def ping(caller_id: str, url: str, now: float) -> Event:
    """A `webhook.ping` to a caller's callback."""
    kind = EventType.PING.value
    body = render(kind, now, {"caller": caller_id, "message": "A ping: acknowledge it with any 2xx."})
    return Event(
        id="evt_" + secrets.token_hex(ID_BYTES), type=kind, caller=caller_id, order=None, url=url, body=body,
        created_at=now, due_at=now,
    )  # fmt: skip


def announce(kind: EventType, order: Order, now: float) -> Event:
    """The event of `kind` about an order as it is now (epoch seconds): its body's bytes are fixed here."""
    pushed = order.callback_url != ""
    return Event(
        id=event_id(kind, order), type=kind.value, caller=order.caller, order=order.id, url=order.callback_url,
        body=render(kind.value, now, order.public()), created_at=now, due_at=now if pushed else None,
        status=EventStatus.PENDING if pushed else EventStatus.RECORDED,
    )  # fmt: skip


def announced(before: Order, after: Order, now: float) -> tuple[Event, ...]:
    """The events that a change of an order owes: none or one."""
    kind = caused_event(before, after)
    return (announce(kind, after, now),) if kind else ()
