"""Turning a change of an order into the webhook that is owed for it. Pure but for the event's random id."""

from __future__ import annotations

import secrets

from worker.event import Event
from worker.order import EventType, Order
from worker.webhooks.message import render


def new_event_id() -> str:
    """A fresh event id; it is the `webhook-id` of every attempt."""
    return "evt_" + secrets.token_hex(12)


def ping(caller_id: str, url: str, now: float) -> Event:
    """A `webhook.ping` to a caller's callback."""
    kind = EventType.PING.value
    body = render(kind, now, {"caller": caller_id, "message": "A ping: acknowledge it with any 2xx."})
    return Event(
        id=new_event_id(), type=kind, caller=caller_id, order=None, url=url, body=body, created_at=now, due_at=now
    )


def announce(kind: EventType, order: Order, now: float) -> Event:
    """The event of `kind` about an order as it is now (epoch seconds): its body's bytes are fixed here."""
    return Event(
        id=new_event_id(), type=kind.value, caller=order.caller, order=order.id, url=order.callback_url,
        body=render(kind.value, now, order.public()), created_at=now, due_at=now,
    )  # fmt: skip
