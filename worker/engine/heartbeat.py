"""The heartbeat of every worker: it says that this one lives, and gives back what one was delivering that does not.

Apart from the clock, whose ticks wait for the broker: a worker that works must not count as dead because Celery's queue
does not answer (docs/adr/0009).
"""

from __future__ import annotations

import asyncio

from worker.errors import StoreUnavailable
from worker.logs import get_logger
from worker.metrics import Counters
from worker.schedule import LIFE
from worker.store import AsyncStore

log = get_logger(__name__)

BEAT = 0.25
"""Seconds between two beats."""
SILENCE = 3 * BEAT
"""Seconds after which, if nobody was heard at all, the store must have been away: then everybody lives on."""
BEAT_DEADLINE = 4 * BEAT
"""Seconds for one beat: with a connection that hangs, the next takes another."""


class Heartbeat:
    """Beats from the start of a worker until its work has ended."""

    def __init__(self, store: AsyncStore, worker: str, counters: Counters) -> None:
        self._store = store
        self._worker = worker
        self._counters = counters

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                async with asyncio.timeout(BEAT_DEADLINE):
                    await self.beat()
            except (StoreUnavailable, TimeoutError):
                pass  # the clock says so in the log
            except Exception:
                self._counters.add("failures", lane="heartbeat")
                log.exception("heartbeat_failed")
            await asyncio.sleep(BEAT)

    async def beat(self) -> None:
        """Say that this worker lives. If another is dead, have others deliver what it was delivering."""
        dead = await self._store.alive(self._worker, LIFE, SILENCE)
        if dead is None:
            return
        given_back = await self._store.release(dead, LIFE)
        if given_back is not None:
            log.warning("worker_lost", lost=dead, deliveries=given_back)
