"""What is for sale besides cheap numbers: services, addresses, rentals; their prices and how many are left.

Prices move: by a control call, by a step with every listing, or for a moment because a story wants it.
Ids and codes belong to one type; the same country has other ids elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from web.sandbox.orders import EMAIL, RENTAL, SMS
from web.sandbox.values import MOST_MONEY

Place = Mapping[str, str]
"""Where an item is sold, by the parameters that ask for its list."""

COUNTRIES: Mapping[str, Mapping[str, str]] = {
    "1": {"1": "Pakistan", "2": "India"},
    "2": {"92": "Pakistan", "44": "United Kingdom"},
    "3": {"0": "Russia", "6": "Indonesia"},
    "4": {"33": "Canada", "34": "Germany"},
    "5": {"pk": "Pakistan", "ng": "Nigeria"},
    "6": {"187": "USA", "16": "United Kingdom"},
}
"""Countries of SMS OTP by type: id and name."""
DOMAINS = ("gmail.com", "outlook.com")
PROVIDERS = ("1",)
RENTAL_COUNTRIES: Mapping[str, str] = {"PK": "Pakistan", "GB": "United Kingdom"}

RAISE = Decimal("7.50")
"""PKR by which a story raises a price."""
STORY_PRICE = Decimal("10.00")
MOST_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """One thing for sale at one place."""

    product: str
    place: Place
    code: str
    name: str
    base: Decimal
    """PKR, unless it is raised."""
    step: Decimal = Decimal("0.00")
    """Added to `base` after every listing."""
    count: int | None = None
    """How many are left; `None`: no end of them."""
    hours: int = 0
    """How long a rental lasts."""
    story: bool = False
    """Whether it plays a story, and is for sale only where the rules list those."""
    raised_until: float = 0.0
    shown: Decimal | None = None
    """The price when it was last listed."""


class Catalogue:
    """The items by product, place and code; a change stores a copy."""

    def __init__(self, clock: Callable[[], float], stories: Mapping[str, Sequence[str]]) -> None:
        self._clock = clock
        self._items = {_key(item): item for item in (*_stock(), *_story_stock(stories))}

    def countries(self, product: str, stories: bool, **place: str) -> dict[str, str]:
        """Where something is sold: id and name. One that is sold out of everything is not listed."""
        name = "country" if product == SMS else "country_code"
        names = COUNTRIES.get(place.get("type", ""), {}) if product == SMS else RENTAL_COUNTRIES
        found = [item.place[name] for item in self.matching(product, place) if stories or not item.story]
        return {country: names.get(country, country) for country in found}

    def price(self, item: Item) -> Decimal:
        """What an item costs now."""
        return item.base + (RAISE if self._clock() < item.raised_until else 0)

    def listed(self, product: str, place: Place, stories: bool) -> list[tuple[Item, Decimal]]:
        """The items of a place with their prices; whoever looks moves those that step."""
        found = [item for item in self._items.values() if item.product == product and item.place == place]
        listing = [(item, self.price(item)) for item in found if stories or not item.story]
        for item, price in listing:
            self._keep(replace(item, shown=price, base=min(item.base + item.step, Decimal(MOST_MONEY))))
        return listing

    def find(self, product: str, place: Place, code: str, stories: bool) -> Item | None:
        """The item with that code; a place without parameters is everywhere."""
        return next((item for item in self.matching(product, place, code) if stories or not item.story), None)

    def matching(self, product: str, place: Place, code: str | None = None) -> Iterator[Item]:
        """The items of a product that have these parameters, and the code if one is given."""
        for item in tuple(self._items.values()):
            if item.product == product and code in (None, item.code) and place.items() <= item.place.items():
                yield item

    def moved(self, item: Item) -> bool:
        """Whether the price is another than the one last listed."""
        return item.shown not in (None, self.price(item))

    def take(self, item: Item) -> None:
        """One of them has been sold; a raised price falls back."""
        self._keep(replace(item, count=None if item.count is None else item.count - 1, raised_until=0.0))

    def raise_price(self, item: Item, span: float) -> None:
        """Let an item cost more for `span` seconds, or until it is sold."""
        self._keep(replace(item, raised_until=self._clock() + span))

    def raised(self, item: Item) -> bool:
        """Whether an item costs more for a moment."""
        return self._clock() < item.raised_until

    def change(self, product: str, place: Place, code: str, changes: Mapping[str, Any]) -> list[Item]:
        """Change all items that match; raises ValueError when there is none."""
        found = [replace(item, **changes) for item in self.matching(product, place, code)]
        if not found:
            raise ValueError("no such item in the catalogue; GET /sandbox/catalogue lists them")
        for item in found:
            self._keep(item)
        return found

    def add(self, item: Item) -> None:
        """Offer something new; raises ValueError when it is there, or the catalogue is full."""
        if _key(item) in self._items:
            raise ValueError("that item is in the catalogue")
        if len(self._items) >= MOST_ITEMS:
            raise ValueError(f"a catalogue has at most {MOST_ITEMS} items")
        self._keep(item)

    def remove(self, product: str, place: Place, code: str | None) -> None:
        """Sell these no more, or a whole place's."""
        for item in self.matching(product, place, code):
            del self._items[_key(item)]

    def as_json(self) -> list[dict[str, Any]]:
        """All items, ready for JSON."""
        return [self.plain(item) for item in self._items.values()]

    def plain(self, item: Item) -> dict[str, Any]:
        """One item, ready for JSON."""
        shown: dict[str, Any] = {"product": item.product, **item.place, "code": item.code, "name": item.name}
        shown |= {"price": str(self.price(item)), "step": str(item.step), "count": item.count}
        return shown | ({"hours": item.hours} if item.product == RENTAL else {})

    def _keep(self, item: Item) -> None:
        self._items[_key(item)] = item


