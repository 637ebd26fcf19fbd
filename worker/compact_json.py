"""Compact JSON, as RFC 8259 defines it: no spaces, no NaN. Raises ValueError for what JSON has no words for."""

from __future__ import annotations

from json import JSONEncoder

ascii_json = JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""In ASCII: whatever text somebody sent, it is plain bytes here."""
text_json = JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
"""In Unicode, which takes fewer bytes; half a surrogate pair stays one, and UTF-8 cannot spell it."""
