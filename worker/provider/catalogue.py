"""The catalogue's listings, in every shape in which one has been met. Pure.

A price is an exact decimal, or it is unknown: what could be read two ways is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from worker.provider.envelope import Envelope, Number, parse
from worker.provider.products import Meaning, Product
from worker.provider.replies import Choice

NAME_LIMIT: Final = 200
"""Characters kept of a name or a code."""
LONGEST_RENTAL: Final = 8_784
"""Hours beyond which a duration is not believed: a year."""

_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,8})?")
_NUMBERS = re.compile(r"[-+]?[0-9][0-9.,eE]*")
_COUNT = re.compile(r"[0-9]{1,12}")
_KEYED = frozenset({"servers"})
"""Listings that are documented under the type asked for and nothing else: an empty list is no answer."""


def read_choices(product: Product, listing: str, place: Mapping[str, str], text: str) -> tuple[Choice, ...] | None:
    """What can be chosen, or None when the text is no listing."""
    parsed = parse(text)
    if listing in _KEYED and not isinstance(parsed, dict):
        return None
    found = _choices(product, place, parsed)
    listed = tuple(choice for choice in found if choice is not None) if found is not None else None
    return None if listed == () and found else listed


def _choices(product: Product, place: Mapping[str, str], parsed: Any) -> list[Choice | None] | None:
    """The choices, None among them for those that cannot be read; None when there is no listing."""
    if isinstance(parsed, list):
        return [_choice(product, row, "") for row in parsed]
    if not isinstance(parsed, dict) or not parsed:
        return None
    envelope = Envelope(product, parsed)
    if any(name in parsed for name in product.names["status"]):
        return _enveloped(product, envelope)
    kind = place.get("type")
    if kind in parsed and isinstance(parsed[kind], list | dict):
        return _choices(product, {}, parsed[kind])
    if kind is not None and any(isinstance(value, list) for value in parsed.values()):
        return []
    return _mapped(product, parsed)


def _mapped(product: Product, rows: Mapping[str, Any]) -> list[Choice | None] | None:
    """Choices by their code, or numbered. Texts without a single price among them are some other answer."""
    choices = [_choice(product, value, key) for key, value in rows.items()]
    fields = any(isinstance(value, dict) for value in rows.values())
    return choices if fields or any(one and one.price is not None for one in choices) else None


def _enveloped(product: Product, envelope: Envelope) -> list[Choice | None] | None:
    """The rows of an envelope that says success; nothing under their name is an empty listing."""
    if envelope.meaning is not Meaning.SUCCESS:
        return None
    held = [envelope.top[name] for name in product.names["rows"] if name in envelope.top]
    rows = next((value for value in held if value), held[0] if held else None)
    if isinstance(rows, dict) and rows:
        return _mapped(product, rows)
    if isinstance(rows, list):
        return [_choice(product, row, "") for row in rows]
    return [] if held else None


def _choice(product: Product, value: Any, key: str) -> Choice | None:
    """One choice: a row of fields, or a text behind its code. A missing name is made up from the code."""
    shown = _printable(key)
    if isinstance(value, dict):
        code = next(filter(None, (_code(value.get(name)) for name in product.names["choice"])), shown)
        name = _first(value, product.names["name"])
        amount = read_price(_first(value, product.names["price"]))
        count = _first(value, product.names["count"])
        stock = int(count) if _COUNT.fullmatch(count) else None
        hours = _hours(_first(value, product.names.get("duration", ())))
        kind = "Server" if product.item is None else "Choice"
        return Choice(code, name or f"{kind} {code}", amount, stock, hours) if code else None
    if isinstance(value, Number):
        return Choice(shown, shown, read_price(value)) if shown else None
    if isinstance(value, str) and shown:
        name, _, _ = value.rpartition(" - ")
        return Choice(shown, _printable(name) or shown, read_price(value))
    return None


def read_price(text: str) -> Decimal | None:
    """The last number in a text, behind its last ` - ` if there is one; None for what is not plainly a price."""
    numbers = _NUMBERS.findall(text.rpartition(" - ")[2])
    last = numbers[-1].rstrip(".,") if numbers else ""
    amount = Decimal(last) if _AMOUNT.fullmatch(last) else Decimal(0)
    return amount if amount > 0 else None


def _hours(text: str) -> Decimal | None:
    """A span in hours, which may be a part of one; a year at most."""
    hours = Decimal(text) if _AMOUNT.fullmatch(text) else Decimal(0)
    return hours if 0 < hours <= LONGEST_RENTAL else None


def _first(row: Mapping[str, Any], names: Iterable[str]) -> str:
    values = (row.get(name) for name in names)
    return next((_printable(value) for value in values if isinstance(value, str) and value.strip()), "")


def _code(value: Any) -> str:
    """A code; unlike an id that costs money, `0` is one."""
    return _printable(value) if isinstance(value, str) else ""


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()[:NAME_LIMIT]
