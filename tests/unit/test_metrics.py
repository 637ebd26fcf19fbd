"""What is counted, how it is handed over, and how /metrics tells it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any, get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.api_stage import Api
from tests.builders import SECRET, bought, event, order
from tests.conftest import must_be_real
from tests.console_stage import Console
from tests.fakes import FakeSender, World, drained
from web.api.metrics import _KNOWN, GAUGES
from web.app import create_app
from web.reporter import Reporter
from worker import tally
from worker.errors import StoreUnavailable
from worker.lifecycle.steps import reply_name
from worker.metrics import COUNTERS, HISTOGRAMS, REPLIES, Counters
from worker.order import Settlement
from worker.outbox import Outbox
from worker.provider import replies
from worker.provider.replies import ACCOUNT_REJECTIONS, BUY_REJECTIONS, Word
from worker.schedule import Lane
from worker.services import timed


@pytest.fixture
def api(clock):
    return Api(clock)


def scraped(api: Api, name: str, **labels: str) -> float:
    """A sample of what a scrape tells."""
    text = api.app.test_client().get("/metrics").text
    samples = [sample for family in plain(text) for sample in family.samples]
    return next(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_span_falls_into_the_first_bucket_that_holds_it():
    """The bound itself belongs to its bucket, as Prometheus' `le` says."""
    counters = Counters()
    series = counters.histogram("code_to_webhook_seconds")
    for seconds in (0.01, 0.011, 300.0, 301.0):
        series.observe(seconds)
    assert drained(counters) == {
        'code_to_webhook_seconds_bucket{le="0.01"}': 1,
        'code_to_webhook_seconds_bucket{le="0.025"}': 1,
        'code_to_webhook_seconds_bucket{le="300"}': 1,
        'code_to_webhook_seconds_bucket{le="+Inf"}': 1,
        "code_to_webhook_seconds_sum": pytest.approx(601.021),
    }


def test_report_that_nobody_took_is_handed_over_again():
    """What is counted meanwhile comes with the next one."""
    counters = Counters()
    counters.add("throttled")
    first = counters.report()
    counters.add("throttled")
    assert counters.report() is first
    counters.taken()
    second = counters.report()
    assert (second.number, second.counts) == (first.number + 1, {"throttled": 1})


def test_same_series_is_handed_out_however_its_labels_are_ordered():
    """Two of them would overwrite each other."""
    counters = Counters()
    one = counters.histogram("provider_request_duration_seconds", product="cheap", action="buy", outcome="bought")
    assert (
        counters.histogram("provider_request_duration_seconds", outcome="bought", action="buy", product="cheap") is one
    )


def test_calls_to_the_provider_are_timed_by_action_and_outcome():
    """As the client's observer tells them."""
    counters = Counters()
    observe = timed(counters)
    observe("cheap", "status", "waiting", 0.3)
    observe("cheap", "status", "waiting", 0.3)
    bucket = 'provider_request_duration_seconds_bucket{action="status",le="0.5",outcome="waiting",product="cheap"}'
    assert drained(counters)[bucket] == 2


def test_change_of_an_order_is_counted_by_what_it_brought():
    """A number, then a code, then word of the money."""
    counters, new = Counters(), order()
    buying = new.intend(new.created_at + 1)
    waiting = buying.assign(bought(at=new.created_at + 2))
    received = waiting.receive("4711", new.created_at + 9)
    finished = received.settle(Settlement.FINISHED)
    for before, after in ((new, buying), (buying, waiting), (waiting, received), (received, finished)):
        tally.changed(counters, before, after)
    counted = drained(counters)
    assert counted['number_wait_seconds_sum{product="cheap"}'] == 2
    assert counted['code_wait_seconds_sum{product="cheap"}'] == 7
    assert counted['order_duration_seconds_sum{status="received"}'] == 9
    assert counted['orders_ended{status="received"}'] == counted['settlements{settlement="finished"}'] == 1
    assert counted[f'caller_orders{{caller="{new.caller}",outcome="received"}}'] == 1


def test_another_process_tells_the_same_figures(api: Api):
    """What one web process has answered is in the answer of any other, without a label that names a process."""
    api.shop.order_id()
    shared = api.app.extensions["ringback"]
    shared.store.add_report(shared.counters.report())
    other = create_app(shared.settings, store=api.store, guard=api.guard)
    text = other.test_client().get("/metrics").text
    assert 'ringback_http_requests_total{method="POST",route="/v1/orders",status="202"} 1.0' in text
    assert not re.search("(process|instance|pid)=", text)


def test_what_could_not_be_handed_over_is_not_lost(api: Api, monkeypatch):
    """A scrape during an outage takes nothing away."""
    api.shop.order_id()
    with monkeypatch.context() as outage:

        def gone(*_args: Any, **_more: Any) -> None:
            raise StoreUnavailable("the store does not answer")

        outage.setattr(api.store, "add_report", gone)
        api.app.test_client().get("/metrics")
    assert scraped(api, "ringback_http_requests_total", route="/v1/orders", status="202") == 1


def test_held_answer_counts_without_its_wait(api: Api):
    """`?wait=` is the caller's wish and no slowness of ours."""
    order_id = api.shop.order_id()
    assert api.shop.get(f"/v1/orders/{order_id}?wait=30").status_code == 200
    route = "/v1/orders/<order:order_id>"
    assert scraped(api, "ringback_http_request_seconds_bucket", route=route, le="+Inf") == 1
    assert scraped(api, "ringback_http_request_seconds_sum", route=route) < 30


