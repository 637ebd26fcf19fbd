"""What a control call brings: JSON, a form, or the query of a GET; anything else is refused in words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from web.sandbox.wire import Request

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class WrongType(ValueError):
    """The body is of a type that we do not read."""


def is_form(request: Request) -> bool:
    """Whether a page's form sent this."""
    return _media_type(request) == FORM


def body(request: Request) -> Any:
    """The body's JSON, or a form's fields; an empty body is an empty object.

    A field that a form leaves empty is not there, and a box that is ticked is true. Raises WrongType, or
    ValueError for what cannot be read.
    """
    if is_form(request):
        return _form(request.body)
    if _media_type(request) not in ("", JSON):
        raise WrongType(f"the body's type is not read here; send Content-Type: {JSON}")
    try:
        return json.loads(request.body or b"{}")
    except json.JSONDecodeError as problem:
        raise ValueError(f"the body is not valid JSON: line {problem.lineno}, column {problem.colno}") from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueError("the body is not valid JSON: not UTF-8, or nested too deep") from None


def fields(request: Request) -> dict[str, Any]:
    """The fields of a call: a GET's query, else the body's object; raises as `body` does."""
    given = dict(request.query) if request.method == "GET" else body(request)
    if not isinstance(given, dict):
        raise ValueError("the body is a JSON object")
    return given


def _form(sent: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(sent.decode(), strict_parsing=bool(sent.strip()))
    except ValueError:
        raise WrongType(f"the body is no form; send JSON with Content-Type: {JSON}") from None
    return {name: True if value == "on" else value for name, value in pairs}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
