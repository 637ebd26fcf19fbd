"""How often a caller may ask, and how often an address may fail to log in. Counted per process, in memory.

Shown as the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers) has it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

REQUESTS_PER_MINUTE = 6_000
"""Requests that one caller may send; a hundred a second is far beyond what orders need."""
FAILED_LOGINS_PER_MINUTE = 20
"""Wrong keys that one address may send before it is told to wait."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit: `remaining` requests until it starts anew in `reset` seconds."""

    policy: str
    limit: int
    allowed: bool
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """The quota as response headers."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w=60',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset}',
        }


class Limits:
    """The counters of one process."""

    def __init__(self, *, requests: int = REQUESTS_PER_MINUTE, failed_logins: int = FAILED_LOGINS_PER_MINUTE) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(requests)
        self._failed_logins = RateLimitItemPerMinute(failed_logins)

    def request(self, caller_id: str) -> Quota:
        """Count a request of a caller."""
        return self._counted("requests", self._requests, caller_id)

    def failed_login(self, address: str) -> Quota:
        """Count a failed login from an address."""
        return self._counted("failed-logins", self._failed_logins, address)

    def _counted(self, policy: str, limit: RateLimitItemPerMinute, who: str) -> Quota:
        allowed = self._windows.hit(limit, policy, who)
        window = self._windows.get_window_stats(limit, policy, who)
        reset = max(1, math.ceil(window.reset_time - time.time()))
        return Quota(policy, limit.amount, allowed, max(0, window.remaining), reset)
