"""Steady under stress: a slow and lossy provider costs no order its turn, and overload is shared evenly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench.arrivals import BIN
from tests.bench.engine import Engine
from tests.bench.poster import post
from tests.bench.stage import INTERVAL, LATE_AFTER, until
from tests.e2e.engines import median_of, running_engine, share_within

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLOW, LOST = 2.0, 0.05
"""Seconds that the provider takes to answer, and the share of polls that it never answers."""

SHORT_INTERVAL, CAP, CROWD = 2.0, 50, 200
"""At this interval so many orders ask for twice the calls per second that the cap allows."""
CYCLE = CROWD / CAP
"""Seconds between two polls of an order when the cap is shared evenly."""
CANCELS, PINGS = 30, 50
MEGABYTE = 1 << 20


def test_a_slow_and_lossy_provider_makes_no_poll_late(real_server: str) -> None:
    """With answers after 2 s and one in twenty never, orders are polled as punctually as ever."""
    with running_engine() as ringback:
        ringback.seed(1_000)
        ringback.stage.ask(f"/bench/mode?delay={SLOW}&silent={LOST}")
        time.sleep(2 * INTERVAL)
        before = ringback.memory()[1]
        seen = ringback.window(seconds=2.5 * INTERVAL, warm=0)
        assert seen.late_share <= 0.01, f"{seen.late_share:.1%} of the polls were more than a second late"
        assert seen.rate >= 0.9 * seen.orders / INTERVAL
        assert share_within(list(seen.gaps), 0, INTERVAL - 0.5, width=BIN) < 0.01, "orders were polled too early"
        assert ringback.memory()[1] - before < 16 * MEGABYTE


@pytest.fixture(scope="module")
def overloaded(real_server: str) -> Iterator[Engine]:
    """A worker that may make half of the calls that are due, and has had time to fall behind."""
    with running_engine(RINGBACK_POLL_INTERVAL=str(SHORT_INTERVAL), RINGBACK_EARLIEST_CANCEL="0") as ringback:
        ringback.fill(CROWD)
        ringback.stop_workers()
        ringback.add_worker(RINGBACK_OTPGET_MAX_RPS=str(CAP))
        polled = ringback.stage.figures()["polls"]
        until(lambda: ringback.stage.figures()["polls"] > polled, "polls under the cap")
        time.sleep(2 * CYCLE)
        yield ringback


def test_when_more_is_due_than_can_be_done_lateness_grows_evenly(overloaded: Engine) -> None:
    """At twice the load that the cap allows, every order waits about as long as every other, and nothing piles up."""
    before = overloaded.memory()
    seen = overloaded.window(seconds=4 * CYCLE, warm=0)
    gaps, now = list(seen.gaps), overloaded.memory()
    assert median_of(gaps, width=BIN) == pytest.approx(CYCLE, rel=0.2)
    assert share_within(gaps, 0.6 * CYCLE, 1.5 * CYCLE, width=BIN) >= 0.97, "some orders get more turns than others"
    assert overdue(overloaded, 2.5 * CYCLE) == 0, "an order is left out"
    assert now[1] - before[1] < 16 * MEGABYTE
    assert now[0] - before[0] < 4 * MEGABYTE
    assert queued(overloaded) <= 50, "hints pile up"


def test_under_overload_due_cancels_come_before_polls(overloaded: Engine) -> None:
    """A cancel that is asked for reaches the provider sooner than a poll would have its turn."""
    orders = overloaded.get(f"/v1/orders?status=waiting&limit={CANCELS}")["data"]
    done = len(refunds(overloaded))
    begun = time.time()
    for order in orders:
        cancel(overloaded, order["id"])
    until(lambda: len(refunds(overloaded)) >= done + CANCELS, "all cancels", seconds=20)
    last = refunds(overloaded)[-1] - begun
    assert last < CYCLE, f"the last of {CANCELS} cancels took {last:.1f} s"


def test_under_overload_webhooks_go_out_at_once(overloaded: Engine) -> None:
    """Deliveries do not wait for the provider's cap: they have a lane of their own."""
    overloaded.quiet(seconds=10)
    overloaded.stage.ask("/bench/window")
    begun = time.monotonic()
    sent = post(overloaded.url("/v1/events/ping"), "{}", overloaded.headers(), count=PINGS)
    assert sent.accepted == PINGS
    until(lambda: overloaded.stage.figures()["hooks"] >= PINGS, "all pings", seconds=20, every=0.05)
    took = time.monotonic() - begun
    assert took < 0.75 * CYCLE, f"{PINGS} webhooks took {took:.1f} s"


def overdue(ringback: Engine, seconds: float) -> int:
    """Orders whose last poll is longer ago than that."""
    return int(ringback.stage.ask(f"/bench/figures?late_after={max(seconds, LATE_AFTER)}")["overdue"])


def queued(ringback: Engine) -> int:
    """Hints that wait in the broker's queue for polls."""
    return int(ringback.stage.store.llen("poll"))


def cancel(ringback: Engine, order_id: str) -> None:
    """Ask for an order's cancel."""
    answer = ringback.stage.http.post(ringback.url(f"/v1/orders/{order_id}/cancel"), headers=ringback.headers())
    assert answer.status_code == 202, answer.text


def refunds(ringback: Engine) -> list[float]:
    """When (epoch seconds) the journal was told of a cancel that the provider confirmed."""
    journal: Any = ringback.stage.store.xrange("rb:journal")
    return [int(at.split(b"-")[0]) / 1e3 for at, entry in journal if entry[b"kind"] == b"refunded"]
