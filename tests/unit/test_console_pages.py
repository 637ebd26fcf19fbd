"""The console's pages: what they say, what they hide, and what their buttons do."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.console_stage import CODE, HOSTILE, NUMBER, Console, Visitor, furnished, pages
from tests.fakes import ManualClock
from web.console import access, charts
from web.console.charts import WIDTH, rented
from worker.event import EventStatus
from worker.metrics import Counters
from worker.operator import Role
from worker.order import Status
from worker.pause import Pause
from worker.reconciliation import LEARNT_PRICE
from worker.rental import Renewal, message_id
from worker.schedule import Lane
from worker.store import AsyncStore, keys


@pytest.fixture
def console(clock: ManualClock) -> Console:
    return Console(clock)


@pytest.fixture
def full(console: Console) -> Console:
    return furnished(console)


@pytest.fixture
def operator(console: Console) -> Visitor:
    return console.operator(Role.OPERATOR, "alice")


class Elements(HTMLParser):
    """The elements of a page, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def audit(console: Console) -> list[tuple[str, str, str, str]]:
    """What the audit says but logins, the newest first, whoever it is without the id."""
    lines = [line for line in console.store.audit.lines(100) if line.act != "log_in"]
    return [(line.who.partition(" (")[0], line.act, line.on, line.why) for line in lines]


# What is hidden.


def test_no_page_shows_a_code_or_a_number(full: Console):
    """Not even an admin sees a value that was not revealed, nor does what a receiver echoed show it."""
    admin = full.operator(Role.ADMIN)
    seen = {path: admin.page(path) for path in pages(full)}
    assert [path for path, page in seen.items() if CODE in page or NUMBER in page or NUMBER[1:] in page] == []
    assert [path for path, page in seen.items() if "token=hush" in page or "rbk_" in page or "whsec_" in page] == []


def test_value_is_revealed_once_with_a_reason_in_the_audit(console: Console, operator: Visitor):
    """The page that answers shows the one value; the next one does not."""
    order = console.received()
    shown = operator.post(f"/console/orders/{order.id}/reveal", what="code", reason="ticket 7")
    assert shown.status_code == 200
    assert CODE in shown.text
    assert NUMBER not in shown.text
    assert CODE not in operator.page(f"/console/orders/{order.id}")
    assert audit(console) == [("alice", "reveal", order.id, "code: ticket 7")]
    assert CODE not in str(console.store.audit.lines(10))


@pytest.mark.parametrize("form", [{"what": "code"}, {"what": "code", "reason": "  "}, {"reason": "x"}], ids=str)
def test_nothing_is_revealed_without_a_reason_or_a_choice(console: Console, operator: Visitor, form: dict[str, str]):
    """A reveal that says too little shows nothing and leaves no line."""
    order = console.received()
    answer = operator.post(f"/console/orders/{order.id}/reveal", **form)
    assert answer.status_code == 422
    assert CODE not in answer.text
    assert audit(console) == []


def test_reveals_are_limited(console: Console, operator: Visitor):
    """Nobody reads one value after the other."""
    order = console.received()
    answers = [
        operator.post(f"/console/orders/{order.id}/reveal", what="number", reason="x").status_code
        for _ in range(access.REVEALS + 1)
    ]
    assert answers == [200] * access.REVEALS + [429]


def test_hostile_text_is_only_text(full: Console):
    """Whatever callers, receivers and the provider wrote makes no element, no handler and no turn of direction."""
    admin = full.operator(Role.ADMIN)
    for path in pages(full):
        page = admin.page(path)
        elements = Elements(page).tags
        assert not [tag for tag, _ in elements if tag in ("img", "iframe", "style")], path
        scripts = [attrs.get("src") for tag, attrs in elements if tag == "script"]
        assert scripts == ["/console/static/htmx.min.js", "/console/static/console.js"]
        assert not [attrs for _, attrs in elements if any(name.startswith("on") for name in attrs)], path
        assert "\u202e" not in page
        assert ">49<" not in page


