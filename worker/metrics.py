"""Counters and histograms that a process keeps in memory and hands over to the store, where the web shows them summed.

So whichever web process answers a scrape tells the figures of all, and what ends loses nothing (docs/adr/0016).
"""

from __future__ import annotations

import secrets
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric means, its labels, and for a histogram the upper bounds of its buckets, in seconds."""

    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


COUNTERS: Mapping[str, Metric] = {
    "polls": Metric("Status calls by reply.", ("reply",)),
    "purchases": Metric("Purchases sent, by reply.", ("reply",)),
    "cancels": Metric("Cancels sent, by reply.", ("reply",)),
    "finishes": Metric("Finishes sent, by reply.", ("reply",)),
    "orders_ended": Metric("Orders that reached a terminal state.", ("status",)),
    "rentals_ended": Metric("Rentals that reached a terminal state.", ("status",)),
    "rental_readings": Metric("Readings of rentals' messages, by reply.", ("reply",)),
    "orders_failed": Metric("Failed orders by error.", ("error",)),
    "settlements": Metric("What happened to the money, counted when it became known.", ("settlement",)),
    "caller_orders": Metric(
        "Orders of a caller, accepted and ended; callers beyond the first 100 are `other`.", ("caller", "outcome")
    ),
    "orders_refused": Metric("Orders refused because buying is switched off or the balance is too low.", ("reason",)),
    "deliveries": Metric("Webhook attempts by verdict.", ("verdict",)),
    "events_exhausted": Metric("Webhooks given up after their last attempt."),
    "alerts": Metric("Alerts for operators, by kind.", ("kind",)),
    "throttled": Metric("Times the provider asked for fewer calls."),
    "mended": Metric("Open orders found without a wake-up and given a new one; expected to stay 0."),
    "failures": Metric("Unexpected errors, by lane or other work.", ("lane",)),
    "otps_erased": Metric("Codes erased because their time was over."),
    "otp_to_webhook_seconds": Metric("Sum of the seconds from a code's arrival to the end of its first delivery."),
    "otp_to_webhook": Metric("Codes counted in otp_to_webhook_seconds."),
    "http_requests": Metric("Requests answered by the web.", ("method", "route", "status")),
}
"""Every counter; shown as `ringback_<name>_total`."""
NEEDS_A_PERSON = frozenset({"alerts", "mended", "failures"})
"""Counters of which it is kept when they last counted: what is long past is no finding."""

_CALL = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 20.0, 30.0)
_QUICK = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LATE = (0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_PATIENT = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
_LONG = (1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 1200.0)

HISTOGRAMS: Mapping[str, Metric] = {
    "code_to_webhook_seconds": Metric(
        "From reading a code to the end of its first delivery attempt, if that attempt was acknowledged.",
        bounds=(*_QUICK, 30.0, 60.0, 120.0, 300.0),
    ),
    "poll_lateness_seconds": Metric("How late a poll was sent.", bounds=_LATE),
    "provider_request_duration_seconds": Metric(
        "Calls to the provider.", ("action", "outcome", "product"), bounds=_CALL
    ),
    "webhook_attempt_duration_seconds": Metric("Webhook attempts, by verdict.", ("outcome",), bounds=_QUICK),
    "number_wait_seconds": Metric("From accepting an order to its number.", ("product",), bounds=_PATIENT),
    "code_wait_seconds": Metric("From the purchase to the code.", ("product",), bounds=_LONG),
    "order_duration_seconds": Metric("From accepting an order to its end, by how it ended.", ("status",), bounds=_LONG),
    "http_request_seconds": Metric(
        "Duration of a request, without the time for which the caller asked it to be held (`?wait=`, `?refresh=`).",
        ("route",), bounds=(0.005, *_QUICK),
    ),
}  # fmt: skip
"""Every histogram; shown as `ringback_<name>`."""

_FAILURES = (
    "Declined.BAD_KEY",
    "Declined.BAD_ACTION",
    "Declined.BANNED",
    "Declined.REFUSED",
    "Throttled",
    "Unreached",
    "Unclear",
)
REPLIES: Mapping[str, tuple[str, ...]] = {
    "polls": ("Waiting", "Code", "Cancelled", "Missing", *_FAILURES),
    "purchases": (
        "Bought", "Declined.LOW_BALANCE", "Declined.NO_BALANCE", "Declined.NO_NUMBERS", "Declined.CHANNELS_LIMIT",
        "Declined.BAD_SERVER", "Declined.BAD_TYPE", "Declined.BAD_SERVICE", "Declined.BAD_COUNTRY",
        "Declined.PRICE_CHANGED", *_FAILURES,
    ),
    "cancels": (
        "Done.ACCESS_CANCEL", "Done.ACCESS_CANCEL_ALREADY", "Early", "CodeExists.BAD_STATUS", "CodeExists.OTP_RECEIVED",
        "Missing", *_FAILURES,
    ),
    "finishes": ("Done.ACCESS_FINISH", "Done.ACCESS_ACTIVATION", "Missing", *_FAILURES),
}  # fmt: skip
"""The replies that each of these counters is known to tell apart, so that all are exported from 0."""
OTHER_WORK = ("clock", "heartbeat", "chores", "engine")
"""What a worker does beside its lanes, as `failures` calls it."""

Levels = Callable[[], Mapping[str, float]]
"""Tells how full something is at this moment: a gauge's key (with labels) to its value."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a process hands over: what it has counted since the last time, and how full it is now.

    A report that may have arrived is sent again under the same number, and counts once.
    """

    process: str
    number: int
    counts: Mapping[str, float]
    exemplars: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)


class Series:
    """One histogram with its labels, made once and kept by whoever observes. May be used from any thread."""

    __slots__ = ("_bounds", "_counts", "_fields", "_lock", "_sum", "_sum_field", "_traces")

    def __init__(self, name: str, labels: Mapping[str, str], lock: threading.Lock) -> None:
        self._bounds = HISTOGRAMS[name].bounds
        self._lock = lock
        ends = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        self._fields = [key(f"{name}_bucket", {**labels, "le": end}) for end in ends]
        self._sum_field = key(f"{name}_sum", labels)
        self._counts = [0] * len(ends)
        self._sum = 0.0
        self._traces: dict[int, str] = {}

    def observe(self, seconds: float, trace: str | None = None) -> None:
        """Count a span of time; `trace` is the id of the trace that shows it."""
        place = bisect_left(self._bounds, seconds)
        with self._lock:
            self._counts[place] += 1
            self._sum += seconds
        if trace:
            self._traces[place] = f"{trace} {seconds:.6f} {time.time():.3f}"

    def take(self, counts: dict[str, float], exemplars: dict[str, str]) -> None:
        """Move what was counted into a report's; the lock is held."""
        if not any(self._counts):
            return
        counts.update((name, n) for name, n in zip(self._fields, self._counts, strict=True) if n)
        counts[self._sum_field] = self._sum
        exemplars.update((self._fields[place], told) for place, told in self._traces.items())
        self._counts = [0] * len(self._counts)
        self._sum, self._traces = 0.0, {}


