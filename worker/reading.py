"""A reading: what the workers last read at the provider by a free call, and whether it can still be relied on. Pure.

`balance`, or `servers:<type>`; times are epoch seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

BALANCE_EVERY = 60.0
"""Seconds between two readings of the balance that nobody asked for."""
SERVERS_EVERY = 600.0
"""Seconds between two readings of a list of servers."""
MISSED = 3
"""Intervals without a good reading after which the last one is stale."""


def interval(what: str) -> float:
    """Seconds between two readings that nobody asked for."""
    return BALANCE_EVERY if what == "balance" else SERVERS_EVERY


@dataclass(frozen=True, slots=True)
class Reading:
    """The last good `value` with its moment `at`, and when it was last `asked_at`; all None before the first."""

    what: str
    value: str | None = None
    at: float | None = None
    asked_at: float | None = None

    def due(self, now: float) -> bool:
        """Whether it is time to read it again."""
        return self.asked_at is None or now - self.asked_at >= interval(self.what)

    def stale(self, now: float) -> bool:
        """Whether a later attempt has failed, or three of its own intervals have passed without a good one."""
        if self.at is None or (self.asked_at is not None and self.asked_at > self.at):
            return True
        return now - self.at > MISSED * interval(self.what)
