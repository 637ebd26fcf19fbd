"""Webhooks: from bytes and headers to an event that is to be believed (Standard Webhooks 1.0.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from ringback._reading import Unreadable, read
from ringback.errors import BadSignature
from ringback.models import Delivery, Message, Order, Rental

PREFIX = "whsec_"
TOLERANCE = 300.0
"""Seconds by which a webhook's time of sending may differ from ours: the specification's five minutes."""
LONGEST_TIMESTAMP = 11
"""Digits of a moment in whole epoch seconds, up to the year 5138."""


class HasItems(Protocol):
    """Headers as most frameworks give them: a mapping, or something like one."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""


Headers = HasItems | Iterable[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened. `id` is the same on every attempt: deduplicate by it. `timestamp` is when it happened.

    `data` is what it is about: an `Order`, a `Rental`, or for other events the JSON object.
    """

    id: str
    type: str
    timestamp: datetime
    data: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent(Event):
    """Something happened to an order: `data` is the order as it was at that moment."""

    data: Order

    @property
    def order(self) -> Order:
        """The same as `data`."""
        return self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalEvent(Event):
    """Something happened to a rental: `data` is the rental; `message` is what it received, if that is what happened."""

    data: Rental
    message: Message | None = None

    @property
    def rental(self) -> Rental:
        """The same as `data`."""
        return self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class PingEvent(Event):
    """Somebody asked for a ping: acknowledge it."""

    data: Mapping[str, Any]


def verify(
    body: bytes | str,
    headers: Headers,
    secret: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | Callable[[], float] = time.time,
) -> Event:
    """The event in a webhook, once its signature and its age are found to be good.

    Give the body's bytes as they came and all the headers. `secret` is the caller's `whsec_…`; several while they
    overlap. `tolerance` is in seconds; `now` in epoch seconds, or a clock of them. Raises BadSignature for whatever
    is wrong with the webhook, and ValueError or TypeError for what is wrong with the secret or the body's type.
    """
    keys = _keys([secret] if isinstance(secret, str) else secret)
    signed = _signed(headers)
    content = _bytes(body)
    if not _matches(keys, signed, content):
        raise BadSignature("no signature matches: the secret is another one, or the bytes are not those sent")
    if abs((now() if callable(now) else now) - int(signed.timestamp)) > tolerance:
        raise BadSignature("the webhook was sent too long ago, or by a clock that is ahead of ours")
    event = parse(content, signed.id, datetime.fromtimestamp(int(signed.timestamp), UTC))
    if event is None:
        raise BadSignature("the signature matches, but the body is not an event")
    return event


def signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """One signature, as it stands in the header."""
    content = f"{event_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")


def key_of(secret: str) -> bytes:
    """The key behind a secret. Raises ValueError, whose text never repeats it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a webhook secret is {PREFIX} followed by base64") from None
    if not key:
        raise ValueError("the webhook secret is empty")
    return key


def _keys(secrets: Sequence[str]) -> list[bytes]:
    if not secrets:
        raise ValueError("no webhook secret was given")
    return [key_of(secret) for secret in secrets]


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError("verify takes the raw bytes of the body, not the parsed body")


class _Signed(NamedTuple):
    """The three headers."""

    id: str
    timestamp: str
    signatures: str


def _signed(headers: Headers) -> _Signed:
    found: dict[str, str] = {}
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        known = _text(name).lower()
        if known.startswith("webhook-") and found.setdefault(known, _text(value)) != _text(value):
            raise BadSignature(f"there is more than one {known} header")
    signed = _Signed(*(found.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")))
    if not all(signed):
        raise BadSignature("webhook-id, webhook-timestamp or webhook-signature is missing")
    if not (signed.timestamp.isascii() and signed.timestamp.isdigit() and len(signed.timestamp) <= LONGEST_TIMESTAMP):
        raise BadSignature("webhook-timestamp is not a number of seconds")
    return signed


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _matches(keys: Sequence[bytes], signed: _Signed, body: bytes) -> bool:
    """Whether one of the signatures is by one of the keys; every pair is compared, each in constant time."""
    ours = [signature(key, signed.id, signed.timestamp, body).encode() for key in keys]
    theirs = [one.encode("utf-8", "surrogatepass") for one in signed.signatures.split(" ")]
    return any([hmac.compare_digest(one, other) for one in ours for other in theirs])  # noqa: C419 - all of them


def parse(body: bytes | str, event_id: str, sent_at: datetime) -> Event | None:
    """The event in a body that is known to be genuine; None if there is none in it."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    return _typed(message, event_id, _moment(message.get("timestamp")) or sent_at)


def recorded(delivery: Delivery) -> Event:
    """The event of a delivery that was read with its payload."""
    found = parse(delivery.payload or "", delivery.id, delivery.created_at)
    return found or Event(id=delivery.id, type=delivery.type, timestamp=delivery.created_at, data={})


def _typed(message: Mapping[str, Any], event_id: str, at: datetime) -> Event:
    """The event by the family of its type; what cannot be read as its family says is given as it came."""
    kind, data = message["type"], message.get("data")
    known = {"id": event_id, "type": kind, "timestamp": at}
    try:
        if kind.startswith("order."):
            return OrderEvent(**known, data=read(Order, data))
        if kind.startswith("rental."):
            told = message.get("message")
            return RentalEvent(**known, data=read(Rental, data), message=read(Message, told) if told else None)
    except Unreadable:
        return Event(**known, data=data)
    if kind == "webhook.ping" and isinstance(data, dict):
        return PingEvent(**known, data=data)
    return Event(**known, data=data)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
