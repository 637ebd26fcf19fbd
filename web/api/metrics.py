"""What Prometheus reads: what all processes have counted in the store, and how the store and the account stand.

Whichever process is asked tells the same: each hands what it has counted over to the store once a second, and this one
does so before it answers.
"""

from __future__ import annotations

import math
import platform
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from worker.alerts import Alert
from worker.errors import StoreUnavailable
from worker.metrics import COUNTERS, HISTOGRAMS, OTHER_WORK, REPLIES, Counters, Metric, Series, key
from worker.order import TERMINAL, ErrorCode, Settlement
from worker.schedule import LIFE, Lane
from worker.settings import Product
from worker.store import Store
from worker.version import version
from worker.webhooks.outcome import Verdict

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
EVERY = 1.0
"""Seconds between two reports of a web process."""

GAUGES: Mapping[str, Metric] = {
    "build_info": Metric("The version of the process that responds.", ("version", "python")),
    "store_up": Metric("Whether the store responds."),
    "store_round_trip_seconds": Metric("Round trip of the smallest command to the store, measured now."),
    "store_memory_bytes": Metric("Memory used by the store's data and buffers."),
    "store_memory_limit_bytes": Metric("Limit of that memory; 0 is no limit."),
    "store_append_only": Metric("Whether the store keeps an append-only file."),
    "store_append_only_ok": Metric("Whether its last write there succeeded."),
    "store_connections_busy": Metric("Connections to the store that workers are using now."),
    "store_connections": Metric("Connections to the store that workers may use."),
    "lane_held": Metric("Entries in the lane.", ("lane",)),
    "lane_due": Metric("Entries that are due now.", ("lane",)),
    "lane_late": Metric("Seconds by which the oldest entry is late.", ("lane",)),
    "lane_running": Metric("Entries under way, in all workers.", ("lane",)),
    "lane_capacity": Metric("Entries that may be under way, in all workers.", ("lane",)),
    "orders": Metric("Orders in each state, ended ones as long as they are kept.", ("status",)),
    "rentals": Metric("Rentals in each state, ended ones as long as they are kept.", ("status",)),
    "webhooks": Metric("Webhooks that are pending, or given up and still kept.", ("status",)),
    "money_in_doubt": Metric("Orders and rentals for which it is unclear what happened to the money."),
    "http_requests_in_progress": Metric("Requests under way, in all web processes."),
    "http_held": Metric("Responses held (`?wait=`, `?refresh=`), in all web processes."),
    "http_held_capacity": Metric("Responses that may be held at a time."),
    "buying_paused": Metric("1 per reason why buying is paused.", ("reason",)),
    "paused_items": Metric("Items paused because the balance is too low for them."),
    "balance_pkr": Metric("The provider's balance as last read, in PKR."),
    "balance_read_timestamp_seconds": Metric("When it was last read; 0 is never."),
    "workers": Metric("Workers alive, by their heartbeats."),
    "clock_tick_timestamp_seconds": Metric("When a worker's clock last ticked; 0 is never."),
}
"""Every gauge; shown as `ringback_<name>`."""

Values = tuple[str, ...]
"""The values of a metric's labels, in their order."""
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_LEVELS = ("lane_running", "lane_capacity", "store_connections_busy", "store_connections",
           "http_requests_in_progress", "http_held", "http_held_capacity")  # fmt: skip


class Metrics:
    """The metrics of one application."""

    def __init__(self, store: Store, counters: Counters) -> None:
        self.counters = counters
        self._store = store
        self._registry = CollectorRegistry()
        self._registry.register(StoreMetrics(store))
        self._kinds: dict[tuple[str, str, int], tuple[str, Series]] = {}
        self._in_progress = 0
        self._lock = threading.Lock()
        counters.watch(lambda: {"http_requests_in_progress": self._in_progress})

    def begin(self) -> None:
        """A request has come."""
        with self._lock:
            self._in_progress += 1

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `seconds` without those for which it was held back at its own wish."""
        with self._lock:
            self._in_progress -= 1
        requests, times = self._kinds.get((method, route, status)) or self._kind(method, route, status)
        self.counters.add_to(requests)
        times.observe(seconds)

    def _kind(self, method: str, route: str, status: int) -> tuple[str, Series]:
        """The two metrics of a kind of request; there are as many kinds as routes have answers."""
        known = method in _METHODS
        labels = {"method": method if known else "other", "route": route, "status": str(status)}
        found = key("http_requests", labels), self.counters.histogram("http_request_seconds", route=route)
        if known:
            self._kinds[method, route, status] = found
        return found

    def report(self, *, last: bool = False) -> None:
        """Hand over to the store what was counted here. Raises StoreUnavailable; nothing is lost by that."""
        with self._lock:
            self._store.add_report(self.counters.report(), last=last)
            self.counters.taken()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything, and its content type: OpenMetrics, which has the traces, for whoever accepts it."""
        with suppress(StoreUnavailable):
            self.report()
        if "application/openmetrics-text" in accept:
            encode: Any = openmetrics.generate_latest  # has no types
            return encode(self._registry), openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), PLAIN