def test_hostile_filters_are_only_text(full: Console):
    """What stands in an address comes back as text."""
    viewer = full.operator(Role.VIEWER)
    for text in HOSTILE:
        for path in ("/console/orders", "/console/webhooks"):
            answer = viewer.get(
                path, query_string=dict.fromkeys(("id", "host", "error", "caller", "since", "cursor"), text)
            )
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text


# What is said.


def test_overview_says_which_endpoint_fails_and_since_when(console: Console, operator: Visitor):
    """Host, answer, since when and when it was last good stand in one sentence."""
    good = console.waiting()
    console.attempt(console.events(good)[0], 200)
    console.clock.advance(240)
    for _ in range(2):
        console.attempt(console.events(console.waiting())[0], 401)
    page = operator.page("/console")
    said = r"2 webhooks to caller\.example:443 fail with 401 since 10:04:\d\d, last acknowledged 10:00:02\."
    assert re.search(said, page)


def test_overview_says_that_no_worker_runs(console: Console, operator: Visitor):
    """A service that does nothing does not look calm."""
    assert "no worker has ever run on this store" in operator.page("/console")


def test_overview_tells_how_fast_codes_were_with_their_callers(console: Console, operator: Visitor):
    """By the workers' own histogram, of which a report holds what fell into each bucket since the last."""
    counters = Counters()
    series = counters.histogram("code_to_webhook_seconds")
    for seconds in (*(0.02 for _ in range(60)), *(0.3 for _ in range(39)), 900.0, 900.0):
        series.observe(seconds)
    console.engine(lambda store: store.add_report(counters.report()))
    page = operator.page("/console")
    assert "≤ 0.025 s <small>p50</small>" in page
    assert "over 5 minutes <small>p99</small>" in page


def test_webhook_of_a_rental_shows_nothing_of_its_message(console: Console, operator: Visitor):
    """Nor does what its receiver answered; and a rental has no page among the orders."""
    rental = console.rented(f"Welcome! {CODE}")
    event = console.events(rental)[0]
    console.attempt(event, 500, excerpt="Bank said: Welcome!")
    page = operator.page(f"/console/webhooks/{event.id}")
    assert f'about <a class="id" href="/console/rentals/{rental.id}">' in page
    assert not [one for one in (CODE, "Welcome", "Bank", NUMBER) if one in page]
    assert operator.get(f"/console/orders/{rental.id}").status_code == 404


def test_rental_page_answers_its_questions(console: Console, operator: Visitor):
    """Did it run, is it stuck, where is the money; with its messages, its lines of the journal and its webhooks."""
    rental = console.rented("one", "two")
    page = operator.page(f"/console/rentals/{rental.id}")
    assert re.findall(r'class="short \w+">([^<]+)<', page) == ["Yes", "No", "Spent"]
    assert "2 messages came so far" in page
    assert "120 PKR was paid. A rental is never refunded." in page
    assert page.count('class="id">msg_') == 2
    assert page.count("rental.message_received") >= 2
    assert [fields["kind"] for _, fields in console.store.queries.journal_of(rental.id)] == ["intent", "rented"]
    assert "<caption>Journal</caption>" in page
    lost = operator.page(f"/console/rentals/{console.unrented().id}")
    assert re.findall(r'class="short \w+">([^<]+)<', lost)[::2] == ["No", "In doubt"]


def test_renewed_rental_keeps_the_order_of_its_states(console: Console, operator: Visitor):
    """The time at which a renewal is first sent is not taken for that of the purchase."""
    rental = console.rented()
    console.clock.advance(3600)
    asked = rental.ask_renewal(Renewal(hours=24, asked_at=console.clock()), ("key", "body"))
    sent = asked.intend(console.clock(), Decimal(120))
    console.save(rental, asked, Lane.BUY)
    console.save(asked, sent, Lane.BUY)
    assert [step.name for step in rented(sent, console.clock()) if step.reached] == ["queued", "active"]
    assert "A renewal may be on its way" in operator.page(f"/console/rentals/{rental.id}")


