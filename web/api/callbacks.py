"""Judging callbacks as orders come in, without asking the name server for every order of a burst."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from web.ttl_cache import TtlCache
from worker.webhooks import target

REMEMBERED = 10.0
"""Seconds for which a host found good is not looked up again. The worker judges anew when it connects."""


class Judge(Protocol):
    """Says by raising CallbackRefused that no webhook may go to a URL."""

    def check(self, url: str) -> None: ...


class Callbacks:
    """Judges callbacks for one process."""

    def __init__(self, judge: Judge, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._judge = judge
        self._good: TtlCache[bool] = TtlCache(REMEMBERED, monotonic=monotonic)

    def check(self, url: str) -> None:
        """Raises CallbackRefused for a callback that no webhook may go to. May block for a name's look-up."""
        place = _place(url)
        if place is None or not self._good.get(place):
            self._judge.check(url)
            self._good.put(place, True)


@lru_cache(maxsize=1024)
def _place(url: str) -> tuple[str, str, int] | None:
    """What the verdict is about: a URL in order differs from others at its place only behind the host."""
    try:
        where = target.read(url)
    except target.CallbackRefused:
        return None
    return where.scheme, where.host, where.port
