"""What every request is wrapped in: an id, security headers, its figures and one canonical log line.

Wrapped around the Flask application: whatever answers in there, its answer comes out through here.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from web.api.metrics import Metrics
from web.api.problems import CODES, Problem
from web.api.requests import MOST_BODY
from web.request_state import RequestState, request_state
from worker.logs import get_logger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = get_logger("web.access")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics"})
_SECURITY = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]
_UNLESS_SET = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def security_headers() -> list[tuple[str, str]]:
    """The security headers of an answer that sets none of its own."""
    return [*_SECURITY, *_UNLESS_SET.items()]


def install(app: Flask, figures: Metrics) -> None:
    """Wrap every request."""
    app.before_request(_begin)
    app.wsgi_app = Middleware(app.wsgi_app, figures)  # type: ignore[method-assign]


def about(**fields: str) -> None:
    """Add ids to the request's log line."""
    request_state().line.update(fields)


def _begin() -> None:
    if request.url_rule is not None:
        request_state().route = request.url_rule.rule
    if (request.content_length or 0) > MOST_BODY:
        raise Problem(413, "too_large", CODES["too_large"])


class Middleware:
    """The WSGI application around the application."""

    def __init__(self, app: WSGIApplication, figures: Metrics) -> None:
        self._app = app
        self._figures = figures

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and account for it."""
        begun, state = time.perf_counter(), RequestState(_request_id(environ))
        state.put_into(environ)
        status = 500

        def start(line: str, headers: list[tuple[str, str]], *failed: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers + _added(state, headers), *failed)

        try:
            return self._app(environ, start)
        finally:
            self._account_for(state, environ["REQUEST_METHOD"], status, time.perf_counter() - begun)

    def _account_for(self, state: RequestState, method: str, status: int, seconds: float) -> None:
        """One line per request; the path itself stays out of it, ids in it are named."""
        self._figures.count(method, state.route, status, seconds)
        if state.route in _UNLOGGED:
            return
        log.info(
            "request",
            method=method,
            route=state.route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            request_id=state.request_id,
            **state.line,
        )


def _request_id(environ: WSGIEnvironment) -> str:
    """The caller's own id when it is a sane one. It tells requests apart and opens nothing: no secret is needed."""
    given: str = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _SANE_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"


def _added(state: RequestState, sent: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that every answer has."""
    names = {name for name, _ in sent}
    added = [*_SECURITY, ("X-Request-Id", state.request_id)]
    added += [pair for pair in _UNLESS_SET.items() if pair[0] not in names]
    if state.quota is not None:
        added += state.quota.headers()
    return added
