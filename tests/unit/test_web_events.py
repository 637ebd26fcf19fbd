"""Webhooks seen over HTTP: listing, catching up, sending again, pinging."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.door import HOOK, Doorway, bad_fields, code
from worker.event import Attempt, EventStatus
from worker.store import Vault, codec, keys


@pytest.fixture
def door(clock):
    return Doorway(clock)


@pytest.fixture
def pings(door):
    """A caller that has pinged itself five times, and the events' ids, oldest first."""
    shop = door.new_caller("Pinger", callback_url=HOOK)
    return shop, [shop.post("/v1/events/ping").json["id"] for _ in range(5)]


def written(door, event):
    """A worker writes an event's record anew."""
    door.raw.hset(keys.event(event.id), mapping={"v": event.version, "s": event.status.value})
    door.raw.set(keys.event(event.id) + ":record", codec.pack_event(event, Vault()))


def ids(answer):
    """The ids on a page."""
    return [one["id"] for one in answer.json["data"]]


def test_ping_owes_a_webhook_to_the_callers_callback(door, pings):
    """A ping is an event like any other: due now, and described by its type."""
    shop, (first, *_) = pings
    event = door.store.load_event(first)
    assert json.loads(event.body)["type"] == "webhook.ping"
    assert json.loads(event.body)["data"]["caller"] == shop.id
    assert (event.url, event.order) == (HOOK, None)
    assert door.due("deliver")[first] == door.clock()


def test_ping_without_a_callback_says_so(door):
    """A caller without a callback of its own has nothing to ping."""
    assert code(door.shop.post("/v1/events/ping")) == (409, "no_callback")


def test_ping_to_a_private_address_is_refused(door):
    """The guard judges here too."""
    shop = door.new_caller("Inside", callback_url="https://inside.example/")
    assert code(shop.post("/v1/events/ping")) == (409, "callback_refused")


def test_event_shows_its_attempts(door, pings):
    """Each attempt is there with its time, its status or error, its duration and how the answer began."""
    shop, (first, *_) = pings
    before = door.store.load_event(first)
    attempt = Attempt(door.clock(), 500, None, 0.1234, "<b>oops</b>")
    after = before.tried(attempt, EventStatus.PENDING, due_at=door.clock() + 5)
    written(door, after)
    event = shop.get(f"/v1/events/{first}").json
    assert event["attempts"] == [
        {
            "at": "2026-11-22T10:00:00.000Z",
            "status_code": 500,
            "error": None,
            "duration": 0.123,
            "response": "<b>oops</b>",
        }
    ]
    assert event["next_attempt_at"] == "2026-11-22T10:00:05.000Z"


def test_listing_pages_from_the_newest(pings):
    """Pages follow one another without gap or overlap."""
    shop, known = pings
    first = shop.get("/v1/events?limit=3")
    second = shop.get(f"/v1/events?limit=3&cursor={first.json['next_cursor']}")
    assert ids(first) + ids(second) == known[::-1]
    assert second.json["next_cursor"] is None


def test_catching_up_goes_forward_from_the_last_event_seen(pings):
    """A caller that was down reads on, oldest first, until nothing is left."""
    shop, known = pings
    first = shop.get(f"/v1/events?after={known[0]}&limit=3")
    second = shop.get(f"/v1/events?after={known[0]}&limit=3&cursor={first.json['next_cursor']}")
    assert ids(first) == known[1:4]
    assert ids(second) == known[4:]
    assert second.json["next_cursor"] is None


def test_catching_up_after_an_unknown_event_is_not_found(door, pings):
    """What is unknown, or somebody else's, is no place to go on from."""
    _, known = pings
    assert code(door.shop.get(f"/v1/events?after={known[0]}")) == (404, "not_found")


def test_events_of_an_order_are_its_own(door, pings):
    """`order` shows that order's events, to its owner alone."""
    shop, _ = pings
    order_id = shop.order_id()
    shop.post(f"/v1/orders/{order_id}/cancel")
    page = shop.get(f"/v1/events?order={order_id}")
    assert [one["type"] for one in page.json["data"]] == ["order.cancelled"]
    assert ids(shop.get(f"/v1/events?order={order_id}&status=delivered")) == []
    assert ids(door.shop.get(f"/v1/events?order={order_id}")) == []


@pytest.mark.parametrize("query", ["order=x", "status=lost", "after=1", "cursor=ord_1", "limit=", "foo=1"])
def test_odd_listing_is_refused(door, query):
    """Listing takes what is described and nothing else."""
    assert list(bad_fields(door.shop.get(f"/v1/events?{query}"))) == [query.split("=")[0]]


def test_event_of_somebody_else_looks_like_none(door, pings):
    """Reading or redelivering another's event answers as if it were not there."""
    _, (first, *_) = pings
    assert code(door.shop.get(f"/v1/events/{first}")) == (404, "not_found")
    assert code(door.shop.post(f"/v1/events/{first}/redeliver")) == (404, "not_found")


def test_redelivery_keeps_the_id_and_is_due_now(door, pings):
    """The same event is owed once more, its schedule from the start."""
    shop, (first, *_) = pings
    given_up = replace(door.store.load_event(first), status=EventStatus.EXHAUSTED, tries=13, due_at=None)
    written(door, given_up)
    door.raw.zrem("rb:due:deliver", first)
    answer = shop.post(f"/v1/events/{first}/redeliver")
    assert (answer.status_code, answer.json["id"], answer.json["status"]) == (202, first, "pending")
    assert door.due("deliver")[first] == door.clock()
    assert door.store.load_event(first).tries == 0


def test_redelivery_amid_an_attempt_leaves_it_alone(door, pings):
    """An attempt under way is what was asked for."""
    shop, (first, *_) = pings
    door.raw.zadd("rb:host:caller.example:443", {first: (door.clock() + 15) * 1000})
    version = door.store.load_event(first).version
    assert shop.post(f"/v1/events/{first}/redeliver").status_code == 202
    assert door.store.load_event(first).version == version
