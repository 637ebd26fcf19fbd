"""Rentals, `rental-handler.php` and `handler_api.php`: the JSON envelope. Our own reading of what is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from web.sandbox.envelope import SUCCESS, Envelope
from web.sandbox.ledger import Refused
from web.sandbox.messages import listed
from web.sandbox.orders import RENTAL, Order, State
from web.sandbox.shop import Query, Shop

HOUR = 3600.0
LONGEST_RENEWAL = 8_784
"""Hours; a year."""


def get_rental_countries(shop: Shop, query: Query, envelope: Envelope) -> str:
    """Where numbers are rented out."""
    countries = shop.catalogue.countries(RENTAL, shop.rules.stories, provider=query.get("provider", "1"))
    return envelope.rows("data", [{"code": code, "name": name} for code, name in countries.items()])


def get_rental_pricing(shop: Shop, query: Query, envelope: Envelope) -> str:
    """What can be rented in one country: id, service, price, and hours."""
    place = {"provider": query.get("provider", "1"), "country_code": query.get("country_code", "")}
    rows = [
        {
            **envelope.identity("id", item.code),
            "service": item.name,
            "price": envelope.price(price),
            "duration": item.hours,
        }
        for item, price in shop.catalogue.listed(RENTAL, place, shop.rules.stories)
    ]
    return envelope.rows("data", rows)


def rent_number(shop: Shop, query: Query, envelope: Envelope) -> str:
    """Rent a number out; its time starts now."""
    item = shop.find(RENTAL, {}, query.get("pricing_id", ""))
    if item is None:
        raise Refused("BAD_SERVICE")
    asked = {"pricing_id": item.code, "hours": str(item.hours), **item.place}
    order = shop.sell(item, asked, _lasting(shop, item.hours))
    return envelope.tell(SUCCESS, "Number rented", _described(order, envelope))


def get_rental_sms(shop: Shop, query: Query, envelope: Envelope) -> str:
    """Everything that the number has received, also after its end."""
    order = shop.ledger.known(query.get("order_id", ""), RENTAL)
    rows = []
    for message in listed(order, shop.rules, shop.clock(), shop.chance):
        sender = {"sender": message.sender} if shop.shapes.senders == "present" else {}
        date = envelope.moment("date", message.at)
        rows.append({"code": envelope.code(message.code), "text": message.text, **sender, **date})
    return envelope.rows("data", rows)


def renew_rental(shop: Shop, query: Query, envelope: Envelope) -> str:
    """Let a rental last longer, for its price per hour."""
    order = shop.ledger.known(query.get("rental_id", ""), RENTAL)
    hours = _hours(query)
    renewed = shop.ledger.renew(order.id, _renewal_price(shop, order, hours), _lasting(shop, hours))
    return envelope.tell(SUCCESS, "Rental renewed", _described(renewed, envelope))


def get_my_rentals(shop: Shop, query: Query, envelope: Envelope) -> str:
    """The rentals that are running, at one provider."""
    provider = query.get("provider", "1")
    mine = [order for order in shop.ledger.orders() if order.product == RENTAL and order.state is State.RENTED]
    rows = [_described(order, envelope) for order in mine if order.item.get("provider") == provider]
    return envelope.rows("data", rows)


def _described(order: Order, envelope: Envelope) -> dict[str, Any]:
    return {
        **envelope.identity("order_id", order.id),
        "service": order.name,
        "number": order.number,
        **envelope.moment("expiry", order.expires_at),
    }


def _lasting(shop: Shop, hours: int) -> float:
    return hours * HOUR if shop.rules.rental_seconds is None else shop.rules.rental_seconds


def _hours(query: Query) -> int:
    hours = query.get("duration", "")
    if not (hours.isascii() and hours.isdigit() and len(hours) < 6 and 1 <= int(hours) <= LONGEST_RENEWAL):
        raise Refused("BAD_DURATION")
    return int(hours)


def _renewal_price(shop: Shop, order: Order, hours: int) -> Decimal:
    """By what the item costs now; by what was paid where it is sold no more."""
    item = shop.find(RENTAL, {}, order.item["pricing_id"])
    price = shop.catalogue.price(item) if item else order.price
    return (price * hours / max(1, int(order.item["hours"]))).quantize(Decimal("0.01"))


ACTIONS = {
    "getRentalCountries": get_rental_countries,
    "getRentalPricing": get_rental_pricing,
    "rentNumber": rent_number,
    "getRentalSMS": get_rental_sms,
    "renewRental": renew_rental,
    "getMyRentals": get_my_rentals,
}
