"""Bulk redeliveries, as operators ask for them: a batch at a time, until the job is done or stopped."""

from __future__ import annotations

from worker.event import Event
from worker.logs import get_logger
from worker.store import AsyncStore, Job, JobState, Unreadable

log = get_logger(__name__)

LOOKED_AT = 1000
"""Webhooks looked at in one round of counting."""
BATCH = 100
"""Webhooks made due in one round: what follows is delivered by the lane, at its own pace."""


class Redelivery:
    """Works off the bulk redeliveries."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    async def work(self) -> int:
        """One batch of every open job; returns how many webhooks are due again."""
        due = 0
        for job in await self._store.open_jobs():
            counted = await self._count(job) if job.state is JobState.COUNTING else job
            if counted and counted.state is JobState.RUNNING:
                due += await self._send(counted)
        return due

    async def _count(self, job: Job) -> Job | None:
        """Look at some more of the webhooks, and note those that the job's filter means."""
        ids, cursor = await self._store.candidates_of_job(job, LOOKED_AT)
        looked = [await self._looked_at(job, event_id) for event_id in ids]
        found = {event.id: event.created_at for event in looked if isinstance(event, Event)}
        unreadable = sum(isinstance(why, Unreadable) for why in looked)
        return await self._store.found_for_job(job, found, looked_at=len(ids), unreadable=unreadable, cursor=cursor)

    async def _send(self, job: Job) -> int:
        """Make a batch due; what no longer fits, is being sent, or cannot be opened must not hold up the others."""
        sent: list[str] = []
        skipped: list[str] = []
        for event_id in await self._store.next_of_job(job, BATCH):
            event = await self._looked_at(job, event_id)
            again = isinstance(event, Event) and await self._store.redeliver(event)
            (sent if again else skipped).append(event_id)
        await self._store.advance_job(job, sent, skipped)
        return len(sent)

    async def _looked_at(self, job: Job, event_id: str) -> Event | Unreadable | None:
        """A webhook that the job's filter means; None for any other; why it cannot be opened, if so."""
        try:
            event = await self._store.load_event(event_id)
        except Unreadable as why:
            log.error("record_unreadable", record=event_id, why=str(why))
            return why
        return event if event and job.wanted.means(event) else None
