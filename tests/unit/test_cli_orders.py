"""`ringback order` and `ringback events`."""

from __future__ import annotations

import json
import re

import httpx
import pytest
import typer

from tests.unit.cli_stage import CODE, NUMBER, Stage
from worker.cli.api import Api, Refused
from worker.event import Attempt, EventStatus
from worker.store import Store


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


@pytest.fixture
def order(stage):
    return stage.received(stage.order(stage.caller()))


def test_show_masks_number_code_and_callback(stage, order):
    """An operator sees an order without what is private in it, in text and in JSON."""
    for result in (stage.run("order", "show", order.id), stage.run("order", "show", order.id, "--json")):
        assert result.exit_code == 0
        assert "received" in result.stdout
        assert "+92300" in result.stdout
        assert not any(hidden in result.output for hidden in (CODE, NUMBER, "hush"))


def test_show_reveals_on_request(stage, order):
    """With --reveal number, code and callback are shown in full."""
    told = stage.json("order", "show", order.id, "--reveal")
    assert (told["number"], told["otp"], told["callback_url"]) == (NUMBER, CODE, order.callback_url)
    assert [event["type"] for event in told["events"]] == ["order.otp_received"]


def test_show_says_when_there_is_no_such_order(stage):
    """A missing order is one line and exit code 1."""
    result = stage.run("order", "show", "ord_none")
    assert (result.exit_code, result.stderr) == (1, "order 'ord_none' does not exist or is no longer kept\n")


def test_list_merges_all_callers_newest_first(stage):
    """The operator's list is over all callers; it can be narrowed to one caller or one state."""
    first, second = stage.caller("a"), stage.caller("b")
    stage.order(first, "ord_1", 1000.0)
    stage.received(stage.order(first, "ord_2", 1500.0))
    stage.order(second, "ord_3", 2000.0)
    assert [o["id"] for o in stage.json("order", "list")] == ["ord_3", "ord_2", "ord_1"]
    assert [o["id"] for o in stage.json("order", "list", "--limit", "1")] == ["ord_3"]
    assert [o["id"] for o in stage.json("order", "list", "--caller", second.id)] == ["ord_3"]
    assert [o["id"] for o in stage.json("order", "list", "--status", "received")] == ["ord_2"]
    assert "ord_2" in stage.run("order", "list").stdout


def test_events_are_listed_and_shown(stage, order):
    """Webhooks are listed by order, and shown with their attempts."""
    listed = stage.json("events", "list", "--order", order.id)
    assert [event["status"] for event in listed] == ["pending"]
    assert listed[0]["id"] in stage.run("events", "list").stdout
    assert stage.json("events", "show", listed[0]["id"])["order"] == order.id


def test_what_a_receiver_answered_is_hidden(stage, order, monkeypatch):
    """A receiver may echo the code, so its answer is shown only with --reveal."""
    event = stage.store.load_event(stage.json("events", "list")[0]["id"])
    tried = event.tried(Attempt(1011.0, 500, None, 0.1, f"no use for {CODE}"), EventStatus.EXHAUSTED)
    monkeypatch.setattr(Store, "load_event", lambda *_: tried)
    assert CODE not in stage.run("events", "show", event.id).output
    assert CODE in stage.run("events", "show", event.id, "--reveal").output


def test_redeliver_makes_the_event_due_again(stage, order):
    """A redelivered event is pending and due now, under its old id."""
    event_id = stage.json("events", "list")[0]["id"]
    stage.redis.hset(f"rb:event:{event_id}", "s", "exhausted")
    stage.redis.zrem("rb:due:deliver", event_id)
    assert stage.json("events", "redeliver", event_id) == {"id": event_id, "status": "pending"}
    assert stage.redis.zscore("rb:due:deliver", event_id) is not None
    assert stage.store.load_event(event_id).status is EventStatus.PENDING


def test_redeliver_leaves_an_attempt_under_way_alone(stage, order):
    """While an attempt holds its lease nothing is sent a second time."""
    event_id = stage.json("events", "list")[0]["id"]
    stage.redis.zadd(
        f"rb:endpoint:{stage.store.load_event(event_id).endpoint}", {event_id: int(stage.store.now() * 1000) + 60_000}
    )
    result = stage.run("events", "redeliver", event_id)
    assert result.exit_code == 1
    assert "being sent" in result.stderr


