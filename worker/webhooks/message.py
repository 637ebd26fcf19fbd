"""What a webhook says: its body and its headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from worker.compact_json import ascii_json, text_json
from worker.order import ADDRESS_ERASED, OTP_ERASED, rfc3339

_ERASED = {"otp": OTP_ERASED, "address": ADDRESS_ERASED}
"""What of an order is erased after a while, and the flag that says so."""
_SAID = ("code", "text", "sender")
"""What of a rental's message is erased after a while."""


def render(type: str, timestamp: float, data: Mapping[str, object], **beside: object) -> bytes:
    """The body: compact UTF-8 JSON of `type`, `timestamp` (when it happened, epoch seconds), `data` and what is beside.

    Raises ValueError for a number that JSON cannot carry.
    """
    return _compact({"type": type, "timestamp": rfc3339(timestamp), "data": dict(data), **beside})


def headers(event_id: str, timestamp: int, signature: str) -> dict[str, str]:
    """The headers of one attempt; `timestamp` is the attempt's, in whole epoch seconds.

    What names the sender and the transport (User-Agent, Host, lengths) is the sender's to add.
    """
    return {**signature_headers(event_id, timestamp, signature), "content-type": "application/json"}


def signature_headers(event_id: str, timestamp: int, signature: str) -> dict[str, str]:
    """The three headers by which a receiver checks a message."""
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def without_personal(body: bytes) -> bytes:
    """The same message with its code and its address erased: null, and `data.flags` say so.

    Of a rental's message, what it said is null.

    A message that carries neither comes back as it is. Raises ValueError when `body` is not a message.
    """
    message = json.loads(body)
    data, rental_message = message["data"], message.get("message")
    if isinstance(rental_message, dict) and any(rental_message.get(name) is not None for name in _SAID):
        rental_message |= dict.fromkeys(_SAID)
        return _compact(message)
    held = {name: flag for name, flag in _ERASED.items() if data.get(name) is not None}
    if not held:
        return body
    data |= dict.fromkeys(held)
    data["flags"] = [*data.get("flags", ()), *held.values()]
    return _compact(message)


def spellings(code: str) -> re.Pattern[str]:
    """Finds a code as receivers echo it: to the letter, with or without separators, or URL-encoded.

    Of a longer text (some codes come as the whole message) also its groups of digits are found.
    """
    groups = [one for one in re.findall(r"\d(?:[ .\-]?\d)*", code) if sum(map(str.isdigit, one)) >= SHORTEST_CODE]
    short = [code] if len(code) <= LONGEST_CODE else []
    return re.compile("|".join([re.escape(code), *(_spelled(one) for one in (*short, *groups))]), re.IGNORECASE)


SHORTEST_CODE, LONGEST_CODE = 4, 64
"""Digits from which a group of them counts as a code of its own, and characters up to which a text is looked for as a
code: a longer one is a message, and found to the letter.
"""
_BETWEEN = r"(?:[\s._\-+]|%20|%2[bBdDeE]|%5[fF]|&nbsp;|&#32;|\\u00a0|\u00a0|\u2011)*"


def _spelled(code: str) -> str:
    """A pattern of a code's letters and digits, each plain or percent-encoded, with any separators between them."""
    letters = [one for one in code if one.isalnum()] or list(code)
    encoded = ("%" + one.encode("utf-8", "surrogatepass").hex("%") for one in letters)
    return _BETWEEN.join(f"(?:{re.escape(one)}|{percent})" for one, percent in zip(letters, encoded, strict=True))


def _compact(value: object) -> bytes:
    try:
        return text_json(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
        return ascii_json(value).encode()