def test_message_is_revealed_once_with_a_reason_in_the_audit(console: Console, operator: Visitor):
    """One message, and nothing of the others; the audit knows which, and not what it said."""
    rental = console.rented(f"{CODE} is yours", "the other")
    first, _ = (message_id(rental, one) for one in rental.messages)
    path = f"/console/rentals/{rental.id}"
    assert operator.post(f"{path}/reveal", what=first).status_code == 422
    assert operator.post(f"{path}/reveal", what="msg_none", reason="ticket 7").status_code == 422
    shown = operator.post(f"{path}/reveal", what=first, reason="ticket 7").text
    assert f"{CODE} is yours" in shown
    assert "the other" not in shown
    assert CODE not in operator.page(path)
    assert audit(console) == [("alice", "reveal", rental.id, f"{first}: ticket 7")]
    assert CODE not in str(console.store.audit.lines(10))


def test_rentals_are_found_by_state_money_and_digits(console: Console, operator: Visitor):
    """With counts that follow the filter."""
    rental, lost = console.rented(), console.unrented()

    def listed(query: str) -> list[str]:
        return re.findall(r'href="/console/rentals/(rnt_\w+)"', operator.page(f"/console/rentals{query}"))

    assert sorted(listed("")) == sorted([rental.id, lost.id])
    assert listed("?status=active") == listed("?settlement=charged") == listed(f"?digits={NUMBER[-3:]}") == [rental.id]
    counts = dict(re.findall(r"</i>(\w+) <b>(\d+)</b>", operator.page("/console/rentals?settlement=unconfirmed")))
    assert counts == {"queued": "0", "buying": "0", "active": "0", "ended": "0", "failed": "1"}


def test_rentals_are_among_the_pages_where_there_are_any(clock: ManualClock):
    """Or where they can be had; elsewhere nobody is led to an empty page."""
    link = '<a href="/console/rentals"'
    console, selling = Console(clock), Console(clock, RINGBACK_PRODUCTS="cheap,rental")
    operator = console.operator()
    assert link not in operator.page("/console")
    console.rented()
    assert link in operator.page("/console")
    assert link in selling.operator().page("/console")


def test_overview_says_when_money_is_in_doubt(console: Console, operator: Visitor):
    """Unknown purchases and a refund that was never confirmed are counted, and a good end is not."""
    console.unknown()
    console.unrented()
    console.expired(refunded=False)
    console.expired()
    console.finished()
    assert "what happened to the money of 3 purchases" in operator.page("/console")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("order", ("Not yet", "Unspent")),
        ("waiting", ("Halfway", "Spent, open")),
        ("finished", ("Yes", "Spent")),
        ("expired", ("Without a code", "Refunded")),
        ("failed", ("No", "Unspent")),
        ("unknown", ("No", "In doubt")),
    ],
)
def test_order_page_answers_its_questions(console: Console, operator: Visitor, made: str, said: tuple[str, str]):
    """Did it run, and where is the money, in a word."""
    page = operator.page(f"/console/orders/{getattr(console, made)().id}")
    shorts = re.findall(r'class="short \w+">([^<]+)<', page)
    assert (shorts[0], shorts[2]) == said


def test_order_page_says_that_it_is_stuck(console: Console, operator: Visitor):
    """An order that nobody takes up is late by its due time."""
    order = console.waiting()
    console.clock.advance(65)
    assert "60 s late: no worker has taken it up" in operator.page(f"/console/orders/{order.id}")


def test_order_that_waits_for_its_turn_is_not_stuck(console: Console, operator: Visitor):
    """Nobody has to do anything about it."""
    assert "It is waiting for its turn" in operator.page(f"/console/orders/{console.order().id}")


