"""SMS OTP, `handler_api.php`: words, and two calls that answer JSON. Our own reading of the vendor's page."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from web.sandbox.catalogue import COUNTRIES, Item
from web.sandbox.ledger import Refused
from web.sandbox.orders import SMS
from web.sandbox.shop import Query, Shop

FINISH, FINISH_TOO, CANCEL = "3", "6", "8"

CountryRow = dict[str, str]
Priced = list[tuple[Item, Decimal]]


def get_balance(shop: Shop, _query: Query) -> str:
    """The wallet that all products share."""
    return f"ACCESS_BALANCE:{shop.ledger.balance:.2f}"


def get_countries(shop: Shop, query: Query) -> str:
    """The countries of one type, or of all when none is asked for."""
    wanted = query.get("type")
    kinds = [_known_type(query)] if wanted is not None else list(COUNTRIES)
    listed = {kind: _countries(shop, kind) for kind in kinds}
    rows = [row for kind in kinds for row in listed[kind]]
    shapes: dict[str, Any] = {
        "by_type": listed,
        "list": rows,
        "indexed": {str(place): {"id": row["id"], "eng": row["name"]} for place, row in enumerate(rows)},
    }
    return json.dumps(shapes[shop.shapes.countries] if rows else [])


def get_services(shop: Shop, query: Query) -> str:
    """The services of one country of one type, with their prices; `[]` where there are none."""
    kind = _known_type(query)
    place = {"type": kind, "country": query.get("country", "")}
    listed = shop.catalogue.listed(SMS, place, shop.rules.stories)
    if not listed:
        return "[]"
    shapes: dict[str, Any] = {
        "text": _as_text(listed),
        "wrapped": {kind: _as_text(listed)},
        "number": {item.code: float(price) for item, price in listed},
        "list": [{"code": item.code, "name": item.name, "price": plain(price)} for item, price in listed],
    }
    return json.dumps(shapes[shop.shapes.services])


def get_number(shop: Shop, query: Query) -> str:
    """Sell a number for one service in one country: its id and the number without a plus."""
    kind, country = _known_type(query), query.get("country", "")
    if country not in shop.catalogue.countries(SMS, shop.rules.stories, type=kind):
        raise Refused("BAD_COUNTRY")
    item = shop.find(SMS, {"type": kind, "country": country}, query.get("service", ""))
    if item is None:
        raise Refused("BAD_SERVICE")
    asked = {"service": item.code, "country": country, "type": kind}
    order = shop.sell(item, asked, shop.rules.sms_life)
    return f"ACCESS_NUMBER:{order.id}:{order.number.removeprefix('+')}"


def get_status(shop: Shop, query: Query) -> str:
    """Whether a code has come."""
    return shop.ledger.status(query.get("id", ""), SMS)


def set_status(shop: Shop, query: Query) -> str:
    """Finish with 3 or 6, cancel with 8."""
    order_id, status = query.get("id", ""), query.get("status")
    if status in (FINISH, FINISH_TOO):
        return shop.ledger.finish(order_id, SMS)
    if status == CANCEL:
        return shop.ledger.cancel(order_id, SMS)
    raise Refused("BAD_STATUS")


def plain(price: Decimal) -> str:
    """A price as the page writes it: paisa only where there are any."""
    return f"{price:.0f}" if price == price.to_integral_value() else f"{price:.2f}"


def _countries(shop: Shop, kind: str) -> list[CountryRow]:
    countries = shop.catalogue.countries(SMS, shop.rules.stories, type=kind)
    return [{"id": country, "name": name} for country, name in countries.items()]


def _as_text(listed: Priced) -> dict[str, str]:
    return {item.code: f"{item.name} - {plain(price)} PKR" for item, price in listed}


def _known_type(query: Query) -> str:
    kind = query.get("type", "")
    if kind not in COUNTRIES:
        raise Refused("BAD_TYPE")
    return kind


ACTIONS = {
    "getBalance": get_balance,
    "getCountries": get_countries,
    "getServices": get_services,
    "getNumber": get_number,
    "getStatus": get_status,
    "setStatus": set_status,
}
