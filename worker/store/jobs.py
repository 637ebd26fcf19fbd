"""Redeliveries of many: what was asked for, how far it has come, and stopping it. Workers do the work in batches."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from worker.store import keys
from worker.store.codec import ms
from worker.store.connection import reaching

KEPT = 604_800
"""Seconds for which a job can be looked at."""
MOST = 10_000
"""Webhooks that one job sends again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One redelivery of many; `at` is when it was asked for, in epoch seconds."""

    id: str
    by: str
    what: str
    at: float
    state: str
    """running · done · stopped"""
    total: int
    done: int
    skipped: int

    @property
    def share(self) -> int:
        """How much is done, in percent."""
        return 100 if not self.total else min(100, 100 * (self.done + self.skipped) // self.total)


class Jobs:
    """The jobs as the console sees them."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client

    def start(self, by: str, what: str, event_ids: Sequence[str], now: float) -> str:
        """Have webhooks sent again; returns the job's id."""
        job_id = "job_" + secrets.token_hex(8)
        name, left = keys.job(job_id), keys.job(job_id, "left")
        with reaching():
            pipe = self._redis.pipeline()
            pipe.hset(name, mapping={
                "by": by, "what": what, "at": ms(now), "state": "running" if event_ids else "done",
                "total": len(event_ids), "done": 0, "skipped": 0,
            })  # fmt: skip
            pipe.expire(name, KEPT)
            if event_ids:
                pipe.rpush(left, *event_ids).expire(left, KEPT).sadd(keys.OPEN_JOBS, job_id)
            pipe.zadd(keys.JOBS, {job_id: ms(now)}).zremrangebyscore(keys.JOBS, "-inf", ms(now - KEPT))
            pipe.execute()
        return job_id

    def stop(self, job_id: str) -> bool:
        """Stop a job that runs; what is sent already stays sent."""
        with reaching():
            if not self._redis.srem(keys.OPEN_JOBS, job_id):
                return False
            self._redis.hset(keys.job(job_id), "state", "stopped")
            self._redis.delete(keys.job(job_id, "left"))
            return True

    def newest(self, limit: int = 10) -> list[Job]:
        """The jobs asked for last."""
        with reaching():
            ids = [one.decode() for one in self._redis.zrevrange(keys.JOBS, 0, limit - 1)]
            pipe = self._redis.pipeline(transaction=False)
            for job_id in ids:
                pipe.hgetall(keys.job(job_id))
            found = pipe.execute()
        return [_job(job_id, stored) for job_id, stored in zip(ids, found, strict=True) if stored]


class JobQueue:
    """The jobs as a worker works them off."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client

    async def open(self) -> list[str]:
        """The ids of the jobs that are not done."""
        return sorted(one.decode() for one in await self._redis.smembers(keys.OPEN_JOBS))

    async def next(self, job_id: str, most: int) -> list[str]:
        """The webhooks to send next."""
        return [one.decode() for one in await self._redis.lrange(keys.job(job_id, "left"), 0, most - 1)]

    async def advance(self, job_id: str, sent: int, skipped: int) -> None:
        """Take what was dealt with off the list; a job with nothing left is done. One that was stopped stays so."""
        name, left = keys.job(job_id), keys.job(job_id, "left")
        pipe = self._redis.pipeline()
        pipe.ltrim(left, sent + skipped, -1)
        pipe.hincrby(name, "done", sent)
        pipe.hincrby(name, "skipped", skipped)
        pipe.exists(left)
        more = (await pipe.execute())[-1]
        if not more and await self._redis.srem(keys.OPEN_JOBS, job_id):
            await self._redis.hset(name, "state", "done")


def _job(job_id: str, stored: Mapping[bytes, bytes]) -> Job:
    said = {name.decode(): value.decode() for name, value in stored.items()}
    return Job(
        job_id, said.get("by", ""), said.get("what", ""), int(said.get("at", 0)) / 1000, said.get("state", "done"),
        int(said.get("total", 0)), int(said.get("done", 0)), int(said.get("skipped", 0)),
    )  # fmt: skip
