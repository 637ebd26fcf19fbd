"""One call of the client: what is sent, what is tried again and for how long, and how an error reads."""

from __future__ import annotations

import inspect
import json
import pickle
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import httpx
import pytest

import ringback
from ringback import _async, _connection, _sync
from tests.client_stage import KEY, URL, Stage, order, page, problem

ORDER = order(status="waiting", number="+923001234567")


@pytest.fixture(params=["sync", "async"])
def stage(request) -> Stage:
    """Either client."""
    return Stage(request.param)


def create(client):
    return client.orders.create(server="1", type="1")


def get(client):
    return client.orders.get("ord_1")


# What is sent.


def test_order_is_placed_with_its_fields_and_no_others(stage):
    """The body holds what was given, money as text; the key of the caller is in the header."""
    stage.answer(202, ORDER).do(
        lambda c: c.orders.create(product="sms", service="tg", max_price=Decimal("45.10"), metadata={"user": 42})
    )
    sent = stage.requests[0]
    assert (sent.method, str(sent.url)) == ("POST", f"{URL}/v1/orders")
    assert json.loads(sent.content) == {
        "product": "sms", "service": "tg", "max_price": "45.10", "metadata": {"user": 42},
    }  # fmt: skip
    assert sent.headers["authorization"] == f"Bearer {KEY}"


def test_unknown_fields_can_be_sent(stage):
    """A field that came after this version goes along as it is."""
    stage.answer(202, ORDER).do(lambda c: c.orders.create(server="1", extra={"colour": "blue"}))
    assert json.loads(stage.requests[0].content) == {"server": "1", "colour": "blue"}


def test_each_order_has_a_key_of_its_own(stage):
    """Two calls are two orders."""
    stage.answer(202, ORDER)
    stage.do(create)
    stage.do(create)
    first, second = (one.headers["idempotency-key"] for one in stage.requests)
    assert first != second


def test_own_key_is_sent(stage):
    """A key of the caller's takes the place of the one that is made."""
    stage.answer(202, ORDER).do(lambda c: c.orders.create(server="1", idempotency_key="signup-42"))
    assert stage.requests[0].headers["idempotency-key"] == "signup-42"


@pytest.mark.parametrize("key", ["", " a", "a\n", "ä"])
def test_key_that_no_header_can_carry_is_refused(stage, key):
    """It is said before anything is sent."""
    with pytest.raises(ValueError, match="Idempotency-Key"):
        stage.do(lambda c: c.orders.create(server="1", idempotency_key=key))
    assert stage.requests == []


def test_float_is_no_money(stage):
    """A price that cannot be exact is refused before anything is sent."""
    with pytest.raises(TypeError, match="max_price"):
        stage.do(lambda c: c.orders.create(service="tg", max_price=45.1))


@pytest.mark.parametrize("wait", [0, 10, 60, 3600])
def test_client_waits_longer_than_the_service_holds(stage, wait):
    """The time-out is above `wait`, which the service bounds at 60."""
    stage.answer(200, ORDER).do(lambda c: c.orders.get("ord_1", wait=wait, wait_for="number"))
    asked = stage.queries()[0]
    assert asked == {"wait": str(min(wait, 60)), "wait_for": "number"}
    assert stage.timeouts()[0] == int(asked["wait"]) + 10


def test_order_can_be_placed_and_waited_for_at_once(stage):
    """`wait` goes into the query of the order."""
    stage.answer(202, ORDER).do(lambda c: c.orders.create(server="1", type="1", wait=10))
    assert stage.asked() == [("POST", "/v1/orders?wait=10")]
    assert stage.timeouts() == [20.0]


def test_known_order_comes_back_when_it_has_not_changed(stage):
    """The version that was read goes along, and a 304 is the order as it was."""
    stage.answer(200, ORDER, etag='"7"').answer(304, b"")
    known = stage.do(get)
    assert stage.do(lambda c: c.orders.get("ord_1", wait=30, known=known)) is known
    assert stage.requests[1].headers["if-none-match"] == '"7"'


@pytest.mark.parametrize("bad", ["../balance", "ord_1?x=1", "ord/1", "ord#1"])
def test_id_stays_inside_its_place(stage, bad):
    """Whatever an id holds, it is one part of the path."""
    stage.answer(200, ORDER).do(lambda c: c.orders.get(bad))
    path = stage.requests[0].url.raw_path.decode()
    assert path.count("/") == 3
    assert "?" not in path


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_id_that_is_another_path_is_refused(stage, bad):
    """An empty id would ask for the list, and dots for what lies above."""
    with pytest.raises(ValueError, match="empty"):
        stage.do(lambda c: c.orders.get(bad))


