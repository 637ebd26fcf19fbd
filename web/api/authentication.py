"""Who is asking: a bearer key, looked up by its hash and compared in constant time."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from flask import request

from web.api.problems import Problem, not_found
from web.api.rate_limits import Quota
from web.parts import current_caller, parts
from web.request_state import request_state
from worker.caller import Caller
from worker.event import Event
from worker.order import Order
from worker.rental import Rental

Owned = TypeVar("Owned", Order, Rental, Event)


def authenticate() -> None:
    """Before every request: whoever asks for anything under /v1 has a key and keeps to the caller's limit."""
    if not request.path.startswith("/v1/"):
        return
    shared, state = parts(), request_state()
    caller = _owner()
    if caller is None:
        _turn_away(given=bool(request.headers.get("Authorization")))
    state.caller = caller
    state.line["caller"] = caller.id
    state.quota = shared.limits.request(caller.id)
    if not state.quota.allowed:
        raise _too_many(state.quota, "rate_limited", "too many requests with this key in this minute")


def confirm() -> None:
    """After an answer was held: a key that was revoked meanwhile gets nothing more. Raises Problem (401)."""
    if _owner(anew=True) is None:
        _turn_away(given=True)


def own(found: Owned | None, what: str) -> Owned:
    """What the caller asked for by its id; somebody else's looks like none. Raises Problem (404)."""
    if found is None or found.caller != current_caller().id:
        raise not_found(what)
    return found


def _owner(*, anew: bool = False) -> Caller | None:
    """The caller that the request's key belongs to."""
    scheme, _, api_key = request.headers.get("Authorization", "").partition(" ")
    return parts().keys.owner(api_key.strip(), anew=anew) if scheme.lower() == "bearer" else None


def _turn_away(*, given: bool) -> NoReturn:
    """Refuse; a wrong key counts against its address. A good key is never refused for what others there did."""
    if not given:
        raise Problem(401, "unauthorized", "send `Authorization: Bearer <api key>`", headers=_challenge())
    quota = request_state().quota = parts().limits.failed_login(request.remote_addr or "-")
    if not quota.allowed:
        raise _too_many(quota, "too_many_failed_logins", "too many wrong keys from this IP address")
    raise Problem(
        401, "unauthorized", "this API key is unknown or revoked", headers=_challenge(', error="invalid_token"')
    )


def _challenge(more: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="ringback"{more}'}


def _too_many(quota: Quota, code: str, detail: str) -> Problem:
    return Problem(429, code, detail, retry_after=quota.reset)
