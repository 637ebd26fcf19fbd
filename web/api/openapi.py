"""The API's description: /openapi.json for programs, /docs for people. The page is whole without script or network."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flask import Response, redirect, render_template
from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel

from web.api import examples
from web.api.description import finished
from web.api.markdown import rendered
from web.api.problems import CODES
from web.api.samples import samples
from web.api.words import ATTEMPT_ERRORS, FLAGS
from worker.compact_json import ascii_json
from worker.version import version

SECURITY: dict[str, Any] = {"apiKey": {"type": "http", "scheme": "bearer", "bearerFormat": "rbk_…"}}
BEARER: list[dict[str, list[str]]] = [{"apiKey": []}]
ORDERS = Tag(name="Orders", description="Buy a number, and get its code sent to the callback.")
RENTALS = Tag(name="Rentals", description="A number for hours or days; every message is sent to the callback once.")
EVENTS = Tag(name="Events", description="Webhooks that are pending or were sent, with every attempt.")
ACCOUNT = Tag(name="Account", description="What the workers last read from the provider.")
HEALTH = Tag(name="Health", description="For monitoring; needs no key.")

_REF = "#/components/schemas/"
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_EVERYWHERE = (401, 405, 413, 429, 500, 503)
"""Errors that any call under /v1 may give."""
_TOLD = {
    304: "The order has not changed since `If-None-Match`.",
    400: "The body cannot be read.",
    401: "No valid API key.",
    404: "It does not exist, or belongs to another caller.",
    405: "The method does not exist here.",
    409: "The request conflicts with the current state; see `code`.",
    410: "The event to continue from is no longer kept: check your orders, then continue with an empty `after=`.",
    413: "The body is over 64 KiB.",
    415: "The Content-Type is not application/json.",
    422: "Fields are missing or wrong; `errors` lists every one.",
    429: "Rate or concurrency limit reached; see `code`.",
    500: "Internal error.",
    503: "Temporarily unavailable; see `code`.",
}
_HEADERS: dict[str, dict[str, Any]] = {
    "RateLimit": {"description": "what is left of the limit", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "the limit", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "the id of this request in the service's log", "schema": {"type": "string"}},
}
_RETRY = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
_CREATED = {
    "Location": {"description": "where to read it", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true` if this is the first response again",
        "schema": {"type": "string"},
    },
}


def info() -> Info:
    """The API's name and version."""
    return Info(title="ringback", version=version(), description=_ABOUT)


_ABOUT = (
    "Buys a number from OTPGet, waits for its code and calls back with a signed webhook. "
    "Errors are RFC 9457 problem details with a stable `code`. A caller sees only its own orders and events."
)


def answers(status: int, model: type[BaseModel] | str, *errors: int) -> ResponseDict:
    """The responses of a call under /v1: the good one (a model, or a schema by its name), and its errors."""
    good: Any = model
    if isinstance(model, str):
        good = {
            "description": "Accepted",
            "headers": {**_HEADERS, **(_CREATED if model in ("Order", "Rental") else {})},
            "content": {"application/json": {"schema": {"$ref": _REF + model}}},
        }
    return {status: good, **_errors(*errors)}


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
    return {200: model, **{code: problem(code) for code in (*errors, 405)}}


def figures() -> ResponseDict:
    """The responses of /metrics."""
    text = {"schema": {"type": "string"}, "example": examples.METRICS}
    content = {"text/plain": text, "application/openmetrics-text": text}
    return {200: {"description": "Prometheus' text format", "content": content}, 401: problem(401), 405: problem(405)}


def problem(status: int) -> dict[str, Any]:
    """An error's response."""
    headers = {**_HEADERS, **(_RETRY if status in (429, 503) else {})}
    return {
        "description": _TOLD[status],
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": _REF + "Problem"}}},
    }


def install(app: OpenAPI) -> None:
    """Serve the description and the page made from it."""

    app.add_template_filter(rendered, "rendered")

    @cache
    def described() -> dict[str, Any]:
        return finished(app.api_doc)

    @cache
    def shown() -> str:
        return _page(described())

    @app.route("/openapi.json")
    def openapi_json() -> Response:
        return Response(ascii_json(described()), mimetype="application/json", headers={"Cache-Control": "no-cache"})

    @app.route("/")
    def front() -> Response:
        return redirect("/docs")  # type: ignore[return-value]

    @app.route("/docs")
    def docs_page() -> Response:
        page = Response(shown(), mimetype="text/html")
        page.headers.update({"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"})
        return page


def _page(api: dict[str, Any]) -> str:
    """The description as HTML: operations by their tags, in the order in which they are told."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in api["tags"] if tag["name"] != "Webhooks"}
    for path, item in api["paths"].items():
        for method, operation in item.items():
            groups[operation["tags"][0]].append(_call(api, path, method, operation))
    return render_template(
        "docs.html", api=api, groups=groups, codes=CODES, flags=FLAGS, attempt_errors=ATTEMPT_ERRORS
    )  # fmt: skip


def _call(api: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """An operation as the page tells it: its answers are at hand, not referred to."""
    known = api["components"]["responses"]
    answers = {
        status: known[told["$ref"].rpartition("/")[2]] if "$ref" in told else told
        for status, told in operation["responses"].items()
    }
    summary = operation["summary"]
    title, *rest = re.split("[.,;] |[.]$", summary, maxsplit=1)
    return {
        "id": operation["operationId"], "title": title, "rest": summary if any(rest) else "", "method": method,
        "path": path, "operation": operation, "answers": answers, "samples": samples(method, path, operation),
    }  # fmt: skip
