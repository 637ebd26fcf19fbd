"""The clock inside every worker: one of them holds a short token, counts what is due and tops the hints up to it.

None is special: when the holder is killed, another takes the token as soon as it lapses.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from worker.engine.chores import CHORES
from worker.engine.lanes import BATCH
from worker.errors import StoreUnavailable
from worker.logs import get_logger
from worker.schedule import Lane
from worker.services import Services

log = get_logger(__name__)

TICK = 0.05
"""Seconds between two ticks of the clock that holds the token, while there is something to do."""
QUIET_TICK = 0.1
"""Seconds between two of its ticks when nothing was due of late."""
BUSY = 1.0
"""Seconds for which something that was due keeps the clock at its faster pace."""
IDLE_TICK = 0.25
"""Seconds between two looks of a clock that does not hold the token."""
TOKEN = 1.0
"""Seconds for which the clock's token holds: a killed worker delays nothing for longer."""
HINT = 2.0
"""Seconds after which a hint that nobody took is forgotten, in the queue and in the count."""
LINGER = 0.02
"""Share of the poll interval for which due polls wait until a batch is full: fewer hints, evenly late."""
MOST_HINTS = 50
"""Hints of one lane under way at most."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something is due: a lane, or a chore. `queue` is where it travels."""

    name: str
    queue: Lane
    chore: bool = False


class Clock:
    """Ticks on the engine's loop until it is told to stop."""

    def __init__(
        self,
        services: Services,
        hint: Callable[[Hint], None],
        loop: asyncio.AbstractEventLoop,
        *,
        worker: str,
        here: Callable[[Hint], None],
    ) -> None:
        """`hint` publishes one hint, and may block; `here` has this worker do what one says, from any thread."""
        self._here = here
        self._mute = False
        self._services = services
        self._hint = hint
        self._loop = loop
        self._worker = worker
        self._busy_until = 0.0

    async def run(self, stopping: threading.Event) -> None:
        """Tick while this worker holds the token; look for the token otherwise."""
        stood = False
        while not stopping.is_set():
            wait = IDLE_TICK
            try:
                wait = await self._tick()
                if stood:
                    log.info("clock_resumed")
                stood = False
            except StoreUnavailable as error:
                if not stood:
                    log.warning("clock_stopped", why=str(error))
                stood = True
            except Exception:
                self._services.counters.add("failures", lane="clock")
                log.exception("clock_failed")
            await asyncio.sleep(wait)

    async def _tick(self) -> float:
        """One tick; returns the seconds until the next."""
        tick = await self._services.store.tick(
            self._worker,
            tuple(Lane),
            [(chore.name, chore.every, chore.trigger) for chore in CHORES.values()],
            token=TOKEN,
            batch=BATCH,
            most=MOST_HINTS,
            hint=HINT / 2,
            linger=LINGER * self._services.lease[Lane.POLL],
            queues_here=self._services.queues_here,
        )
        if not tick.holder:
            return IDLE_TICK
        wanted = [Hint(lane, lane) for lane, hints in tick.hints.items() for _ in range(hints)]
        if wanted:
            self._busy_until = self._loop.time() + BUSY
        wanted += [Hint(name, CHORES[name].queue, chore=True) for name in tick.chores]
        if wanted:
            await self._loop.run_in_executor(None, self._publish, wanted)
        return TICK if self._loop.time() < self._busy_until else QUIET_TICK

    def _publish(self, wanted: list[Hint]) -> None:
        """Publish hints; what the broker does not take is done here, since nobody else hears of it."""
        for place, hint in enumerate(wanted):
            try:
                self._hint(hint)
            except Exception as error:
                if not self._mute:
                    log.warning("hint_not_sent", why=type(error).__name__)
                self._mute = True
                for unsent in wanted[place:]:
                    self._here(unsent)
                return
        if wanted and self._mute:
            log.info("hints_sent_again")
            self._mute = False
