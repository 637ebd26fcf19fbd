"""The request log and its counters: what the provider saw, with the key masked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_REQUESTS = 200_000
"""Requests kept; the oldest go first. The counters count them all."""

MASK = "***"
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """One request at the provider's face, written down on arrival together with the answer it will get."""

    at: float
    """Seconds since the epoch, by the ledger's clock."""
    arrived: float
    """Monotonic seconds; differences between two requests are exact."""
    action: str
    id: str
    """The order asked about, or the one that this request bought."""
    query: Mapping[str, str] = field(repr=False)
    concurrency: int
    """Requests being answered at that moment, this one included."""
    answer: str = field(repr=False)
    """The first 200 characters of the body; empty where not one byte was answered."""
    fault: str | None = None
    status: int | None = None
    """The HTTP status sent, if any."""
    handler: str = ""
    """The vendor's page that was asked."""


def masked(query: Mapping[str, str]) -> dict[str, str]:
    """The query without the key."""
    return {name: MASK if name == "api_key" else value for name, value in query.items()}


class RequestLog:
    """The requests seen, bounded, and how many are being answered right now."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=MAX_REQUESTS)
        self._by_action: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()
        self.in_flight = 0
        self._most_in_flight = 0

    def enter(self) -> None:
        """A request is being answered."""
        self.in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self.in_flight)

    def leave(self) -> None:
        """A request has been answered, or its client has gone."""
        self.in_flight -= 1

    def write(self, seen: Seen) -> None:
        """Keep one request."""
        self._seen.append(seen)
        self._by_action[seen.action] += 1
        if seen.fault:
            self._by_fault[seen.fault] += 1

    def clear(self) -> None:
        """Forget the requests; those being answered still count as in flight."""
        self._seen.clear()
        self._by_action.clear()
        self._by_fault.clear()
        self._most_in_flight = self.in_flight

    def rows(self, action: str | None = None, order_id: str | None = None) -> list[Seen]:
        """The requests, oldest first, of one action or about one order if asked."""
        return [seen for seen in self._seen if action in (None, seen.action) and order_id in (None, seen.id)]

    def counters(self) -> dict[str, Any]:
        """Requests by action, faults by kind, and how many were answered at once; ready for JSON."""
        return {
            "requests": dict(self._by_action),
            "total": self._by_action.total(),
            "faults": dict(self._by_fault),
            "in_flight": self.in_flight,
            "max_concurrent": self._most_in_flight,
        }


def as_json(seen: Seen) -> dict[str, Any]:
    """One request, ready for JSON."""
    return asdict(seen)
