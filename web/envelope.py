"""What every request is wrapped in: an id, security headers, its figures and one canonical log line."""

from __future__ import annotations

import re
import secrets
import time

from flask import Flask, Response, g, request

from web.figures import Figures
from web.problems import CODES, Problem
from web.reading import MOST_BODY
from worker.logs import get_logger

log = get_logger("web.access")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics"})
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"


def install(app: Flask) -> None:
    """Wrap every request."""
    app.before_request(_begin)
    app.after_request(_end)


def about(**fields: str) -> None:
    """Add ids to the request's log line."""
    g.line.update(fields)


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
    g.begun = time.perf_counter()
    g.line = {}
    if (request.content_length or 0) > MOST_BODY:
        raise Problem(413, "too_large", CODES["too_large"])


def _end(response: Response) -> Response:
    response.headers.extend(_SECURITY)
    response.headers["X-Request-Id"] = g.request_id
    response.headers.setdefault("Content-Security-Policy", _NO_PAGE)
    response.headers.setdefault("Cache-Control", "no-store")
    if "quota" in g:
        response.headers.extend(g.quota.headers())
    _account_for(response)
    return response


def _account_for(response: Response) -> None:
    """One line per request; the path itself stays out of it, ids in it are named."""
    seconds = time.perf_counter() - g.begun
    route = request.url_rule.rule if request.url_rule else "-"
    Figures.of_app().count(request.method, route, response.status_code, seconds)
    if route in _UNLOGGED:
        return
    if "caller" in g:
        g.line["caller"] = g.caller.id
    log.info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        duration_ms=round(seconds * 1000, 1),
        request_id=g.request_id,
        **g.line,
    )
