"""Examples for the description: one for every request and answer, by the name of its schema."""

from __future__ import annotations

from typing import Any

from web.api.problems import CODES

ORDER_ID, EVENT_ID = "ord_9f2c41d07be85a6630c1d4e2", "evt_4f0c9b7e2a51d3880c6e1f92"
_AT, _LATER, _END = "2026-11-22T10:00:00.000Z", "2026-11-22T10:00:02.150Z", "2026-11-22T10:00:31.420Z"

_QUEUED: dict[str, Any] = {
    "id": ORDER_ID, "product": "cheap", "status": "queued", "server": "1", "type": "1", "service": None,
    "country": None, "domain": None, "number": None, "address": None, "price": None, "max_price": None, "otp": None,
    "callback_url": "https://shop.example/ringback", "metadata": {"user": 42}, "purpose": "sign-up",
    "settlement": "none", "error": None, "flags": [], "created_at": _AT, "bought_at": None, "expires_at": None,
    "received_at": None, "ended_at": None,
}  # fmt: skip
_RECEIVED = {
    **_QUEUED, "status": "received", "number": "+923001234567", "otp": "847293", "settlement": "pending",
    "bought_at": _LATER, "expires_at": "2026-11-22T10:15:02.150Z", "received_at": _END, "ended_at": _END,
}  # fmt: skip
_ATTEMPT = {"at": _END, "status_code": 204, "error": None, "duration": 0.084, "response": ""}
_EVENT: dict[str, Any] = {
    "id": EVENT_ID, "type": "order.otp_received", "order": ORDER_ID, "rental": None, "status": "delivered",
    "callback_url": "https://shop.example/ringback", "created_at": _END, "next_attempt_at": None, "tried_until": None,
    "attempts": [_ATTEMPT],
}  # fmt: skip
_PING = {
    **_EVENT, "id": "evt_77a1d2c08b53e94f10aa6b3e", "type": "webhook.ping", "order": None, "status": "pending",
    "next_attempt_at": _END, "tried_until": _END, "attempts": [],
}  # fmt: skip

RENTAL_ID, MESSAGE_ID = "rnt_2b7f9d04c1e85a663f90d4e1", "msg_8c1a4e2f7b90d3556a1f0c7e"
_RENTED: dict[str, Any] = {
    "id": RENTAL_ID, "status": "active", "pricing": "101", "country": "PK", "provider": "1", "number": "+923001234567",
    "price": "350.00", "max_price": "400.00", "messages": 1, "callback_url": "https://shop.example/ringback",
    "metadata": {"user": 42}, "purpose": None, "settlement": "charged", "error": None, "flags": [],
    "created_at": _AT, "starts_at": _LATER, "ends_at": "2026-11-23T10:00:02.150Z", "ended_at": None,
}  # fmt: skip
_MESSAGE = {
    "id": MESSAGE_ID,
    "code": "847293",
    "text": "Your code is 847293.",
    "sender": "Telegram",
    "received_at": _END,
}

BY_SCHEMA: dict[str, Any] = {
    "Rental": _RENTED,
    "Rentals": {"data": [_RENTED], "next_cursor": None},
    "Messages": {"data": [_MESSAGE], "next_cursor": None},
    "RentalCountries": {
        "provider": "1", "countries": [{"code": "PK", "name": "Pakistan"}], "as_of": _AT, "stale": False,
    },
    "RentalPrices": {
        "provider": "1", "country": "PK", "as_of": _AT, "stale": False,
        "prices": [{"id": "101", "service": "any", "price": "350.00", "duration": 24}],
    },
    "RentalEvent": {"type": "rental.started", "timestamp": _LATER, "data": _RENTED},
    "Order": _RECEIVED,
    "Orders": {"data": [_RECEIVED], "next_cursor": None},
    "Event": _EVENT,
    "Events": {"data": [_EVENT], "next_cursor": None},
    "Balance": {
        "balance": "500.00", "currency": "PKR", "as_of": _AT, "stale": False,
        "buying": {"paused": False, "reasons": []},
    },
    "Servers": {
        "type": "1", "servers": [{"id": "1", "name": "Pakistan Server 1"}, {"id": "2", "name": "Pakistan Server 2"}],
        "as_of": _AT, "stale": False,
    },
    "Countries": {
        "type": "4", "countries": [{"id": "33", "name": "Colombia"}], "as_of": _AT, "stale": False,
    },
    "Services": {
        "product": "sms", "country": "33", "type": "4", "domain": None,
        "services": [{"code": "tg", "name": "Telegram", "price": "45.00", "count": 120}],
        "as_of": _AT, "stale": False,
    },
    "Products": {"data": [{"product": "cheap", "fields": ["server", "type"], "verified": True}]},
    "Health": {"status": "ok"},
    "OrderEvent": {"type": "order.otp_received", "timestamp": _END, "data": _RECEIVED},
    "Ping": {"callback_url": "https://caller.example/ringback"},
    "PingEvent": {
        "type": "webhook.ping", "timestamp": _AT,
        "data": {
            "caller": "cal_5b1f0c2d9e8a7b6c5d4e", "message": "A ping: acknowledge it with any 2xx.",
            "challenge": "q3Jx0nYt5mVbK1cUe8RwZs2HdLfPaG7o",
        },
    },
}  # fmt: skip
"""What a request's or an answer's body looks like."""

BY_OPERATION: dict[str, Any] = {
    "createRental": {
        **_RENTED,
        "status": "queued",
        "number": None,
        "price": None,
        "messages": 0,
        "settlement": "none",
        "starts_at": None,
        "ends_at": None,
    },
    "createOrder": _QUEUED,
    "cancelOrder": {**_QUEUED, "status": "cancelled", "ended_at": _LATER},
    "redeliverEvent": {
        **_EVENT,
        "status": "pending",
        "next_attempt_at": _END,
        "tried_until": "2026-11-22T11:09:49.420Z",
    },
    "sendPing": _PING,
    "isReady": {"status": "ready"},
}
"""Answers that differ from their schema's example."""

PARAMETERS: dict[str, Any] = {
    "order_id": ORDER_ID, "event_id": EVENT_ID, "rental_id": RENTAL_ID, "Idempotency-Key": "signup-42",
}  # fmt: skip
"""Parameters whose form is not obvious."""

METRICS = 'ringback_http_requests_total{method="GET",route="/v1/orders",status="200"} 12.0\n'

_CODES = {
    400: "invalid_json", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 409: "no_callback",
    410: "event_gone", 413: "too_large", 415: "unsupported_media_type", 422: "invalid_fields", 429: "rate_limited",
    500: "internal_error", 503: "store_unavailable",
}  # fmt: skip


def problem(status: int, title: str) -> dict[str, Any]:
    """An error of that status as it is answered."""
    code = _CODES.get(status, "bad_request")
    told = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": CODES[code]}
    bad = {"field": "type", "code": "required", "message": "is required"}
    return told | ({"errors": [bad]} if status == 422 else {})