def test_order_page_says_when_the_next_attempt_of_its_webhook_is(console: Console, operator: Visitor):
    """Every attempt is there, and the time of the next."""
    order = console.waiting()
    console.attempt(console.events(order)[0], 503, excerpt="later, please")
    page = operator.page(f"/console/orders/{order.id}")
    assert "later, please" in page
    assert "The next attempt is due at" in page
    assert "order.number_assigned got 503; it is tried again in 60 s." in page


def test_order_page_shows_the_journals_lines(console: Console, operator: Visitor):
    """Its own lines, without a walk of the journal, in their order."""
    console.finished()
    order = console.expired()
    lines = [fields["kind"] for _, fields in console.store.queries.journal_of(order.id)]
    assert lines == ["intent", "bought", "cancel", "refunded"]
    assert "<caption>Journal</caption>" in operator.page(f"/console/orders/{order.id}")


def test_counts_follow_the_filter(console: Console, operator: Visitor):
    """Beside each state stands how many of what is filtered are in it."""
    other = console.api.new_caller("Other", callback_url="https://caller.example/hook")
    console.finished()
    console.failed()
    console.failed()
    other.order_id()
    page = operator.page(f"/console/orders?caller={console.caller}")
    counts = dict(re.findall(r"</i>(\w+) <b>(\d+)</b>", page))
    assert counts == {**{state.value: "0" for state in Status}, "received": "1", "failed": "2"}
    assert (
        operator.page(f"/console/orders?caller={console.caller}&status=failed").count('href="/console/orders/ord_') == 2
    )


def test_orders_are_found_by_the_last_digits(console: Console, operator: Visitor):
    """The number itself stays masked."""
    wanted = console.waiting(number="+923001111199")
    console.waiting(number="+923001111188")
    page = operator.page("/console/orders?digits=99")
    assert re.findall(r'href="/console/orders/(ord_\w+)"', page) == [wanted.id]


def test_id_of_anything_leads_to_its_page(console: Console, operator: Visitor):
    """One field for whatever somebody has copied."""
    order = console.waiting()
    known = {
        order.id: "orders", console.rented().id: "rentals", console.events(order)[0].id: "webhooks",
        console.caller: "callers",
    }  # fmt: skip
    for name, kind in known.items():
        assert operator.get(f"/console/orders?id={name}").headers["Location"] == f"/console/{kind}/{name}"
    assert "Nothing has the id" in operator.page("/console/orders?id=ord_no")


def test_caller_page_names_the_endpoints_of_its_own_that_fail(console: Console, operator: Visitor):
    """With a link to the webhooks behind it; another caller's trouble stands on the other's page."""
    other = console.api.callers.create("Other", console.clock(), callback_url="https://other.example/hook")[0]
    console.attempt(console.events(console.waiting())[0], 401)
    link = f"/console/webhooks?caller={console.caller}&amp;host=caller.example%3A443&amp;error=401&amp;status=pending"
    assert link in operator.page(f"/console/callers/{console.caller}")
    assert "Endpoints that fail" not in operator.page(f"/console/callers/{other.id}")


def test_provider_page_lists_the_catalogue(console: Console, operator: Visitor):
    """Whatever listing workers keep reading, with how many entries it has, and why the last reading failed."""

    async def read(store: AsyncStore) -> None:
        await store.put_reading("countries:4", json.dumps([{"id": "33", "name": "Pakistan"}]))
        await store.put_reading("countries:5", None, "BAD_KEY")

    console.engine(read)
    page = operator.page("/console/provider")
    assert "Countries, type 4: 1, read just now" in page
    assert "Pakistan" in page
    assert "The last attempt failed: BAD_KEY" in page


def test_money_is_counted_by_day_caller_and_purpose(console: Console, operator: Visitor):
    """Bought, refunded and in doubt, each where it belongs."""
    console.finished(purpose="sign-up")
    console.expired(purpose="sign-up")
    console.unknown()
    rows = operator.get("/console/money.csv").text.splitlines()[1:]
    assert sorted(
        row.split(",")[2:] for row in rows if row.split(",")[3] in ("bought", "refunded", "purchase_unknown")
    ) == [
        ["cheap", "bought", "2", ""],
        ["cheap", "purchase_unknown", "1", ""],
        ["cheap", "refunded", "1", ""],
    ]
    assert "sign-up" in operator.page("/console/money")


