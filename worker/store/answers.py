"""What the store's errors mean: away for a moment, full, read-only, or a fault of ours."""

from __future__ import annotations

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from worker.errors import StoreFull, StoreReadOnly, StoreUnavailable

_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"})


def meaning(error: RedisError | OSError) -> StoreUnavailable | None:
    """The error as callers of the store know it; None for an answer that only a fault of ours explains."""
    told = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in told:
        return StoreFull("the store is full (maxmemory): new records are refused, nothing accepted is lost")
    if isinstance(error, ReadOnlyError) or "READONLY" in told:
        return StoreReadOnly("the store is a read-only replica: RINGBACK_REDIS_URL must name the primary")
    word = told.partition(" ")[0]
    if isinstance(error, ResponseError):
        return StoreUnavailable(f"the store is not ready ({word})") if word in _NOT_NOW else None
    return StoreUnavailable(f"the store does not respond ({type(error).__name__})")
