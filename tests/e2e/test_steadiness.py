"""Steady under stress: a slow and lossy provider costs no order its turn, and overload is shared evenly.

Judged by the order of events, and by what the same run did without the stress: a slow machine is slow in both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest

from tests.bench.arrivals import BIN
from tests.bench.engine import Engine
from tests.bench.figures import Window
from tests.bench.poster import post
from tests.bench.stage import INTERVAL, LATE_AFTER, until
from tests.e2e.engines import median_of, running_engine, share_within

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLOW, LOST = 2.0, 0.1
"""Seconds that the provider takes to answer, and the share of polls that it never answers."""

SHORT_INTERVAL, CAP, CROWD = 2.0, 50, 300
"""At this interval so many orders ask for three times the calls per second that the cap allows."""
CYCLE = CROWD / CAP
"""Seconds between two polls of an order when the cap is shared evenly."""
CANCELS, PINGS = 30, 50
MEGABYTE = 1 << 20


def test_a_slow_and_lossy_provider_makes_no_poll_late(real_server: str) -> None:
    """With answers after 2 s and one in twenty never, orders are polled as punctually as ever."""
    with running_engine() as ringback:
        ringback.seed(1_000)
        usual = ringback.window(seconds=2.5 * INTERVAL, warm=INTERVAL)
        ringback.stage.ask(f"/bench/mode?delay={SLOW}&silent={LOST}")
        time.sleep(2 * INTERVAL)
        before = ringback.memory()[1]
        seen = ringback.window(seconds=2.5 * INTERVAL, warm=0)
        assert seen.late_share - usual.late_share <= LOST / 3, (
            f"{seen.late_share:.1%} late, {usual.late_share:.1%} before"
        )
        assert seen.rate >= 0.9 * usual.rate, f"{seen.rate:.0f} polls a second, {usual.rate:.0f} before"
        assert early(seen) - early(usual) <= 0.02, "orders were polled too early"
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
    """At three times the load that the cap allows, every order waits as long as every other, and nothing piles up."""
    before = overloaded.memory()
    seen = overloaded.window(seconds=4 * CYCLE, warm=0)
    gaps, now = list(seen.gaps), overloaded.memory()
    turn = seen.orders / seen.rate
    assert turn > 1.5 * SHORT_INTERVAL, "there was no overload"
    assert median_of(gaps, width=BIN) == pytest.approx(turn, rel=0.2)
    assert share_within(gaps, 0.6 * turn, 1.5 * turn, width=BIN) >= 0.95, "some orders get more turns than others"
    assert overdue(overloaded, 2.5 * turn) == 0, "an order is left out"
    assert now[1] - before[1] < 16 * MEGABYTE
    assert now[0] - before[0] < 4 * MEGABYTE
    assert queued(overloaded) <= 50, "hints pile up"


def test_under_overload_due_cancels_come_before_polls(overloaded: Engine) -> None:
    """Between asking for a cancel and the cancel itself come far fewer polls than one turn of all orders has.

    Not none: the look before a cancel keeps an interval's distance from the last poll, which is a third of a turn.
    """
    orders = overloaded.get(f"/v1/orders?status=waiting&limit={CANCELS}")["data"]
    overloaded.stage.ask("/bench/window")
    asked = []
    for order in orders:
        asked.append(overloaded.stage.figures()["polls"])
        cancel(overloaded, order["id"])
    until(lambda: len(overloaded.stage.figures()["cancels"]) >= CANCELS, "all cancels", seconds=60)
    sent = overloaded.stage.figures()["cancels"]
    between = [after - before for before, after in zip(asked, sent, strict=True)]
    assert median(between) < CROWD * 3 / 4, f"polls that came before each cancel: {between}"
    assert max(between) < CROWD, f"a poll would have had its turn by then: {between}"


def test_under_overload_webhooks_go_out_at_once(overloaded: Engine) -> None:
    """Deliveries do not wait for the provider's cap: all of them arrive before a quarter of the orders has its turn."""
    overloaded.quiet(seconds=10)
    overloaded.stage.ask("/bench/window")
    sent = post(overloaded.url("/v1/events/ping"), "{}", overloaded.headers(), count=PINGS)
    accepted = overloaded.stage.figures()
    assert sent.accepted == PINGS
    arrived = until(lambda: all_pings(overloaded), "all pings", seconds=60, every=0.05) or {}
    assert arrived["polls"] - accepted["polls"] < CROWD / 4, "webhooks waited for polls"


def all_pings(ringback: Engine) -> dict[str, Any] | None:
    """What the provider saw by the time at which every ping had arrived."""
    figures = ringback.stage.figures()
    return figures if figures["hooks"] >= PINGS else None


def early(seen: Window) -> float:
    """The share of polls that came more than half a second before their time."""
    return share_within(list(seen.gaps), 0, INTERVAL - 0.5, width=BIN)


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
