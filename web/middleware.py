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
from web.reporter import Reporter
from web.request_state import RequestState, request_state
from worker.logs import get_logger
from worker.tracing import Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = get_logger("web.access")

MOST_OF_CLIENT = 64
"""Characters of a client's User-Agent that the log line shows."""
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


def install(app: Flask, figures: Metrics, reporter: Reporter | None, tracer: Tracer) -> None:
    """Wrap every request."""
    app.before_request(_begin)
    app.wsgi_app = Middleware(app.wsgi_app, figures, reporter, tracer)  # type: ignore[method-assign]


def about(**fields: Any) -> None:
    """Add ids to the request's log line."""
    request_state().line.update(fields)


def _begin() -> None:
    if request.url_rule is not None:
        request_state().route = request.url_rule.rule
    if (request.content_length or 0) > MOST_BODY:
        raise Problem(413, "too_large", CODES["too_large"])


class Middleware:
    """The WSGI application around the application."""

    def __init__(self, app: WSGIApplication, figures: Metrics, reporter: Reporter | None, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer
        self._figures = figures
        self._reporter = reporter

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and account for it."""
        begun, state, method = time.perf_counter(), RequestState(_request_id(environ)), environ["REQUEST_METHOD"]
        traceparent = environ.get("HTTP_TRACEPARENT", "")
        state.origin, parent = self._tracer.arrived(traceparent, state.request_id, begins=method == "POST")
        if client := environ.get("HTTP_USER_AGENT"):
            state.line["client"] = client[:MOST_OF_CLIENT]
        state.put_into(environ)
        if self._reporter is not None:
            self._reporter.start()
        self._figures.begin()
        status = 500

        def start(line: str, headers: list[tuple[str, str]], *failed: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers + _added(state, headers), *failed)

        try:
            return self._app(environ, start)
        finally:
            seconds = time.perf_counter() - begun
            self._account_for(state, method, status, seconds)
            self._tell(state, parent, method, status, seconds)

    def _tell(self, state: RequestState, parent: str, method: str, status: int, seconds: float) -> None:
        """The request's span; only what begins something, or belongs to a caller's trace, has one."""
        if state.origin is None or state.route in _UNLOGGED:
            return
        ended, error = time.time(), f"HTTP {status}" if status >= 500 else None
        self._tracer.tell(
            state.origin, parent, f"{method} {state.route}", ended - seconds, ended, kind="server", error=error,
            status_code=status, order=state.line.get("order"), request_id=state.request_id,
        )  # fmt: skip

    def _account_for(self, state: RequestState, method: str, status: int, seconds: float) -> None:
        """One line per request; the path itself stays out of it, ids in it are named."""
        self._figures.count(method, state.route, status, max(0.0, seconds - state.held))
        if state.route in _UNLOGGED:
            return
        log.info(
            "request",
            method=method,
            route=state.route,
            status=status,
            duration=round(seconds, 4),
            **(state.origin.log() if state.origin else {"request_id": state.request_id}),
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
