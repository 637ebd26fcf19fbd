"""Counters that workers keep in memory and hand over to the store, where the web shows them summed."""

from __future__ import annotations

from collections import Counter

NAMES = {
    "polls": "Status calls by reply.",
    "purchases": "Purchases sent, by reply.",
    "cancels": "Cancels sent, by reply.",
    "finishes": "Finishes sent, by reply.",
    "orders_ended": "Orders that reached a terminal state.",
    "deliveries": "Webhook attempts by verdict.",
    "events_exhausted": "Webhooks given up after their last try.",
    "alerts": "Things an operator has to know, by kind.",
    "throttled": "Times the provider asked for less.",
    "mended": "Open orders found without a wake-up; expected to stay 0.",
    "failures": "Units of work that raised something unexpected, by lane.",
    "otps_erased": "Codes erased because their time was over.",
    "otp_to_webhook_seconds": "Seconds from the code's arrival to the end of its first delivery, summed.",
    "otp_to_webhook": "Codes counted in otp_to_webhook_seconds.",
}
"""Every counter and what it counts; shown as `ringback_<name>_total`."""

NEEDS_A_PERSON = frozenset({"alerts", "mended", "failures"})
"""Counters of which it is kept when they last counted: what is long past is no finding."""


BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds: the upper ends by which times are counted."""


def bucket(seconds: float) -> str:
    """The upper end under which a time is counted, as a label; "more" is beyond the last."""
    return next((f"{end:g}" for end in BUCKETS if seconds <= end), "more")


class Counters:
    """Counters of one process. A key is the name with its labels: `polls{reply="Waiting"}`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count; labels hold words of ours, never ids, numbers or codes."""
        self._counts[key(name, labels)] += amount  # type: ignore[assignment]

    def count(self, key: str) -> None:
        """Count one under a key that was made before: for what happens thousands of times a second."""
        self._counts[key] += 1

    def drain(self) -> dict[str, float]:
        """Everything counted since the last drain."""
        counted, self._counts = self._counts, Counter()
        return dict(counted)


def key(name: str, labels: dict[str, str]) -> str:
    """A counter's name with its labels, as Prometheus writes it."""
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def label_of(counter: str, name: str) -> str:
    """The value of one label of a counter's key; empty when it has none of that name."""
    return counter.partition(f'{name}="')[2].partition('"')[0]
