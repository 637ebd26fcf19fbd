"""The calls of the control face: one table of what each takes and does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from web.sandbox import rules, shapes
from web.sandbox.answers import Answer
from web.sandbox.backstage import OUTAGES
from web.sandbox.catalogue import Item
from web.sandbox.log import as_json
from web.sandbox.orders import EMAIL, PRODUCTS, RENTAL, SMS
from web.sandbox.page import order_page, orders_page, start_page, style
from web.sandbox.stage import Stage
from web.sandbox.values import Fields, Reader, choice, flag, money, optional, seconds, text, times, whole

REFILL = "500"
"""PKR that a refill pays in unless it says how much."""
PLACES = {SMS: ("type", "country"), EMAIL: ("domain",), RENTAL: ("provider", "country_code")}
"""The parameters that say where an item is sold."""
MOST_MESSAGES = 1_000
MOST_LISTED = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `act` gets the fields that came and answers with an Answer, or with what becomes JSON."""

    method: str
    path: str
    does: str
    act: Callable[[Stage, Fields], Any]
    takes: Mapping[str, Reader] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    raw: bool = False
    """The body is handed over as it is, under the name `body`."""


def order_id(value: object) -> str | None:
    """Read an order's id; null: the newest that fits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return None if value is None or value == "" else text(value)


def _add_faults(stage: Stage, fields: Fields) -> Any:
    entries = fields["body"]
    stage.script(*(entries if isinstance(entries, list) else [entries]))
    return _faults(stage, fields)


def _faults(stage: Stage, _fields: Fields) -> Any:
    return {"faults": stage.faults()}


def _clear_faults(stage: Stage, fields: Fields) -> Any:
    stage.clear_faults()
    return _faults(stage, fields)


def _stories(stage: Stage, _fields: Fields) -> Any:
    return {"stories": stage.stories()}


def _ask_for_story(stage: Stage, fields: Fields) -> Any:
    stage.story(fields["story"], fields.get("product"), fields.get("times", 1))
    return _stories(stage, fields)


def _clear_stories(stage: Stage, fields: Fields) -> Any:
    stage.clear_stories()
    return _stories(stage, fields)


def _play(stage: Stage, fields: Fields) -> Any:
    order = stage.play(fields["id"], fields["story"])
    return {"id": order.id, "story": fields["story"]}


def _send_code(stage: Stage, fields: Fields) -> Any:
    after, late = fields.get("after", 0.0), fields.get("late", False)
    order = stage.arrive(fields.get("id"), fields["text"], after, late=late)
    return {"id": order.id, "state": order.state}


def _send_message(stage: Stage, fields: Fields) -> Any:
    more = {name: fields[name] for name in ("code", "sender") if name in fields}
    after, count = fields.get("after", 0.0), min(fields.get("times", 1), MOST_MESSAGES)
    order = stage.message(fields.get("id"), fields["text"], after, times=count, **more)
    return {"id": order.id, "state": order.state}


def _books(stage: Stage, _fields: Fields) -> Any:
    return stage.books()


def _set_balance(stage: Stage, fields: Fields) -> Any:
    stage.set_balance(fields["balance"])
    return stage.books()


def _refill(stage: Stage, fields: Fields) -> Any:
    stage.refill(fields.get("amount", REFILL))
    return {"balance": str(stage.ledger.balance)}


def _requests(stage: Stage, fields: Fields) -> Any:
    rows = stage.requests(fields.get("action"), fields.get("id"))
    limit = fields.get("limit", MOST_LISTED)
    return {"requests": [as_json(seen) for seen in rows[max(0, len(rows) - limit) :]]}


def _counters(stage: Stage, _fields: Fields) -> Any:
    return stage.counters()


def _outage(stage: Stage, fields: Fields) -> Any:
    stage.outage(fields.get("seconds", 0), fields.get("kind", "reset"))
    return dict(fields)


def _config(stage: Stage, fields: Fields) -> Any:
    return {name: _plain(value) for name, value in asdict(stage.configure(**fields)).items()}


def _shapes(stage: Stage, fields: Fields) -> Any:
    return asdict(stage.shape(**fields))


def _catalogue(stage: Stage, _fields: Fields) -> Any:
    return {"items": stage.items()}


def _change_catalogue(stage: Stage, fields: Fields) -> Any:
    """Change, add (`new`) or take away (`remove`) what matches product, place and code."""
    product = fields["product"]
    place = {name: fields[name] for name in PLACES[product] if name in fields}
    if strange := sorted({name for names in PLACES.values() for name in names} & set(fields) - set(PLACES[product])):
        raise ValueError(f"unknown for {product}: {', '.join(strange)}; known: {', '.join(PLACES[product])}")
    if fields.get("remove"):
        stage.remove_items(product, place, fields.get("code"))
        return _catalogue(stage, fields)
    if "code" not in fields:
        raise ValueError("code is missing")
    changes = {column: fields[name] for name, column in _COLUMNS.items() if name in fields}
    if not fields.get("new"):
        return {"items": stage.change_items(product, place, fields["code"], changes)}
    wanted = (*PLACES[product], "price", *(["hours"] if product == RENTAL else []))
    if missing := [name for name in wanted if name not in fields]:
        raise ValueError(f"a new item needs {', '.join(missing)}")
    return {"items": [stage.add_item(Item(product, place, fields["code"], **{"name": fields["code"], **changes}))]}


_COLUMNS = {"price": "base", "step": "step", "count": "count", "name": "name", "hours": "hours"}


def _reset(stage: Stage, fields: Fields) -> Any:
    stage.reset(fields.get("balance"))
    return stage.books()


def _calls(_stage: Stage, _fields: Fields) -> Any:
    shown = [{"call": f"{c.method} {c.path}", "fields": sorted(c.takes), "does": c.does} for c in CALLS]
    return {"calls": shown}


def _home(_stage: Stage, _fields: Fields) -> Any:
    return Answer(status=303, headers={"Location": "/sandbox/"})


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


_STORY: Mapping[str, Reader] = {"story": text, "product": choice(*PRODUCTS), "times": times}
_CODE: Mapping[str, Reader] = {"id": order_id, "text": text, "after": seconds, "late": flag}
_MESSAGE: Mapping[str, Reader] = {
    "id": order_id,
    "text": text,
    "code": text,
    "sender": text,
    "after": seconds,
    "times": whole,
}
_ITEM: Mapping[str, Reader] = {
    "product": choice(SMS, EMAIL, RENTAL),
    "code": text,
    **{name: text for names in PLACES.values() for name in names},
    "price": money,
    "step": money,
    "count": optional(whole),
    "name": text,
    "hours": whole,
    "new": flag,
    "remove": flag,
}

CALLS: tuple[Call, ...] = (
    Call("GET", "/", "redirects to the page", _home),
    Call("GET", "/sandbox/", "the page", start_page),
    Call("GET", "/sandbox/orders", "the list of orders on the page, which refreshes itself", orders_page),
    Call("GET", "/sandbox/order", "one order, with forms", order_page, {"id": text}, ("id",)),
    Call("GET", "/sandbox/sandbox.css", "the style sheet of the pages", style),
    Call("GET", "/sandbox/calls", "this table", _calls),
    Call("GET", "/sandbox/faults", "the script, with what is left of it to play", _faults),
    Call("POST", "/sandbox/faults", "adds one entry or a list of them to the script", _add_faults, raw=True),
    Call("DELETE", "/sandbox/faults", "clears the script, and ends an outage", _clear_faults),
    Call("GET", "/sandbox/stories", "the requested stories", _stories),
    Call("POST", "/sandbox/stories", "makes the next purchases play a story", _ask_for_story, _STORY, ("story",)),
    Call("DELETE", "/sandbox/stories", "forgets the requested stories", _clear_stories),
    Call(
        "POST",
        "/sandbox/play",
        "makes a waiting order play a story",
        _play,
        {"id": order_id, "story": text},
        ("id", "story"),
    ),
    Call("POST", "/sandbox/code", "sends a code or a whole SMS to an order", _send_code, _CODE, ("text",)),
    Call("POST", "/sandbox/message", "sends a message to a rental", _send_message, _MESSAGE, ("text",)),
    Call("GET", "/sandbox/ledger", "balance, orders and journal", _books),
    Call("POST", "/sandbox/balance", "sets the balance", _set_balance, {"balance": money}, ("balance",)),
    Call("POST", "/sandbox/refill", "pays into the account", _refill, {"amount": money}),
    Call("GET", "/sandbox/catalogue", "what is for sale, and for how much", _catalogue),
    Call(
        "POST",
        "/sandbox/catalogue",
        "changes every matching item for sale",
        _change_catalogue,
        _ITEM,
        ("product",),
    ),
    Call("GET", "/sandbox/config", "the rules", _config),
    Call("POST", "/sandbox/config", "changes rules", _config, rules.READERS),
    Call("GET", "/sandbox/shapes", "the shapes of JSON answers", _shapes),
    Call("POST", "/sandbox/shapes", "changes shapes", _shapes, shapes.READERS),
    Call(
        "POST",
        "/sandbox/outage",
        "refuses every request for a while",
        _outage,
        {"seconds": seconds, "kind": choice(*OUTAGES)},
        ("seconds",),
    ),
    Call(
        "GET",
        "/sandbox/requests",
        "the latest `limit` requests in the log, filtered by action and order",
        _requests,
        {"action": text, "id": text, "limit": whole},
    ),
    Call("GET", "/sandbox/counters", "how many requests, of what kind, and how many at once", _counters),
    Call("POST", "/sandbox/reset", "empties the ledger; rules and shapes stay", _reset, {"balance": money}),
)
"""The whole control face."""
