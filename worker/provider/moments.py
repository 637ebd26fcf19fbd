"""Times as the provider writes them. Pure; whether one can be true is for those to judge who know what it is of."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_UNIX = re.compile(r"[0-9]{9,10}(?:\.[0-9]{1,9})?")
_UNIX_MS = re.compile(r"[0-9]{12,13}")


def read_moment(zone: timezone, text: str) -> float | None:
    """Epoch seconds, or None: ISO 8601 (in `zone` where it names none), or seconds or milliseconds since the epoch."""
    text = text.strip()
    if _UNIX.fullmatch(text):
        return float(text)
    if _UNIX_MS.fullmatch(text):
        return int(text) / 1000
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        return None