class StoreMetrics(Collector):
    """Reads the store when asked. A store that is down is a figure (`ringback_store_up` 0), not an error."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Family]:
        """Nothing beforehand: registering must not touch the store."""
        return ()

    def collect(self) -> Iterator[Family]:
        """All metrics, or just that the store is down."""
        build = InfoMetricFamily("ringback_build", GAUGES["build_info"].meaning)
        build.add_metric([], {"version": version(), "python": platform.python_version()})
        yield build
        try:
            found = [
                *self._counted(), *self._states(), *self._lanes(), *self._levels(), *self._account(), *self._server()
            ]  # fmt: skip
        except StoreUnavailable:
            found = []
        yield _gauge("store_up", 1 if found else 0)
        yield from found

    def _counted(self) -> Iterator[Family]:
        counted = Counted(self._store.counters())
        for name, metric in COUNTERS.items():
            family = CounterMetricFamily(f"ringback_{name}", metric.meaning, labels=metric.labels)
            for values, amount in {**dict.fromkeys(_known(name), 0.0), **counted.values[name]}.items():
                family.add_metric(values, amount)
            yield family
        exemplars = self._store.exemplars()
        for name in HISTOGRAMS:
            yield _histogram(name, counted, exemplars)

    def _states(self) -> Iterator[Family]:
        """What the console's overview counts, by the same questions."""
        queries, now = self._store.queries, self._store.now()
        counts = {"orders": queries.states(now), "rentals": queries.rental_states(now)}
        for name, by_status in {**counts, "webhooks": queries.event_states(now)}.items():
            yield _gauges(name, {(status,): count for status, count in by_status.items()})
        yield _gauge("money_in_doubt", queries.in_doubt())

    def _lanes(self) -> Iterator[Family]:
        depths = self._store.depths()
        for what in ("held", "due", "late"):
            yield _gauges(f"lane_{what}", {(lane.value,): depth[what] for lane, depth in depths.items()})

    def _levels(self) -> Iterator[Family]:
        told: dict[str, dict[Values, float]] = {name: dict.fromkeys(_known(name), 0.0) for name in _LEVELS}
        for level, value in self._store.levels().items():
            name, labels = _parsed(level)
            if name in told:
                told[name][tuple(labels.values())] = value
        for name, values in told.items():
            yield _gauges(name, values)

    def _account(self) -> Iterator[Family]:
        yield _gauges("buying_paused", {(reason,): 1 for reason in self._store.pauses()})
        yield _gauge("paused_items", len(self._store.item_pauses()))
        balance = self._store.reading("balance")
        if balance.value is not None:
            yield _gauge("balance_pkr", float(balance.value))
        yield _gauge("balance_read_timestamp_seconds", balance.at or 0)
        yield _gauge("workers", self._store.workers(LIFE))
        yield _gauge("clock_tick_timestamp_seconds", self._store.last_tick() or 0)

    def _server(self) -> Iterator[Family]:
        asked = time.perf_counter()
        self._store.now()
        yield _gauge("store_round_trip_seconds", time.perf_counter() - asked)
        info = self._store.info()
        if "used_memory" in info:
            yield _gauge("store_memory_bytes", float(info["used_memory"]))
            yield _gauge("store_memory_limit_bytes", float(info.get("maxmemory", 0)))
        if "aof_enabled" in info:
            yield _gauge("store_append_only", float(info["aof_enabled"]))
            yield _gauge("store_append_only_ok", info.get("aof_last_write_status") == "ok")


