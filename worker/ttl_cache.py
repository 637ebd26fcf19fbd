"""Remembering an answer for a moment, so that a burst of requests asks for it once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class TtlCache(Generic[V]):
    """Up to `most` values by key, each for `seconds`. Thread-safe as single dict operations are."""

    def __init__(self, seconds: float, most: int = 1024, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._monotonic = monotonic
        self._held: dict[Hashable, tuple[float, V]] = {}

    def get(self, key: Hashable) -> V | None:
        """The value, or None when it is unknown or too old."""
        until, value = self._held.get(key, (0.0, None))
        return value if until > self._monotonic() else None

    def put(self, key: Hashable, value: V) -> None:
        """Remember a value; when the memory is full, everything else is forgotten first."""
        if len(self._held) >= self._most:
            self._held.clear()
        self._held[key] = (self._monotonic() + self._seconds, value)
