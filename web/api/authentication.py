"""Who is asking: a bearer key, looked up by its hash and compared in constant time."""

from __future__ import annotations

from typing import NoReturn

from flask import request

from web.api.problems import Problem
from web.api.rate_limits import Quota
from web.parts import parts
from web.request_state import request_state


def authenticate() -> None:
    """Before every request: whoever asks for anything under /v1 has a key and keeps to the caller's limit."""
    if not request.path.startswith("/v1/"):
        return
    scheme, _, api_key = request.headers.get("Authorization", "").partition(" ")
    shared, state = parts(), request_state()
    caller = shared.keys.owner(api_key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        _turn_away(given=bool(scheme))
    state.caller = caller
    state.line["caller"] = caller.id
    state.quota = shared.limits.request(caller.id)
    if not state.quota.allowed:
        raise _too_many(state.quota, "rate_limited", "this key has sent too many requests in this minute")


def _turn_away(*, given: bool) -> NoReturn:
    """Refuse; a wrong key counts against its address. A good key is never refused for what others there did."""
    if not given:
        raise Problem(401, "unauthorized", "send `Authorization: Bearer <api key>`", headers=_challenge())
    quota = request_state().quota = parts().limits.failed_login(request.remote_addr or "-")
    if not quota.allowed:
        raise _too_many(quota, "too_many_failed_logins", "too many wrong keys came from this address")
    raise Problem(
        401, "unauthorized", "this API key is unknown or revoked", headers=_challenge(', error="invalid_token"')
    )


def _challenge(more: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="ringback"{more}'}


def _too_many(quota: Quota, code: str, detail: str) -> Problem:
    return Problem(429, code, detail, retry_after=quota.reset)
