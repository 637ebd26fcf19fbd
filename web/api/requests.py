"""Reading requests strictly: whatever could be meant in two ways is refused, and all bad fields are named at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, NoReturn, TypeVar

from flask import Request, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from web.api import schemas
from web.api.problems import CODES, Problem

Model = TypeVar("Model", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])

MOST_BODY = 65_536
"""Bytes that a body may have."""
MOST_ERRORS = 50
"""Bad fields listed in one answer."""
_SHOWN = 100
"""Characters of a field's name that are repeated in an answer."""

MOST_SHOWN = 10**9
"""A number that stands where text should is repeated only below it."""

_WORDS = {"missing": "required", "extra_forbidden": "unknown_field", "string_unicode": "bad_text"}
SHAPES = {
    schemas.ORDER_ID: "`ord_` and 24 hex digits",
    schemas.EVENT_ID: "`evt_` and 24 hex digits",
    schemas.RENTAL_ID: "`rnt_` and 24 hex digits",
    schemas.MESSAGE_ID: "`msg_` and 24 hex digits",
    schemas.EVENT_CURSOR: "the `next_cursor` of a page",
    schemas.EVENT_OR_FIRST: "an event's id, the `next_cursor` of a page, or empty",
    schemas.CODE: "letters, digits, dots, dashes and underscores",
    schemas.DOMAIN: "a domain like gmail.com",
    schemas.PRINTABLE: "printable ASCII without a space at either end",
    schemas.ONE_LINE: "one line without control characters",
}
"""The patterns of fields in words."""
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "string_unicode": "is not valid Unicode",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "does not have the expected form: {shape}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}
"""What pydantic finds fault with, in our words; the names in braces are its own."""


def takes(**models: type[BaseModel]) -> Callable[[View], View]:
    """Document what a view takes (`path`, `query`, `header`, `body`); what it takes no query for refuses any."""

    def mark(view: View) -> View:
        @wraps(view)
        def guarded(**path: str) -> Any:
            if "query" not in models and request.query_string:
                raise invalid([_unknown(name, ()) for name in list(request.args)[:MOST_ERRORS]], len(request.args))
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
        found = error.errors(include_url=False)
    raise invalid([_complaint(one, model) for one in found[:MOST_ERRORS]], len(found))


def invalid(errors: Sequence[Mapping[str, str]], count: int | None = None) -> Problem:
    """The problem that lists bad fields, and says the first of them in words; `count` when there are more."""
    others = (count or len(errors)) - 1
    detail = f"{errors[0]['field']}: {errors[0]['message']}" + (f" (and {others} more)" if others else "")
    return Problem(422, "invalid_fields", detail, errors=errors[:MOST_ERRORS])


def parse(text: bytes) -> Any:
    """JSON without repeated names, NaN, infinities or broken UTF-8. Raises Problem (400)."""
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        detail = "the body is not UTF-8"
    except RecursionError:
        detail = "the body is nested too deeply"
    except json.JSONDecodeError as error:
        hint = " (trailing comma?)" if error.doc[: error.pos].rstrip().endswith(",") else ""
        detail = f"the body is not valid JSON: line {error.lineno}, column {error.colno}{hint}"
    except ValueError as error:
        detail = str(error) if isinstance(error, _Refused) else "the body contains a number that is too long"
    raise Problem(400, "invalid_json", detail)


class _Refused(ValueError):
    """JSON by the letter, but two readers could take it for two things."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) < len(pairs):
        raise _Refused("the body names a field twice")
    return known


def _no_constant(_: str) -> NoReturn:
    raise _Refused("the body contains NaN or Infinity, which JSON does not allow")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("the body contains a number that is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _complaint(error: ErrorDetails, model: type[BaseModel]) -> dict[str, str]:
    kind = error["type"]
    where = ".".join(map(str, error["loc"])) or "body"
    if kind == "extra_forbidden":
        return _unknown(where, [field.alias or name for name, field in model.model_fields.items()])
    code = "wrong_type" if kind.endswith("_type") else _WORDS.get(kind, kind)
    return _field(where, code, _message(kind, error))


def _message(kind: str, error: ErrorDetails) -> str:
    """What is wrong, in a predicate that follows the field's name."""
    if kind not in _MESSAGES:
        return error["msg"]
    told, given = error.get("ctx", {}), error["input"]
    message = _MESSAGES[kind].format(**told, shape=SHAPES.get(told.get("pattern", ""), "see /docs"))
    if kind == "string_type" and isinstance(given, int) and not isinstance(given, bool):
        message += f': write "{given}"' if abs(given) < MOST_SHOWN else ""
    return message


def _unknown(name: str, known: Sequence[str]) -> dict[str, str]:
    near = get_close_matches(name, known, 1)
    return _field(name, "unknown_field", f"unknown field; did you mean `{near[0]}`?" if near else "unknown field")


def _field(name: str, code: str, message: str) -> dict[str, str]:
    return {"field": name[:_SHOWN], "code": code, "message": message}