def test_a_rental_is_bought_money_too(console: Console, operator: Visitor):
    """It stands with its price among what was bought, by product and on its caller's page."""
    console.rented()
    page = operator.page("/console/money")
    row = re.search(r'<td class="text">rental</td>(.*?)</tr>', page)
    assert row is not None
    assert re.findall(r'data-label="Bought(?:, PKR)?" class="num">([^<]+)<', row[1]) == ["1", "120"]
    assert '<dt>Bought</dt><dd class="num">1</dd>' in operator.page(f"/console/callers/{console.caller}")


def test_pages_answer_while_the_store_is_empty(operator: Visitor):
    """Nothing is there yet, and every page says so."""
    for path in ("", "/orders", "/webhooks", "/callers", "/money", "/provider", "/workers", "/audit"):
        assert operator.get(f"/console{path}").status_code == 200


@pytest.mark.parametrize("path", ["/console/orders/ord_" + "0" * 24, "/console/webhooks/evt_" + "0" * 24,
                                  "/console/callers/cal_none", "/console/nowhere"])  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(operator: Visitor, path: str):
    """A wrong address is no error of ours."""
    answer = operator.get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"


# What the buttons do.


def test_cancel_is_the_callers_cancel_and_in_the_audit(console: Console, operator: Visitor):
    """The order takes the way that it takes when its caller cancels."""
    order = console.waiting()
    answer = operator.post(f"/console/orders/{order.id}/cancel", reason="asked by phone")
    assert answer.headers["Location"] == f"/console/orders/{order.id}?done=cancelled"
    assert console.api.kept(order.id).status is Status.CANCELLING
    assert audit(console) == [("alice", "cancel", order.id, "asked by phone")]


def test_cancel_of_an_ended_order_changes_nothing(console: Console, operator: Visitor):
    """It says so."""
    order = console.finished()
    assert operator.post(f"/console/orders/{order.id}/cancel").headers["Location"].endswith("done=unchanged")
    assert console.api.kept(order.id) == order


def test_webhook_is_sent_again_under_its_id(console: Console, operator: Visitor):
    """A webhook that was given up is due now."""
    event = console.attempt(console.events(console.waiting())[0], 500, final=True)
    assert operator.post(f"/console/webhooks/{event.id}/redeliver").status_code == 303
    again = console.store.load_event(event.id)
    assert again is not None
    assert (again.status, again.due_at) == (EventStatus.PENDING, console.clock())
    assert console.store.queries.event_states(console.clock()) == {"pending": 1, "exhausted": 0, "gone": 0}


def test_redelivery_of_many_says_how_many_first_and_is_worked_off(console: Console, operator: Visitor):
    """The button names the number; a worker sends them; the page says how far it is."""
    for status in (500, 500, 404):
        console.attempt(console.events(console.waiting())[0], status, final=True)
    page = operator.page("/console/webhooks?status=exhausted&error=500")
    assert "2 webhooks match this filter" in page
    assert "Redeliver 2" in page
    told = {"status": "exhausted", "error": "500", "matching": "2"}
    assert operator.post("/console/webhooks/redeliver", **told).status_code == 303
    assert "0 looked at" in operator.page("/console/webhooks")
    assert console.work_jobs() == 2
    assert "2 of 2" in operator.page("/console/webhooks")
    assert console.store.queries.event_states(console.clock())["exhausted"] == 1
    assert audit(console) == [("alice", "redeliver_many", "status exhausted, error 500", "2 webhooks")]


def test_a_webhook_that_cannot_be_opened_holds_up_no_other_redelivery(console: Console, operator: Visitor):
    """It is counted as left out, and the job ends."""
    events = [console.events(console.waiting())[0] for _ in range(2)]
    for event in events:
        console.attempt(event, 500, final=True)
    operator.post("/console/webhooks/redeliver", status="exhausted", matching="2")
    console.store._redis.set(f"rb:event:{events[0].id}:record", b"damaged")
    assert console.work_jobs() == 1
    job = console.store.jobs.newest()[0]
    assert (job.state, job.done, job.skipped) == ("done", 1, 1)


