"""Writing answers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flask import Response

encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Compact JSON in ASCII: whatever text a provider or a receiver sent, it is plain bytes here."""


def answer(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(data), status, dict(headers or {}), mimetype="application/json")
