"""Turning a change of an order or a rental into the webhooks that are owed for it. Pure but for a ping's randomness."""

from __future__ import annotations

import hashlib
import secrets

from worker import rental
from worker.event import Event, EventStatus
from worker.order import Acquisition, EventType, Order, caused_event
from worker.rental import Message, Rental
from worker.webhooks.challenge import FIELD, new_challenge
from worker.webhooks.message import render

ID_BYTES = 12
"""Bytes of an event's id."""


def event_id(kind: EventType, order: Acquisition, *which: str) -> str:
    """The id of an event, the `webhook-id` of every attempt. An order has one event of a kind for a number.

    Derived, so that a store that lost its last writes announces the same thing under the same id, and receivers that
    know it already are not told twice. `which` tells apart what a rental has many of: its messages, its renewals.
    """
    subject = " ".join([order.id, order.handle, kind.value, *which])
    return "evt_" + hashlib.sha256(subject.encode()).hexdigest()[: 2 * ID_BYTES]


def ping(caller_id: str, url: str, now: float) -> Event:
    """A `webhook.ping` to one of a caller's callbacks, with a challenge to prove it by."""
    kind = EventType.PING.value
    data = {"caller": caller_id, "message": "A ping: acknowledge it with any 2xx.", FIELD: new_challenge()}
    body = render(kind, now, data)
    return Event(
        id="evt_" + secrets.token_hex(ID_BYTES), type=kind, caller=caller_id, order=None, url=url, body=body,
        created_at=now, due_at=now,
    )  # fmt: skip


def announce(kind: EventType, order: Order | Rental, now: float, *which: str) -> Event:
    """The event of `kind` about an order as it is now (epoch seconds): its body's bytes are fixed here."""
    return _event(event_id(kind, order, *which), kind, order, now)


def message_event_id(told: Rental, message: Message) -> str:
    """The id of the event that tells a message."""
    return event_id(EventType.RENTAL_MESSAGE_RECEIVED, told, message.key)


def message_event(told: Rental, message: Message, now: float) -> Event:
    """The event that tells a message."""
    kind = EventType.RENTAL_MESSAGE_RECEIVED
    return _event(message_event_id(told, message), kind, told, now, message=told.shown(message))


def _event(id: str, kind: EventType, order: Order | Rental, now: float, **beside: object) -> Event:
    pushed = order.callback_url != ""
    return Event(
        id=id, type=kind.value, caller=order.caller, order=order.id, url=order.callback_url,
        body=render(kind.value, now, order.public(), **beside), created_at=now, due_at=now if pushed else None,
        status=EventStatus.PENDING if pushed else EventStatus.RECORDED, origin=order.origin,
    )  # fmt: skip


def announced(before: Acquisition, after: Acquisition, now: float) -> tuple[Event, ...]:
    """The events that a change owes: of an order none or one; of a rental one for each new message besides."""
    if isinstance(after, Rental) and isinstance(before, Rental):
        told = [message_event(after, message, now) for message in after.messages[len(before.messages) :]]
        kind = rental.caused_event(before, after)
        which = [str(after.renewals)] if kind is EventType.RENTAL_RENEWED else []
        return (*told, *([announce(kind, after, now, *which)] if kind else []))
    if isinstance(after, Order) and isinstance(before, Order) and (kind := caused_event(before, after)):
        return (announce(kind, after, now),)
    return ()
