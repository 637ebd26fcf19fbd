"""Ringback before the bench's provider, for tests of many orders at once; its logs are shown where one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.engine import Engine
from tests.bench.stage import Stage

LAST = 40
"""Lines shown of each log."""


@contextmanager
def running_engine(*, workers: int = 1, **settings: str) -> Iterator[Engine]:
    """A store, the bench's provider, the web and workers, until the block ends; `settings` go to all of them."""
    with Stage() as stage:
        engine = Engine(stage)
        try:
            engine.start(**settings)
            for _ in range(workers - 1):
                engine.add_worker()
            yield engine
        finally:
            for name in ("worker", "web"):
                sys.stdout.write(f"--- {name}\n{stage.log(name, LAST)}\n")


def share_within(bins: list[int], low: float, high: float, *, width: float) -> float:
    """The share of a histogram's counts that lie between `low` and `high`, both in the bins' unit."""
    inside = sum(bins[round(low / width) : round(high / width)])
    return inside / max(sum(bins), 1)


def median_of(bins: list[int], *, width: float) -> float:
    """The lower edge of the bin in which a histogram's median lies."""
    half, seen = sum(bins) / 2, 0
    for place, count in enumerate(bins):
        seen += count
        if seen >= half:
            return place * width
    return 0.0
