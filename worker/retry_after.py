"""Reading `Retry-After` (RFC 9110, section 10.2.3), as the provider and receivers send it. Pure."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 3600.0
"""Seconds; a longer wait is cut to this."""


def read(value: str | None, now: float) -> float | None:
    """Seconds to wait, from either form of the header, seconds or an HTTP date; None when it is neither.

    `now` is in epoch seconds.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), LONGEST)
    try:
        date = parsedate_to_datetime(text)
        at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(at - now, 0.0), LONGEST)
