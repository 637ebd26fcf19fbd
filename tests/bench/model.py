"""What one Redis and N workers carry, from the figures of the last `make bench`: `python -m tests.bench.model`.

A simulation of the clock tells how often orders are polled; a base and a cost per poll turn that into CPU, for
workers and for Redis. Both are calibrated at the two smallest loads that were measured, the larger ones are
predicted and set against what was measured; only then it extrapolates. Prints the tables of `docs/scaling.md`;
`--write` puts them there.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.record import Load, Record, Rhythm
from worker.services import POLLS_IN_FLIGHT

POLLS_OFF, CPU_OFF = 0.15, 0.3
"""The stated error: by so much, as a share of the measured figure, polls per second and CPU may be off."""
BUSY = 0.7
"""The share of a core that a process may use for good: beyond it waiting times grow fast."""
STORE_GIB = 16
"""TtlCache of the machine on which one Redis runs, in GiB; half of it is for data, as a save may copy the rest."""
TICK_WORK = 0.002
"""Seconds that a tick itself takes: one script and the hints that follow."""
HANDOVER = 0.004
"""Seconds from a tick to the claim that it hints at."""
WARM, SEEN = 3, 6
"""Poll intervals that are simulated before counting begins, and that are counted."""


def simulate(orders: int, interval: float, clock: Rhythm) -> float:
    """Polls per second. Ticks as the clock does: it hints as soon as a batch is due or the oldest poll has waited
    for a fuller batch long enough. Orders that were claimed together are due together again: they are kept in groups.
    """
    groups = deque((interval * n / 1000, orders * (n + 1) // 1000 - orders * n // 1000) for n in range(1000))
    now, polls, oldest, ready = 0.0, 0, 0.0, 0
    begin, end = WARM * interval, (WARM + SEEN) * interval
    while now < end:
        while groups and groups[0][0] <= now:
            due, count = groups.popleft()
            oldest, ready = (oldest if ready else due), ready + count
        if ready >= clock.batch or (ready and oldest <= now - clock.linger):
            groups.append((now + HANDOVER + interval, ready))
            polls += ready if now >= begin else 0
            ready = 0
        now += clock.tick + TICK_WORK
    return polls / (end - begin)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cores that something keeps busy: `base` as long as anything is polled, and CPU seconds for each poll."""

    base: float
    poll: float

    def at(self, polls: float) -> float:
        """Cores at so many polls per second."""
        return self.base + self.poll * polls

    @classmethod
    def through(cls, low: tuple[float, float], high: tuple[float, float]) -> Cost:
        """The cost with which two points (polls per second, cores) come out as they were measured."""
        poll = (high[1] - low[1]) / (high[0] - low[0])
        return cls(low[1] - poll * low[0], poll)


@dataclass(frozen=True, slots=True)
class Costs:
    """What polling costs; the base is the clock's ticks and hints."""

    worker: Cost
    redis: Cost


def calibrate(record: Record) -> Costs:
    """From the two smallest loads alone."""
    low, high = record.loads[:2]
    return Costs(
        Cost.through((low.polls, low.worker), (high.polls, high.worker)),
        Cost.through((low.polls, low.redis), (high.polls, high.redis)),
    )


@dataclass(frozen=True, slots=True)
class Check:
    """A load as the model has it, beside what was measured."""

    load: Load
    polls: float
    worker: float
    redis: float

    def off(self) -> tuple[float, float, float]:
        """By how much polls, worker CPU and Redis CPU are off, as shares of what was measured."""
        said = self.polls, self.worker, self.redis
        polls, worker, redis = map(_off, said, (self.load.polls, self.load.worker, self.load.redis))
        return polls, worker, redis

    def holds(self) -> bool:
        """Whether all three are within the stated error."""
        polls, worker, redis = map(abs, self.off())
        return polls <= POLLS_OFF and worker <= CPU_OFF and redis <= CPU_OFF


def _off(said: float, measured: float) -> float:
    return said / measured - 1


@dataclass(frozen=True, slots=True)
class Model:
    """A calibrated model, for questions about sizes that were not measured."""

    record: Record
    costs: Costs

    @classmethod
    def of(cls, record: Record) -> Model:
        """Calibrate it."""
        return cls(record, calibrate(record))

    def polls(self, orders: int) -> float:
        """Polls per second, all workers together."""
        return simulate(orders, self.record.interval, self.record.clock)

    def check(self, load: Load) -> Check:
        """A measured load, predicted from the number of its orders alone."""
        polls = self.polls(load.orders)
        return Check(load, polls, self.costs.worker.at(polls), self.costs.redis.at(polls))

    def checks(self) -> list[Check]:
        """Every measured load."""
        return [self.check(load) for load in self.record.loads]

    def per_process(self, answer: float) -> float:
        """Polls per second of one worker process while the provider answers in `answer` seconds."""
        return min((BUSY - self.costs.worker.base) / self.costs.worker.poll, POLLS_IN_FLIGHT / answer)

    def patience(self) -> float:
        """Seconds of the provider's answer beyond which calls in flight bound a process, and not its CPU."""
        return POLLS_IN_FLIGHT / self.per_process(0.001)

    def processes(self, orders: int, answer: float) -> int:
        """Worker processes for so many orders in flight."""
        return math.ceil(self.polls(orders) / self.per_process(answer))

    def worker_cores(self, orders: int, answer: float) -> float:
        """Cores that all of them keep busy, those without the clock's token included."""
        return self.costs.worker.at(self.polls(orders)) + (self.processes(orders, answer) - 1) * self.record.idle

    def store_gib(self, orders: int) -> float:
        """TtlCache that Redis takes for so many orders in flight."""
        return orders * self.record.order_bytes / 2**30

    def cells(self, orders: int) -> int:
        """Redis servers for so many orders in flight, whether for CPU or for memory."""
        return math.ceil(max(self.costs.redis.at(self.polls(orders)) / BUSY, self.store_gib(orders) / (STORE_GIB / 2)))

    def one_redis_carries(self) -> int:
        """Orders in flight at which one Redis is as busy as it may be."""
        return round((BUSY - self.costs.redis.base) / self.costs.redis.poll * self.record.interval)

    def turnover(self, orders: int, life: float) -> Iterator[tuple[str, float]]:
        """Cores that orders take which come and go, each `life` seconds in flight; what was measured of it."""
        each = orders / life
        yield "the web", each / self.record.api
        if self.record.bought_micros is not None and self.record.bought_redis_micros is not None:
            yield "workers, to buy and to tell the number", each * self.record.bought_micros / 1e6
            yield "Redis, for the same", each * self.record.bought_redis_micros / 1e6
        yield "workers, to tell the code", each * self.record.webhook_micros / 1e6


def main(argv: list[str] | None = None) -> int:
    """Print the tables, or write them into the page."""
    from tests.bench import scaling

    parser = argparse.ArgumentParser(prog="python -m tests.bench.model", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    asked = parser.parse_args(argv)
    print(scaling.tables(Record.read()))
    if asked.write:
        print(f"written: {scaling.write(Record.read())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