def test_an_order_that_cannot_be_opened_hides_no_other(console: Console, operator: Visitor):
    """The list shows those that open, and names the one that does not."""
    damaged, whole = console.waiting(), console.waiting()
    console.store._redis.set(f"rb:order:{damaged.id}:record", b"damaged")
    page = operator.page("/console/orders")
    assert re.findall(r'href="/console/orders/(ord_\w+)"', page) == [whole.id]
    assert f'cannot be opened: <span class="text">{damaged.id}</span>' in page


def test_an_operator_that_cannot_be_opened_hides_no_other(console: Console):
    """The page lists those that open, and names the one that does not."""
    admin, damaged = console.operator(Role.ADMIN, "root"), console.operator(Role.VIEWER, "gone").operator
    console.api.raw.set(f"rb:operator:{damaged.id}:record", b"damaged")
    page = admin.page("/console/audit")
    assert f'cannot be opened: <span class="text">{damaged.id}</span>' in page
    assert "root" in page
    assert console.operators.named("root") is not None


def test_more_than_was_said_is_only_sent_once_its_number_is_accepted(console: Console, operator: Visitor):
    """What was given up since the page was read waits with the rest; accepting sends just what was counted."""
    for _ in range(3):
        console.attempt(console.events(console.waiting())[0], 500, final=True)
    operator.post("/console/webhooks/redeliver", status="exhausted", matching="2")
    assert console.work_jobs() == 0
    assert "Redeliver 3" in operator.page("/console/webhooks")
    console.attempt(console.events(console.waiting())[0], 500, final=True)
    job = console.store.jobs.newest()[0]
    operator.post(f"/console/webhooks/jobs/{job.id}/accept")
    assert console.work_jobs() == 3
    assert console.store.jobs.newest()[0].state == "done"
    assert console.store.queries.event_states(console.clock())["exhausted"] == 1
    assert [line[3] for line in audit(console)] == ["3 webhooks", "2 webhooks"]


def test_a_bulk_redelivery_works_through_more_webhooks_than_a_page_looks_at(
    console: Console, operator: Visitor, monkeypatch: pytest.MonkeyPatch
):
    """The page cannot count them; workers do, batch after batch, and then send every one."""
    monkeypatch.setattr("worker.store.queries.MOST", 4)
    monkeypatch.setattr("worker.redelivery.LOOKED_AT", 5)
    monkeypatch.setattr("worker.redelivery.BATCH", 3)
    for place in range(16):
        console.attempt(console.events(console.waiting())[0], 404 if place % 2 else 500, final=True)
    assert "Count all that match" in operator.page("/console/webhooks?status=exhausted&error=500")
    operator.post("/console/webhooks/redeliver", status="exhausted", error="500")
    looked_at = [0]
    while (job := console.store.jobs.newest()[0]).state == "counting":
        looked_at.append(job.looked_at)
        assert console.work_jobs() == 0
    assert looked_at == [0, 0, 5, 10, 15]
    assert (job.state, job.total) == ("counted", 8)
    operator.post(f"/console/webhooks/jobs/{job.id}/accept")
    assert [console.work_jobs() for _ in range(4)] == [3, 3, 2, 0]
    assert console.store.jobs.newest()[0].state == "done"
    assert console.store.queries.event_states(console.clock())["exhausted"] == 8


