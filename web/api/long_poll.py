"""Holding an answer back until something has changed.

Each one who waits occupies a thread, so their number is bounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import has_request_context

from web.api.problems import Problem
from web.request_state import request_state

MOST_WAITING = 16
"""Requests that may wait at a time in one process: half of its 32 threads, so that the others are always served."""
LOOK_EVERY = 0.2
"""Seconds between two looks."""


class LongPoll:
    """The waiting room of one process."""

    def __init__(
        self,
        most: int = MOST_WAITING,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._waiting = 0
        self._places = threading.BoundedSemaphore(most)
        self._sleep = sleep
        self._monotonic = monotonic

    def until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Look until something happened or `seconds` are over. Raises Problem (429) when too many wait already."""
        begun = self._monotonic()
        with self._place():
            while not happened():
                left = begun + seconds - self._monotonic()
                if left <= 0:
                    return False
                self._sleep(min(LOOK_EVERY, left))
        return True

    def levels(self) -> dict[str, float]:
        """How many answers are held back here, of how many there may be."""
        return {"http_held": self._waiting, "http_held_capacity": self._most}

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Problem(
                429, "too_many_waiting", "too many requests are waiting here; ask without waiting", retry_after=1
            )
        begun = self._monotonic()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._places.release()
            if has_request_context():
                request_state().held += self._monotonic() - begun
