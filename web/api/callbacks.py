"""Judging callbacks as orders come in: no name is looked up twice within a moment, and nobody waits for others' names.

Look-ups run on an event loop of their own. One that is slow holds a thread of the web for each request that waits for
it, so both have a share per caller: what a name server never answers is refused to whoever asks for it, and to nobody
else.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from web.api.problems import CODES, Problem
from web.places import Full, Places
from worker.ttl_cache import TtlCache
from worker.webhooks import target
from worker.webhooks.guard import NOT_PUBLIC, RESOLVE_TIMEOUT, CallbackRefused, NameServersSilent, Refusal, Target

REMEMBERED = 10.0
"""Seconds for which a verdict on a host counts, good or bad. The worker judges anew when it connects."""
LOOK_UPS, LOOK_UPS_PER_CALLER = 64, 4
"""Names looked up at a time in one process, and for one caller."""
PROMPT = 0.25
"""Seconds for which any request may wait for a look-up: a name server that works has answered by then."""
PATIENT, PATIENT_PER_CALLER = 8, 4
"""Requests that may wait longer than `PROMPT`: each holds one of the process' 32 threads."""
RETRY_AFTER = 5
"""Seconds after which to send an order again whose callback could not be looked up."""

_HIDDEN = frozenset({Refusal.UNRESOLVABLE, Refusal.BLOCKED_ADDRESS})
Place = tuple[str, str, int]
"""Scheme, host and port: what a verdict is about."""
Refused = CallbackRefused | NameServersSilent | None


class Judge(Protocol):
    """Judges where webhooks may go (`worker.webhooks.guard.Guard`)."""

    def target(self, url: str) -> Target: ...
    async def resolve(self, host: str, port: int) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verdict that was reached: why not, or None."""

    refused: Refused


class Callbacks:
    """Judges callbacks for one process. `monotonic` gives seconds."""

    def __init__(self, judge: Judge, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._judge = judge
        self._known: TtlCache[_Judged] = TtlCache(REMEMBERED, monotonic=monotonic)
        self._running: dict[Place, Future[_Judged]] = {}
        self._lock = threading.Lock()
        self._look_ups = Places(LOOK_UPS, LOOK_UPS_PER_CALLER)
        self._patient = Places(PATIENT, PATIENT_PER_CALLER)
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self, url: str, caller_id: str) -> None:
        """Let a callback pass. Raises CallbackRefused; Problem (429, 503) when its host cannot be looked up."""
        place = _place(url)
        judged = None if place is None else self._known.get(place)
        if judged is None:
            where = self._judge.target(url)
            place = (where.scheme, where.host, where.port)
            if where.literal:
                self._known.put(place, _Judged(None))
                return
            judged = self._looked_up(place, caller_id)
        if isinstance(judged.refused, NameServersSilent):
            raise Problem(503, "resolver_unavailable", CODES["resolver_unavailable"], retry_after=RETRY_AFTER)
        if judged.refused is not None:
            raise judged.refused

    def _looked_up(self, place: Place, caller_id: str) -> _Judged:
        """The verdict on a host, waited for as long as this caller may."""
        try:
            look_up = self._look_up(place, caller_id)
            try:
                return look_up.result(PROMPT)
            except TimeoutError:
                with self._patient.one(caller_id):
                    return look_up.result(RESOLVE_TIMEOUT + 1)
        except Full as full:
            status, code = (429, "too_many_look_ups") if full.by_caller else (503, "resolver_unavailable")
            raise Problem(status, code, CODES[code], retry_after=RETRY_AFTER) from None
        except TimeoutError:
            return _Judged(NameServersSilent())

    def _look_up(self, place: Place, caller_id: str) -> Future[_Judged]:
        """The look-up under way for a host, or a new one. Raises Full."""
        with self._lock:
            found = self._running.get(place)
            if found is None:
                self._look_ups.take(caller_id)
                found = self._running[place] = asyncio.run_coroutine_threadsafe(
                    self._verdict(place, caller_id), self._opened()
                )
            return found

    async def _verdict(self, place: Place, caller_id: str) -> _Judged:
        try:
            judged = _Judged(await self._refusal(place))
            self._known.put(place, judged)
            return judged
        finally:
            self._look_ups.free(caller_id)
            with self._lock:
                self._running.pop(place, None)

    async def _refusal(self, place: Place) -> Refused:
        try:
            await self._judge.resolve(place[1], place[2])
        except (CallbackRefused, NameServersSilent) as refused:
            return refused
        return None

    def _opened(self) -> asyncio.AbstractEventLoop:
        """The event loop of the look-ups, in a thread that ends with the process."""
        if self._loop is None:
            # A loop keeps the context that it was made in, here that of a request, for as long as it lives.
            self._loop = contextvars.Context().run(asyncio.new_event_loop)
            threading.Thread(target=self._loop.run_forever, name="look-ups", daemon=True).start()
        return self._loop


def told(refused: CallbackRefused) -> tuple[str, str]:
    """The code and the words that callers get. A name that leads inside and one that is none look the same to them."""
    if refused.code in _HIDDEN:
        return Refusal.BLOCKED_ADDRESS.value, NOT_PUBLIC
    return refused.code.value, refused.message


@lru_cache(maxsize=1024)
def _place(url: str) -> Place | None:
    """Where a URL leads; None for one that is refused anyhow."""
    try:
        where = target.read(url)
    except target.CallbackRefused:
        return None
    return where.scheme, where.host, where.port