class Counters:
    """Counters and histograms of one process. A key is the name with its labels: `polls{reply="Waiting"}`."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}
        self._series: dict[str, Series] = {}
        self._levels: list[Levels] = []
        self._report: Report | None = None
        self._reports = 0

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count; labels hold words of ours and callers' ids, never numbers or codes."""
        self.add_to(key(name, labels), amount)

    def add_to(self, counter: str, amount: float = 1) -> None:
        """Count under a key that was made before: for what happens thousands of times a second."""
        with self._lock:
            self._counts[counter] = self._counts.get(counter, 0) + amount

    def histogram(self, name: str, **labels: str) -> Series:
        """The series of a histogram with these labels; to be kept where it is observed often."""
        named = key(name, labels)
        found = self._series.get(named)
        if found is None:
            with self._lock:
                found = self._series.setdefault(named, Series(name, labels, self._lock))
        return found

    def watch(self, levels: Levels) -> None:
        """Have each report tell these levels too."""
        self._levels.append(levels)

    def report(self) -> Report:
        """What is to be handed over: the last report anew for as long as nobody has `taken` it."""
        if self._report is None:
            self._reports += 1
            exemplars: dict[str, str] = {}
            with self._lock:
                counts, self._counts = self._counts, {}
                for series in self._series.values():
                    series.take(counts, exemplars)
            levels = {name: value for told in self._levels for name, value in told().items()}
            self._report = Report(self._process, self._reports, counts, exemplars, levels)
        return self._report

    def taken(self) -> None:
        """The report has arrived."""
        self._report = None


def key(name: str, labels: Mapping[str, str]) -> str:
    """A metric's name with its labels, as Prometheus writes it."""
    inside = ",".join([f'{label}="{labels[label]}"' for label in sorted(labels)])
    return f"{name}{{{inside}}}" if inside else name


def label_of(counter: str, name: str) -> str:
    """The value of one label of a counter's key; empty when it has none of that name."""
    return counter.partition(f'{name}="')[2].partition('"')[0]
