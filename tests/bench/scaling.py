"""The tables of `docs/scaling.md`, as the model prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench.model import BUSY, CPU_OFF, POLLS_OFF, STORE_GIB, Check, Model
from tests.bench.record import Record
from tests.bench.stage import ROOT

PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- model: begin -->", "<!-- model: end -->"
SIZES = (10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)
ANSWERS = (0.05, 0.5, 2.0)
"""Seconds that the provider takes to answer a poll."""
MILLION, LIFE = 1_000_000, 120.0
"""Orders in flight, and the seconds that each of them is, for the table of what comes and goes."""


def tables(record: Record) -> str:
    """Everything that stands between the page's markers."""
    model = Model.of(record)
    return "\n\n".join(["\n".join(part(model)) for part in (_reproduced, _saturates, _carried, _coming_and_going)])


def write(record: Record) -> str:
    """Put the tables into the page; returns its path."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(record)}\n\n{END}{after}")
    return str(PAGE)


def _reproduced(model: Model) -> Iterator[str]:
    costs = model.costs
    yield "### What was measured, and what the model says"
    yield ""
    yield (
        f"Calibrated at the first two rows: workers {costs.worker.base * 1e3:.1f} ms a second and "
        f"{costs.worker.poll * 1e6:.0f} µs a poll, Redis {costs.redis.base * 1e3:.1f} ms and "
        f"{costs.redis.poll * 1e6:.1f} µs. Stated error: polls {POLLS_OFF:.0%}, CPU {CPU_OFF:.0%}."
    )
    yield ""
    yield from _table(
        ("orders in flight", "polls/s", "model", "off", "worker cores", "model", "off", "Redis cores", "model", "off"),
        [_check_row(check) for check in model.checks()],
    )


def _check_row(check: Check) -> tuple[str, ...]:
    polls, worker, redis = (f"{off:+.1%}" for off in check.off())
    load = check.load
    return (
        f"{load.orders:,}",
        *(f"{load.polls:,.0f}", f"{check.polls:,.0f}", polls),
        *(f"{load.worker:.3f}", f"{check.worker:.3f}", worker),
        *(f"{load.redis:.3f}", f"{check.redis:.3f}", redis),
    )


def _saturates(model: Model) -> Iterator[str]:
    yield "### What one process carries"
    yield ""
    fastest, interval = model.per_process(ANSWERS[0]), model.record.interval
    yield from _table(
        ("what", "bounded by", "polls/s", "orders in flight"),
        [
            (
                f"one worker, provider answering in less than {model.patience() * 1e3:.0f} ms",
                f"its CPU ({BUSY:.0%} of a core)",
                f"{fastest:,.0f}",
                f"{fastest * interval:,.0f}",
            ),
            *(_by_calls(model, answer) for answer in ANSWERS if answer > model.patience()),
            (
                "one Redis",
                f"its CPU ({BUSY:.0%} of a core)",
                f"{model.one_redis_carries() / interval:,.0f}",
                f"{model.one_redis_carries():,}",
            ),
            (
                f"one Redis with {STORE_GIB} GiB",
                "half of its memory",
                "",
                f"{STORE_GIB / 2 / model.store_gib(1):,.0f}",
            ),
        ],
    )


def _by_calls(model: Model, answer: float) -> tuple[str, ...]:
    polls = model.per_process(answer)
    name = f"one worker, provider answering in {answer:g} s"
    return name, "its calls in flight", f"{polls:,.0f}", f"{polls * model.record.interval:,.0f}"


def _carried(model: Model) -> Iterator[str]:
    yield "### To a million orders in flight"
    yield ""
    processes = [f"worker processes, answers in {answer:g} s" for answer in ANSWERS]
    yield from _table(
        ("orders in flight", "polls/s", "worker cores", *processes, "Redis cores", "Redis memory", "cells"),
        [_size_row(model, orders) for orders in SIZES],
    )


def _size_row(model: Model, orders: int) -> tuple[str, ...]:
    polls = model.polls(orders)
    return (
        f"{orders:,}",
        f"{polls:,.0f}",
        f"{model.worker_cores(orders, ANSWERS[0]):.2f}",
        *(f"{model.processes(orders, answer)}" for answer in ANSWERS),
        f"{model.costs.redis.at(polls):.2f}",
        f"{model.store_gib(orders):.2f} GiB",
        f"{model.cells(orders)}",
    )


def _coming_and_going(model: Model) -> Iterator[str]:
    yield f"### What comes and goes, at a million in flight for {LIFE:g} s each"
    yield ""
    yield f"That is {MILLION / LIFE:,.0f} orders a second."
    yield ""
    rows = [(what, f"{cores:.1f}") for what, cores in model.turnover(MILLION, LIFE)]
    yield from _table(("what", "cores"), rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
