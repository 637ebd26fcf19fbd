"""Bulk redeliveries: what was asked for, how far it has come, and stopping it. Workers do the work in batches.

A job looks at every webhook in a state and keeps the ids of those that its filter means (`counting`). If they are no
more than the operator was told, it sends them (`running`); otherwise it waits until the number is accepted (`counted`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import redis
import redis.asyncio

from worker.event import EventStatus
from worker.store import keys
from worker.store.codec import ms
from worker.store.connection import reaching
from worker.store.queries import EventFilter

KEPT = 604_800
"""Seconds for which a job can be looked at."""


class JobState(StrEnum):
    """How far a job has come; the last two are final."""

    COUNTING = "counting"
    COUNTED = "counted"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Job:
    """One bulk redelivery; `at` is when it was asked for, in epoch seconds."""

    id: str
    by: str
    what: str
    """The filter in words."""
    wanted: EventFilter
    at: float
    state: JobState
    said: int
    """How many webhooks the operator was told; more are only sent once that number is accepted."""
    cursor: int
    """Where looking through the webhooks goes on."""
    looked_at: int
    total: int
    """Webhooks found so far that the filter means, and those that cannot be opened."""
    done: int
    skipped: int
    """Webhooks that cannot be opened, and found ones that changed meanwhile or were being sent."""

    @property
    def open(self) -> bool:
        """Whether it can still be stopped."""
        return self.state not in (JobState.DONE, JobState.STOPPED)

    @property
    def share(self) -> int:
        """How much is sent, in percent."""
        return 100 if not self.total else min(100, 100 * (self.done + self.skipped) // self.total)


class Jobs:
    """The jobs as the console sees them."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client

    def start(self, by: str, what: str, wanted: EventFilter, said: int, now: float) -> str:
        """Have all webhooks sent again that a filter with a state means, if they are `said` at most; the job's id."""
        job_id = "job_" + secrets.token_hex(8)
        name = keys.job(job_id)
        with reaching():
            pipe = self._redis.pipeline()
            pipe.hset(name, mapping={
                "by": by, "what": what, "wanted": json.dumps(asdict(wanted)), "at": ms(now), "said": said,
                "state": JobState.COUNTING.value,
            })  # fmt: skip
            pipe.expire(name, KEPT).sadd(keys.OPEN_JOBS, job_id)
            pipe.zadd(keys.JOBS, {job_id: ms(now)}).zremrangebyscore(keys.JOBS, "-inf", ms(now - KEPT))
            pipe.execute()
        return job_id

    def accept(self, job_id: str) -> int | None:
        """Have a counted job send what it found: how many that is, or None if the job does not wait for this."""
        job = self.load(job_id)
        if job is None or job.state is not JobState.COUNTED:
            return None
        with reaching():
            pipe = self._redis.pipeline()
            pipe.hset(keys.job(job_id), "state", JobState.RUNNING.value).sadd(keys.OPEN_JOBS, job_id)
            pipe.execute()
        return job.total

    def stop(self, job_id: str) -> bool:
        """Stop a job that has not ended; what is sent already stays sent."""
        job = self.load(job_id)
        if job is None or not job.open:
            return False
        with reaching():
            pipe = self._redis.pipeline()
            # A field of its own: a worker in the middle of a batch writes the state.
            pipe.hset(keys.job(job_id), "stopped", 1).srem(keys.OPEN_JOBS, job_id)
            pipe.delete(keys.job(job_id, "found"))
            pipe.execute()
        return True

    def load(self, job_id: str) -> Job | None:
        """A job as it stands."""
        with reaching():
            return _job(job_id, self._redis.hgetall(keys.job(job_id)))

    def newest(self, limit: int = 10) -> list[Job]:
        """The jobs asked for last."""
        with reaching():
            ids = [one.decode() for one in self._redis.zrevrange(keys.JOBS, 0, limit - 1)]
            pipe = self._redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hgetall(keys.job(job_id))
            return [job for job in map(_job, ids, pipe.execute()) if job]


