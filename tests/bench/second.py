"""What a second worker process adds, measured in three ways; each bounds the first worker by something else.

1. By its calls in flight: with a slow provider a process makes at most so many calls at once, however idle it is.
2. By its share of the CPU: one worker that has to leave half of a core to a burner, then two workers on that core.
   The store and the provider have the other core to themselves, so that both cases differ in nothing else.
3. By the whole machine: one worker, then two, beside everything else. On two cores that cannot double.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.engine import Engine
from tests.bench.figures import Window
from tests.bench.stage import INTERVAL, NotReady

SLOW = 2.0
"""Seconds that the slow provider takes to answer a poll."""
SATURATED = {"RINGBACK_POLL_INTERVAL": "1"}
"""More polls due than two workers can make, so that their number decides."""
HALVED = {"RINGBACK_POLL_INTERVAL": "2"}
"""The same for half a core each; not more, since a claim is stale after half of the interval."""
WARM = 6.0
SATED = 0.9
"""A worker that makes so large a share of the polls due has no need of a second one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load on one worker, then on two."""

    one: Window
    two: Window
    interval: float

    @property
    def gain(self) -> float:
        """Polls per second, two workers' against one's."""
        return self.two.rate / self.one.rate

    @property
    def needless(self) -> bool:
        """One worker did all that was due."""
        return self.one.rate > SATED * self.one.orders / self.interval


def by_calls(ours: Engine, *, seconds: float) -> Pair:
    """Both workers wait for a slow provider."""
    ours.stage.ask(f"/bench/mode?delay={SLOW}")
    try:
        return _pair(ours, seconds=seconds)
    finally:
        ours.stage.ask("/bench/mode")


def by_machine(ours: Engine, *, seconds: float) -> Pair:
    """Both workers take what the machine has left."""
    return _pair(ours, seconds=seconds, **SATURATED)


def by_share(ours: Engine, *, seconds: float) -> Pair:
    """Each worker has half of the last core; NotReady where processes cannot be kept on a core."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        raise NotReady("processes cannot be kept on a core here")
    *others, last = sorted(os.sched_getaffinity(0))
    ours.stop_workers()
    rest = list(ours.stage.started)
    keep(rest, others)
    try:
        keep([ours.add_worker(**HALVED)], [last])
        burner = ours.stage.run([sys.executable, "-c", "while True: pass"], name="burner")
        keep([burner], [last])
        one = ours.window(seconds=seconds, warm=WARM)
        ours.stage.stop(burner)
        keep([ours.add_worker(**HALVED)], [last])
        return Pair(one, ours.window(seconds=seconds, warm=WARM), _interval(HALVED))
    finally:
        keep(rest, [*others, last])


def keep(processes: Iterable[subprocess.Popen[bytes]], cores: Iterable[int]) -> None:
    """Keep processes, with all their threads and what these start, on these cores."""
    for process in processes:
        for thread in Path(f"/proc/{process.pid}/task").glob("*"):
            os.sched_setaffinity(int(thread.name), cores)


def _pair(ours: Engine, *, seconds: float, **settings: str) -> Pair:
    ours.stop_workers()
    ours.add_worker(**settings)
    one = ours.window(seconds=seconds, warm=WARM)
    ours.add_worker(**settings)
    return Pair(one, ours.window(seconds=seconds, warm=WARM), _interval(settings))


def _interval(settings: Mapping[str, str]) -> float:
    return float(settings.get("RINGBACK_POLL_INTERVAL", INTERVAL))