def test_address_and_key_come_from_the_environment(monkeypatch):
    """What is not given is read where `ringback listen` reads it."""
    monkeypatch.setenv("RINGBACK_URL", "http://127.0.0.1:8000/")
    monkeypatch.setenv("RINGBACK_API_KEY", "rbk_other")
    with ringback.Client() as client:
        assert client.base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize("kind", [ringback.Client, ringback.AsyncClient])
@pytest.mark.parametrize(
    ("url", "key", "named"),
    [("", "k", "RINGBACK_URL"), ("ftp://a.example", "k", "RINGBACK_URL"), ("a.example", "k", "RINGBACK_URL"),
     (URL, "", "RINGBACK_API_KEY"), (URL, "a b", "RINGBACK_API_KEY"), (URL, "a\nb", "RINGBACK_API_KEY")],
)  # fmt: skip
def test_bad_address_or_key_is_said_at_once(monkeypatch, kind, url, key, named):
    """The message names what to set, and never shows the key."""
    monkeypatch.delenv("RINGBACK_URL", raising=False)
    monkeypatch.delenv("RINGBACK_API_KEY", raising=False)
    with pytest.raises(ValueError, match=named):
        kind(url, key)


@pytest.mark.parametrize(("url", "asked"), [("http://127.0.0.1:1", False), (URL, True)])
def test_proxies_are_for_other_machines(url, asked):
    """A proxy of the environment is not asked for this machine."""
    assert _connection.settings(url, KEY)["trust_env"] is asked


def test_client_does_not_show_its_key(stage):
    """A logged client gives nothing away."""
    assert KEY not in repr(stage.client)


# What is tried again.


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_lost_connection_is_tried_again_with_the_same_key(stage, error):
    """An answer that was lost is asked for again, and nothing is bought twice."""
    stage.fail(error).answer(202, ORDER, idempotency_replayed="true")
    assert stage.do(create).number == "+923001234567"
    first, second = stage.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.content == second.content


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(stage, status):
    """The next try comes when the service said, not before."""
    stage.answer(status, problem(status, "later"), retry_after="7").answer(202, ORDER)
    stage.do(create)
    assert stage.slept == [7.0]