class JobQueue:
    """The jobs as a worker works them off. Every step can be taken twice: a worker may die after it."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client

    async def open(self) -> list[Job]:
        """The jobs that have something to do."""
        jobs = []
        for job_id in sorted(one.decode() for one in await self._redis.smembers(keys.OPEN_JOBS)):
            job = _job(job_id, await self._redis.hgetall(keys.job(job_id)))
            if job and job.open:
                jobs.append(job)
            else:
                await self._redis.srem(keys.OPEN_JOBS, job_id)
        return jobs

    async def candidates(self, job: Job, about: int) -> tuple[list[str], int]:
        """The next webhooks to look at, about so many, and the cursor of those that follow: 0 at the end.

        None that is in the state all the time is left out, whatever comes and goes meanwhile (SCAN's guarantee,
        https://redis.io/docs/latest/commands/scan/); some may come twice.
        """
        cursor, found = await self._redis.zscan(job.wanted.index, job.cursor, count=about)
        return [name.decode() for name, _ in found], int(cursor)

    async def found(
        self, job: Job, found: Mapping[str, float], *, looked_at: int, unreadable: int, cursor: int
    ) -> Job | None:
        """Keep the ids that the filter means, with the times of their creation; the job as it stands then.

        At the end it runs if there are no more than was said, waits to be accepted if there are, or is done.
        """
        name, ids = keys.job(job.id), keys.job(job.id, "found")
        pipe = self._redis.pipeline()
        if found:
            pipe.zadd(ids, {one: ms(at) for one, at in found.items()}).expire(ids, KEPT)
        skipped = job.skipped + unreadable
        pipe.hset(name, mapping={"cursor": cursor, "looked_at": job.looked_at + looked_at, "skipped": skipped})
        pipe.zcard(ids)
        held = (await pipe.execute())[-1]
        state = JobState.COUNTING
        if not cursor:
            state = JobState.DONE if not held else JobState.RUNNING if held <= job.said else JobState.COUNTED
        pipe.hset(name, mapping={"total": held + skipped, "state": state.value})
        if state in (JobState.COUNTED, JobState.DONE):
            pipe.srem(keys.OPEN_JOBS, job.id)
        pipe.hgetall(name)
        return _job(job.id, (await pipe.execute())[-1])

    async def next(self, job: Job, most: int) -> list[str]:
        """The webhooks to send next, the oldest first."""
        return [one.decode() for one in await self._redis.zrange(keys.job(job.id, "found"), 0, most - 1)]

    async def advance(self, job: Job, sent: Sequence[str], skipped: Sequence[str]) -> None:
        """Take what was dealt with off the list; a job with nothing left is done."""
        name, ids = keys.job(job.id), keys.job(job.id, "found")
        pipe = self._redis.pipeline()
        if sent or skipped:
            pipe.zrem(ids, *sent, *skipped)
        pipe.hincrby(name, "done", len(sent)).hincrby(name, "skipped", len(skipped))
        pipe.exists(ids)
        if not (await pipe.execute())[-1]:
            pipe.hset(name, "state", JobState.DONE.value).srem(keys.OPEN_JOBS, job.id)
            await pipe.execute()


def _job(job_id: str, stored: Mapping[bytes, bytes]) -> Job | None:
    """A job from its hash; None for one that is gone, or was written before jobs had filters."""
    said = {name.decode(): value.decode() for name, value in stored.items()}
    if "wanted" not in said:
        return None
    wanted = json.loads(said["wanted"])
    number = {name: int(said.get(name, 0)) for name in ("said", "cursor", "looked_at", "total", "done", "skipped")}
    return Job(
        job_id, said["by"], said["what"], EventFilter(**{**wanted, "status": EventStatus(wanted["status"])}),
        int(said["at"]) / 1000, JobState.STOPPED if "stopped" in said else JobState(said["state"]), **number,
    )  # fmt: skip
