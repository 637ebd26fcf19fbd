"""A buy's success line, in every shape the protocol family writes it. Pure.

Dropping a success loses the money, because no call lists orders; so whatever carries an activation id and
looks like a sale is adopted, and what was odd about it becomes a flag. The id is what matters: it lets us
cancel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.provider.replies import WORDS, Bought, Word

DEFAULT_LIFE: Final = 900.0
"""Seconds a number lives when the answer does not say so credibly; the vendor documents 15 minutes."""

LONGEST_LIFE: Final = 86_400.0
"""Seconds beyond which a life is not believed."""

NUMBER_LIMIT: Final = 32
"""Characters kept of a number that does not look like one."""

ID_FIELDS: Final = ("activationId", "activation_id", "id", "order_id", "orderId")
NUMBER_FIELDS: Final = ("phoneNumber", "phone_number", "number", "phone")

_ID = re.compile(r"""(?:(?![<>"{}])[!-~]){1,128}""")
_PHONE_START = re.compile(r"\+[0-9]*|[0-9]{7,15}")
_PHONE = re.compile(r"\+?([0-9]{7,15})")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DIGIT = re.compile(r"[0-9]")


def read_purchase(text: str) -> Bought | None:
    """The purchase that `text` reports, or None when it reports none."""
    if text.startswith("{"):
        return _read_json(text)
    if text.startswith(f"{Word.ACCESS_NUMBER}:"):
        return _read_sibling(text)
    return _read_line(text)


def _read_line(text: str) -> Bought | None:
    """OTPGet's own `ORDER_ID_12345,+923001234567,900`."""
    activation, *rest = (part.strip() for part in text.split(","))
    number, seconds = [*rest, "", ""][:2]
    if not _is_id(activation) or not _looks_sold(activation, rest):
        return None
    flags = ["extra_fields"] if len(rest) > 2 else []
    life = _life(seconds)
    return _bought(activation, number, life or DEFAULT_LIFE, flags if life else [*flags, "bad_seconds"])


def _looks_sold(activation: str, rest: Sequence[str]) -> bool:
    """Tell a damaged success line from a sentence with commas: something besides the id must hold up."""
    if not rest or _PHONE_START.fullmatch(rest[0]):
        return bool(rest)
    return len(rest) > 1 and bool(_life(rest[1]) or _DIGIT.search(activation))


def _read_sibling(text: str) -> Bought | None:
    """The family's `ACCESS_NUMBER:id:number`."""
    activation, *rest = (part.strip() for part in re.split("[:,]", text)[1:])
    flags = ["sibling_format", *(["extra_fields"] if len(rest) > 1 else [])]
    return _bought(activation, rest[0] if rest else "", DEFAULT_LIFE, flags) if _is_id(activation) else None


def _read_json(text: str) -> Bought | None:
    """The family's newer answer: a JSON object with an id and a number."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    activation, number = _first(answer, ID_FIELDS), _first(answer, NUMBER_FIELDS)
    if not _is_id(activation) or not number:
        return None
    return _bought(activation, number, DEFAULT_LIFE, ["sibling_format"])


def _first(answer: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first field among `names` that holds a string or a whole number, as text."""
    values = (answer.get(name) for name in names)
    found = (str(v).strip() for v in values if isinstance(v, str | int) and not isinstance(v, bool))
    return next(filter(None, found), "")


def _bought(activation: str, number: str, life: float, flags: Sequence[str]) -> Bought:
    phone = _PHONE.fullmatch(number)
    if phone:
        return Bought(activation, f"+{phone[1]}", life, tuple(flags))
    kept = "".join(char for char in number if char.isprintable())[:NUMBER_LIMIT]
    return Bought(activation, kept or None, life, (*flags, "odd_number"))


def _is_id(text: str) -> bool:
    """Ids are opaque, but no word of the protocol is one."""
    return _ID.fullmatch(text) is not None and text.partition(":")[0] not in WORDS


def _life(text: str) -> float | None:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    return seconds if 0 < seconds <= LONGEST_LIFE else None
