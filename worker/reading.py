"""A reading: what the workers last read at the provider by a free call, and whether it can still be relied on. Pure.

`balance`, or a listing of the catalogue: `servers:<type>`, `countries:<type>`, `services:sms:<country>:<type>`,
`services:email:<domain>`. Times are epoch seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

BALANCE = "balance"
PROVIDER_UNREACHABLE = "provider_unreachable"
"""Why a reading failed that got no answer."""
SHARED = "services"
"""The listing that more than one product has: its readings name the product."""
BALANCE_EVERY = 60.0
"""Seconds between two readings of the balance that nobody asked for."""
LISTING_EVERY = 600.0
"""Seconds between two readings of a listing of the catalogue."""
MISSED = 3
"""Intervals without a good reading after which the last one is stale."""


def interval(what: str) -> float:
    """Seconds between two readings that nobody asked for."""
    return BALANCE_EVERY if what == BALANCE else LISTING_EVERY


def listing_name(listing: str, product: str, place: Sequence[str]) -> str:
    """The name of a listing's reading; the parts of the place by the order of their names."""
    return ":".join([listing, *([product] if listing == SHARED else ()), *place])


def split(what: str) -> tuple[str, str, list[str]]:
    """A reading's listing, its product (empty where the listing says it), and the parts of its place."""
    listing, *parts = what.split(":")
    return (listing, parts[0], parts[1:]) if listing == SHARED and parts else (listing, "", parts)


@dataclass(frozen=True, slots=True)
class Reading:
    """The last good `value` with its moment `at`, and when it was last `asked_at`; all None before the first."""

    what: str
    value: str | None = None
    at: float | None = None
    asked_at: float | None = None
    why: str = ""
    """Why the last attempt failed, in a word with its details behind it; empty for a good one."""

    def due(self, now: float) -> bool:
        """Whether it is time to read it again."""
        return self.asked_at is None or now - self.asked_at >= interval(self.what)

    def stale(self, now: float) -> bool:
        """Whether a later attempt has failed, or three of its own intervals have passed without a good one."""
        if self.at is None or self.why or (self.asked_at is not None and self.asked_at > self.at):
            return True
        return now - self.at > MISSED * interval(self.what)

    def price_of(self, code: str) -> Decimal | None:
        """What one choice of a price list costs in PKR; None where it is not listed, or its price not known."""
        rows = json.loads(self.value) if self.value else []
        price = next((row["price"] for row in rows if code in (row.get("code"), row.get("id"))), None)
        return None if price is None else Decimal(price)
