"""Who is asking: a bearer key, looked up by its hash and compared in constant time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NoReturn

from flask import request

from web.context import the_door
from web.limits import Quota
from web.memory import Memory
from web.passage import passage
from web.problems import Problem
from worker.callers import KEY_PREFIX, Caller, Callers, key_hash

REMEMBERED = 2.0
"""Seconds for which a key once found is taken to be good: a revoked one stops working within them."""

_KEY = re.compile(re.escape(KEY_PREFIX) + r"[A-Za-z0-9_-]{20,128}")


class KeyRing:
    """Finds callers by API key; saves the store two round trips for each request of a burst."""

    def __init__(self, callers: Callers, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._callers = callers
        self._known: Memory[Caller] = Memory(REMEMBERED, monotonic=monotonic)

    def owner(self, api_key: str) -> Caller | None:
        """The caller that a key belongs to, or None. Raises StoreUnavailable."""
        if not _KEY.fullmatch(api_key):
            return None
        digest = key_hash(api_key)
        caller = self._known.get(digest)
        if caller is None:
            caller = self._callers.by_key(api_key)
            if caller is not None:
                self._known.put(digest, caller)
        return caller


def authenticate() -> None:
    """Before every request: whoever asks for anything under /v1 has a key and keeps to the caller's limit."""
    if not request.path.startswith("/v1/"):
        return
    scheme, _, api_key = request.headers.get("Authorization", "").partition(" ")
    door, it = the_door(), passage()
    caller = door.keys.owner(api_key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        _turn_away(given=bool(scheme))
    it.caller = caller
    it.line["caller"] = caller.id
    it.quota = door.limits.request(caller.id)
    if not it.quota.allowed:
        raise _too_many(it.quota, "rate_limited", "this key has sent too many requests in this minute")


def _turn_away(*, given: bool) -> NoReturn:
    """Refuse; a wrong key counts against its address. A good key is never refused for what others there did."""
    if not given:
        raise Problem(401, "unauthorized", "send `Authorization: Bearer <api key>`", headers=_challenge())
    quota = passage().quota = the_door().limits.failed_login(request.remote_addr or "-")
    if not quota.allowed:
        raise _too_many(quota, "too_many_failed_logins", "too many wrong keys came from this address")
    raise Problem(
        401, "unauthorized", "this API key is unknown or revoked", headers=_challenge(', error="invalid_token"')
    )


def _challenge(more: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="ringback"{more}'}


def _too_many(quota: Quota, code: str, detail: str) -> Problem:
    return Problem(429, code, detail, retry_after=quota.reset)