def test_retry_after_as_a_date_is_obeyed(stage):
    """A proxy's date is read against its own clock."""
    dates = {"date": "Sun, 22 Nov 2026 10:00:00 GMT", "retry_after": "Sun, 22 Nov 2026 10:00:04 GMT"}
    stage.answer(503, b"", **dates).answer(200, ORDER).do(get)
    assert stage.slept == [4.0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_tries_come_further_and_further_apart(stage, status):
    """Without Retry-After the waits double."""
    stage.answer(status, b"<html>", times=4).answer(200, ORDER).do(get)
    assert stage.slept == [0.5, 1.0, 2.0, 4.0]


def test_chance_only_shortens_a_wait():
    """Clients that were cut off together do not come back together."""
    stage = Stage("sync")
    stage.client._flows = type(stage.client._flows)(10.0, 30.0, stage.clock, lambda: 1.0)
    stage.answer(503, b"", times=2).answer(200, ORDER).do(get)
    assert stage.slept == [0.25, 0.5]


def test_deadline_ends_the_tries(stage):
    """After 30 seconds the last error is raised, with the key by which to go on."""
    stage.fail(takes=3.0)
    with pytest.raises(ringback.ConnectionFailed, match="POST /v1/orders: ReadTimeout") as caught:
        stage.do(create)
    assert caught.value.idempotency_key == stage.requests[0].headers["idempotency-key"]
    assert isinstance(caught.value.__cause__, httpx.ReadTimeout)
    assert 30 <= stage.clock() - Stage("sync").clock() <= 33


def test_last_tries_have_less_time(stage):
    """What is left until the deadline bounds an attempt too."""
    stage.fail(takes=9.0)
    with pytest.raises(ringback.ConnectionFailed):
        stage.do(lambda c: c.orders.create(server="1", deadline=12.0))
    assert stage.timeouts() == [10.0, 2.5]


def test_patience_beyond_the_deadline_is_not_had(stage):
    """A Retry-After that the deadline has no room for is raised at once, as a limit with its time."""
    stage.answer(429, problem(429, "orders_per_day"), retry_after="3600")
    with pytest.raises(ringback.RateLimited) as caught:
        stage.do(create)
    assert (caught.value.code, caught.value.retry_after, stage.slept) == ("orders_per_day", 3600.0, [])


def test_held_request_gets_shorter_towards_the_deadline(stage):
    """A try that begins late is held for what is left, and its time-out stays above that."""
    stage.fail(takes=25.0).answer(200, ORDER)
    stage.client._flows = type(stage.client._flows)(10.0, 5.0, stage.clock, lambda: 0.0)
    stage.do(lambda c: c.orders.get("ord_1", wait=30))
    assert [one["wait"] for one in stage.queries()] == ["30", "9"]
    assert [timeout > int(one["wait"]) for timeout, one in zip(stage.timeouts(), stage.queries(), strict=True)]


def test_answer_that_drips_is_given_up(stage):
    """The whole answer has its time, however steadily its pieces come."""
    stage.drip(*[b" "] * 20, every=1.0).answer(200, ORDER)
    began = stage.clock()
    assert stage.do(get).id == "ord_1"
    assert stage.clock() - began < 13


def test_answer_without_end_is_given_up(stage):
    """What is larger than any answer of a ringback is not read to its end."""
    stage.drip(*[b" " * 1_000_000] * 20, every=0.0)
    with pytest.raises(ringback.UnexpectedAnswer, match="larger"):
        stage.do(get)


def test_ping_is_not_sent_twice_when_the_first_may_have_arrived(stage):
    """What would be done twice is not tried again after a lost answer."""
    stage.fail(httpx.ReadTimeout).answer(202, {})
    with pytest.raises(ringback.ConnectionFailed):
        stage.do(lambda c: c.events.ping())
    assert len(stage.requests) == 1


def test_ping_that_never_left_is_sent_again(stage):
    """A refused connection has carried nothing."""
    stage.fail(httpx.ConnectError).answer(
        202, {"id": "evt_1", "type": "webhook.ping", "created_at": ORDER["created_at"]}
    )
    assert stage.do(lambda c: c.events.ping()).type == "webhook.ping"


def test_ping_names_the_callback_that_is_given(stage):
    """As the call's body; without one it has none."""
    event = {"id": "evt_1", "type": "webhook.ping", "created_at": ORDER["created_at"]}
    stage.answer(202, event).answer(202, event)
    stage.do(lambda c: c.events.ping("https://shop.example/hook"))
    stage.do(lambda c: c.events.ping())
    told, untold = stage.requests
    assert json.loads(told.content) == {"callback_url": "https://shop.example/hook"}
    assert untold.content == b""


def test_order_that_is_still_being_placed_is_asked_for_again(stage):
    """The first try with the key is at work: its answer comes in a moment."""
    stage.answer(409, problem(409, "idempotency_in_progress")).answer(202, ORDER)
    assert stage.do(create).id == "ord_1"


# What is raised.


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ringback.Problem), (401, ringback.Unauthorized), (404, ringback.NotFound), (409, ringback.Conflict),
     (410, ringback.Gone), (413, ringback.Problem), (422, ringback.InvalidFields), (500, ringback.ServiceFailed)],
)  # fmt: skip
def test_problem_is_raised_once_and_typed(stage, status, kind):
    """What cannot be helped by asking again is not asked again."""
    stage.answer(status, problem(status, "some_code"), x_request_id="req_1")
    with pytest.raises(kind) as caught:
        stage.do(create)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail, error.request_id) == (status, "some_code", "Why.", "req_1")
    assert len(stage.requests) == 1


def test_bad_fields_are_all_named(stage):
    """The error lists each, and so does its text."""
    bad = [{"field": "server", "code": "required", "message": "is required"}, {"field": "typ", "code": "unknown_field"}]
    stage.answer(422, problem(422, "invalid_fields", errors=bad))
    with pytest.raises(ringback.InvalidFields, match="server: is required") as caught:
        stage.do(create)
    assert [(one.field, one.code) for one in caught.value.errors] == [("server", "required"), ("typ", "unknown_field")]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 5, "detail": [], "errors": {}}', b"[" * 9999])