def _key(item: Item) -> tuple[str, ...]:
    return (item.product, *item.place.values(), item.code)


_SERVICES = (("tg", "Telegram", "45"), ("ab", "AirBnb", "376.88"), ("go", "Google - YouTube", "19.75"))
_NUMBERED = (("101", "Telegram", "52.50"), ("102", "AirBnb", "380"), ("103", "Google - YouTube", "24.30"))
"""What types 2 and 6 sell: the same services under codes of their own."""
_MAIL = (("tg", "Telegram", "25", 120), ("ab", "AirBnb", "31.50", 40))
_RENTALS = (("WhatsApp", "350", 24), ("Telegram", "1240.75", 168))


def sms_places() -> Iterator[Place]:
    """Each country of each type."""
    for kind, countries in COUNTRIES.items():
        yield from ({"type": kind, "country": country} for country in countries)


def email_places() -> Iterator[Place]:
    """Each domain."""
    return ({"domain": domain} for domain in DOMAINS)


def rental_places() -> Iterator[Place]:
    """Each country of each provider of rentals."""
    for provider in PROVIDERS:
        yield from ({"provider": provider, "country_code": country} for country in RENTAL_COUNTRIES)


def _stock() -> Iterator[Item]:
    for place in sms_places():
        services = _NUMBERED if place["type"] in ("2", "6") else _SERVICES
        for code, name, price in services:
            yield Item(SMS, place, code, name, Decimal(price))
    for place in email_places():
        for code, name, price, count in _MAIL:
            yield Item(EMAIL, place, code, name, Decimal(price), count=count)
    for number, place in enumerate(rental_places(), 1):
        for position, (name, price, hours) in enumerate(_RENTALS, 1):
            yield Item(RENTAL, place, f"{number}{position:02d}", name, Decimal(price), hours=hours)


def _story_stock(stories: Mapping[str, Sequence[str]]) -> Iterator[Item]:
    """By product: one item for each story, everywhere."""
    places = {SMS: sms_places, EMAIL: email_places, RENTAL: rental_places}
    for product, codes in stories.items():
        for place in places[product]():
            for code in codes:
                yield Item(product, place, code, f"Sandbox {code}", STORY_PRICE, hours=1, story=True)
