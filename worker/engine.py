"""The engine: one event loop per process, a lane for each queue, and the clock that looks for what is due.

A hint from the queue says "some are due in this lane"; `run` claims when it starts and returns as soon as the claimed
entries are under way. How many may be under way at once is the lane's own affair, so a slow provider cannot hold up
webhooks and a slow receiver cannot hold up polls. Nothing here knows Celery.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from structlog.contextvars import bound_contextvars

from worker.clock import BATCH, LANES, Clock
from worker.errors import StoreUnavailable
from worker.event import Event
from worker.heartbeat import Heartbeat
from worker.logs import get_logger
from worker.services import DELIVERY_MARGIN, POLLS_IN_FLIGHT, Services
from worker.steps import STILL_WAITING, Again, Gone, Outcome, Saved

log = get_logger(__name__)

IN_FLIGHT = {"settle": 500, "poll": POLLS_IN_FLIGHT, "buy": 200, "deliver": 2000}
"""Entries of a lane under way at once in one process."""
DRAIN = 30.0
"""Seconds that work under way is given to end when the process is told to stop."""


@dataclass(slots=True)
class Lane:
    """A lane of this process: its name and how many entries are under way."""

    name: str
    capacity: int
    running: int = 0
    more: bool = False
    """Whether more is due than there was room for."""


class Engine:
    """Runs the lanes and the clock on one loop in a thread of its own."""

    def __init__(
        self, services: Callable[[], Awaitable[Services]], hint: Callable[[str], None], *, worker: str, delivers: bool
    ) -> None:
        """`services` builds the services on the loop; `hint` publishes a hint for a lane or a chore (and may block).

        `delivers` says that this worker takes the `deliver` queue.
        """
        self._delivers = delivers
        self._build = services
        self._hint = hint
        self._worker = worker
        self._lanes = {name: Lane(name, IN_FLIGHT[name]) for name in LANES}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._chores: set[str] = set()
        self._stopping = threading.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_loop, name="ringback-engine", daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self.services: Services

    # Its life.

    def start(self) -> None:
        """Start the loop; returns when the services are built. Raises what building them raised."""
        self._thread.start()
        self._ready.result(timeout=30)

    def stop(self) -> None:
        """Take nothing new, let what is under way end, and close."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(timeout=DRAIN + 10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    def _run_loop(self) -> None:
        _allow_many_connections()
        self.loop = _new_loop()
        asyncio.set_event_loop(self.loop)
        try:
            self.services = self.loop.run_until_complete(self._build())
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._beating = self.loop.create_task(Heartbeat(self.services.store, self._worker).run())
        clock = Clock(self.services, self._hint, self.loop, worker=self._worker)
        self._spawn(clock.run(self._stopping))
        self._spawn(self._report())
        self._ready.set_result(None)
        self.loop.run_forever()

    async def _close(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN)
        self._beating.cancel()
        with contextlib.suppress(StoreUnavailable):
            await self.services.store.leave(self._worker)
            await self._flush()
        await self.services.aclose()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("engine_failed", exc_info=error)

    # Hints, as a thread of the queue hands them over.

    def run(self, lane: str) -> None:
        """Have what is due in a lane claimed and started; returns at once, from any thread."""
        self.loop.call_soon_threadsafe(self._spawn_later, self._take, self._lanes[lane])

    def run_chore(self, name: str) -> None:
        """Have a chore done; returns at once, from any thread."""
        self.loop.call_soon_threadsafe(self._spawn_later, self._chore, name)

    def _spawn_later(self, work: Callable[[Any], Coroutine[Any, Any, Any]], subject: Any) -> None:
        self._spawn(work(subject))

    async def _take(self, lane: Lane) -> None:
        """Claim and start entries while there is room and more is due."""
        while not self._stopping.is_set():
            room = min(BATCH, lane.capacity - lane.running)
            lane.more = room <= 0
            if lane.more:
                break
            if await self._claim(lane, room) < room:
                break

    async def _claim(self, lane: Lane, room: int) -> int:
        lane.running += room
        claimed = 0
        try:
            claimed = await (self._take_events(lane, room) if lane.name == "deliver" else self._take_orders(lane, room))
        except StoreUnavailable as error:
            log.warning("claim_failed", lane=lane.name, why=str(error))
        finally:
            lane.running -= room - claimed
        return claimed

    def _ended(self, lane: Lane, *, more: bool = False) -> None:
        """An entry has ended; a lane that was full, or whose end made more due, goes on by itself."""
        lane.running -= 1
        lane.more = lane.more or more
        if lane.more and lane.capacity - lane.running >= min(BATCH, lane.capacity // 2):
            lane.more = False
            self._spawn(self._take(lane))

    async def _take_orders(self, lane: Lane, room: int) -> int:
        services = self.services
        again = services.lease[lane.name]
        asked_at = self.loop.time()
        claim = await services.store.claim(lane.name, room, again)
        # A purchase needs no such limit: its first write already lets only one worker through.
        stale_at = asked_at + (0.5 * again if lane.name != "buy" else DRAIN)
        if lane.name == "poll":
            services.gate.called(len(claim.entries))
        for place, (order_id, activation) in enumerate(claim.entries):
            delay = claim.first + claim.gap * place if claim.gap else 0.0
            self._spawn(self._entry(lane, order_id, activation, delay, stale_at + delay))
        return len(claim.entries)

    async def _take_events(self, lane: Lane, room: int) -> int:
        stale_at = self.loop.time() + DELIVERY_MARGIN / 2
        events = await self.services.store.claim_events(room, self.services.lease["deliver"], self._worker)
        for event in events:
            self._spawn(self._delivery(lane, event, stale_at))
        return len(events)

    # One unit of work each.

    async def _entry(self, lane: Lane, order_id: str, activation: str, delay: float, stale_at: float) -> None:
        try:
            if delay > 0:
                await asyncio.sleep(delay)
            if self.loop.time() > stale_at:
                # This process stood still; the claim has passed to somebody else by now.
                return
            lifecycle = self.services.lifecycle
            if lane.name == "poll":
                outcome = await lifecycle.poll(order_id, activation)
                if outcome is STILL_WAITING:
                    return
            else:
                outcome = await (lifecycle.buy(order_id) if lane.name == "buy" else lifecycle.settle(order_id))
            await self._conclude(lane, order_id, outcome)
        except StoreUnavailable as error:
            log.warning("step_put_off", lane=lane.name, order=order_id, why=str(error))
        except Exception:
            self.services.counters.add("failures", lane=lane.name)
            log.exception("step_failed", lane=lane.name, order=order_id)
        finally:
            self._ended(lane)

    async def _conclude(self, lane: Lane, order_id: str, outcome: Outcome) -> None:
        """Do what the step asked for, and say in one line what happened."""
        if isinstance(outcome, Saved) and outcome.owes and self._delivers:
            # A code is perishable: no waiting for the clock's next tick. Started before the ids are bound: a task
            # inherits what is bound around it, and a delivery's log line is not about this lane.
            self._spawn(self._take(self._lanes["deliver"]))
        with bound_contextvars(order=order_id, lane=lane.name):
            match outcome:
                case Saved(order):
                    log.info(
                        "order",
                        status=order.status.value,
                        settlement=order.settlement.value,
                        version=order.version,
                    )
                case Again(at, why):
                    await self.services.store.postpone(lane.name, order_id, at)
                    log.debug("again", why=why)
                case Gone():
                    await self.services.store.drop(lane.name, order_id)
                case _:
                    log.debug("nothing", why=outcome.why)

    async def _delivery(self, lane: Lane, event: Event, stale_at: float) -> None:
        woken = 0
        try:
            if self.loop.time() > stale_at:
                return
            after, woken = await self.services.outbox.deliver(event)
            last = after.attempts[-1]
            log.info(
                "webhook", event_id=event.id, type=event.type, order=event.order, status=after.status.value,
                status_code=last.status, error=last.error, duration=round(last.duration, 3), tries=after.tries,
            )  # fmt: skip
        except StoreUnavailable as error:
            log.warning("delivery_unrecorded", event_id=event.id, why=str(error))
        except Exception:
            self.services.counters.add("failures", lane=lane.name)
            log.exception("delivery_failed", event_id=event.id)
        finally:
            self._ended(lane, more=woken > 0)

    async def _chore(self, name: str) -> None:
        services = self.services
        if name in self._chores:
            return
        self._chores.add(name)
        try:
            match name:
                case "account":
                    await services.account.refresh()
                case "erase":
                    await services.housekeeping.erase()
                case "mend":
                    await services.housekeeping.mend()
                case "trim":
                    await services.housekeeping.trim()
        except StoreUnavailable as error:
            log.warning("chore_put_off", chore=name, why=str(error))
        finally:
            self._chores.discard(name)

    # Counters.

    async def _report(self) -> None:
        """Hand the counters over to the store every second or so."""
        while not self._stopping.is_set():
            await asyncio.sleep(1.0)
            with contextlib.suppress(StoreUnavailable):
                await self._flush()

    async def _flush(self) -> None:
        counts = self.services.counters.drain()
        if counts:
            await self.services.store.add_counts(counts)


def _allow_many_connections() -> None:
    """Every call under way holds a file descriptor, and the usual soft limit is 1,024."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one (it costs the worker a third less CPU per poll), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def process_name() -> str:
    """A name for this process that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
