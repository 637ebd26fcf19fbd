"""Reading requests strictly: whatever could be meant in two ways is refused, and all bad fields are named at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn, TypeVar

from flask import Request, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from web.api.problems import CODES, Problem

Model = TypeVar("Model", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])

MOST_BODY = 65_536
"""Bytes that a body may have."""
MOST_ERRORS = 50
"""Bad fields listed in one answer."""
_SHOWN = 100
"""Characters of a field's name that are repeated in an answer."""

_WORDS = {"missing": "required", "extra_forbidden": "unknown_field", "string_unicode": "bad_text"}
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "string_unicode": "is no valid Unicode text",
    "string_pattern_mismatch": "holds characters that have no business there, or has another shape",
    "model_type": "the body is a JSON object",
    "model_attributes_type": "the body is a JSON object",
}


def takes(**models: type[BaseModel]) -> Callable[[View], View]:
    """Document what a view takes (`path`, `query`, `header`, `body`); what it takes no query for refuses any."""

    def mark(view: View) -> View:
        @wraps(view)
        def guarded(**path: str) -> Any:
            if "query" not in models and request.query_string:
                raise invalid([_field(name, "unknown_field", _MESSAGES["extra_forbidden"]) for name in request.args])
            return view(**path)

        # The OpenAPI extension documents a view's annotations, and leaves checking to a view marked like this.
        guarded.__annotations__ = dict(models)
        guarded.__dict__["__delay_validate_request__"] = True
        return guarded  # type: ignore[return-value]

    return mark


def query(model: type[Model]) -> Model:
    """The query string as a model. Raises Problem (422)."""
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise invalid([_field(name, "repeated", "is given more than once") for name in twice])
    return checked(model, request.args.to_dict())


def headers(model: type[Model]) -> Model:
    """The headers that a model names. Raises Problem (422)."""
    given = request.headers
    names = [field.alias or name for name, field in model.model_fields.items()]
    return checked(model, {name: given[name] for name in names if name in given})


def body() -> Any:
    """The body as JSON. Raises Problem (400, 413, 415)."""
    if request.content_type != "application/json" and not _is_json(request):
        raise Problem(415, "unsupported_media_type", "send the body as `Content-Type: application/json`, in UTF-8")
    text = request.get_data(cache=False)
    if len(text) > MOST_BODY:
        raise Problem(413, "too_large", CODES["too_large"])
    return parse(text)


def _is_json(asked: Request) -> bool:
    charset = asked.mimetype_params.get("charset", "utf-8")
    return asked.mimetype == "application/json" and charset.lower() == "utf-8"


def checked(model: type[Model], value: Any, context: Any = None) -> Model:
    """The value as a model. Raises Problem (422) that names every bad field."""
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    raise invalid([_complaint(one) for one in found])


def invalid(errors: Sequence[Mapping[str, str]]) -> Problem:
    """The problem that lists bad fields."""
    return Problem(422, "invalid_fields", CODES["invalid_fields"], errors=errors[:MOST_ERRORS])


def parse(text: bytes) -> Any:
    """JSON without repeated names, NaN, infinities or broken UTF-8. Raises Problem (400)."""
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        detail = "the body is not UTF-8"
    except RecursionError:
        detail = "the body is nested too deeply"
    except json.JSONDecodeError as error:
        detail = f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:
        detail = str(error) if isinstance(error, _Refused) else "the body holds a number that is too long"
    raise Problem(400, "invalid_json", detail)


class _Refused(ValueError):
    """JSON by the letter, but two readers could take it for two things."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) < len(pairs):
        raise _Refused("the body names a field twice")
    return known


def _no_constant(_: str) -> NoReturn:
    raise _Refused("the body holds NaN or Infinity, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("the body holds a number that is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _complaint(error: ErrorDetails) -> dict[str, str]:
    kind = error["type"]
    where = ".".join(map(str, error["loc"])) or "body"
    code = "wrong_type" if kind.endswith("_type") else _WORDS.get(kind, kind)
    return _field(where, code, _MESSAGES.get(kind, error["msg"]))


def _field(name: str, code: str, message: str) -> dict[str, str]:
    return {"field": name[:_SHOWN], "code": code, "message": message}