def test_redeliver_sends_all_that_a_receiver_missed(stage, order):
    """By status, of one caller or of all; one by its id and many by status are not mixed."""
    other = stage.caller("other", callback_url="https://other.example/hook")
    mine = stage.store.events(order.caller, order=order.id, status=None, limit=1, before=None)[0][0].id
    theirs = stage.json("caller", "ping", other.id)["event"]
    for event in (mine, theirs):
        stage.redis.hset(f"rb:event:{event}", "s", "exhausted")
        stage.redis.zrem("rb:due:deliver", event)
    sent = stage.json("events", "redeliver", "--caller", order.caller, "--status", "exhausted")
    assert sent == {"redelivered": [mine]}
    assert stage.redis.zscore("rb:due:deliver", theirs) is None
    assert stage.json("events", "redeliver", "--status", "exhausted") == {"redelivered": [theirs]}
    for odd in ((), ("evt_1", "--status", "exhausted"), ("evt_1", "--caller", "cal_1"), ("--caller", "cal_1")):
        assert stage.run("events", "redeliver", *odd).exit_code == 2


def test_the_version_is_told(stage):
    """With the format of records, which decides what may work beside it."""
    assert re.fullmatch(r"ringback \S+, records of format \d+\n", stage.run("--version").stdout)


def test_redeliver_says_when_there_is_no_such_event(stage):
    """A missing event is one line and exit code 1."""
    result = stage.run("events", "redeliver", "evt_none")
    assert (result.exit_code, result.stderr) == (1, "event 'evt_none' does not exist or is no longer kept\n")


# Over HTTP.


def _api(*answers):
    """An API that gives these answers in turn, and the requests that it got."""
    left, seen = list(answers), []

    def answer(request):
        seen.append(request)
        return left.pop(0)

    return Api("http://ringback.test/", "rbk_key", httpx.MockTransport(answer)), seen


def test_placing_posts_with_key_and_idempotency_key():
    """An order goes through the same API as everybody's: bearer key, JSON body, idempotency key."""
    api, seen = _api(httpx.Response(202, json={"id": "ord_1", "status": "queued"}))
    assert api.place({"server": "1", "type": "1"}, "once")["id"] == "ord_1"
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://ringback.test/v1/orders")
    assert seen[0].headers["authorization"] == "Bearer rbk_key"
    assert seen[0].headers["idempotency-key"] == "once"
    assert json.loads(seen[0].content) == {"server": "1", "type": "1"}


def test_waiting_asks_until_the_order_has_ended():
    """Waiting holds one request after the other until a terminal state."""
    api, seen = _api(*(httpx.Response(200, json={"id": "o", "status": s}) for s in ("waiting", "received")))
    assert api.until_ended({"id": "o", "status": "queued"})["status"] == "received"
    assert [str(request.url.query, "ascii") for request in seen] == ["wait=30", "wait=30"]


def test_a_problem_becomes_one_line_with_every_bad_field():
    """Whwhen an order is posted objects to is shown as it says it."""
    problem = {"code": "invalid", "detail": "2 fields are bad", "errors": [{"field": "type", "message": "is missing"}]}
    api, _ = _api(httpx.Response(422, json=problem))
    with pytest.raises(Refused, match="refused with 422 invalid: 2 fields are bad; type: is missing"):
        api.place({}, None)


@pytest.mark.parametrize("answer", [httpx.Response(502, text="<h1>no</h1>"), httpx.Response(200, text="hello")])
def test_an_answer_that_is_no_json_is_refused(answer):
    """A proxy's page is an error, not a traceback."""
    api, _ = _api(answer)
    with pytest.raises(Refused):
        api.cancel("ord_1")


def test_a_dead_service_is_named_without_the_key():
    """When nobody answers, the message names the address and nothing secret."""

    def dead(_):
        raise httpx.ConnectError("refused")

    with pytest.raises(Refused, match=r"http://x\.test does not respond \(ConnectError\)") as caught:
        Api("http://x.test", "rbk_secret", httpx.MockTransport(dead)).cancel("ord_1")
    assert "rbk_secret" not in str(caught.value)


def test_without_an_api_key_it_is_a_usage_error(stage):
    """Placing an order without a key says which variable to set."""
    result = stage.run("order", "create", "--server", "1", "--type", "1", RINGBACK_API_KEY="")
    assert result.exit_code == 2
    assert "RINGBACK_API_KEY" in result.stderr
    with pytest.raises(typer.BadParameter):
        Api(None, None)


@pytest.mark.parametrize("metadata", ["[1]", "{", "7"])
def test_metadata_that_is_no_object_is_a_usage_error(stage, metadata):
    """Metadata is a JSON object."""
    arguments = ["order", "create", "--server", "1", "--type", "1", "--metadata", metadata]
    assert stage.run(*arguments, RINGBACK_API_KEY="rbk_x").exit_code == 2
