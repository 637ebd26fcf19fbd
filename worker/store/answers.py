"""What the store's errors mean: away for a moment, full, read-only, or a fault of ours."""

from __future__ import annotations

import traceback

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from worker.errors import StoreFull, StoreReadOnly, StoreUnavailable

_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"})
LEAKED = (RuntimeError, TypeError, AttributeError)
"""What event loops raise in place of an OSError when a connection is written to that has closed just now, and redis-py
lets through (https://github.com/redis/redis-py/issues/4287, https://github.com/MagicStack/uvloop/issues/506)."""


def meaning(error: Exception) -> StoreUnavailable | None:
    """The error as callers of the store know it; None for one that only a fault of ours explains."""
    if isinstance(error, LEAKED):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        by_the_loop = frame.f_globals["__name__"].partition(".")[0] in ("asyncio", "uvloop")
        return StoreUnavailable("the store has closed the connection") if by_the_loop else None
    told = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in told:
        return StoreFull("the store is full (maxmemory): new records are refused, nothing accepted is lost")
    if isinstance(error, ReadOnlyError) or "READONLY" in told:
        return StoreReadOnly("the store is a read-only replica: RINGBACK_REDIS_URL must name the primary")
    word = told.partition(" ")[0]
    if isinstance(error, ResponseError):
        return StoreUnavailable(f"the store is not ready ({word})") if word in _NOT_NOW else None
    return StoreUnavailable(f"the store does not respond ({type(error).__name__})")
