"""What strikes the service: kills, freezes and outages, each at its moment, and what was struck started again."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.e2e.stack import Stack, wait_for
from worker.local.embedded import EmbeddedStore

Blow = Callable[[], None]
LOOK = 0.5
"""Seconds between two looks for processes that ended by themselves."""


class Victim(Protocol):
    """What can be killed and started again, stopped and let go on."""

    name: str

    @property
    def alive(self) -> bool: ...
    def kill(self, how: signal.Signals = ...) -> None: ...
    def start(self) -> None: ...


class StoreVictim:
    """The store's server as a victim."""

    name = "store"

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._pid = store.pid or 0

    @property
    def alive(self) -> bool:
        """Whether its server runs."""
        return self._store.alive

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal; waits for the end if the signal is one that ends."""
        os.kill(self._pid, how)
        if how is signal.SIGKILL:
            wait_for(lambda: not self.alive, what="the end of the store's process")

    def start(self) -> None:
        """Start it where it was; returns when it has read its file and answers."""
        self._store.revive()
        self._pid = self._store.pid or 0


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it gets. Times in seconds from the start; a freeze or an outage is (from, how long, what)."""

    span: float
    kill_every: float
    freezes: Sequence[tuple[float, float, str]] = ()
    outages: Sequence[tuple[float, float, str]] = ()
    """What: "refused" (nobody listens), or a kind of the sandbox's outages."""


@dataclass(slots=True)
class Damage:
    """What was done."""

    kills: Counter[str] = field(default_factory=Counter)
    freezes: list[tuple[float, float, str]] = field(default_factory=list)
    outages: list[tuple[float, float, str]] = field(default_factory=list)
    ended_alone: Counter[str] = field(default_factory=Counter)
    """Processes that ended without being killed: their supervisor would have started them again, as we did."""


class Storm:
    """Strikes from the thread that calls `rage`: what it starts again ends with that thread."""

    def __init__(self, stack: Stack, weather: Weather, chance: random.Random) -> None:
        self._stack = stack
        self._weather = weather
        self._chance = chance
        victims: list[Victim] = [*stack.processes, StoreVictim(stack.store)]
        self._victims = {one.name: one for one in victims}
        self._struck: set[str] = set()
        self._plan: list[tuple[float, int, Blow]] = []
        self._order = itertools.count()
        self._begun = 0.0
        self.damage = Damage()

    def rage(self) -> None:
        """Strike for the weather's span; in the end everything runs again."""
        self._begun = time.monotonic()
        self._forecast()
        try:
            while self._plan:
                at, _, blow = heapq.heappop(self._plan)
                self._watch_until(self._begun + at)
                blow()
        finally:
            self._calm()

    def _forecast(self) -> None:
        weather = self._weather
        for at, span, name in weather.freezes:
            self._at(at, lambda name=name, span=span: self._freeze(name, span))  # type: ignore[misc]
        for at, span, kind in weather.outages:
            self._at(at, lambda kind=kind, span=span: self._outage(kind, span))  # type: ignore[misc]
        for at in _steps(weather.kill_every, weather.span):
            self._at(at, self._kill_next)

    def _at(self, at: float, blow: Blow) -> None:
        heapq.heappush(self._plan, (at, next(self._order), blow))

    def _later(self, span: float, blow: Blow) -> None:
        self._at(time.monotonic() - self._begun + span, blow)

    # The blows.

    def _kill_next(self) -> None:
        """Kill whoever has been killed least, unless it is down or frozen just now."""
        standing = [name for name in self._victims if name not in self._struck]
        name = min(standing, key=lambda one: (self.damage.kills[one], self._chance.random()))
        self._struck.add(name)
        self.damage.kills[name] += 1
        self._victims[name].kill()
        self._later(self._chance.uniform(0.2, 1.5), lambda: self._start(name))

    def _start(self, name: str) -> None:
        self._victims[name].start()
        self._struck.discard(name)

    def _freeze(self, name: str, span: float) -> None:
        if name in self._struck:
            return self._later(0.2, lambda: self._freeze(name, span))
        self._struck.add(name)
        self.damage.freezes.append((time.monotonic(), span, name))
        self._victims[name].kill(signal.SIGSTOP)
        self._later(span, lambda: self._thaw(name))
        return None

    def _thaw(self, name: str) -> None:
        self._victims[name].kill(signal.SIGCONT)
        self._struck.discard(name)

    def _outage(self, kind: str, span: float) -> None:
        self.damage.outages.append((time.monotonic(), span, kind))
        if kind == "refused":
            self._stack.provider.stop()
            self._later(span, self._answer_again)
        else:
            self._stack.provider.outage(span, kind)

    def _answer_again(self) -> None:
        self._stack.provider.start()

    # Between them.

    def _watch_until(self, at: float) -> None:
        while (left := at - time.monotonic()) > 0:
            time.sleep(min(LOOK, left))
            self._raise_the_fallen()

    def _raise_the_fallen(self) -> None:
        for name, victim in self._victims.items():
            if name not in self._struck and not victim.alive:
                self.damage.ended_alone[name] += 1
                victim.start()

    def _calm(self) -> None:
        """Whatever happened: nobody stays stopped or dead."""
        with contextlib.suppress(RuntimeError):  # it listens already
            self._stack.provider.start()
        for victim in self._victims.values():
            if victim.alive:
                victim.kill(signal.SIGCONT)
            else:
                victim.start()
        self._struck.clear()


def _steps(every: float, span: float) -> Iterator[float]:
    at = every
    while at < span:
        yield at
        at += every
