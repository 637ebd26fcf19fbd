"""How often a caller may ask, and how often an address may fail to log in. Counted per process, in memory.

Shown as the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers) defines. Written
here because it is on the way of every request: the storage of the `limits` package starts a thread every 10 ms.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

REQUESTS_PER_MINUTE = 60_000
"""Requests that one caller may send: more than one process answers, so it stops loops gone wild and nothing else."""
FAILED_LOGINS_PER_MINUTE = 20
"""Wrong keys that one address may send before it is told to wait."""
WEBHOOKS_PER_MINUTE = 60
"""Pings and redeliveries that one caller may ask for: they cost others' receivers and our connections."""
REFRESHES_PER_MINUTE = 1
"""Times that one caller may have one reading of the provider made anew: the calls come out of everybody's share."""
WINDOW = 60.0
"""Seconds after which counting starts anew."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit: `remaining` requests until it starts anew in `reset` seconds."""

    policy: str
    limit: int
    allowed: bool
    remaining: int
    reset: int

    def headers(self) -> list[tuple[str, str]]:
        """The quota as response headers."""
        return [
            ("RateLimit-Policy", f'"{self.policy}";q={self.limit};w={WINDOW:.0f}'),
            ("RateLimit", f'"{self.policy}";r={self.remaining};t={self.reset}'),
        ]


class RateLimits:
    """The counters of one process. `clock` gives seconds."""

    def __init__(
        self,
        *,
        requests: int = REQUESTS_PER_MINUTE,
        failed_logins: int = FAILED_LOGINS_PER_MINUTE,
        webhooks: int = WEBHOOKS_PER_MINUTE,
        refreshes: int = REFRESHES_PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = _Window("requests", requests, clock)
        self._failed_logins = _Window("failed-logins", failed_logins, clock)
        self._webhooks = _Window("webhooks", webhooks, clock)
        self._refreshes = _Window("refreshes", refreshes, clock)

    def request(self, caller_id: str) -> Quota:
        """Count a request of a caller."""
        return self._requests.count(caller_id)

    def failed_login(self, address: str) -> Quota:
        """Count a failed login from an address."""
        return self._failed_logins.count(address)

    def webhook(self, caller_id: str) -> Quota:
        """Count a ping or a redelivery of a caller."""
        return self._webhooks.count(caller_id)

    def refresh(self, caller_id: str, what: str) -> Quota:
        """Count a reading that a caller wants made anew."""
        return self._refreshes.count(f"{caller_id} {what}")


class _Window:
    """A count per name that starts anew, for all of them, every `WINDOW` seconds."""

    def __init__(self, policy: str, limit: int, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._number = 0
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> Quota:
        """Count one, and say what is left."""
        number, passed = divmod(self._clock(), WINDOW)
        with self._lock:
            if number != self._number:
                self._number, self._counts = int(number), Counter()
            self._counts[name] += 1
            seen = self._counts[name]
        left = max(0, self._limit - seen)
        return Quota(self._policy, self._limit, seen <= self._limit, left, max(1, math.ceil(WINDOW - passed)))