def test_a_webhook_that_changed_since_it_was_counted_is_skipped(console: Console, operator: Visitor):
    """One that was sent again by hand meanwhile is not sent twice."""
    events = [console.events(console.waiting())[0] for _ in range(2)]
    for event in events:
        console.attempt(event, 500, final=True)
    operator.post("/console/webhooks/redeliver", status="exhausted")
    console.work_jobs()
    operator.post(f"/console/webhooks/{events[0].id}/redeliver")
    job = console.store.jobs.newest()[0]
    operator.post(f"/console/webhooks/jobs/{job.id}/accept")
    assert console.work_jobs() == 1
    job = console.store.jobs.newest()[0]
    assert (job.state, job.done, job.skipped) == ("done", 1, 1)


def test_a_single_reading_draws_a_line_from_then_until_now():
    """A balance stays what it was read as; without any reading there is nothing to draw."""
    drawn = charts.line({90: 412.5}, 0, 120)
    assert drawn is not None
    (start, _), (end, _) = (point.split(",") for point in drawn.points.split())
    assert (float(start), float(end)) == (0.75 * WIDTH, WIDTH)
    assert drawn.rows == [(5400.0, 412.5)]
    assert charts.line({130: 1.0}, 0, 120) is None


def test_a_bulk_redelivery_of_an_older_version_hides_no_other(console: Console, operator: Visitor):
    """It had a list and no filter: workers leave it alone, and the page lists those that it knows."""
    console.api.raw.hset("rb:job:job_old", mapping={"by": "bob", "what": "all", "at": 1, "state": "running"})
    console.api.raw.zadd("rb:jobs", {"job_old": 1e15})
    console.api.raw.sadd("rb:jobs:open", "job_old")
    operator.post("/console/webhooks/redeliver", status="exhausted")
    assert "job_old" not in operator.page("/console/webhooks")
    assert console.work_jobs() == 0
    assert [job.state for job in console.store.jobs.newest()] == ["done"]
    assert not console.api.raw.smembers("rb:jobs:open")


def test_redelivery_of_many_can_be_stopped(console: Console, operator: Visitor):
    """What is stopped is not worked off."""
    console.attempt(console.events(console.waiting())[0], 500, final=True)
    operator.post("/console/webhooks/redeliver", status="exhausted")
    job = console.store.jobs.newest()[0]
    operator.post(f"/console/webhooks/jobs/{job.id}/stop")
    assert console.work_jobs() == 0
    assert console.store.jobs.newest()[0].state == "stopped"
    assert console.store.queries.event_states(console.clock())["exhausted"] == 1


def test_buying_is_switched_with_the_reason_in_the_audit(console: Console, operator: Visitor):
    """The switch is the command line's, and both are audited."""
    operator.post("/console/provider/buying", switch="off", reason="strange charges")
    assert console.store.pauses()[Pause.SWITCHED_OFF]["reason"] == "strange charges"
    assert "strange charges" in operator.page("/console")
    operator.post("/console/provider/buying", switch="on")
    assert console.store.pauses() == {}
    assert audit(console) == [
        ("alice", "switch_buying", "on", ""),
        ("alice", "switch_buying", "off", "strange charges"),
    ]


def test_reconciliation_is_kept_for_whoever_looks_next(console: Console, operator: Visitor):
    """Its result stands on the page of others too."""
    console.unknown()
    operator.post("/console/money/reconcile", days="7")
    page = console.operator(Role.VIEWER).page("/console/money")
    assert "not all accounted for" in page
    assert "alice" in page


def test_reconciliation_goes_by_the_price_that_was_learnt(console: Console, operator: Visitor):
    """As the command line does, for a load under which the balances show none."""
    for line in BUSY:
        console.api.raw.xadd(keys.JOURNAL, line)
    operator.post("/console/money/reconcile", days="7")
    assert "not all accounted for" in operator.page("/console/money")
    console.api.store.remember(LEARNT_PRICE, "10")
    operator.post("/console/money/reconcile", days="7")
    assert "not all accounted for" not in operator.page("/console/money")


BUSY: tuple[dict[Any, Any], ...] = (
    {"kind": "balance", "balance": "500"},
    *({"kind": kind, "order": one, "caller": "c"} for one in "ab" for kind in ("intent", "bought", "finished")),
    {"kind": "balance", "balance": "480"},
)
"""Two purchases between two readings."""


