"""Holding an answer back until something has changed.

Each request that waits occupies a thread, so their number is bounded, and so is each caller's share. One of those that
wait looks at the store for all of them; when it leaves, the next takes over.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from flask import has_request_context

from web.api.problems import Problem
from web.places import Full, Places
from web.request_state import request_state
from worker.store import Spot

MOST_WAITING = 16
"""Requests that may wait at a time in one process: half of its 32 threads, so that the others are always served."""
MOST_PER_CALLER = MOST_WAITING // 2
"""Of which so many may be one caller's."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the store, and between two at whether the client is still there."""

Peek = Callable[[Sequence[Spot]], Sequence[bytes | None]]


class LongPoll:
    """The waiting room of one process. `peek` reads spots of the store; `sleep` and `monotonic` are in seconds."""

    def __init__(
        self,
        peek: Peek,
        *,
        most: int = MOST_WAITING,
        per_caller: int = MOST_PER_CALLER,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._held = 0
        self._places = Places(most, per_caller)
        self._peek = peek
        self._sleep = sleep
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._news = threading.Condition()
        self._watched: Counter[Spot] = Counter()
        self._seen: dict[Spot, bytes | None] = {}

    @contextmanager
    def place(self, caller_id: str, seconds: float, has_left: Callable[[], bool] = lambda: False) -> Iterator[Wait]:
        """A place for a wait of at most `seconds`. Raises Problem (429) when too many wait already."""
        try:
            self._places.take(caller_id)
        except Full as full:
            whose = "of this caller are" if full.by_caller else "are"
            detail = f"too many requests {whose} being held; ask again, or without `wait` and `refresh`"
            raise Problem(429, "too_many_waiting", detail, retry_after=1) from None
        begun = self._monotonic()
        self._held += 1
        try:
            yield Wait(self, begun + seconds, has_left)
        finally:
            self._held -= 1
            self._places.free(caller_id)
            if has_request_context():
                request_state().held += self._monotonic() - begun

    def levels(self) -> dict[str, float]:
        """How many answers are held back here, of how many there may be."""
        return {"http_held": self._held, "http_held_capacity": self._most}

    def left(self, deadline: float) -> float:
        """Seconds until a deadline."""
        return deadline - self._monotonic()

    def changed(self, spot: Spot, known: bytes | None) -> bool:
        """Whether a spot differs from what is known of it, as of the last look at the store."""
        with self._news:
            return self._seen.get(spot, known) != known

    @contextmanager
    def watching(self, spot: Spot) -> Iterator[None]:
        """Have a spot looked at for as long as the block runs."""
        with self._news:
            self._watched[spot] += 1
            self._seen.pop(spot, None)  # what was seen before may be older than what is known now
        try:
            yield
        finally:
            with self._news:
                self._watched[spot] -= 1
                if not self._watched[spot]:
                    del self._watched[spot]
                    self._seen.pop(spot, None)

    def pause(self, seconds: float) -> None:
        """Until the next look, `seconds` at most: who finds nobody looking is the one who looks for all."""
        if not self._looking.acquire(blocking=False):
            with self._news:
                self._news.wait(min(LOOK_EVERY, seconds))
            return
        try:
            self._sleep(min(LOOK_EVERY, seconds))
            self._look()
        finally:
            self._looking.release()
            with self._news:
                self._news.notify_all()

    def _look(self) -> None:
        with self._news:
            spots = list(self._watched)
        found = dict(zip(spots, self._peek(spots), strict=True))
        with self._news:
            self._seen.update((spot, value) for spot, value in found.items() if spot in self._watched)


class Wait:
    """One request's stay in the waiting room."""

    def __init__(self, room: LongPoll, deadline: float, has_left: Callable[[], bool]) -> None:
        self._room = room
        self._deadline = deadline
        self._has_left = has_left

    def until_changed(self, spot: Spot, known: bytes | None) -> bool:
        """Wait until a spot differs from what is known of it; False once time is over or the client has gone."""
        with self._room.watching(spot):
            while not self._room.changed(spot, known):
                left = self._room.left(self._deadline)
                if left <= 0 or self._has_left():
                    return False
                self._room.pause(left)
        return True
