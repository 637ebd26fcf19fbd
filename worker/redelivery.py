"""Sending many webhooks again, as an operator asked: a batch at a time, until the job is done or stopped."""

from __future__ import annotations

from worker.logs import get_logger
from worker.store import AsyncStore, Unreadable

log = get_logger(__name__)

BATCH = 100
"""Webhooks made due in one round: what follows is delivered by the lane, at its own pace."""


class Redelivery:
    """Works off the redeliveries of many."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    async def work(self) -> int:
        """One batch of every open job; returns how many webhooks are due again."""
        due = 0
        for job_id in await self._store.open_jobs():
            sent = [await self._sent_again(event_id) for event_id in await self._store.next_of_job(job_id, BATCH)]
            await self._store.advance_job(job_id, sent.count(True), sent.count(False))
            due += sent.count(True)
        return due

    async def _sent_again(self, event_id: str) -> bool:
        """False for one that is gone, is being sent, or cannot be opened: it must not hold up the others."""
        try:
            event = await self._store.load_event(event_id)
        except Unreadable as why:
            log.error("record_unreadable", record=event_id, why=str(why))
            return False
        return event is not None and await self._store.redeliver(event)
