"""Everything one run measured, and the table of figures that follows from it: pure arithmetic."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.console import MOST, Page
from tests.bench.figures import Figure, Window, at_least, at_most, quantile, told, untaken
from tests.bench.indexes import Costs
from tests.bench.plan import Plan
from tests.bench.second import SLOW, Pair
from tests.bench.turns import CALLERS, ORDERS, Cost

ON_TIME = 0.99
"""The share of polls that must come less than a second late for a load to count as carried."""

GAIN = 1.8
"""What a second worker process has to add, where something else does not stand in its way."""

CELERY, ASYNCIO, UVLOOP = "plain Celery, `self.retry`", "bare loop, asyncio", "bare loop, uvloop"


@dataclass(slots=True)
class Results:
    """Raw measurements by name; a missing one means that it failed, and `failures` says why."""

    plan: Plan
    provider_micros: float = 0.0
    peers: dict[str, Window] = field(default_factory=dict)
    loads: dict[int, Window] = field(default_factory=dict)
    by_calls: Pair | None = None
    by_share: Pair | None = None
    by_machine: Pair | None = None
    idle: float | None = None
    order_bytes: float | None = None
    api: float | None = None
    bare_api: float | None = None
    waits: list[float] = field(default_factory=list)
    bought_micros: float | None = None
    bought_redis_micros: float | None = None
    ping_micros: float | None = None
    turns: Cost | None = None
    indexes: Costs | None = None
    pages: dict[str, Page] = field(default_factory=dict)
    post_micros: float | None = None
    kept_micros: float | None = None
    failures: dict[str, str] = field(default_factory=dict)

    def carried(self) -> int:
        """The largest load that was polled on time; 0 when none was."""
        fit = (n for n, seen in self.loads.items() if seen.late_share <= 1 - ON_TIME and seen.wanted_rate_met >= 0.95)
        return max(fit, default=0)


def table(results: Results) -> list[Figure]:
    """All rows in the page's order; what could not be measured stands there as such, with its reason."""
    rows = [
        _polls,
        _floor,
        _carried,
        _growth,
        _redis,
        _memory,
        _api,
        _waits,
        _webhooks,
        _kept,
        _idle,
        _turns,
        _second_by_calls,
        _second_by_share,
        _second_by_machine,
        _indexes,
        _pages,
        _provider,
    ]
    return [figure for row in rows for figure in _row(row, results)]


def _row(row: Callable[[Results], Iterator[Figure]], results: Results) -> list[Figure]:
    try:
        return list(row(results))
    except (KeyError, TypeError, ZeroDivisionError, ValueError):
        name = (row.__doc__ or "").rstrip(".")
        return [untaken(name, "a step failed, see there" if results.failures else "")]


def _polls(results: Results) -> Iterator[Figure]:
    """Worker CPU per poll, times less than the peers'."""
    plan, ours = results.plan, results.loads[results.plan.middle]
    for name, seen in results.peers.items():
        if name in (ASYNCIO, UVLOOP):
            continue
        theirs = f"{seen.worker_micros:,.0f} µs at {seen.orders:,} orders"
        note = f"{theirs} against {ours.worker_micros:.0f} µs at {plan.middle:,}"
        row = f"worker CPU per poll at {plan.middle:,} in flight, times less"
        ratio = seen.worker_micros / ours.worker_micros
        yield (
            at_least(row, ratio, 50, peer=name, note=note)
            if name == CELERY
            else told(row, ratio, unit=" times", peer=name, note=note)
        )


def _floor(results: Results) -> Iterator[Figure]:
    """Worker CPU per poll, times the bare loop's."""
    ours = results.loads[results.plan.middle]
    for name in (ASYNCIO, UVLOOP):
        note = f"bare {results.peers[name].worker_micros:.0f} µs"
        yield at_most(
            "the same, times the bare loop's",
            ours.worker_micros / results.peers[name].worker_micros,
            5,
            peer=name,
            note=note,
        )


