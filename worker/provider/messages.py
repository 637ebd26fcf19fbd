"""A rental's messages, in every shape in which a list of them may come. Pure. No shape is documented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from worker.provider.envelope import Envelope, parse, plain
from worker.provider.moments import read_moment
from worker.provider.products import Meaning, Product
from worker.rental import Sms

TEXT_LIMIT: Final = 4096
"""Characters kept of a message, its code or its sender."""


def read_messages(product: Product, text: str) -> tuple[Sms, ...] | None:
    """The messages that a text lists, which may be none; None when it lists nothing."""
    parsed = parse(text)
    if isinstance(parsed, list):
        rows = parsed
    elif isinstance(parsed, dict) and Envelope(product, parsed).meaning in (Meaning.SUCCESS, Meaning.WAITING):
        rows = [row for name in product.names["rows"] for row in _rows(product, parsed.get(name))]
    else:
        return None
    found = [_message(product, row) for row in rows]
    return None if rows and not any(found) else tuple(one for one in found if one is not None)


def _rows(product: Product, held: Any) -> Iterator[Any]:
    """What is listed: a list, one message, or messages by a key; null, a text and an empty object list none."""
    if isinstance(held, list):
        yield from held
    elif isinstance(held, dict):
        yield from [held] if _message(product, held) else held.values()


def _message(product: Product, row: Any) -> Sms | None:
    if not isinstance(row, dict):
        return None
    text, code, sender = (_first(product, what, row) for what in ("text", "otp", "sender"))
    if not (text or code):
        return None
    at = read_moment(product.zone, _first(product, "date", row) or "")
    return Sms(text=text, code=code, sender=sender, at=at)


def _first(product: Product, what: str, row: Mapping[str, Any]) -> str | None:
    """The first value under one of its names; numbers keep their digits, and what says nothing is None."""
    values = (plain(row.get(name)) for name in product.names.get(what, ()))
    return next((str(value)[:TEXT_LIMIT] for value in values if value), None)
