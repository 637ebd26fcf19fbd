"""The API's description: /openapi.json for programs, /docs for people. The page needs no script and no network."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Response, render_template
from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel

from web.api.problems import CODES
from web.api.schemas import ORDER_EXAMPLES
from worker.compact_json import ascii_json
from worker.order import EventType
from worker.version import version

SECURITY: dict[str, Any] = {"apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "rbk_…"}}
BEARER: list[dict[str, list[str]]] = [{"apiKey": []}]
ORDERS = Tag(name="Orders", description="A number is bought, polled, and its code sent to the callback.")
EVENTS = Tag(name="Events", description="Webhooks that are owed or were sent, with every attempt.")
ACCOUNT = Tag(name="Account", description="What the workers last read at the provider.")
HEALTH = Tag(name="Health", description="For monitoring; needs no key.")
METRICS: ResponseDict = {
    200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    401: {
        "description": "A token is set (RINGBACK_METRICS_TOKEN), and this is another.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}

_REF = "#/components/schemas/"
_PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_EVERYWHERE = (401, 405, 413, 429, 500, 503)
"""Errors that any call under /v1 may give."""
_TOLD = {
    304: "The order is as `If-None-Match` has it.",
    400: "The body cannot be read.",
    401: "No valid API key.",
    404: "It does not exist, or belongs to another caller.",
    405: "The method does not exist here.",
    409: "The request conflicts with the current state; see `code`.",
    410: "The event to go on from is no longer kept: compare with your orders, then read on with `after=` (empty).",
    413: "The body is over 64 KiB.",
    415: "The body is not declared as application/json.",
    422: "Fields are missing or wrong; `errors` lists every one.",
    429: "Rate or concurrency limit reached; see `code`.",
    500: "Something failed here.",
    503: "Temporarily unavailable; see `code`.",
}
_HEADERS: dict[str, dict[str, Any]] = {
    "RateLimit": {"description": "what is left of the limit", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "the limit", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "the id under which the log knows this request", "schema": {"type": "string"}},
}
_RETRY = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
_CREATED = {
    "Location": {"description": "where the order is read", "schema": {"type": "string"}},
    "Idempotency-Replayed": {"description": "`true` when this is the first answer again", "schema": {"type": "string"}},
}


def info() -> Info:
    """The API's name and version."""
    return Info(title="ringback", version=version(), description=_ABOUT)


_ABOUT = (
    "Buys a number at OTPGet, waits for its code and calls back with a signed webhook. "
    "Errors are RFC 9457 problems with a stable `code`; a caller sees only its own orders and events."
)


def answers(status: int, model: type[BaseModel] | str, *errors: int) -> ResponseDict:
    """The responses of a call under /v1: the good one (a model, or a schema by its name), and its errors."""
    return {status: _good(status, model), **_errors(*errors)}


def _errors(*errors: int) -> ResponseDict:
    return {code: problem(code) for code in sorted({*errors, *_EVERYWHERE})}


def order_answers() -> ResponseDict:
    """The responses of reading one order, which has a tag by its version."""
    tag = {"ETag": {"description": "the order's version, for `If-None-Match`", "schema": {"type": "string"}}}
    good = {
        "description": "OK",
        "headers": {**_HEADERS, **tag},
        "content": {"application/json": {"schema": {"$ref": _REF + "Order"}}},
    }
    return {200: good, 304: {"description": _TOLD[304], "headers": tag}, **_errors(404, 422)}


def open_answers(model: type[BaseModel], *errors: int) -> ResponseDict:
    """The responses of a call that needs no key."""
    return {200: model, **{code: problem(code) for code in errors}}


def problem(status: int) -> dict[str, Any]:
    """An error's response."""
    headers = {**_HEADERS, **(_RETRY if status in (429, 503) else {})}
    return {
        "description": _TOLD[status],
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": _REF + "Problem"}}},
    }


def _good(status: int, model: type[BaseModel] | str) -> Any:
    if not isinstance(model, str):
        return model
    headers = {**_HEADERS, **(_CREATED if model == "Order" else {})}
    return {
        "description": "Accepted",
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": _REF + model}}},
    }


def install(app: OpenAPI) -> None:
    """Serve the description and the page made from it."""

    @cache
    def described() -> dict[str, Any]:
        return describe(app)

    @app.route("/openapi.json")
    def openapi_json() -> Response:
        return Response(ascii_json(described()), mimetype="application/json", headers={"Cache-Control": "no-cache"})

    @app.route("/docs")
    def docs_page() -> Response:
        page = Response(render_template("docs.html", api=described(), codes=CODES), mimetype="text/html")
        page.headers.update({"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"})
        return page


def describe(app: OpenAPI) -> dict[str, Any]:
    """The whole description, webhooks included."""
    spec: dict[str, Any] = app.api_doc
    for path, item in spec["paths"].items():
        for operation in item.values():
            if not path.startswith("/v1") and not operation.get("parameters"):
                operation["responses"].pop("422", None)  # the extension documents one for every call
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            for status, response in operation["responses"].items():
                if status in ("200", "202") and path.startswith("/v1"):
                    response.setdefault("headers", _HEADERS)
    placed = spec["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["application/json"]
    placed["examples"] = {product: {"value": body} for product, body in ORDER_EXAMPLES.items()}
    spec["servers"] = [{"url": "/"}]
    spec["webhooks"] = {kind.value: {"post": _webhook(kind)} for kind in EventType}
    return spec


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: what is left out is absent, there is no way to send a null."""
    kept = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    for one in kept.pop("anyOf", ()):
        if one.get("type") != "null":
            kept.update(one)
    return kept


def _webhook(kind: EventType) -> dict[str, Any]:
    data = {"type": "object"} if kind is EventType.PING else {"$ref": _REF + "Order"}
    message = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": kind.value},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "summary": kind.value,
        "description": "Signed as Standard Webhooks 1.0.0 has it.",
        "parameters": [{"name": n, "in": "header", "required": True, "schema": {"type": "string"}} for n in names],
        "requestBody": {"required": True, "content": {"application/json": {"schema": message}}},
        "responses": {"2XX": {"description": "Acknowledged."}, "410": {"description": "Stop sending this event."}},
    }
