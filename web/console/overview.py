"""The overview: what needs a person now, in words, and how the service is doing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from web.console import charts, stories, words
from web.console.page import clock, render
from web.console.words import Matter
from web.parts import parts
from worker import doctor
from worker.metrics import label_of
from worker.order import TERMINAL
from worker.schedule import LIFE
from worker.store.figures import Series

HOUR, DAY = 3600.0, 86_400.0
SHOWN = 60
"""Minutes of the chart."""
TIMES = "code_to_webhook_seconds_bucket"
"""How many codes were with their caller in which time: each bucket holds its own, not those of the buckets below."""


def show() -> str:
    """The overview."""
    store, now = parts().store, parts().clock()
    figures = store.figures.read(now - HOUR, now)
    minute = int(now // 60)
    ended = by_label(figures, "orders_ended", "status")
    buckets = {end: sum(amounts.values()) for end, amounts in by_label(figures, TIMES, "le").items()}
    order = [status.value for status in TERMINAL]
    return render(
        "overview.html", title="Overview", lanes=store.depths(),
        matters=sorted(matters(now, figures), key=lambda one: one.level != "fail"),
        workers=store.workers(LIFE), tick=store.last_tick(), balance=store.reading("balance"), pauses=store.pauses(),
        states=store.queries.states(now), rentals=store.queries.rental_states(now),
        webhooks=store.queries.event_states(now),
        p50=words.percentile(buckets, 0.5), p99=words.percentile(buckets, 0.99),
        chart=charts.stacked({kind: ended.get(kind, {}) for kind in sorted(order)}, minute - SHOWN + 1, minute),
        **stories.form(),
    )  # fmt: skip


def matters(now: float, figures: Series) -> Iterator[Matter]:
    """What needs a person."""
    store = parts().store
    for finding in (*doctor.check_persistence(store), doctor.check_workers(store), *doctor.check_lanes(store)):
        if finding.level is not doctor.Level.OK:
            what = f"{finding.subject}: {finding.meaning}."
            yield Matter(finding.level.value, what[:1].upper() + what[1:], finding.advice, "/console/workers")
    for reason, details in sorted(store.pauses().items()):
        yield words.of_pause(reason, clock(details.get("since")), str(details.get("reason") or ""))
    if doubt := words.of_doubt(store.queries.in_doubt(now - DAY)):
        yield doubt
    for one in store.queries.failing(now):
        yield words.of_endpoint(one, clock(one.since) or "", clock(one.last_good))
    for kind, amounts in by_label(figures, "alerts", "kind").items():
        if matter := words.of_alert(kind, sum(amounts.values())):
            yield matter


def by_label(figures: Series, name: str, label: str) -> Mapping[str, Mapping[int, float]]:
    """One counter's figures by the value of a label: value → minute → how much."""
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for counter, amounts in figures.items():
        if counter.partition("{")[0] == name:
            for minute, amount in amounts.items():
                found[label_of(counter, label)][minute] += amount  # type: ignore[assignment]
    return found