def _carried(results: Results) -> Iterator[Figure]:
    """Orders in flight with 99 % of polls less than 1 s late."""
    seen = results.loads[results.plan.large]
    tried = ", ".join(f"{n:,}: {1 - window.late_share:.2%} on time" for n, window in results.loads.items())
    name = f"orders in flight on {os.cpu_count()} cores, provider and store included, ≥ 99 % of polls < 1 s late"
    yield at_least(
        name,
        results.carried(),
        results.plan.large,
        unit="",
        note=f"{tried}; {seen.rate:,.0f} polls/s at the goal",
    )


def _turns(results: Results) -> Iterator[Figure]:
    """A claim of purchases with turns between callers, times one without."""
    if results.turns is None:
        raise TypeError
    name = f"a claim of purchases, {CALLERS:,} callers with {ORDERS:,} queued, times one without turns"
    note = f"{results.turns.turns:.0f} µs against {results.turns.without:.0f} µs in Redis"
    yield at_most(name, results.turns.ratio, 1.2, note=note)


def _indexes(results: Results) -> Iterator[Figure]:
    """What is written for the console, times what is written without it."""
    if results.indexes is None:
        raise TypeError
    life, post, report = results.indexes.life, results.indexes.post, results.indexes.report
    note = f"{post.indexed:.0f} µs against {post.plain:.0f} µs of CPU, web and Redis; a poll that waits writes nothing"
    yield at_most("`POST /v1/orders` with the console's indexes, times without", post.ratio, 1.02, note=note)
    note = f"{life.indexed:.0f} µs against {life.plain:.0f} µs for the five scripts of an order with a code"
    yield told("Redis with the console's indexes, times without", life.ratio, unit=" times", note=note)
    more = report.indexed - report.plain
    yield told("the figures by the minute, in Redis for each process and second", more, unit=" µs")


def _pages(results: Results) -> Iterator[Figure]:
    """The console's pages, times `/healthz`."""
    if not results.pages:
        raise TypeError
    for path, page in results.pages.items():
        name = f"`{path}` at {results.plan.console_orders:,} orders, times `/healthz`"
        note = f"{page.taken * 1000:.0f} ms against {page.health * 1000:.1f} ms"
        yield at_most(name, page.ratio, MOST, note=note)


def _growth(results: Results) -> Iterator[Figure]:
    """CPU per poll at the largest load against the smallest."""
    small, huge = results.loads[results.plan.small], results.loads[results.plan.huge]
    name = f"CPU per poll at {results.plan.huge:,} in flight against {results.plan.small:,}"
    note = f"{huge.worker_micros:.0f} µs against {small.worker_micros:.0f} µs"
    yield at_most(name, huge.worker_micros / small.worker_micros, 1.2, note=note)


def _redis(results: Results) -> Iterator[Figure]:
    """Redis CPU per poll."""
    seen = results.loads[results.plan.middle]
    peer = results.peers.get(CELERY)
    note = f"plain Celery: {peer.redis_micros:.0f} µs" if peer else ""
    yield at_most(
        f"Redis CPU per poll at {results.plan.middle:,} in flight",
        seen.redis_micros,
        15,
        unit=" µs",
        note=note,
    )


def _memory(results: Results) -> Iterator[Figure]:
    """Redis memory per waiting order."""
    yield at_most(
        "Redis memory per waiting order",
        _have(results.order_bytes) / 1024,
        2,
        unit=" KB",
        note="with its number_assigned event",
    )


def _api(results: Results) -> Iterator[Figure]:
    """`POST /v1/orders` against a bare Flask endpoint."""
    ours, bare = _have(results.api), _have(results.bare_api)
    yield at_least(
        "`POST /v1/orders` per second, of a bare endpoint's",
        ours / bare,
        0.6,
        peer="Flask under the same gunicorn line",
        note=f"{ours:,.0f}/s against {bare:,.0f}/s",
    )


