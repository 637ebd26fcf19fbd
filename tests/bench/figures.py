"""How the bench measures: CPU time of processes and of Redis, memory, and a figure with its goal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

TICK = os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it that is alive now."""
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            found.extend(int(child) for task in tasks for child in (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, their living descendants and their ended children."""
    return sum(_own_seconds(pid) for root in pids for pid in descendants(root))


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICK


def machine_seconds() -> float:
    """CPU time that everything on this machine has spent, whoever it belongs to."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, _first_line("/proc/stat").split()[1:])
    return (user + nice + system + irq + softirq) / TICK


def _first_line(path: str) -> str:
    return Path(path).read_text().partition("\n")[0]


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes and their descendants."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in (below for root in pids for below in descendants(root)):
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        except OSError:
            continue
    return total


def redis_cpu_seconds(store: redis.Redis) -> float:
    """CPU time of the Redis server, system and user, background threads included."""
    info: Mapping[str, float] = store.info("cpu")  # type: ignore[assignment]
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


def redis_bytes(store: redis.Redis) -> int:
    """TtlCache that the Redis server has allocated."""
    info: Mapping[str, int] = store.info("memory")  # type: ignore[assignment]
    return int(info["used_memory"])


@dataclass(frozen=True, slots=True)
class Meter:
    """A reading of both clocks, to be set against a later one."""

    at: float
    worker: float
    redis: float
    machine: float

    @classmethod
    def read(cls, pids: Iterable[int], store: redis.Redis) -> Meter:
        """Read the worker processes' and the server's CPU time now."""
        return cls(time.monotonic(), cpu_seconds(pids), redis_cpu_seconds(store), machine_seconds())

    def since(self, before: Meter) -> Meter:
        """What was spent since `before`; `at` becomes the seconds between."""
        return Meter(
            self.at - before.at,
            self.worker - before.worker,
            self.redis - before.redis,
            self.machine - before.machine,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """One measured stretch of polling: what the provider counted and what it cost."""

    orders: int
    polls: int
    seconds: float
    worker_cpu: float
    redis_cpu: float
    machine_cpu: float
    """CPU seconds of everything on the machine: much more than the parts' sum means that others were at work."""
    late_share: float
    gaps: tuple[int, ...] = ()

    @property
    def worker_micros(self) -> float:
        """Worker CPU per poll in microseconds."""
        return self.worker_cpu / max(self.polls, 1) * 1e6

    @property
    def redis_micros(self) -> float:
        """Redis CPU per poll in microseconds."""
        return self.redis_cpu / max(self.polls, 1) * 1e6

    @property
    def cores_busy(self) -> float:
        """Cores that were at work, for whatever."""
        return self.machine_cpu / self.seconds

    @property
    def rate(self) -> float:
        """Polls per second."""
        return self.polls / self.seconds

    @property
    def wanted_rate_met(self) -> float:
        """The share of the polls due (one per order and five seconds) that were made."""
        return self.rate / (self.orders / 5)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: what was measured, against whom, and whether the goal is met.

    `value` is None when the figure could not be taken; `note` then says why.
    """

    name: str
    goal: str
    peer: str
    value: float | None
    shown: str
    met: bool | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """In a word: met, missed or not measured."""
        return {True: "met", False: "missed", None: "-"}[self.met]


def at_least(name: str, value: float, goal: float, *, unit: str = " times", peer: str = "", note: str = "") -> Figure:
    """A figure that is better the larger it is."""
    return Figure(name, f"≥ {goal:g}{unit}", peer, value, shown(value, unit), value >= goal, note)


def at_most(name: str, value: float, goal: float, *, unit: str = " times", peer: str = "", note: str = "") -> Figure:
    """A figure that is better the smaller it is."""
    return Figure(name, f"≤ {goal:g}{unit}", peer, value, shown(value, unit), value <= goal, note)


def told(name: str, value: float, *, unit: str, peer: str = "", note: str = "") -> Figure:
    """A figure without a goal."""
    return Figure(name, "", peer, value, shown(value, unit), None, note)


def untaken(name: str, why: str) -> Figure:
    """A figure that could not be taken, and why."""
    return Figure(name, "", "", None, "not measured", None, why)


def shown(value: float, unit: str) -> str:
    """A value with its unit, to three figures."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits}{unit}"


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
