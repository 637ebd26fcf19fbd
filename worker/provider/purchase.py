"""A buy's success line, in every shape the protocol family writes it. Pure.

Dropping a success loses the money, because no call lists orders; so whatever carries an activation id and
looks like a sale is adopted, and what was odd about it becomes a flag. The id is what matters: it lets us
cancel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker.provider.envelope import Envelope, open_envelope
from worker.provider.moments import read_moment
from worker.provider.products import Meaning, Product
from worker.provider.replies import WORDS, Bought, Word

LONGEST_LIFE: Final = 86_400.0
"""Seconds beyond which a life is not believed."""

NUMBER_LIMIT: Final = 32
"""Characters kept of a number that does not look like one."""

ADDRESS_LIMIT: Final = 320
"""Characters kept of an address: the longest that RFC 5321 allows."""

_ID = re.compile(r"""(?:(?![<>"{}])[!-~]){1,128}""")
_PHONE_START = re.compile(r"\+[0-9]*|[0-9]{7,15}")
_PHONE = re.compile(r"\+?([0-9]{7,15})")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DIGIT = re.compile(r"[0-9]")


def read_purchase(product: Product, text: str) -> Bought | None:
    """The purchase that `text` reports, or None when it reports none."""
    if envelope := open_envelope(product, text):
        return _read_envelope(product, envelope)
    if text.startswith(f"{Word.ACCESS_NUMBER}:"):
        return _read_words(product, text)
    return _read_line(product, text)


def _read_line(product: Product, text: str) -> Bought | None:
    """The cheap handler's `ORDER_ID_12345,+923001234567,900`."""
    activation, *rest = (part.strip() for part in text.split(","))
    number, seconds = [*rest, "", ""][:2]
    if not _is_id(activation) or not _looks_sold(activation, rest):
        return None
    flags = ["extra_fields"] if len(rest) > 2 else []
    life = _life(seconds)
    if not life:
        flags.append("bad_seconds")
    return _bought(product, "line", activation, number, life or product.life, flags)


def _looks_sold(activation: str, rest: Sequence[str]) -> bool:
    """Tell a damaged success line from a sentence with commas: something besides the id must hold up."""
    if not rest or _PHONE_START.fullmatch(rest[0]):
        return bool(rest)
    return len(rest) > 1 and bool(_life(rest[1]) or _DIGIT.search(activation))


def _read_words(product: Product, text: str) -> Bought | None:
    """The family's `ACCESS_NUMBER:id:number`."""
    activation, *rest = (part.strip() for part in re.split("[:,]", text)[1:])
    flags = ["extra_fields"] if len(rest) > 1 else []
    contact = rest[0] if rest else ""
    return _bought(product, "words", activation, contact, product.life, flags) if _is_id(activation) else None


def _read_envelope(product: Product, envelope: Envelope) -> Bought | None:
    """A JSON object with an id and what was bought; of the product's own form, an id and a success are enough."""
    activation, contact = envelope.value("activation"), envelope.value("contact")
    own = product.answer == "json"
    success = envelope.meaning is Meaning.SUCCESS
    if not _is_id(activation) or not (contact or (own and success)):
        return None
    odd = [] if success or not own else ["odd_status"]
    bought = _bought(product, "json", activation, contact, product.life, odd)
    return replace(bought, until=read_moment(product.zone, envelope.value("until")))


def _bought(product: Product, form: str, activation: str, contact: str, life: float, flags: Sequence[str]) -> Bought:
    """What is ours now, with what was odd about it."""
    odd = [*flags] if form == product.answer else ["sibling_format", *flags]
    if product.sells == "address":
        address = _printable(contact, ADDRESS_LIMIT)
        if "@" not in address:
            odd.append("odd_address")
        return Bought(
            activation, None, life, tuple(odd), address=address or None, earliest_cancel=product.earliest_cancel
        )
    phone = _PHONE.fullmatch(contact)
    if phone is None:
        odd.append("odd_number")
    number = f"+{phone[1]}" if phone else _printable(contact, NUMBER_LIMIT) or None
    as_sold = contact if phone and contact != number else None
    return Bought(activation, number, life, tuple(odd), as_sold=as_sold, earliest_cancel=product.earliest_cancel)


def _printable(text: str, limit: int) -> str:
    return "".join(char for char in text if char.isprintable())[:limit]


def _is_id(text: str) -> bool:
    """Ids are opaque, but no word of the protocol is one."""
    return _ID.fullmatch(text) is not None and text.partition(":")[0] not in WORDS


def _life(text: str) -> float | None:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    return seconds if 0 < seconds <= LONGEST_LIFE else None