def _waits(results: Results) -> Iterator[Figure]:
    """From the provider's code to the webhook's first byte."""
    if not results.waits:
        raise ValueError("no code came through")
    middle, most = quantile(results.waits, 0.5) * 1e3, quantile(results.waits, 0.99) * 1e3
    name = f"from the provider's code to the webhook's first byte, p99 at {results.plan.codes_at:,} in flight"
    yield at_most(name, most, 250, unit=" ms", note=f"median {middle:.0f} ms, {len(results.waits)} codes")


def _webhooks(results: Results) -> Iterator[Figure]:
    """CPU per webhook delivered, times less than a Celery task with `httpx.post`."""
    ours, peer = _have(results.ping_micros), _have(results.post_micros)
    note = f"{peer:,.0f} µs against {ours:,.0f} µs"
    yield at_least(
        "CPU per webhook delivered, times less",
        peer / ours,
        10,
        peer="a Celery task and `httpx.post` each",
        note=note,
    )


def _kept(results: Results) -> Iterator[Figure]:
    """The same against a Celery task with a kept client."""
    ours, peer = _have(results.ping_micros), _have(results.kept_micros)
    note = f"{peer:,.0f} µs; most of `httpx.post` is loading the CA bundle anew"
    yield told(
        "CPU per webhook delivered, times less",
        peer / ours,
        unit=" times",
        peer="a Celery task each, one client",
        note=note,
    )


def _idle(results: Results) -> Iterator[Figure]:
    """CPU of a worker with nothing in flight."""
    yield at_most("CPU of a worker with nothing in flight", _have(results.idle) * 100, 1, unit=" % of a core")


def _second_by_calls(results: Results) -> Iterator[Figure]:
    """Polls per second with a second worker process, slow provider."""
    pair = _pair(results.by_calls)
    name = f"polls per second with a second worker process, provider answering in {SLOW:g} s"
    yield at_least(name, pair.gain, GAIN, note=f"{_rates(pair)}; bounded by the calls in flight of each process")


def _second_by_share(results: Results) -> Iterator[Figure]:
    """Polls per second with a second worker process, half a core each."""
    pair = _pair(results.by_share)
    spent = pair.two.worker_cpu / pair.two.seconds, pair.one.worker_cpu / pair.one.seconds
    note = f"{_rates(pair)} on {spent[1]:.2f}, then {spent[0]:.2f} cores; {_per_poll(pair)}"
    yield at_least("polls per second with a second worker process, each given half a core", pair.gain, GAIN, note=note)


def _second_by_machine(results: Results) -> Iterator[Figure]:
    """Polls per second with a second worker process, saturated machine."""
    pair = _pair(results.by_machine)
    name = "polls per second with a second worker process, everything on the same cores"
    possible = _most_there_is(pair.one, results.provider_micros)
    note = (
        f"{_rates(pair)}; with the provider and the store on the same {os.cpu_count()} cores "
        f"({pair.two.cores_busy:.2f} busy) {possible:.2g} times is the most there is; {_per_poll(pair)}"
    )
    yield (
        at_least(name, pair.gain, GAIN, note=note)
        if possible >= GAIN
        else told(name, pair.gain, unit=" times", note=note)
    )


def _most_there_is(one: Window, provider_micros: float) -> float:
    """What two workers could gain if the machine did nothing but poll."""
    each = one.worker_micros + one.redis_micros + provider_micros
    return min(2.0, (os.cpu_count() or 1) * one.worker_micros / each)


def _pair(measured: Pair | None) -> Pair:
    if measured is None:
        raise ValueError("not measured")
    if measured.needless:
        raise ValueError("one worker did all that was due")
    return measured


def _rates(pair: Pair) -> str:
    return f"{pair.one.rate:,.0f}/s, then {pair.two.rate:,.0f}/s"


def _per_poll(pair: Pair) -> str:
    return f"{pair.one.worker_micros:.0f} µs, then {pair.two.worker_micros:.0f} µs of CPU per poll"


def _provider(results: Results) -> Iterator[Figure]:
    """The bench provider's own ceiling."""
    yield told("the bench provider's own ceiling on one core", 1e6 / results.provider_micros, unit=" requests/s")


def _have(value: float | None) -> float:
    if value is None:
        raise ValueError("not measured")
    return value
