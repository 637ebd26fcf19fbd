"""The store's questions about everybody's orders and webhooks: indexes, filters, bounds, and figures by the minute."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.builders import rental
from tests.console_stage import Console
from tests.fakes import ManualClock
from worker.caller import Caps
from worker.event import EventStatus
from worker.journal import Entry, line
from worker.metrics import Report
from worker.order import Settlement, Status
from worker.store import Store, Vault, Written, figures, queries
from worker.store.queries import EventFilter, OrderFilter

DAY = 86_400


@pytest.fixture
def console(clock: ManualClock) -> Console:
    return Console(clock)


def found(console: Console, **wanted: object) -> list[str]:
    """The ids of the orders that a filter means."""
    page = console.store.queries.orders(OrderFilter(**wanted), console.clock())  # type: ignore[arg-type]
    return [order.id for order in page.items]


def test_every_order_is_in_the_index_of_its_state_alone(console: Console):
    """Whatever way an order takes, it is counted once."""
    for made in (console.order, console.waiting, console.finished, console.expired, console.failed, console.unknown):
        made()
    counts = console.store.queries.states(console.clock())
    assert counts == {
        "queued": 1, "buying": 0, "waiting": 1, "cancelling": 0, "received": 1, "expired": 1, "cancelled": 0,
        "failed": 2,
    }  # fmt: skip


def test_rentals_are_no_orders_and_have_indexes_and_lines_of_their_own(console: Console):
    """No state of a rental is among those of orders; a renewal's price does not come from the first purchase."""
    queued = rental(id="rnt_1", caller=console.caller)
    console.store.create(queued, Caps())
    buying = queued.intend(console.clock(), Decimal("120"))
    intent = line(Entry.INTENT, price="120")
    assert console.store.save(queued, buying, wake=None, events=[], journal=intent) is Written.SAVED
    lost = buying.lose_purchase("no answer", console.clock())
    unknown = line(Entry.PURCHASE_UNKNOWN)
    assert console.store.save(buying, lost, wake=None, events=[], journal=unknown) is Written.SAVED
    assert not any(console.store.queries.states(console.clock()).values())
    assert not console.api.raw.keys("rb:orders:*")
    assert console.store.queries.rental_states(console.clock()) == {
        "queued": 0, "buying": 0, "active": 0, "ended": 0, "failed": 1,
    }  # fmt: skip
    assert [one.id for one in console.store.queries.doubtful_rentals()] == ["rnt_1"]
    assert console.store.queries.in_doubt() == 1
    lines = console.store.queries.journal_of("rnt_1")
    assert [fields["kind"] for _, fields in lines] == ["intent", "purchase_unknown"]
    moved = console.store.queries.money(console.clock(), console.clock())
    assert {(one.kind, one.product, one.pkr) for one in moved} == {
        ("intent", "rental", Decimal(120)), ("purchase_unknown", "rental", None),
    }  # fmt: skip


def test_ended_orders_are_counted_as_long_as_they_are_kept(console: Console):
    """What Redis has expired is not counted, though the hourly trimming has not been there."""
    console.failed()
    console.clock.advance(604_801)
    assert console.store.queries.states(console.clock())["failed"] == 0


def test_indexes_are_trimmed(console: Console):
    """What is gone leaves the indexes too."""
    console.failed()
    console.unknown()
    later = console.clock() + 1
    console.engine(lambda store: store.trim_states(later, later))
    assert not console.api.raw.exists("rb:orders:failed", "rb:orders:doubtful")


@pytest.mark.parametrize(
    ("wanted", "which"),
    [
        ({"status": Status.FAILED}, "failed"),
        ({"settlement": Settlement.REFUNDED}, "expired"),
        ({"error": "no_numbers"}, "failed"),
        ({"digits": "67", "status": Status.EXPIRED}, "expired"),
        ({"purpose": "monitor"}, "finished"),
        ({"product": "sms"}, None),
    ],
    ids=str,
)
def test_filter_finds_what_it_means(console: Console, wanted: dict[str, object], which: str | None):
    """By state, money, error, digits, purpose and product."""
    made = {
        "finished": console.finished(purpose="monitor").id, "expired": console.expired().id,
        "failed": console.failed().id,
    }  # fmt: skip
    assert found(console, **wanted) == ([made[which]] if which else [])


