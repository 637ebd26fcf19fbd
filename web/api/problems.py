"""Errors as callers see them: RFC 9457 problem details with a stable `code`, and nothing of what lies behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, has_request_context
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from web.api.responses import Answer
from web.request_state import request_state
from worker.compact_json import ascii_json
from worker.errors import NotFound, StoreFull, StoreUnavailable
from worker.logs import get_logger
from worker.store import Unreadable

log = get_logger(__name__)

CODES = {
    "invalid_json": "The body is not valid JSON (RFC 8259), or names a field twice.",
    "bad_request": "The request could not be read.",
    "unauthorized": "There is no API key, or it is unknown or revoked.",
    "not_found": "It does not exist, or belongs to another caller.",
    "method_not_allowed": "The path does not allow this method; `Allow` lists those it does.",
    "callback_unverified": "This callback must answer a ping first: call POST /v1/events/ping with its `callback_url`.",
    "no_callback": "The caller has no callback of its own.",
    "callback_refused": "Webhooks must not be sent to the caller's callback.",
    "event_gone": "The event to continue from is unknown or no longer kept.",
    "too_slow": "The body took too long to arrive.",
    "too_large": "The body is over 64 KiB.",
    "unsupported_media_type": "The Content-Type is not application/json.",
    "invalid_fields": "Fields are missing or wrong; `errors` lists every one.",
    "product_disabled": "The product is not on sale here; GET /v1/products lists those that are.",
    "rental_not_active": "The rental has not started, or is over: it cannot be renewed.",
    "renewal_under_way": "Another renewal of this rental is under way; try again when it has an outcome.",
    "idempotency_mismatch": "The Idempotency-Key was used with a different body.",
    "rate_limited": "Too many requests with this key.",
    "too_many_failed_logins": "Too many wrong keys from this IP address.",
    "too_many_waiting": "Too many requests are waiting, in total or for this caller; try again, or without `wait`.",
    "too_many_look_ups": "Too many of this caller's callback hosts are being looked up; try again in a moment.",
    "webhooks_per_minute": "Too many pings and redeliveries were requested in this minute.",
    "refresh_per_minute": "A refresh was already requested in this minute; try again without `refresh`.",
    "max_in_flight": "The caller has reached its cap on orders in flight.",
    "orders_per_minute": "The caller has reached its cap on orders per minute.",
    "orders_per_day": "The caller has reached its cap on orders per day.",
    "spend_per_day": "The caller has reached its cap on spending per day.",
    "orders_refused": "The provider refused too many of the caller's orders; correct them before ordering more.",
    "storage_full": "The caller's orders and events use up its storage; the oldest are removed day by day.",
    "internal_error": "Internal error; find it in the service's log by the response's X-Request-Id.",
    "store_unavailable": "The store is unavailable. Send the request again with the same Idempotency-Key.",
    "store_full": "The store is full. Send the request again later with the same Idempotency-Key.",
    "record_unreadable": "The record cannot be read at the moment; the operators have been alerted.",
    "resolver_unavailable": "The callback's host could not be looked up in time; try again.",
    "busy": "The order keeps changing; try again.",
    "buying_switched_off": "An operator has switched buying off.",
    "balance_below_floor": "The provider's balance is below the configured floor, or unknown.",
    "not_ready": "The service is not ready.",
}
"""Every code, and what it means."""

_BY_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
STORE_RETRY = 2
"""Seconds after which to ask again when the store does not answer."""


FULL_RETRY = 30
"""Seconds after which to ask again when an operator has to do something first."""


class Problem(Exception):
    """An answer that is an error. `retry_after` is in seconds; `errors` are a 422's bad fields."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, retry_after))

    def response(self) -> Response:
        """The answer; the request's log line names the code, unless the server itself answers what is no request."""
        if has_request_context():
            request_state().line["problem"] = self.code
        payload = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            payload["errors"] = list(self.errors)
        return Answer(ascii_json(payload).encode(), self.status, self.headers, "application/problem+json")


def not_found(what: str) -> Problem:
    """There is no such order or event, or it is somebody else's: the two look the same."""
    return Problem(404, "not_found", f"No such {what}, or it belongs to another caller.")


def install(app: Flask) -> None:
    """Answer every error with a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(StoreUnavailable, _store)
    app.register_error_handler(StoreFull, _full)
    app.register_error_handler(Unreadable, _unreadable)
    app.register_error_handler(NotFound, lambda lost: Problem(404, "not_found", str(lost)).response())
    app.register_error_handler(Exception, _unexpected)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for an error of which no more than its status is known."""
    code = _BY_STATUS.get(status, "bad_request" if status < 500 else "internal_error")
    detail = "No such path, or a malformed id in it; see /docs." if code == "not_found" else CODES[code]
    return Problem(status, code, detail, headers=headers)


def _http(error: HTTPException) -> Response:
    methods = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    return of_status(error.code or 500, {"Allow": ", ".join(sorted(methods))} if methods else None).response()


def _store(error: StoreUnavailable) -> Response:
    log.warning("store_unavailable", why=str(error), request_id=request_state().request_id)
    return Problem(503, "store_unavailable", CODES["store_unavailable"], retry_after=STORE_RETRY).response()


def _full(error: StoreFull) -> Response:
    log.warning("store_full", why=str(error), request_id=request_state().request_id)
    return Problem(503, "store_full", CODES["store_full"], retry_after=FULL_RETRY).response()


def _unreadable(error: Unreadable) -> Response:
    log.error("record_unreadable", why=str(error), request_id=request_state().request_id)
    return Problem(503, "record_unreadable", CODES["record_unreadable"], retry_after=FULL_RETRY).response()


def _unexpected(error: Exception) -> Response:
    log.error("request_failed", exc_info=error, request_id=request_state().request_id)
    return Problem(500, "internal_error", CODES["internal_error"]).response()