def test_error_without_a_problem_is_one_all_the_same(stage, body):
    """A proxy's page becomes a problem that is named by its status."""
    stage.answer(400, body)
    with pytest.raises(ringback.Problem) as caught:
        stage.do(get)
    assert caught.value.code == "http_400"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": 5}', b"[" * 9999, b"\xff"])
def test_answer_that_is_no_order_is_said(stage, body):
    """A page where an order should be is an error of its own."""
    stage.answer(200, body)
    with pytest.raises(ringback.UnexpectedAnswer):
        stage.do(get)


def test_redirect_is_not_followed(stage):
    """The key goes where it was sent and nowhere else."""
    stage.answer(302, b"", location="https://elsewhere.example/")
    with pytest.raises(ringback.Problem):
        stage.do(get)
    assert len(stage.requests) == 1


def test_list_without_a_list_is_said(stage):
    """A page needs its `data`."""
    stage.answer(200, {"orders": []})
    with pytest.raises(ringback.UnexpectedAnswer, match="data"):
        stage.items(lambda c: c.orders.list())


def test_errors_and_answers_can_be_pickled(stage):
    """A job queue can hand them on, with all that they tell."""
    stage.answer(200, ORDER).answer(429, problem(429, "rate_limited"), retry_after="90")
    known = stage.do(get)
    with pytest.raises(ringback.RateLimited) as caught:
        stage.do(create)
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (copied.code, copied.retry_after, str(copied)) == ("rate_limited", 90.0, str(caught.value))
    ended = pickle.loads(pickle.dumps(ringback.NoCode(known)))  # noqa: S301 - our own bytes
    assert (type(ended), ended.order) == (ringback.NoCode, known)


# Lists.


def test_list_goes_on_until_the_last_page(stage):
    """Every page is read, short ones and empty ones included."""
    pages = [page(order(id="ord_3"), cursor="a"), page(cursor="b"), page(order(id="ord_2"), order(id="ord_1"))]
    for one in pages:
        stage.answer(200, one)
    assert [one.id for one in stage.items(lambda c: c.orders.list(status="waiting"))] == ["ord_3", "ord_2", "ord_1"]
    assert [one.get("cursor") for one in stage.queries()] == [None, "a", "b"]
    assert {(one["status"], one["limit"]) for one in stage.queries()} == {("waiting", "100")}


def test_events_are_asked_for_by_time(stage):
    """Moments go out with their zone; one without is refused before anything is sent."""
    since = datetime(2026, 11, 22, 10, 0, tzinfo=timezone(timedelta(hours=5)))
    stage.answer(200, page())
    stage.items(lambda c: c.events.list(since=since, failing=True))
    (query,) = stage.queries()
    assert query == {"since": "2026-11-22T10:00:00+05:00", "failing": "true", "limit": "100"}
    with pytest.raises(ValueError, match="zone"):
        stage.items(lambda c: c.events.list(until=since.replace(tzinfo=None)))
    assert len(stage.requests) == 1


def test_limit_ends_a_list(stage):
    """No page is asked for that is not needed, and none is larger than it has to be."""
    stage.answer(200, page(order(id="ord_3"), order(id="ord_2"), cursor="a")).answer(200, page(order(), cursor="b"))
    assert len(stage.items(lambda c: c.orders.list(limit=3))) == 3
    assert [one["limit"] for one in stage.queries()] == ["3", "1"]


def test_cursor_that_stands_still_ends_a_list(stage):
    """A page that leads to itself is not read for ever."""
    stage.answer(200, page(order(), cursor="a"))
    assert len(stage.items(lambda c: c.orders.list())) == 2


def test_page_that_fails_is_asked_for_again(stage):
    """A list survives a restart of the service between two pages."""
    stage.answer(200, page(order(id="ord_2"), cursor="a")).fail().answer(503, b"").answer(200, page(order()))
    assert [one.id for one in stage.items(lambda c: c.orders.list())] == ["ord_2", "ord_1"]


# Two clients, one shape.


@pytest.mark.parametrize("name", ["Client", "Orders", "Events", "Rentals"])
def test_both_clients_have_the_same_methods(name):
    """Every public method is on both, with the same parameters."""
    sync, asynchronous = getattr(_sync, name), getattr(_async, f"Async{name}")
    renamed = {"aclose": "close"}
    ours = {one: _parameters(sync, one) for one in vars(sync) if not one.startswith("_")}
    theirs = {renamed.get(one, one): _parameters(asynchronous, one) for one in vars(asynchronous) if one[0] != "_"}
    assert ours == theirs


def _parameters(owner, name):
    return [str(one) for one in inspect.signature(getattr(owner, name)).parameters.values()]


def test_both_clients_are_closed():
    """Leaving the block lets go of the connections."""
    sync = Stage("sync").answer(200, ORDER)
    with sync.client:
        sync.do(get)
    with pytest.raises(RuntimeError, match="closed"):
        sync.do(get)
    other = Stage("async")
    other.do(lambda c: c.aclose())
    with pytest.raises(RuntimeError, match="closed"):
        other.do(get)
