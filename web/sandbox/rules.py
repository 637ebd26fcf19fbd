"""How the sandbox provider behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from web.sandbox.values import Reader, changed, choice, flag, money, optional, seconds, share, text, whole

BOTH = "both"


@dataclass(frozen=True, slots=True)
class Rules:
    """How this provider behaves; times in seconds. `Rules().changed(...)` makes one, and checks it."""

    price: Decimal = Decimal("10.00")
    """PKR for a cheap number; the catalogue prices the other products."""
    code_after: float | None = 8.0
    """From the purchase to the code; `None`: a code comes only if somebody sends one."""
    cancel_after: float = 120.0
    """No cancel before this age: the vendor's 2 minutes, for all products that can be cancelled."""
    life: float = 900.0
    """How long a cheap number lives."""
    sms_life: float = 1200.0
    """How long an SMS OTP number lives."""
    email_life: float = 1200.0
    """How long an address lives."""
    no_code_share: float = 0.0
    """The share of orders, 0 to 1, that get no code unless somebody sends one."""
    late_cancel: str = "OTP_RECEIVED"
    """The reply to a cancel after the code; similar providers say `BAD_STATUS`."""
    price_guard: bool = False
    """Whether a purchase is refused with `PRICE_CHANGED` if the price has changed since it was last listed."""
    rental_seconds: float | None = None
    """How long a rental lasts and a renewal extends it; `None`: the hours of the offer."""
    rental_path: str = BOTH
    """Which handler knows the rental actions: `rental-handler.php`, `handler_api.php`, or `both`."""
    message_every: float | None = None
    """From one message of a rental to the next; `None`: a message comes only if somebody sends one."""
    message_order: str = "oldest"
    """Which message is listed first: the `oldest`, the `newest`, or any (`shuffled`)."""
    message_limit: int | None = None
    """How many messages are listed at most, the latest; `None`: all. Lower it to make the list shrink."""
    earlier_messages: int = 0
    """Messages that a rented number has from earlier tenants, dated before the purchase."""
    stories: bool = False
    """Whether the catalogue lists a server, a service and a rental for each story."""
    story_pace: float = 2.0
    """A story's unit of time: its code comes one after the purchase, an outage lasts three."""

    story_life: float | None = None
    """How long a cheap number of a story's server lives; `None`: as long as any other."""

    def changed(self, **changes: Any) -> Rules:
        """A copy with some rules changed; raises ValueError for an unknown name or a bad value."""
        return changed(self, changes, READERS)


READERS: Mapping[str, Reader] = {
    "price": money,
    "code_after": optional(seconds),
    "cancel_after": seconds,
    "life": seconds,
    "sms_life": seconds,
    "email_life": seconds,
    "no_code_share": share,
    "late_cancel": text,
    "price_guard": flag,
    "rental_seconds": optional(seconds),
    "rental_path": choice(BOTH, "rental-handler.php", "handler_api.php"),
    "message_every": optional(seconds),
    "message_order": choice("oldest", "newest", "shuffled"),
    "message_limit": optional(whole),
    "earlier_messages": whole,
    "stories": flag,
    "story_pace": seconds,
    "story_life": optional(seconds),
}
"""How each rule is read."""