def test_admin_creates_a_caller_whose_secrets_show_once(console: Console):
    """Key and secret stand on the page that made them, and the key works."""
    admin = console.operator(Role.ADMIN, "root")
    made = admin.post("/console/callers", name="Till", callback_url="https://caller.example/till")
    api_key = re.search(r"rbk_[\w-]+", made.text)
    assert api_key is not None
    caller = console.api.callers.by_key(api_key[0])
    assert caller is not None
    assert "rbk_" not in admin.page(f"/console/callers/{caller.id}")
    assert audit(console) == [("root", "change_caller", caller.id, "created")]


def test_admin_changes_a_caller(console: Console):
    """Caps, key, secret, and locking it out."""
    admin, caller = console.operator(Role.ADMIN), console.caller
    path = f"/console/callers/{caller}"
    assert admin.post(f"{path}/limits", max_in_flight="3", orders_per_day="").status_code == 303
    assert console.api.callers.get(caller).caps.max_in_flight == 3
    assert admin.post(f"{path}/limits", max_in_flight="many").status_code == 422
    assert "rbk_" in admin.post(f"{path}/rotate-key").text
    assert "whsec_" in admin.post(f"{path}/rotate-secret").text
    admin.post(f"{path}/revoke")
    assert console.api.callers.get(caller).revoked_at == console.clock()


def test_admin_creates_an_operator_with_a_link(console: Console):
    """The link stands on the page once, and logs in."""
    admin = console.operator(Role.ADMIN)
    made = admin.post("/console/audit/operators", name="bob", role="viewer")
    link = re.search(r"http://localhost(/console/login/[\w-]+)", made.text)
    assert link is not None
    assert "/console/login/" not in admin.page("/console/audit")
    entered = console.api.app.test_client().post(link[1], headers={"Sec-Fetch-Site": "same-origin"})
    assert entered.status_code == 303
    assert admin.post("/console/audit/operators", name="bob", role="viewer").status_code == 422


# Sandbox mode.


def test_test_order_plays_the_chosen_story(clock: ManualClock):
    """In sandbox mode the form places an order for the item that is named after the story."""
    console = Console(clock, RINGBACK_SANDBOX_URL="http://127.0.0.1:9000/sandbox/")
    caller = console.api.new_caller("Test", callback_url="https://caller.example/hook")
    operator = console.operator(Role.OPERATOR)
    assert "Place a test order" in operator.page("/console")
    answer = operator.post("/console/test-orders", caller=caller.id, product="cheap", story="no-code")
    assert answer.status_code == 303
    order = console.api.kept(answer.headers["Location"].rpartition("/")[2])
    assert (order.item["server"], order.caller) == ("story-no-code", caller.id)


@pytest.mark.parametrize("product", ["cheap", "sms", "email", "rental"])
def test_every_product_can_be_tried_even_without_a_callback(clock: ManualClock, product: str):
    """The page of what was placed follows; a caller without a callback reads its webhooks."""
    console = Console(
        clock, RINGBACK_SANDBOX_URL="http://127.0.0.1:9000/sandbox/", RINGBACK_PRODUCTS="cheap,sms,email,rental"
    )
    caller = console.api.new_caller("Reader")
    operator = console.operator(Role.OPERATOR)
    assert f"<option>{product}</option>" in operator.page("/console")
    answer = operator.post("/console/test-orders", caller=caller.id, product=product, story="otp")
    assert answer.status_code == 303, answer.text
    placed = answer.headers["Location"].rpartition("/")[2]
    assert "story-otp" in operator.page(answer.headers["Location"])
    assert audit(console) == [(operator.operator.name, "test_order", placed, "story-otp")]


def test_no_test_order_with_real_money(console: Console, operator: Visitor):
    """Without a sandbox there is neither form nor act."""
    assert "Place a test order" not in operator.page("/console")
    assert operator.post("/console/test-orders", caller=console.caller, product="cheap", story="otp").status_code == 404
