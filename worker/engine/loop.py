"""The engine: the thread with the event loop that lanes, clock and heartbeat run on, from its start to its drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any

from worker.engine.chores import CHORES
from worker.engine.clock import Clock, Hint
from worker.engine.heartbeat import Heartbeat
from worker.engine.lanes import Lanes
from worker.errors import StoreUnavailable
from worker.logs import get_logger
from worker.schedule import Lane
from worker.services import Services
from worker.version import version

log = get_logger(__name__)

DRAIN = 30.0
"""Seconds that work under way is given to end when the process is told to stop."""
REPORT = 1.0
"""Seconds between two times that the counters are handed over to the store."""


class Engine:
    """Runs the lanes and the clock on one loop in a thread of its own."""

    def __init__(
        self, services: Callable[[], Awaitable[Services]], hint: Callable[[Hint], None], *, worker: str, delivers: bool
    ) -> None:
        """`services` builds the services on the loop; `hint` publishes a hint (and may block).

        `delivers` says that this worker takes the `deliver` queue.
        """
        self._build = services
        self._hint = hint
        self._worker = worker
        self._delivers = delivers
        self._tasks: set[asyncio.Task[Any]] = set()
        self._chores: set[str] = set()
        self._stopping = threading.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_loop, name="ringback-engine", daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self.services: Services
        self.lanes: Lanes

    def start(self) -> None:
        """Start the loop; returns when the services are built. Raises what building them raised."""
        self._thread.start()
        self._ready.result(timeout=30)

    def run(self, lane: str) -> None:
        """Have what is due in a lane claimed and started; returns at once, from any thread."""
        self.loop.call_soon_threadsafe(lambda: self._spawn(self.lanes.take(Lane(lane))))

    def run_chore(self, name: str) -> None:
        """Have a chore done; returns at once, from any thread."""
        self.loop.call_soon_threadsafe(lambda: self._spawn(self._chore(name)))

    def take(self, hint: Hint) -> None:
        """Do what a hint says, on this worker; returns at once, from any thread."""
        (self.run_chore if hint.chore else self.run)(hint.name)

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
        with contextlib.suppress(ValueError, OSError):
            # Every call under way holds a file descriptor, and the usual soft limit is 1,024.
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.loop = _new_loop()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._begin())
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        self.loop.run_forever()

    async def _begin(self) -> None:
        self.services = await self._build()
        self.lanes = Lanes(
            self.services,
            self.loop,
            self._spawn,
            worker=self._worker,
            delivers=self._delivers,
            stopping=self._stopping.is_set,
        )
        for levels in (self.lanes.levels, self.services.store.levels):
            self.services.counters.watch(levels)
        heartbeat = Heartbeat(self.services.store, self._worker, self.services.counters)
        self._beating = self.loop.create_task(heartbeat.run())
        clock = Clock(self.services, self._hint, self.loop, worker=self._worker, here=self.take)
        self._spawn(clock.run(self._stopping))
        self._spawn(self._report())

    async def _close(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=DRAIN)
        self._beating.cancel()
        with contextlib.suppress(StoreUnavailable):
            await self.services.store.leave(self._worker)
            await self._report_now()  # what an outage has left over
            await self._report_now(last=True)
        await self.services.aclose()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work, context=Context())  # what one unit of work binds is no other's
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.services.counters.add("failures", lane="engine")
            log.error("engine_failed", exc_info=error)

    async def _chore(self, name: str) -> None:
        if name in self._chores:
            return
        chore = CHORES[name]
        self._chores.add(name)
        try:
            await chore.run(self.services)
        except StoreUnavailable as error:
            log.warning("chore_put_off", chore=name, why=str(error))
        except Exception:
            self.services.counters.add("failures", lane="chores")
            log.exception("chore_failed", chore=name)
        finally:
            self._chores.discard(name)

    async def _report(self) -> None:
        """Hand over to the store what was counted, and what calls show of the provider, again and again."""
        while not self._stopping.is_set():
            await asyncio.sleep(REPORT)
            with contextlib.suppress(StoreUnavailable):
                await self.services.reachability.tell()
                await self._report_now()
                await self.services.store.describe(self._worker, self._about())

    def _about(self) -> dict[str, str]:
        """What this worker says of itself, for the console."""
        running = {f"running:{lane}": str(count) for lane, count in self.lanes.running().items()}
        return {
            "version": version(),
            "delivers": str(int(self._delivers)),
            "python": platform.python_version(),
            **running,
        }

    async def _report_now(self, *, last: bool = False) -> None:
        counters = self.services.counters
        await self.services.store.add_report(counters.report(), last=last)
        counters.taken()


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
