"""The event: one webhook owed to a caller, with every attempt to deliver it. Pure; times are epoch seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from worker.order import EventType, rfc3339
from worker.rental import ID_PREFIX


class EventStatus(StrEnum):
    """How far the delivery of an event has come."""

    PENDING = "pending"
    """An attempt is due or under way. If its worker dies, another one tries again."""
    DELIVERED = "delivered"
    """A 2xx acknowledged it."""
    GONE = "gone"
    """The receiver responded with 410: it does not want the event."""
    EXHAUSTED = "exhausted"
    """Every attempt of the schedule failed. It can be redelivered manually."""
    RECORDED = "recorded"
    """Its order has no callback, so it is not pushed. It can be read."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: when, what was answered (status or an error class), how long it took, how the answer began."""

    at: float
    status: int | None
    error: str | None
    duration: float
    excerpt: str = field(default="", repr=False)
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back; so below."""

    def public(self) -> dict[str, Any]:
        """The attempt as the API shows it; `duration` in seconds."""
        return {
            "at": rfc3339(self.at),
            "status_code": self.status,
            "error": self.error,
            "duration": round(self.duration, 3),
            "response": self.excerpt,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One webhook. `body` holds the exact bytes that are signed; `order` is the id of an order or a rental.

    A ping has no `order`. `url` is empty where nobody is pushed: such an event is `recorded` from its beginning.
    """

    id: str
    type: str
    caller: str
    order: str | None
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    created_at: float
    status: EventStatus = EventStatus.PENDING
    version: int = 1
    tries: int = 0
    """Failed attempts counted against the schedule; a redelivery starts anew."""
    attempts: tuple[Attempt, ...] = ()
    due_at: float | None = None
    sequence: int = 0
    origin: str = field(default="", repr=False)
    """Its order's."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def pushed(self) -> bool:
        """Whether somebody is to be told; otherwise it is only there to be read."""
        return self.url != ""

    @property
    def failing(self) -> bool:
        """Whether its last attempt failed, be it tried again or given up."""
        return self.tries > 0 and self.status is not EventStatus.DELIVERED

    def retries(self, schedule: Sequence[float]) -> Sequence[float]:
        """Its waits after failed attempts, in seconds: a ping that finds nobody says so at once."""
        return () if self.type == EventType.PING else schedule

    @property
    def host(self) -> str:
        """The receiving host (with scheme and port) as a digest: what cannot be reached is the same for all of it."""
        return _host_of(self.url)

    @property
    def endpoint(self) -> str:
        """What deliveries are kept apart by: see `endpoint_of`."""
        return endpoint_of(self.caller, self.url)

    def tried(self, attempt: Attempt, status: EventStatus, *, due_at: float | None = None) -> Event:
        """The event after an attempt; `due_at` is when the next one is due, if any."""
        return replace(
            self, attempts=(*self.attempts, attempt)[-MOST_ATTEMPTS_KEPT:], status=status, due_at=due_at,
            tries=self.tries + 1, version=self.version + 1,
        )  # fmt: skip

    def rewritten(self) -> Event:
        """The event's next version, its delivery as it is."""
        return replace(self, version=self.version + 1)

    def again(self, now: float) -> Event:
        """The event sent once more at somebody's request: same id, the schedule from its start."""
        return replace(self, status=EventStatus.PENDING, tries=0, due_at=now, version=self.version + 1)

    @property
    def of_rental(self) -> bool:
        """Whether it is about a rental, whose id stands in the order's place."""
        return self.order is not None and self.order.startswith(ID_PREFIX)

    def public(self) -> dict[str, Any]:
        """The event as the API shows it, its callback left out. The body is not shown: it may hold a code."""
        return {
            "id": self.id,
            "type": self.type,
            "order": None if self.of_rental else self.order,
            "rental": self.order if self.of_rental else None,
            "status": self.status.value,
            "created_at": rfc3339(self.created_at),
            "next_attempt_at": rfc3339(self.due_at) if self.status is EventStatus.PENDING else None,
            "attempts": [attempt.public() for attempt in self.attempts],
        }


def endpoint_of(caller: str, url: str) -> str:
    """A caller's callback without its query, as a digest."""
    return _digest(f"{caller} {_host_of(url)} {urlsplit(url).path}")


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    return _digest(f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}")


def _digest(text: str) -> str:
    """What stands for an address in keys: an address may hold secrets."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


DEFAULT_PORTS = {"https": 443, "http": 80}
MOST_ATTEMPTS_KEPT = 50
"""Attempts remembered per event: a whole schedule and a few redeliveries."""
