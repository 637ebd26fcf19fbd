"""Creating, finding and changing callers, for the web and the command line."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from worker.caller import DEFAULT_OVERLAP, KEY_PREFIX, Caller, Caps, Secret, key_hash
from worker.errors import NotFound
from worker.store import Store, Unreadable, Written
from worker.webhooks.signing import new_secret


class Callers:
    """The callers in a store. Methods raise StoreUnavailable, and NotFound for a caller that is not there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        name: str,
        now: float,
        *,
        callback_url: str | None = None,
        caps: Caps | None = None,
        verify_callback: bool = False,
    ) -> tuple[Caller, str, str]:
        """A new caller, its API key and its webhook secret: the only time that they are shown."""
        api_key, secret = _new_key(), new_secret()
        caller = Caller(
            id="cal_" + secrets.token_hex(10), name=name, key_hash=key_hash(api_key), secrets=(Secret(secret),),
            callback_url=callback_url, created_at=now, caps=caps or Caps(), verify_callback=verify_callback,
        )  # fmt: skip
        self._store.save_caller(None, caller)
        return caller, api_key, secret

    def all(self, skipped: list[str] | None = None) -> list[Caller]:
        """Every caller, oldest first. Those that cannot be opened are left out; their ids are added to `skipped`."""
        found = []
        for one in self._store.callers():
            try:
                found.append(self._store.caller(one))
            except Unreadable:
                if skipped is not None:
                    skipped.append(one)
        return sorted((one for one in found if one is not None), key=lambda caller: caller.created_at)

    def get(self, caller_id: str) -> Caller:
        """The caller."""
        caller = self._store.caller(caller_id)
        if caller is None:
            raise NotFound(f"there is no caller {caller_id!r}")
        return caller

    def by_key(self, api_key: str) -> Caller | None:
        """The caller an API key belongs to, or None; revoked callers have none."""
        digest = key_hash(api_key)
        caller_id = self._store.caller_of_key(digest)
        caller = self._store.caller(caller_id) if caller_id else None
        known = hmac.compare_digest(caller.key_hash if caller else "-", digest)
        return caller if caller and known and caller.revoked_at is None else None

    def rotate_secret(self, caller_id: str, now: float, overlap: float = DEFAULT_OVERLAP) -> str:
        """A new webhook secret; the old ones sign beside it for `overlap` seconds."""
        secret = new_secret()
        self._change(caller_id, lambda caller: caller.with_secret(secret, now, overlap))
        return secret

    def rotate_key(self, caller_id: str) -> str:
        """A new API key; the old one stops working at once."""
        api_key = _new_key()
        self._change(caller_id, lambda caller: caller.with_key(key_hash(api_key)))
        return api_key

    def revoke(self, caller_id: str, now: float) -> Caller:
        """Lock a caller out. Its orders run to their end, and their webhooks are still sent."""
        return self._change(caller_id, lambda caller: caller.revoked(now))

    def limit(self, caller_id: str, caps: Caps, weight: int | None = None) -> Caller:
        """Set a caller's caps, and its weight if one is given."""
        return self._change(caller_id, lambda caller: caller.with_caps(caps, weight))

    def change_caps(self, caller_id: str, *, weight: int | None = None, **caps: Any) -> Caller:
        """Set some of a caller's caps (None lifts one), and its weight; the others stay as they are by then."""
        return self._change(caller_id, lambda caller: caller.with_caps(replace(caller.caps, **caps), weight))

    def _change(self, caller_id: str, change: Callable[[Caller], Caller]) -> Caller:
        """Write a change; one that lost a race is applied to what is there now."""
        while True:
            before = self.get(caller_id)
            after = change(before)
            if self._store.save_caller(before, after) is Written.SAVED:
                return after


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)
