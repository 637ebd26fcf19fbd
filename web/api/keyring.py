"""The callers by their API keys: looked up by the key's hash, and remembered for a moment."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from worker.caller import KEY_PREFIX, Caller, key_hash
from worker.callers import Callers
from worker.ttl_cache import TtlCache

REMEMBERED = 2.0
"""Seconds for which a key once found is taken to be good: a revoked one stops working within them."""

_KEY = re.compile(re.escape(KEY_PREFIX) + r"[A-Za-z0-9_-]{20,128}")


class KeyRing:
    """Finds callers by API key; saves the store two round trips for each request of a burst."""

    def __init__(self, callers: Callers, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._callers = callers
        self._known: TtlCache[Caller] = TtlCache(REMEMBERED, monotonic=monotonic)

    def owner(self, api_key: str, *, anew: bool = False) -> Caller | None:
        """The caller that a key belongs to, or None; `anew` asks the store. Raises StoreUnavailable."""
        if not _KEY.fullmatch(api_key):
            return None
        digest = key_hash(api_key)
        caller = None if anew else self._known.get(digest)
        if caller is None:
            caller = self._callers.by_key(api_key)
            if caller is not None:
                self._known.put(digest, caller)
        return caller
