"""The lanes of one process: claim what is due, and run a step for each entry.

A hint from the queue says "some are due in this lane"; `take` claims when it starts and returns as soon as the claimed
entries are under way. How many may be under way at once is each lane's own affair, so a slow provider cannot hold up
webhooks and a slow receiver cannot hold up polls (docs/adr/0004).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from structlog.contextvars import bound_contextvars

from worker.alerts import Alert
from worker.errors import StoreUnavailable
from worker.event import Event
from worker.lifecycle.steps import STILL_WAITING, Gone, Outcome, Saved, Snooze
from worker.logs import get_logger
from worker.metrics import key
from worker.order import Order
from worker.schedule import Lane
from worker.services import DELIVERY_MARGIN, POLLS_IN_FLIGHT, Services
from worker.store import Unreadable
from worker.tracing import log_of

log = get_logger(__name__)

BATCH = 200
"""Entries that one hint claims at most."""
IN_FLIGHT = {Lane.SETTLE: 500, Lane.POLL: POLLS_IN_FLIGHT, Lane.BUY: 200, Lane.DELIVER: 2000}
"""Entries of a lane under way at once in one process."""
PATIENCE_TO_BUY = 30.0
"""Seconds for which a claimed purchase may be held up here: its first write already lets only one worker through."""


@dataclass(slots=True)
class Load:
    """How much of a lane is under way here; `more` says that more is due than there was room for."""

    capacity: int
    running: int = 0
    more: bool = False

    @property
    def room(self) -> int:
        """How many more entries can be started now."""
        return min(BATCH, self.capacity - self.running)


class Lanes:
    """Claims and works, on the engine's loop."""

    def __init__(
        self,
        services: Services,
        loop: asyncio.AbstractEventLoop,
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        *,
        worker: str,
        delivers: bool,
        stopping: Callable[[], bool],
    ) -> None:
        """`spawn` starts a coroutine on `loop`; `delivers` says that this worker takes the `deliver` queue."""
        self._services = services
        self._spawn = spawn
        self._worker = worker
        self._delivers = delivers
        self._stopping = stopping
        self._loop = loop
        self._told: set[str] = set()
        self._loads = {lane: Load(capacity) for lane, capacity in IN_FLIGHT.items()}
        self._lateness = services.counters.histogram("poll_lateness_seconds")

    def running(self) -> dict[Lane, int]:
        """How much of each lane is under way here."""
        return {lane: load.running for lane, load in self._loads.items()}

    async def take(self, lane: Lane) -> None:
        """Claim and start entries while there is room and more is due."""
        load = self._loads[lane]
        while not self._stopping():
            room = load.room
            load.more = room <= 0
            if load.more or await self._claim(lane, load, room) < room:
                break

    def levels(self) -> dict[str, float]:
        """How full each lane is here, of how much there is room for."""
        levels: dict[str, float] = {}
        for lane, load in self._loads.items():
            levels[key("lane_running", {"lane": lane.value})] = load.running
            levels[key("lane_capacity", {"lane": lane.value})] = load.capacity
        return levels

    async def _claim(self, lane: Lane, load: Load, room: int) -> int:
        load.running += room
        claimed = 0
        try:
            free = load.capacity - load.running + room
            claimed = await (self._take_events(room, free) if lane is Lane.DELIVER else self._take_orders(lane, room))
        except StoreUnavailable as error:
            log.warning("claim_failed", lane=lane.value, why=str(error))
        finally:
            load.running -= room - claimed
        return claimed

    async def _take_orders(self, lane: Lane, room: int) -> int:
        services = self._services
        lease = services.lease[lane]
        asked_at = self._loop.time()
        claim = await services.store.claim(lane, room, lease)
        stale_at = asked_at + (PATIENCE_TO_BUY if lane is Lane.BUY else 0.5 * lease)
        if lane is Lane.POLL:
            services.gate.called(len(claim.entries))
        for place, (order_id, activation) in enumerate(claim.entries):
            delay = claim.first + claim.gap * place if claim.gap else 0.0
            if claim.late:
                self._lateness.observe(claim.late[place] + delay)
            self._spawn(self._work(lane, order_id, activation, delay, stale_at + delay))
        return len(claim.entries)

    async def _take_events(self, room: int, free: int) -> int:
        stale_at = self._loop.time() + DELIVERY_MARGIN / 2
        events = await self._services.store.claim_events(room, self._services.lease[Lane.DELIVER], self._worker, free)
        for event in events:
            self._spawn(self._deliver(event, stale_at))
        return len(events)

    def _ended(self, lane: Lane, *, more: bool = False) -> None:
        """An entry has ended; a lane that was full, or whose end made more due, goes on by itself."""
        load = self._loads[lane]
        load.running -= 1
        load.more = load.more or more
        if load.more and load.capacity - load.running >= min(BATCH, load.capacity // 2):
            load.more = False
            self._spawn(self.take(lane))

    # One unit of work each.

    async def _work(self, lane: Lane, order_id: str, activation: str, delay: float, stale_at: float) -> None:
        try:
            if delay > 0:
                await asyncio.sleep(delay)
            if self._loop.time() > stale_at:
                # This process stood still; the claim has passed to somebody else by now.
                return
            outcome = await self._services.lifecycle.step(lane, order_id, activation)
            if outcome is not STILL_WAITING:
                await self._conclude(lane, order_id, outcome)
        except StoreUnavailable as error:
            log.warning("step_put_off", lane=lane.value, order=order_id, why=str(error))
        except Unreadable as why:
            self._unreadable(order_id, why)
        except Exception:
            self._services.counters.add("failures", lane=lane.value)
            log.exception("step_failed", lane=lane.value, order=order_id)
        finally:
            self._ended(lane)

    def _unreadable(self, record: str, why: Unreadable) -> None:
        """Leave what cannot be read to those that can; say so once, though it comes up at every claim."""
        if record not in self._told:
            self._told.add(record)
            self._services.gate.alert(Alert.RECORD_UNREADABLE, record=record, why=str(why))

    async def _conclude(self, lane: Lane, order_id: str, outcome: Outcome) -> None:
        """Do what the step asked for, and say in one line what happened."""
        if isinstance(outcome, Saved) and outcome.owes and self._delivers:
            # A code is perishable: no waiting for the clock's next tick. Started before the ids are bound: a task
            # inherits what is bound around it, and a delivery's log line is not about this lane.
            self._spawn(self.take(Lane.DELIVER))
        with bound_contextvars(order=order_id, lane=lane.value):
            match outcome:
                case Saved(order):
                    log.info("order", **self._about(order))
                case Snooze(at, why):
                    await self._services.store.postpone(lane, order_id, at)
                    log.debug("snooze", why=why)
                case Gone():
                    await self._services.store.drop(lane, order_id)
                case _:
                    log.debug("nothing", why=outcome.why)

    def _about(self, order: Order) -> dict[str, Any]:
        """What the log says of an order; `age` in seconds. The provider's reply is bound by the step itself."""
        return {
            "status": order.status.value,
            "settlement": order.settlement.value,
            "version": order.version,
            "caller": order.caller,
            "product": order.product,
            "error": order.error.value if order.error else None,
            "age": round(self._services.store.clock.now() - order.created_at, 3),
            **log_of(order.origin),
        }

    async def _deliver(self, event: Event, stale_at: float) -> None:
        woken = 0
        try:
            if self._loop.time() > stale_at:
                return
            after, woken = await self._services.outbox.deliver(event)
            last = after.attempts[-1]
            log.info(
                "webhook", event_id=event.id, type=event.type, order=event.order, status=after.status.value,
                status_code=last.status, error=last.error, duration=round(last.duration, 3), tries=after.tries,
                caller=event.caller, host=urlsplit(event.url).hostname, **log_of(event.origin),
            )  # fmt: skip
        except StoreUnavailable as error:
            log.warning("delivery_unrecorded", event_id=event.id, why=str(error))
        except Unreadable as why:
            self._unreadable(event.caller, why)
        except Exception:
            self._services.counters.add("failures", lane=Lane.DELIVER.value)
            log.exception("delivery_failed", event_id=event.id)
        finally:
            self._ended(Lane.DELIVER, more=woken > 0)
