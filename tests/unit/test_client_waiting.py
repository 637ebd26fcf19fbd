"""Waiting for an order, and following what happens."""

from __future__ import annotations

import httpx
import pytest

import ringback
from tests.client_stage import Stage, event, order, page, problem

WAITING = order(status="waiting", number="+923001234567")
RECEIVED = order(status="received", number="+923001234567", otp="001234")
NO_WAIT_FOR = problem(
    422, "invalid_fields", errors=[{"field": "wait_for", "code": "unknown_field", "message": "unknown field"}]
)


@pytest.fixture(params=["sync", "async"])
def stage(request) -> Stage:
    """Either client."""
    return Stage(request.param)


def code(timeout=600.0):
    return lambda client: client.orders.wait_for_code("ord_1", timeout=timeout)


def number(timeout=150.0):
    return lambda client: client.orders.wait_for_number("ord_1", timeout=timeout)


# An order.


def test_code_is_waited_for_with_held_answers(stage):
    """One request follows the other, each held until the end, with no pause between them."""
    stage.answer(200, WAITING, takes=30).answer(200, RECEIVED, takes=12)
    assert stage.do(code()).otp == "001234"
    assert stage.queries() == [{"wait": "30", "wait_for": "end"}] * 2
    assert stage.slept == []


def test_number_is_waited_for(stage):
    """The answer is held until there is a number."""
    stage.answer(200, order(), takes=30).answer(200, WAITING, takes=2)
    assert stage.do(number()).number == "+923001234567"
    assert {one["wait_for"] for one in stage.queries()} == {"number"}


def test_address_is_what_an_email_order_waits_for(stage):
    """An email order has an address instead."""
    stage.answer(200, order(product="email", status="waiting", address="a@gmail.com"))
    assert stage.do(number()).contact == "a@gmail.com"


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed", "received", "something_new"])
def test_end_without_a_code_is_raised_with_the_order(stage, status):
    """The order tells how it ended; a code that was erased is none."""
    ended = order(status=status, ended_at="2026-11-22T10:09:00.000Z", flags=["otp_erased"])
    stage.answer(200, ended)
    with pytest.raises(ringback.NoCode, match=status) as caught:
        stage.do(code())
    assert caught.value.order.status == status


def test_failed_order_says_why(stage):
    """The reason is in the message."""
    stage.answer(200, order(status="failed", error={"code": "no_numbers", "message": None}))
    with pytest.raises(ringback.NoNumber, match="no_numbers"):
        stage.do(number())


def test_time_that_is_over_is_a_timeout_with_what_was_seen(stage):
    """No request is held beyond the time, and `except TimeoutError` catches it."""
    stage.answer(200, WAITING, takes=30, times=2).answer(200, WAITING, takes=15)
    with pytest.raises(TimeoutError, match="within 75 s") as caught:
        stage.do(code(75))
    assert isinstance(caught.value, ringback.NotInTime)
    assert caught.value.order is not None
    assert caught.value.order.number == "+923001234567"
    assert [one["wait"] for one in stage.queries()] == ["30", "30", "15"]


def test_no_time_at_all_is_one_look(stage):
    """Without time the order is read once."""
    stage.answer(200, RECEIVED).answer(200, WAITING)
    assert stage.do(code(0)).otp == "001234"
    with pytest.raises(ringback.NotInTime):
        stage.do(code(0))
    assert len(stage.requests) == 2


def test_restart_of_the_service_is_waited_out(stage):
    """Lost connections, refused ones, 429 and 503 are no end of the waiting."""
    stage.answer(200, WAITING, takes=30).fail(httpx.ReadError, takes=5).fail(httpx.ConnectError, times=4)
    stage.answer(503, b"").answer(429, problem(429, "too_many_waiting"), retry_after="1").answer(200, RECEIVED)
    assert stage.do(code()).otp == "001234"


def test_service_that_stays_away_is_a_timeout_too(stage):
    """The last error of the connection is the cause; nothing was seen."""
    stage.fail(httpx.ConnectError)
    with pytest.raises(ringback.NotInTime) as caught:
        stage.do(code(20))
    assert isinstance(caught.value.__cause__, ringback.ConnectionFailed)
    assert caught.value.order is None
    assert sum(stage.slept) == 20.0


def test_limit_beyond_the_time_is_raised_as_what_it_is(stage):
    """Who has to wait an hour is told so."""
    stage.answer(429, problem(429, "rate_limited"), retry_after="3600")
    with pytest.raises(ringback.RateLimited):
        stage.do(code(60))


def test_limit_in_the_last_moment_is_a_timeout(stage):
    """What ran out is the time."""
    stage.answer(200, WAITING, takes=30).answer(200, WAITING, takes=29)
    stage.answer(429, problem(429, "too_many_waiting"), retry_after="1")
    with pytest.raises(ringback.NotInTime):
        stage.do(code(60))


def test_where_no_place_to_wait_is_free_the_order_is_looked_at(stage):
    """Held answers are few: who gets none sees the code all the same, and tries again for a place."""
    stage.answer(429, problem(429, "too_many_waiting"), retry_after="1").answer(200, WAITING)
    stage.answer(200, WAITING, takes=30).answer(429, problem(429, "too_many_waiting"), retry_after="1")
    stage.answer(200, RECEIVED)
    assert stage.do(code()).otp == "001234"
    assert [one["wait"] for one in stage.queries()] == ["30", "0", "30", "30", "0"]
    assert stage.slept == [1.0, 1.0]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_what_stays_wrong_ends_the_waiting(stage, status):
    """A wrong key or id does not get better by waiting."""
    stage.answer(status, problem(status, "some_code"))
    with pytest.raises(ringback.Problem):
        stage.do(code())
    assert len(stage.requests) == 1