class Counted:
    """What all processes have counted, by name and by the values of its labels."""

    def __init__(self, stored: Mapping[str, float]) -> None:
        self.values: dict[str, dict[Values, float]] = defaultdict(dict)
        """Counters, and the sums of histograms."""
        self.buckets: dict[str, dict[Values, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
        """The buckets of histograms by their upper bounds, each for itself."""
        for series, amount in stored.items():
            name, labels = _parsed(series)
            base, _, part = name.rpartition("_")
            if name in COUNTERS:
                self.values[name][tuple(labels.get(one, "") for one in COUNTERS[name].labels)] = amount
            elif base in HISTOGRAMS:
                values = tuple(labels.get(one, "") for one in HISTOGRAMS[base].labels)
                if part == "bucket":
                    self.buckets[base][values][float(labels["le"])] = amount
                else:
                    self.values[base][values] = amount


def _parsed(counted: str) -> tuple[str, dict[str, str]]:
    name, _, labels = counted.partition("{")
    return name, dict(_LABEL.findall(labels))


def _known(name: str) -> list[Values]:
    """The values of labels that are known beforehand: the first of a kind is then an increase, and no beginning."""
    if name in REPLIES:
        return [(reply,) for reply in REPLIES[name]]
    return _KNOWN.get(name, [()] if name in COUNTERS and not COUNTERS[name].labels else [])


def _each(words: Iterable[str]) -> list[Values]:
    return [(str(word),) for word in words]


_ENDS, _VERDICTS, _LANES, _PRODUCTS = _each(TERMINAL), _each(Verdict), _each(Lane), _each(get_args(Product))
_CALLS = {"status": "polls", "buy": "purchases", "cancel": "cancels", "finish": "finishes"}
_KNOWN: Mapping[str, list[Values]] = {
    "orders_ended": _ENDS,
    "order_duration_seconds": _ENDS,
    "orders_failed": _each(ErrorCode),
    "orders_refused": _each(("buying_switched_off", "balance_below_floor")),
    "settlements": _each(set(Settlement) - {Settlement.NONE, Settlement.PENDING}),
    "deliveries": _VERDICTS,
    "webhook_attempt_duration_seconds": _VERDICTS,
    "alerts": _each(Alert),
    "failures": [*_LANES, *_each(OTHER_WORK)],
    "number_wait_seconds": _PRODUCTS,
    "code_wait_seconds": _PRODUCTS,
    "provider_request_duration_seconds": [
        (action, outcome, product)
        for product in get_args(Product)
        for action, counter in _CALLS.items()
        for outcome in sorted({reply.partition(".")[0].lower() for reply in REPLIES[counter]})
    ],
    "lane_running": _LANES,
    "lane_capacity": _LANES,
    "code_to_webhook_seconds": [()],
    "poll_lateness_seconds": [()],
    "store_connections_busy": [()],
    "store_connections": [()],
    "http_requests_in_progress": [()],
    "http_held": [()],
    "http_held_capacity": [()],
}


def _histogram(name: str, counted: Counted, exemplars: Mapping[str, str]) -> HistogramMetricFamily:
    metric = HISTOGRAMS[name]
    family = HistogramMetricFamily(f"ringback_{name}", metric.meaning, labels=metric.labels)
    for values in {**dict.fromkeys(_known(name)), **dict.fromkeys(counted.buckets[name])}:
        labels = dict(zip(metric.labels, values, strict=True))
        buckets: Any = _cumulated(name, labels, counted.buckets[name][values], exemplars)
        family.add_metric(values, buckets, counted.values[name].get(values, 0.0))
    return family


def _cumulated(
    name: str, labels: Mapping[str, str], counts: Mapping[float, float], exemplars: Mapping[str, str]
) -> list[tuple[str, float, Exemplar | None]]:
    """The buckets as Prometheus has them, each with what is below it; and with the trace of one that fell into it."""
    cumulated = []
    for bound in (*HISTOGRAMS[name].bounds, math.inf):
        end = "+Inf" if bound == math.inf else f"{bound:g}"
        below = sum(n for upper, n in counts.items() if upper <= bound)
        shown = exemplars.get(key(f"{name}_bucket", {**labels, "le": end}))
        cumulated.append(("+Inf" if bound == math.inf else str(bound), below, _exemplar(shown) if shown else None))
    return cumulated


def _exemplar(told: str) -> Exemplar:
    trace, seconds, at = told.split(" ")
    return Exemplar({"trace_id": trace}, float(seconds), float(at))


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return _gauges(name, {(): value})


def _gauges(name: str, values: Mapping[Values, float]) -> GaugeMetricFamily:
    metric = GAUGES[name]
    family = GaugeMetricFamily(f"ringback_{name}", metric.meaning, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
