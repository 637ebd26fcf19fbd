"""Places that requests of all callers share in one process: bounded for all together, and for each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Full(Exception):
    """There is no place; `by_caller` when it is the caller's own share that is used up."""

    def __init__(self, *, by_caller: bool) -> None:
        super().__init__(by_caller)
        self.by_caller = by_caller


class Places:
    """`most` places, of which no caller has more than `per_caller`. Thread-safe."""

    def __init__(self, most: int, per_caller: int) -> None:
        self._most = most
        self._per_caller = per_caller
        self._lock = Lock()
        self._taken: Counter[str] = Counter()

    def take(self, caller_id: str) -> None:
        """Take a place, to be given back with `free`. Raises Full."""
        with self._lock:
            if self._taken[caller_id] >= self._per_caller:
                raise Full(by_caller=True)
            if self._taken.total() >= self._most:
                raise Full(by_caller=False)
            self._taken[caller_id] += 1

    def free(self, caller_id: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[caller_id] -= 1
            if not self._taken[caller_id]:
                del self._taken[caller_id]

    @contextmanager
    def one(self, caller_id: str) -> Iterator[None]:
        """A place for as long as the block runs. Raises Full."""
        self.take(caller_id)
        try:
            yield
        finally:
            self.free(caller_id)
