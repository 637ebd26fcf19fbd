"""Values for tests, each with sane defaults: a test names only what it is about."""

from __future__ import annotations

from typing import Any

from worker.caller import Caller, Secret, key_hash
from worker.event import Event
from worker.lifecycle import Rules
from worker.order import Ending, ErrorCode, Order, Purchase, Settlement, Status
from worker.provider import products
from worker.rental import Rental, Sms

NOW = 1795341600.0
"""Sunday, 22 November 2026, 10:00:00 UTC: the moment at which tests begin."""
LIFE = 900.0
"""Seconds that a number lives."""
PRODUCTS = products.load()
"""The built-in product table."""
CHEAP = PRODUCTS["cheap"]
ITEM = {"server": "1", "type": "1"}
"""What an order of a cheap number names."""
NUMBER = "+923001234567"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def order(**changes: Any) -> Order:
    """A queued order."""
    fields: dict[str, Any] = {
        "id": "ord_1",
        "caller": "cal_1",
        "item": {"server": changes.pop("server", "1"), "type": changes.pop("type", "1")},
        "callback_url": "https://caller.example/hook",
        "timeout": 540.0,
        "created_at": NOW,
    }
    return Order(**{**fields, **changes})


def rental(**changes: Any) -> Rental:
    """A queued rental."""
    fields: dict[str, Any] = {
        "id": "rnt_1",
        "caller": "cal_1",
        "item": {"pricing": "101", "country": "PK", "provider": "1"},
        "callback_url": "https://caller.example/hook",
        "created_at": NOW,
    }
    return Rental(**{**fields, **changes})


def sms(text: str, *, at: float | None = NOW + 1, sender: str = "Bank") -> Sms:
    """A message as the provider lists it."""
    return Sms(text=text, code=None, sender=sender, at=at)


def bought(
    activation: str = "act_1", at: float = NOW, *, life: float = LIFE, cancel_after: float = 540.0, **changes: Any
) -> Purchase:
    """A purchase of a number."""
    fields: dict[str, Any] = {
        "activation": activation,
        "number": NUMBER,
        "bought_at": at,
        "expires_at": at + life,
        "cancel_at": at + cancel_after,
        "cancellable_at": at + 125.0,
    }
    return Purchase(**{**fields, **changes})


def purchase_of(order: Order) -> Purchase:
    """What was bought for an order; something has to have been."""
    assert order.purchase is not None
    return order.purchase


def order_in(status: Status, **changes: Any) -> Order:
    """An order that came to `status` on the shortest way there is."""
    queued = order(**changes)
    buying = queued.intend(NOW)
    waiting = buying.assign(bought())
    cancelling = waiting.begin_cancel(Ending.TIMEOUT)
    return {
        Status.QUEUED: queued,
        Status.BUYING: buying,
        Status.WAITING: waiting,
        Status.CANCELLING: cancelling,
        Status.RECEIVED: waiting.receive("847293", NOW),
        Status.EXPIRED: cancelling.conclude(NOW),
        Status.CANCELLED: queued.withdraw(NOW),
        Status.FAILED: buying.reject(ErrorCode.NO_NUMBERS, "the provider had no numbers", NOW),
    }[status]


def lost_order(**changes: Any) -> Order:
    """A failed order whose purchase is unknown."""
    return order_in(Status.BUYING, **changes).lose_purchase("the answer could not be read", NOW)


def refunded_order(**changes: Any) -> Order:
    """An order whose cancel the provider confirmed, not yet concluded."""
    refunded = order_in(Status.CANCELLING, **changes).try_cancel(NOW).note_refund(NOW)
    assert refunded.settlement is Settlement.REFUNDED
    return refunded


def event(**changes: Any) -> Event:
    """A webhook that is owed."""
    fields: dict[str, Any] = {
        "id": "evt_1",
        "type": "order.otp_received",
        "caller": "cal_1",
        "order": "ord_1",
        "url": "https://caller.example/hook",
        "body": b'{"type":"order.otp_received","data":{"otp":"847293","flags":[]}}',
        "created_at": NOW,
        "due_at": NOW,
    }
    return Event(**{**fields, **changes})


def caller(**changes: Any) -> Caller:
    """A caller without caps."""
    fields: dict[str, Any] = {
        "id": "cal_1",
        "name": "Shop",
        "key_hash": key_hash("rbk_of-the-shop"),
        "secrets": (Secret(SECRET),),
        "created_at": NOW,
        "callback_url": "https://caller.example/hook",
    }
    return Caller(**{**fields, **changes})


def rules(**changes: Any) -> Rules:
    """The contract's defaults."""
    fields: dict[str, Any] = {
        "poll_interval": 5.0,
        "buy_deadline": 20.0,
        "buy_budget": 120.0,
        "earliest_cancel": 125.0,
        "cancel_retry": 25.0,
    }
    return Rules(**{**fields, **changes})
