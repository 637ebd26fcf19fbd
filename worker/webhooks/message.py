"""What a webhook says: its body and its headers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from worker.order import ADDRESS_ERASED, OTP_ERASED, rfc3339

_ERASED = {"otp": OTP_ERASED, "address": ADDRESS_ERASED}
"""What of an order is erased after a while, and the flag that says so."""


def render(type: str, timestamp: float, data: Mapping[str, object]) -> bytes:
    """The body: compact UTF-8 JSON of `type`, `timestamp` (when it happened, epoch seconds) and `data`.

    Raises ValueError for a number that JSON cannot carry.
    """
    return _compact({"type": type, "timestamp": rfc3339(timestamp), "data": dict(data)})


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

    A message that carries neither comes back as it is. Raises ValueError when `body` is not a message.
    """
    message = json.loads(body)
    data = message["data"]
    held = {name: flag for name, flag in _ERASED.items() if data.get(name) is not None}
    if not held:
        return body
    data |= dict.fromkeys(held)
    data["flags"] = [*data.get("flags", ()), *held.values()]
    return _compact(message)


def _compact(value: object) -> bytes:
    try:
        return _dumped(value, ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
        return _dumped(value, ascii=True).encode()


def _dumped(value: object, *, ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii, allow_nan=False, separators=(",", ":"))