def test_orders_are_counted_by_caller(api: Api):
    """Accepted by the web; a cancel before the purchase ends one there too."""
    order_id = api.shop.order_id()
    api.shop.post(f"/v1/orders/{order_id}/cancel")
    for outcome in ("accepted", "cancelled"):
        assert scraped(api, "ringback_caller_orders_total", caller=api.shop.id, outcome=outcome) == 1
    assert scraped(api, "ringback_orders_ended_total", status="cancelled") == 1


def test_states_are_counted_as_the_console_counts_them(clock):
    """Orders, rentals and webhooks by state, and whose money is in doubt: one question for both."""
    console = Console(clock)
    console.finished()
    console.unknown()
    console.unrented()
    console.rented("hello")
    queries, api = console.store.queries, console.api
    for status, count in queries.states(clock()).items():
        assert scraped(api, "ringback_orders", status=status) == count
    for status, count in queries.rental_states(clock()).items():
        assert scraped(api, "ringback_rentals", status=status) == count
    assert scraped(api, "ringback_webhooks", status="pending") == queries.event_states(clock())["pending"] == 6
    assert scraped(api, "ringback_money_in_doubt") == 2


def test_everything_that_is_known_beforehand_starts_at_zero(api: Api):
    """The first of a kind is an increase, on a system that has done nothing yet."""
    families = {family.name: family for family in plain(api.app.test_client().get("/metrics").text)}
    for name, values in _KNOWN.items():
        labels = {**COUNTERS, **HISTOGRAMS, **GAUGES}[name].labels
        samples = families[f"ringback_{name}"].samples
        told = {tuple(sample.labels[label] for label in labels) for sample in samples}
        assert told >= set(values), name
    for name in REPLIES:
        assert {one.labels["reply"] for one in families[f"ringback_{name}"].samples} == set(REPLIES[name])


@pytest.mark.parametrize(
    ("counter", "union"),
    [
        ("polls", replies.StatusReply),
        ("purchases", replies.BuyReply),
        ("cancels", replies.CancelReply),
        ("finishes", replies.FinishReply),
    ],
)
def test_known_replies_are_those_of_the_client(counter: str, union: Any):
    """Each reply that a call can have is exported from the start."""
    names = {name.partition(".")[0] for name in REPLIES[counter]}
    assert names == {kind.__name__ for kind in get_args(union)}
    declined = (BUY_REJECTIONS if counter == "purchases" else ACCOUNT_REJECTIONS) | {Word.BANNED}
    assert {reply_name(replies.Declined(word)) for word in declined} <= set(REPLIES[counter])


def test_openmetrics_is_told_to_whoever_accepts_it(api: Api):
    """With the trace of one that fell into a bucket, which the plain format has no place for."""
    shared = api.app.extensions["ringback"]
    shared.counters.histogram("code_to_webhook_seconds").observe(0.2, "0af7651916cd43dd8448eb211c80319c")
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = api.app.test_client().get("/metrics", headers=accept)
    assert answer.mimetype == "application/openmetrics-text"
    families = {family.name: family for family in openmetrics(answer.text)}
    shown = [one for one in families["ringback_code_to_webhook_seconds"].samples if one.exemplar]
    assert [(one.labels["le"], one.exemplar.labels) for one in shown] == [
        ("0.25", {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
    ]
    assert api.app.test_client().get("/metrics").mimetype == "text/plain"


def test_promtool_finds_nothing_to_say(api: Api):
    """The names and types are as Prometheus wants them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        (pytest.fail if must_be_real() else pytest.skip)("no promtool: install Debian's prometheus")
    api.shop.order_id()
    told = api.app.test_client().get("/metrics").data
    done = subprocess.run([promtool, "check", "metrics"], input=told, capture_output=True, check=False)
    assert (done.returncode, done.stderr + done.stdout) == (0, b"")


@pytest.mark.anyio
async def test_poll_is_late_by_the_time_since_it_was_due(world: World):
    """As the claim tells it, for each poll."""
    world.accept(order())
    await world.lifecycle.buy("ord_1")
    world.clock.advance(5.7)
    claim = await world.store.claim(Lane.POLL, 10, 5)
    assert list(claim.late) == pytest.approx([0.7])


@pytest.mark.anyio
async def test_code_to_webhook_is_counted_once_and_not_for_a_redelivery(world: World):
    """By hand, hours later, it would look like hours of delay."""
    sender = FakeSender()

    async def secrets_of(_: str) -> list[str]:
        return [SECRET]

    outbox = Outbox(
        world.store, sender, world.gate, world.counters, secrets_of=secrets_of, waits=(1.0,), chance=lambda: 0.0
    )
    world.blocking.add_event(event(type="order.otp_received", order=None))
    world.clock.advance(0.4)
    after, _ = await outbox.deliver((await world.store.claim_events(1, 20, "w1"))[0])
    assert drained(world.counters)['code_to_webhook_seconds_bucket{le="0.5"}'] == 1
    world.clock.advance(3600)
    assert world.blocking.redeliver(after, world.clock())
    await outbox.deliver((await world.store.claim_events(1, 20, "w1"))[0])
    assert not any(name.startswith("code_to_webhook") for name in drained(world.counters))


def test_reporter_hands_over_the_rest_at_its_end():
    """What an outage has left over, and then that the process ends."""
    told = []
    reporter = Reporter(lambda *, last=False: told.append(last), every=3600)
    reporter.start()
    reporter.start()
    reporter.end()
    assert told == [False, True]


def test_kill_switch_is_counted_apart_from_errors(api: Api):
    """Its 503 is what an operator wanted."""
    api.store.pause("switched_off", {})
    assert api.shop.order().status_code == 503
    assert scraped(api, "ringback_orders_refused_total", reason="buying_switched_off") == 1