def test_span_of_time_counts_and_finds_alike(console: Console):
    """From and to hold for the list and for the counts beside it."""
    console.failed()
    console.clock.advance(100)
    since = console.clock()
    middle = console.failed()
    console.clock.advance(100)
    console.failed()
    until = since + 50
    assert found(console, since=since, until=until) == [middle.id]
    page = console.store.queries.orders(OrderFilter(since=since, until=until), console.clock())
    assert page.counts["failed"] == 1


def test_pages_follow_each_other_without_gap_or_repetition(console: Console):
    """Every order is on one page, newest first, even those of one moment."""
    made = []
    for place in range(23):
        made.append(console.failed().id)
        if place % 5 == 4:
            console.clock.advance(1)
    seen: list[str] = []
    cursor = None
    while True:
        page = console.store.queries.orders(OrderFilter(), console.clock(), limit=4, cursor=cursor)
        seen += [order.id for order in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == len(seen)


def test_walk_is_bounded_and_goes_on_from_where_it_stopped(console: Console, monkeypatch: pytest.MonkeyPatch):
    """A rare order is found by going on, not by an endless page."""
    monkeypatch.setattr(queries, "MOST", 6)
    monkeypatch.setattr(queries, "BATCH", 3)
    rare = console.waiting(number="+923009999901")
    for _ in range(20):
        console.clock.advance(1)
        console.order()
    cursor, seen, pages = None, [], 0
    while True:
        page = console.store.queries.orders(OrderFilter(digits="01"), console.clock(), cursor=cursor)
        seen += [order.id for order in page.items]
        pages += 1
        if page.cursor is None:
            break
        assert page.capped
        cursor = page.cursor
    assert seen == [rare.id]
    assert pages > 2


def test_webhooks_are_found_by_state_host_and_answer(console: Console):
    """What is owed, given up and delivered, each by its own way."""
    owed, given_up, good = (console.events(console.waiting())[0] for _ in range(3))
    console.attempt(owed, 503)
    console.attempt(given_up, 401, final=True)
    console.attempt(good, 204)
    query, now = console.store.queries, console.clock()

    def ids(**wanted: object) -> list[str]:
        return [event.id for event in query.events(EventFilter(**wanted), now).items]  # type: ignore[arg-type]

    assert ids(status=EventStatus.PENDING) == [owed.id]
    assert ids(status=EventStatus.EXHAUSTED, error="401") == [given_up.id]
    assert ids(status=EventStatus.DELIVERED) == [good.id]
    assert ids(host="caller.example:443", error="503") == [owed.id]
    assert ids(host="other.example:443") == []
    assert query.event_states(now) == {"pending": 1, "exhausted": 1, "gone": 0}


def test_webhooks_that_match_are_counted_as_far_as_one_question_looks(
    console: Console, monkeypatch: pytest.MonkeyPatch
):
    """The indexes count a state alone; a filter is counted only where a look at each is allowed."""
    for status in (500, 404, 500):
        console.attempt(console.events(console.waiting())[0], status, final=True)
    query, now = console.store.queries, console.clock()
    given_up, failed = EventFilter(status=EventStatus.EXHAUSTED), EventFilter(status=EventStatus.EXHAUSTED, error="500")
    assert (query.count_matching(given_up, now), query.count_matching(failed, now)) == (3, 2)
    monkeypatch.setattr("worker.store.queries.MOST", 2)
    assert (query.count_matching(given_up, now), query.count_matching(failed, now)) == (3, None)


def test_failing_endpoints_are_grouped_by_answer(console: Console):
    """How many are owed and given up, since when, and when the next attempt is."""
    good = console.attempt(console.events(console.waiting())[0], 200)
    console.clock.advance(10)
    begun = console.clock()
    event = console.attempt(console.events(console.waiting())[0], 500)
    console.attempt(console.events(console.waiting())[0], 500, final=True)
    failing = console.store.queries.failing(console.clock())
    assert [(one.host, one.error, one.owed, one.given_up) for one in failing] == [("caller.example:443", "500", 1, 1)]
    assert failing[0].since == event.attempts[0].at > begun
    assert failing[0].next_at == event.due_at
    assert failing[0].last_good == good.attempts[0].at


def test_money_is_summed_by_day_with_prices_where_known(console: Console):
    """A journal's line counts on its day, for its caller and product."""
    console.finished()
    console.clock.advance(DAY)
    console.expired()
    moved = console.store.queries.money(console.clock() - DAY, console.clock())
    assert [(one.day - moved[0].day, one.kind, one.product, one.count) for one in moved if one.kind == "bought"] == [
        (0, "bought", "cheap", 1),
        (1, "bought", "cheap", 1),
    ]
    assert {one.pkr for one in moved} == {None}


def test_sums_of_a_day_are_kept_as_long_as_the_journal(console: Console):
    """RINGBACK_JOURNAL_RETENTION holds for both."""
    queued = console.order()
    keeps_short = Store(console.api.raw, Vault(), retention=604_800, otp_ttl=86_400, journal_retention=3_600)
    buying = queued.intend(console.clock())
    assert keeps_short.save(queued, buying, wake=None, journal=line(Entry.INTENT)) is Written.SAVED
    (key,) = console.api.raw.keys("rb:money:*")
    assert console.api.raw.ttl(key) == 3_600


def test_doubtful_orders_leave_the_list_when_the_refund_is_known(console: Console):
    """A purchase nobody knew, adopted late and given back, is in doubt no more."""
    from tests.builders import bought
    from worker.journal import Entry

    lost = console.unknown()
    assert [order.id for order in console.store.queries.doubtful()] == [lost.id]
    adopted = lost.adopt_late(bought("act_late", console.clock(), price=Decimal("7.50")))
    console.save(lost, adopted, None, Entry.BOUGHT)
    refunded = adopted.try_cancel(console.clock()).note_refund(console.clock())
    console.save(adopted, refunded, None, Entry.REFUNDED)
    assert console.store.queries.doubtful() == []


def test_figures_are_kept_by_the_minute_for_a_day(console: Console):
    """Two workers' counts add up; polls are not kept; the key has an end."""
    console.count("orders_ended", status="received")
    console.count("orders_ended", 2, status="received")
    console.count("polls", reply="Waiting")
    console.clock.advance(60)
    console.count("orders_ended", status="received")
    minute = int(console.clock() // 60)
    series = console.store.figures.read(console.clock() - 300, console.clock())
    assert series == {'orders_ended{status="received"}': {minute - 1: 3.0, minute: 1.0}}
    (key,) = console.api.raw.keys("rb:figures:*")
    assert 0 < console.api.raw.ttl(key) <= figures.KEPT


def test_report_that_is_sent_again_counts_once_in_its_minute(console: Console):
    """As in the sums of all time; web processes hand over theirs like workers."""
    report = Report("one", 7, {'alerts{kind="mended"}': 1.0, 'code_to_webhook_seconds_bucket{le="0.1"}': 2.0})
    console.store.add_report(report)
    console.engine(lambda store: store.add_report(report))
    counted = console.store.figures.read(console.clock(), console.clock())
    minute = int(console.clock() // 60)
    assert counted == {
        'alerts{kind="mended"}': {minute: 1.0},
        'code_to_webhook_seconds_bucket{le="0.1"}': {minute: 2.0},
    }


def test_worker_says_of_itself_for_as_long_as_it_lives(console: Console):
    """What it said is gone with it; that it was heard of stays for a while."""

    async def live(store: object) -> None:
        await store.alive("host:1:a", 1.7, 0.75)  # type: ignore[attr-defined]
        await store.describe("host:1:a", {"version": "9"})  # type: ignore[attr-defined]

    console.engine(live)
    assert console.store.queries.workers()[0].about == {"version": "9"}
    console.clock.advance(60)
    assert console.store.queries.workers()[0].about == {}
