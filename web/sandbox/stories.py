"""The stories: what the provider does to one order from its purchase to its end.

A story is requested by buying the item that is named after it (`story-no-code`: a server, a service, a
rental), or with a control call before the next purchase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from web.sandbox.orders import CHEAP, EMAIL, PRODUCTS, RENTAL, SMS

PREFIX = "story-"
PAID_BACK = (CHEAP, SMS, EMAIL)
"""Products that can be cancelled."""
PRICED = (SMS, EMAIL, RENTAL)
"""Products whose provider names prices."""

SHORT = "482913"
WHOLE = "<#> Your Sandbox code is: 482-913. Don't share it, not even with us: https://sandbox.invalid/?a=1&b=2"


@dataclass(frozen=True, slots=True)
class Story:
    """One story. Without a `text`, no code comes."""

    name: str
    provider: str
    """What the provider does, for the documentation."""
    caller: str
    """What the caller of the service sees of it."""
    products: tuple[str, ...] = PRODUCTS
    text: str | None = None
    late: bool = False
    """The text comes when the order has ended without one."""
    refuses: str | None = None
    """The word with which every purchase is refused."""
    raises_price: bool = False
    """The first purchase is refused with `PRICE_CHANGED`; the next one pays more."""
    loses_purchase: bool = False
    """The purchase is charged, and its answer never comes."""
    keeps_money: bool = False
    """Every cancel is refused."""
    outage: bool = False
    """Whatever asks about the order gets a 502 for three units of time; the text comes behind them."""

    @property
    def at_purchase(self) -> bool:
        """Whether it is about the purchase, so that an order cannot begin it later."""
        return self.raises_price or self.loses_purchase or self.refuses is not None


STORIES: Mapping[str, Story] = {
    story.name: story
    for story in (
        Story("otp", "sends six digits", "`received` with the code; `finished`", text=SHORT),
        Story("whole-sms", "sends a whole SMS with colons and punctuation", "`received`, `otp` unchanged", text=WHOLE),
        Story("no-code", "sends nothing, grants the cancel", "`expired`, `refunded`"),
        Story(
            "late-code",
            "sends nothing, grants the cancel, and shows a code right after it (for a rental, just before its end)",
            "`received`, although the money was refunded; for a rental, a last message",
            text=SHORT,
            late=True,
        ),
        Story("no-numbers", "refuses every purchase with `NO_NUMBERS`", "`failed`: `no_numbers`", refuses="NO_NUMBERS"),
        Story(
            "price-changed",
            "refuses the purchase with `PRICE_CHANGED`, charges 7.50 PKR more for the next minute, then sends a code",
            "bought at the new price, or `failed`: `price_above_max`",
            products=PRICED,
            text=SHORT,
            raises_price=True,
        ),
        Story(
            "purchase-unknown",
            "charges the purchase and resets the connection",
            "`failed`: `purchase_unknown`, never bought again",
            loses_purchase=True,
        ),
        Story(
            "refund-denied",
            "sends nothing and refuses every cancel",
            "`expired`, `unconfirmed`",
            products=PAID_BACK,
            keeps_money=True,
        ),
        Story(
            "provider-down",
            "returns 502 to every request about the order, then sends a code",
            "`waiting` meanwhile, then `received` with the code",
            text=SHORT,
            outage=True,
        ),
    )
}
"""By name; the names are those of `ringback trigger`."""


def items_of(product: str) -> tuple[str, ...]:
    """The items of a product's catalogue that play a story."""
    return tuple(PREFIX + story.name for story in STORIES.values() if product in story.products)


def named(name: object, product: str | None = None) -> Story:
    """The story of that name; raises ValueError when there is none, or none of that product."""
    story = STORIES.get(name) if isinstance(name, str) else None
    if story is None:
        raise ValueError(f"unknown story; known: {', '.join(STORIES)}")
    if product is not None and product not in story.products:
        raise ValueError(f"{story.name} is a story of {', '.join(story.products)}")
    return story
