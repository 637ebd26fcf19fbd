"""What Prometheus reads: this process' requests, and what all workers have counted in the store."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker.errors import StoreUnavailable
from worker.metrics import NAMES
from worker.schedule import LIFE
from worker.store import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Metrics:
    """The metrics of one application. Requests are counted per process, hence their `process` label."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(StoreMetrics(store))
        self._process = str(os.getpid())
        self._kinds: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "ringback_http_requests", "Requests answered.", ["process", "method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "ringback_http_request_seconds", "Seconds until the answer.", ["process", "route"],
            registry=self._registry,
        )  # fmt: skip

    def install(self, app: Flask) -> None:
        """Make them the application's."""
        app.extensions["ringback.figures"] = self

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        requests, times = self._kinds.get((method, route, status)) or self._kind(method, route, status)
        requests.inc()
        times.observe(seconds)

    def _kind(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """The two figures of a kind of request; there are as many kinds as routes have answers."""
        method = method if method in _METHODS else "other"
        found = (
            self._requests.labels(self._process, method, route, str(status)),
            self._seconds.labels(self._process, route),
        )
        if method != "other":
            self._kinds[method, route, status] = found
        return found

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class StoreMetrics(Collector):
    """Reads the store when asked. A store that is down is a figure (`ringback_store_up` 0), not an error."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not touch the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All figures of the store, or just that it is down."""
        try:
            found = [*self._counters(), *self._lanes(), *self._account()]
        except StoreUnavailable:
            found = []
        yield _gauge("store_up", "Whether the store answers.", 1 if found else 0)
        yield from found

    def _counters(self) -> Iterator[Metric]:
        by_name: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for key, amount in self._store.counters().items():
            name, _, labels = key.partition("{")
            by_name[name].append((dict(_LABEL.findall(labels)), amount))
        for name, what in NAMES.items():
            samples = by_name[name]
            names = sorted({one for labels, _ in samples for one in labels})
            family = CounterMetricFamily(f"ringback_{name}", what, labels=names)
            for named, amount in samples:
                family.add_metric([named.get(one, "") for one in names], amount)
            yield family

    def _lanes(self) -> Iterator[Metric]:
        depths = self._store.depths()
        for what, payload in _LANES.items():
            family = GaugeMetricFamily(f"ringback_lane_{what}", payload, labels=["lane"])
            for lane, depth in depths.items():
                family.add_metric([lane], depth[what])
            yield family

    def _account(self) -> Iterator[Metric]:
        paused = GaugeMetricFamily("ringback_buying_paused", "1 per reason why buying is paused.", labels=["reason"])
        for reason in self._store.pauses():
            paused.add_metric([reason], 1)
        yield paused
        yield _gauge(
            "paused_items", "Items paused because the balance is too low for them.", len(self._store.item_pauses())
        )
        balance = self._store.reading("balance").value
        if balance is not None:
            yield _gauge("balance_pkr", "The provider's balance as last read, in PKR.", float(balance))
        yield _gauge("workers", "Workers that live, by their heartbeats.", self._store.workers(LIFE))
        tick = self._store.last_tick()
        if tick is not None:
            yield _gauge("clock_tick_timestamp_seconds", "When a worker's clock last ticked.", tick)


_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_LANES = {
    "held": "Entries in the lane.",
    "due": "Entries that are due now.",
    "late": "Seconds by which the oldest entry is late.",
}


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ringback_{name}", what, value=value)
