"""Whether the provider can be reached: one warning when that ends and one when it begins again, over all workers.

Calls are counted as they end, which costs no I/O; once a second what they show is told to the store, where the workers
agree on it.
"""

from __future__ import annotations

from worker.logs import get_logger
from worker.store import AsyncStore

log = get_logger(__name__)

IN_A_ROW = 3
"""Calls in a row without a readable answer from which the provider counts as away: one may always be lost."""
UNANSWERED = frozenset({"unreached", "unclear"})
"""Replies that are no answer: no connection, or nothing that could be read."""


class Reachability:
    """What one worker's calls say of the provider. Belongs to the engine's loop."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self._unanswered = 0
        self._answered = False
        self._why = ""
        self._told = False

    def heard(self, _action: str, reply: str, why: str = "") -> None:
        """A call has ended; `reply` is the class of its reply in lower case, `why` the reason of one unanswered."""
        if reply in UNANSWERED:
            self._unanswered += 1
            self._why = why
        else:
            self._unanswered, self._answered, self._told = 0, True, False

    async def tell(self) -> None:
        """Tell the store what the calls since the last time show. Raises StoreUnavailable."""
        if self._unanswered >= IN_A_ROW and not self._told:
            # Told once: another worker may still reach the provider, and its word counts.
            self._told = True
            if await self._store.provider_went(self._why):
                log.warning("provider_unreachable", why=self._why, calls=self._unanswered)
        elif self._answered:
            self._answered = False
            away = await self._store.provider_came()
            if away is not None:
                log.warning("provider_reachable", away=round(away, 1))
