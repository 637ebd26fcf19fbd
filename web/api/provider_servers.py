"""The provider's servers as the workers last read them: what is not among them is refused before it costs a call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from worker.store import Store
from worker.ttl_cache import TtlCache

REMEMBERED = 2.0
"""Seconds for which a reading is not looked up again."""


class ProviderServers:
    """The servers by type, for one process."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._known: TtlCache[list[str]] = TtlCache(REMEMBERED, monotonic=monotonic)

    def of(self, type: str) -> list[str]:
        """The ids of a type's servers; empty while none was ever read. Raises StoreUnavailable."""
        known = self._known.get(type)
        if known is None:
            reading = self._store.reading(f"servers:{type}").value
            known = [one["id"] for one in json.loads(reading)] if reading else []
            self._known.put(type, known)
        return known