def test_older_service_is_looked_at_now_and_then(stage):
    """A service that does not know `wait_for` is polled."""
    stage.answer(422, NO_WAIT_FOR).answer(200, WAITING, times=2).answer(200, RECEIVED)
    assert stage.do(code()).otp == "001234"
    assert stage.queries()[1:] == [{}] * 3
    assert stage.slept == [2.0, 2.0]


def test_other_bad_fields_are_raised(stage):
    """A 422 about anything else is no question of age."""
    stage.answer(422, problem(422, "invalid_fields", errors=[{"field": "order_id", "code": "x", "message": "y"}]))
    with pytest.raises(ringback.InvalidFields):
        stage.do(code())


def test_service_that_does_not_hold_its_answers_is_not_flooded(stage):
    """Answers that come at once are asked for every two seconds."""
    stage.answer(200, WAITING)
    with pytest.raises(ringback.NotInTime):
        stage.do(code(10))
    assert len(stage.requests) <= 6


# The feed.


def test_events_come_in_order_none_skipped_or_doubled(stage):
    """Each request asks for what came after the last event, from the first kept one on."""
    stage.answer(200, page(event(1), event(2), cursor="c")).answer(200, page(event(3)))
    stage.answer(200, page(), takes=30).answer(200, page(event(4)))
    assert [one.id for one in stage.items(lambda c: c.events.follow(), 4)] == ["evt_1", "evt_2", "evt_3", "evt_4"]
    assert [one["after"] for one in stage.queries()] == ["", "evt_2", "evt_3", "evt_3"]
    assert {(one["payload"], one["wait"]) for one in stage.queries()} == {("true", "30")}
    assert stage.slept == []


def test_following_goes_on_from_an_event(stage):
    """`after` is the last event that was done with."""
    stage.answer(200, page(event(8)))
    assert stage.items(lambda c: c.events.follow("evt_7"), 1)[0].data.otp == "000008"
    assert stage.queries()[0]["after"] == "evt_7"


def test_following_survives_reconnects(stage):
    """Broken connections and a service that restarts lose and double nothing, however long it takes."""
    stage.answer(200, page(event(1))).fail(httpx.ReadError, times=9).answer(503, b"", times=9)
    stage.answer(429, problem(429, "too_many_waiting"), retry_after="3600").answer(200, page(event(2), event(3)))
    assert [one.id for one in stage.items(lambda c: c.events.follow(), 3)] == ["evt_1", "evt_2", "evt_3"]
    assert {one["after"] for one in stage.queries()[1:]} == {"evt_1"}


def test_patience_bounds_reconnecting(stage):
    """Who does not want to wait for ever says so."""
    stage.answer(200, page(event(1))).fail(httpx.ConnectError)
    with pytest.raises(ringback.ConnectionFailed):
        stage.items(lambda c: c.events.follow(patience=60))
    assert sum(stage.slept) == 60.0


def test_event_that_is_no_longer_kept_is_typed(stage):
    """410 says that what came between is lost: it is never passed over in silence."""
    stage.answer(410, problem(410, "event_gone"))
    with pytest.raises(ringback.Gone, match="event_gone"):
        stage.items(lambda c: c.events.follow("evt_1"))


def test_empty_answers_that_come_at_once_are_not_asked_for_without_pause(stage):
    """A service that does not hold its answers is not flooded."""
    stage.answer(200, page(), times=5).answer(200, page(event(1)))
    stage.items(lambda c: c.events.follow(), 1)
    assert stage.slept == [2.0] * 5


def test_events_are_typed(stage):
    """An order's event has the order, and the moment at which it happened."""
    stage.answer(200, page(event(1, otp="001234")))
    (first,) = stage.items(lambda c: c.events.follow(), 1)
    assert isinstance(first, ringback.OrderEvent)
    assert (first.type, first.order.otp, first.timestamp.isoformat()) == (
        ringback.EventType.OTP_RECEIVED, "001234", "2026-11-22T10:00:00+00:00",
    )  # fmt: skip


@pytest.mark.parametrize("payload", [None, "", "no JSON", "[]", '{"type": 5}'])
def test_event_without_a_readable_payload_is_told_all_the_same(stage, payload):
    """It happened: leaving it out would be a gap."""
    stage.answer(200, page({**event(1), "payload": payload}))
    (first,) = stage.items(lambda c: c.events.follow(), 1)
    assert (type(first), first.id, first.type, first.data) == (ringback.Event, "evt_1", "order.otp_received", {})


def test_listing_forwards_keeps_its_direction(stage):
    """With `after`, each page is asked for with it and the cursor."""
    stage.answer(200, page(event(2), cursor="c")).answer(200, page(event(3)))
    found = stage.items(lambda c: c.events.list(after="evt_1", payload=True))
    assert [one.payload is not None for one in found] == [True, True]
    assert [(one["after"], one.get("cursor")) for one in stage.queries()] == [("evt_1", None), ("evt_1", "c")]
