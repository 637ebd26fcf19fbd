"""Every path of the console with the act that it is: rights are asked for each, and a path without an act cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, make_response, request
from werkzeug.exceptions import HTTPException

from web.api.problems import Problem
from web.console import (
    access,
    audit,
    callers,
    money,
    orders,
    overview,
    page,
    provider,
    rentals,
    stories,
    webhooks,
    workers,
)
from web.console.access import Turned
from web.console.page import render
from worker.errors import NotFound, RingbackError, StoreUnavailable
from worker.operator import Act
from worker.store import Unreadable, VaultLocked

Route = tuple[str, str, Act | None, Callable[..., Any]]
ROUTES: tuple[Route, ...] = (
    ("GET", "/login/<token>", None, access.login_page),
    ("POST", "/login/<token>", None, access.log_in),
    ("POST", "/logout", Act.LOG_OUT, access.log_out),
    ("GET", "", Act.READ, overview.show),
    ("POST", "/test-orders", Act.TEST_ORDER, stories.place),
    ("GET", "/orders", Act.READ, orders.index),
    ("GET", "/orders/<order:order_id>", Act.READ, orders.show),
    ("POST", "/orders/<order:order_id>/cancel", Act.CANCEL, orders.cancel),
    ("POST", "/orders/<order:order_id>/reveal", Act.REVEAL, orders.reveal),
    ("GET", "/rentals", Act.READ, rentals.index),
    ("GET", "/rentals/<rental:rental_id>", Act.READ, rentals.show),
    ("POST", "/rentals/<rental:rental_id>/reveal", Act.REVEAL, rentals.reveal),
    ("GET", "/webhooks", Act.READ, webhooks.index),
    ("POST", "/webhooks/redeliver", Act.REDELIVER_MANY, webhooks.redeliver_many),
    ("POST", "/webhooks/jobs/<job_id>/accept", Act.REDELIVER_MANY, webhooks.accept),
    ("POST", "/webhooks/jobs/<job_id>/stop", Act.STOP_WORK, webhooks.stop),
    ("GET", "/webhooks/<event:event_id>", Act.READ, webhooks.show),
    ("POST", "/webhooks/<event:event_id>/redeliver", Act.REDELIVER, webhooks.redeliver),
    ("GET", "/callers", Act.READ, callers.index),
    ("POST", "/callers", Act.CHANGE_CALLER, callers.create),
    ("GET", "/callers/<caller_id>", Act.READ, callers.show),
    ("POST", "/callers/<caller_id>/limits", Act.CHANGE_CALLER, callers.limits),
    ("POST", "/callers/<caller_id>/rotate-key", Act.CHANGE_CALLER, callers.rotate_key),
    ("POST", "/callers/<caller_id>/rotate-secret", Act.CHANGE_CALLER, callers.rotate_secret),
    ("POST", "/callers/<caller_id>/revoke", Act.CHANGE_CALLER, callers.revoke),
    ("GET", "/money", Act.READ, money.show),
    ("GET", "/money.csv", Act.READ, money.as_csv),
    ("POST", "/money/reconcile", Act.RECONCILE, money.reconcile),
    ("GET", "/provider", Act.READ, provider.show),
    ("POST", "/provider/buying", Act.SWITCH_BUYING, provider.switch_buying),
    ("POST", "/provider/refresh", Act.REFRESH, provider.refresh),
    ("GET", "/workers", Act.READ, workers.show),
    ("GET", "/audit", Act.READ, audit.show),
    ("POST", "/audit/operators", Act.CHANGE_OPERATOR, audit.create_operator),
    ("POST", "/audit/operators/<operator_id>/link", Act.CHANGE_OPERATOR, audit.link),
    ("POST", "/audit/operators/<operator_id>/role", Act.CHANGE_OPERATOR, audit.change_role),
    ("POST", "/audit/operators/<operator_id>/revoke", Act.CHANGE_OPERATOR, audit.revoke),
)


def install(app: Flask) -> None:
    """Serve the console."""
    page.install(app)
    console = Blueprint(
        "console", __name__, url_prefix="/console", template_folder="templates", static_folder="static",
        static_url_path="/static",
    )  # fmt: skip
    acts: dict[str, Act | None] = {"console.static": None}
    for method, path, act, view in ROUTES:
        endpoint = f"{method} {path}".replace(".", "-")
        console.add_url_rule(path, endpoint, view, methods=[method])
        acts[f"console.{endpoint}"] = act
    console.add_url_rule("/<path:unknown>", "unknown", _unknown)
    acts["console.unknown"] = None
    console.before_request(lambda: access.check(acts[str(request.endpoint)]))
    console.after_request(_secured)
    for error, answer in ERRORS.items():
        console.register_error_handler(error, answer)
    app.register_blueprint(console)


def _secured(answer: Response) -> Response:
    answer.headers["Content-Security-Policy"] = page.SECURITY
    if answer.content_type == "text/html; charset=utf-8":
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _unknown(unknown: str) -> Response:
    return _said(404, "there is no such page")


def _said(status: int, why: str) -> Response:
    return make_response(render("turned.html", title=_TITLES.get(status, "Not done"), why=why, status=status), status)


_TITLES = {401: "Log in", 403: "Not allowed", 404: "Not found", 429: "Wait a moment", 503: "The store is unavailable"}
ERRORS: Mapping[type[Exception], Callable[[Any], Response]] = {
    Problem: lambda problem: _said(problem.status, problem.detail),
    Turned: lambda turned: _said(turned.status, turned.why),
    NotFound: lambda missing: _said(404, str(missing)),
    StoreUnavailable: lambda away: _said(503, str(away)),
    VaultLocked: lambda locked: _said(500, f"{locked}: set it for the web as for the workers"),
    Unreadable: lambda broken: _said(500, str(broken)),
    RingbackError: lambda refused: _said(422, str(refused)),
    HTTPException: lambda error: _said(error.code or 500, error.description or "the request could not be read"),
}
"""What goes wrong, as a page; the most particular kind of error counts."""
