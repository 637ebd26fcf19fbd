"""The figures of a run that `model.py` reckons with, kept beside the page's pictures as `docs/plots/figures.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from tests.bench.results import Results
from tests.bench.stage import INTERVAL, ROOT
from worker.engine.clock import BATCH, LINGER, TICK

RECORD = ROOT / "docs" / "plots" / "figures.json"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How the clock ticked when the figures were taken, in seconds; `batch` in orders. See `worker/engine/clock.py`."""

    batch: int
    tick: float
    linger: float


@dataclass(frozen=True, slots=True)
class Load:
    """One load: orders in flight, polls per second, and CPU microseconds per poll."""

    orders: int
    polls: float
    worker_micros: float
    redis_micros: float

    @property
    def worker(self) -> float:
        """Cores that the worker kept busy."""
        return self.polls * self.worker_micros / 1e6

    @property
    def redis(self) -> float:
        """Cores that Redis kept busy."""
        return self.polls * self.redis_micros / 1e6


@dataclass(frozen=True, slots=True)
class Record:
    """What the model needs of a run; None where it was not measured."""

    interval: float
    clock: Rhythm
    loads: tuple[Load, ...]
    idle: float
    """Share of a core that an idle worker takes."""
    provider_micros: float
    order_bytes: float
    api: float
    """Orders that the web accepts in a second."""
    webhook_micros: float
    """Worker CPU for a webhook alone."""
    bought_micros: float | None = None
    """Worker CPU from a hint to the delivered number_assigned webhook of one order."""
    bought_redis_micros: float | None = None
    """What Redis spends meanwhile, the `POST` included."""

    @classmethod
    def of(cls, results: Results) -> Self:
        """The record of a run. Raises TypeError where a figure that the model cannot do without is missing."""
        needed = {
            "idle": results.idle,
            "order_bytes": results.order_bytes,
            "api": results.api,
            "webhook_micros": results.ping_micros,
        }
        unloaded = [f"{orders:,} orders" for orders in results.plan.loads if orders not in results.loads]
        if missing := [name for name, value in needed.items() if value is None] + unloaded:
            raise TypeError(f"not measured: {', '.join(missing)}")
        loads = [
            Load(n, round(seen.rate, 1), round(seen.worker_micros, 2), round(seen.redis_micros, 2))
            for n, seen in sorted(results.loads.items())
        ]
        return cls(
            interval=INTERVAL,
            clock=Rhythm(BATCH, TICK, LINGER * INTERVAL),
            loads=tuple(loads),
            provider_micros=results.provider_micros,
            bought_micros=results.bought_micros,
            bought_redis_micros=results.bought_redis_micros,
            **needed,
        )

    @classmethod
    def read(cls, path: Path = RECORD) -> Self:
        """The record of the last run that wrote one."""
        known: Mapping[str, Any] = json.loads(path.read_text())
        kept = {field.name: known.get(field.name) for field in fields(cls)}
        kept |= {"clock": Rhythm(**known["clock"]), "loads": tuple(Load(**load) for load in known["loads"])}
        return cls(**kept)

    def write(self, path: Path = RECORD) -> None:
        """Keep it for the model and for the page that is made from it."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
