"""Webhooks seen over HTTP: listing, catching up, sending again, pinging."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.api_stage import HOOK, Api, bad_fields, code
from worker.event import Attempt, EventStatus
from worker.store import Vault, codec, keys
from worker.webhooks.signing import sign


@pytest.fixture
def api(clock):
    return Api(clock)


@pytest.fixture
def pings(api):
    """A caller that has pinged itself five times, and the events' ids, oldest first."""
    shop = api.new_caller("Pinger", callback_url=HOOK)
    return shop, [shop.post("/v1/events/ping").json["id"] for _ in range(5)]


def written(api, event):
    """A worker writes an event's record anew."""
    api.raw.hset(keys.event(event.id), mapping={"v": event.version, "s": event.status.value})
    api.raw.set(keys.event(event.id) + ":record", codec.pack_event(event, Vault()))


def ids(answer):
    """The ids on a page."""
    return [one["id"] for one in answer.json["data"]]


def test_ping_owes_a_webhook_to_the_callers_callback(api, pings):
    """A ping is an event like any other: due now, and described by its type."""
    shop, (first, *_) = pings
    event = api.store.load_event(first)
    assert json.loads(event.body)["type"] == "webhook.ping"
    assert json.loads(event.body)["data"]["caller"] == shop.id
    assert (event.url, event.order) == (HOOK, None)
    assert api.due("deliver")[first] == api.clock()


def test_ping_goes_to_the_callback_that_is_given(api):
    """So that a callback other than the caller's own can be proven; the challenge is another each time."""
    sent = [api.shop.post("/v1/events/ping", json={"callback_url": HOOK}) for _ in range(2)]
    events = [api.store.load_event(one.json["id"]) for one in sent]
    assert [one.url for one in events] == [HOOK, HOOK]
    assert len({json.loads(one.body)["data"]["challenge"] for one in events}) == 2


@pytest.mark.parametrize("url", ["https://inside.example/", "nonsense"])
def test_ping_to_a_callback_that_may_not_be_called_is_refused(api, url):
    """The guard judges what is given as it does for an order."""
    assert list(bad_fields(api.shop.post("/v1/events/ping", json={"callback_url": url}))) == ["callback_url"]


@pytest.mark.parametrize("body", [None, {}, {"callback_url": None}])
def test_ping_without_a_callback_given_goes_to_the_callers_own(api, body):
    """No body, an empty one and a null are the same; so is a type without a body."""
    shop = api.new_caller("Pinger", callback_url=HOOK)
    kind = {"content_type": "application/json"} if body is None else {}
    answer = shop.post("/v1/events/ping", json=body, **kind)
    assert (answer.status_code, api.store.load_event(answer.json["id"]).url) == (202, HOOK)


def test_ping_without_a_callback_says_so(api):
    """A caller without a callback of its own has nothing to ping."""
    assert code(api.shop.post("/v1/events/ping")) == (409, "no_callback")


def test_ping_to_a_private_address_is_refused(api):
    """The guard judges here too."""
    shop = api.new_caller("Inside", callback_url="https://inside.example/")
    assert code(shop.post("/v1/events/ping")) == (409, "callback_refused")


def test_attempts_do_not_tell_a_name_inside_from_one_that_is_none(api, pings):
    """What a callback's name led to later is no list of internal names either."""
    shop, (first, second, *_) = pings
    for event_id, error in ((first, "blocked_address"), (second, "dns")):
        before = api.store.load_event(event_id)
        written(api, before.tried(Attempt(api.clock(), None, error, 0.1), EventStatus.PENDING, due_at=api.clock()))
    shown = [shop.get(f"/v1/events/{one}").json["attempts"] for one in (first, second)]
    assert shown[0] == shown[1]


def test_event_shows_its_attempts(api, pings):
    """Each attempt is there with its time, its status or error, its duration and how the answer began."""
    shop, (first, *_) = pings
    before = api.store.load_event(first)
    attempt = Attempt(api.clock(), 500, None, 0.1234, "<b>oops</b>")
    after = before.tried(attempt, EventStatus.PENDING, due_at=api.clock() + 5)
    written(api, after)
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


def failed(api, event_id, status=EventStatus.PENDING):
    """A worker's attempt fails; the next one is due in 2 s, if there is to be one."""
    due_at = api.clock() + 2 if status is EventStatus.PENDING else None
    attempt = Attempt(api.clock(), 500, None, 0.1)
    written(api, api.store.load_event(event_id).tried(attempt, status, due_at=due_at))


def test_event_shows_where_it_is_sent_and_until_when_it_is_tried(api):
    """The callback to the letter, and the last attempt of the schedule, counted from the one that is due."""
    api = Api(api.clock, RINGBACK_WEBHOOK_SCHEDULE="1,2,5")
    order_id = api.shop.order_id(callback_url=HOOK + "?token=1")
    api.shop.post(f"/v1/orders/{order_id}/cancel")
    (one,) = api.shop.get(f"/v1/events?order={order_id}").json["data"]
    assert one["callback_url"] == HOOK + "?token=1"
    assert (one["next_attempt_at"], one["tried_until"]) == ("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:08.000Z")
    failed(api, one["id"])
    later = api.shop.get(f"/v1/events/{one['id']}").json
    assert (later["next_attempt_at"], later["tried_until"]) == ("2026-11-22T10:00:02.000Z", "2026-11-22T10:00:09.000Z")
    failed(api, one["id"], EventStatus.EXHAUSTED)
    assert api.shop.get(f"/v1/events/{one['id']}").json["tried_until"] is None


def test_ping_is_tried_once(pings):
    """Its only attempt is its last."""
    shop, (first, *_) = pings
    event = shop.get(f"/v1/events/{first}").json
    assert event["tried_until"] == event["next_attempt_at"]


@pytest.mark.parametrize("walk", ["", "&after="])
def test_events_are_found_by_the_time_they_were_made(api, walk):
    """`since` is among them, `until` is not, whichever way and in whichever zone one asks."""
    shop, known = api.new_caller("Pinger", callback_url=HOOK), []
    for _ in range(3):
        known.append(shop.post("/v1/events/ping").json["id"])
        api.clock.advance(60)
    since, until = "2026-11-22T10:01:00Z", "2026-11-22T15:02:00%2B05:00"
    assert set(ids(shop.get(f"/v1/events?since={since}{walk}"))) == set(known[1:])
    assert ids(shop.get(f"/v1/events?since={since}&until={until}{walk}")) == known[1:2]


@pytest.mark.parametrize("walk", ["", "&after="])
def test_failing_events_are_told_from_those_that_were_never_tried(api, pings, walk):
    """What is tried again and what was given up, and nothing else: `pending` alone does not tell them apart."""
    shop, known = pings
    failed(api, known[0])
    failed(api, known[1], EventStatus.EXHAUSTED)
    failed(api, known[2])
    failed(api, known[2], EventStatus.DELIVERED)
    assert set(ids(shop.get(f"/v1/events?failing=true{walk}"))) == set(known[:2])
    assert ids(shop.get(f"/v1/events?failing=true&status=pending{walk}")) == [known[0]]
    assert len(ids(shop.get(f"/v1/events?failing=false{walk}"))) == 5


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


def test_event_that_is_no_longer_kept_is_gone(api, pings):
    """What has expired, or is somebody else's, is no place to go on from: 410, and what to do instead."""
    shop, known = pings
    api.raw.delete(keys.event(known[0]))
    for asker in (shop, api.shop):
        answer = asker.get(f"/v1/events?after={known[0]}")
        assert code(answer) == (410, "event_gone")
        assert "`after=`, empty" in answer.json["detail"]


def test_feed_begins_with_the_first_that_is_kept(pings):
    """An empty `after` is before all of them."""
    shop, known = pings
    assert ids(shop.get("/v1/events?after=")) == known


@pytest.mark.parametrize("how", ["cursor={}", "after={}", "after=&cursor={}"])
def test_cursor_keeps_its_direction(pings, how):
    """Wherever the cursor of a walk forward is sent, the walk goes on forward."""
    shop, known = pings
    first = shop.get("/v1/events?after=&limit=2")
    assert ids(shop.get("/v1/events?" + how.format(first.json["next_cursor"]))) == known[2:]


def test_feed_holds_its_answer_until_there_is_something(api, pings):
    """`wait` ends with the first event that fits, and not with one that does not."""
    shop, known = pings
    order_id = shop.order_id()
    api.on_sleep = lambda: len(api.slept) == 3 and shop.post(f"/v1/orders/{order_id}/cancel")
    page = shop.get(f"/v1/events?after={known[-1]}&type=order.cancelled&wait=30")
    assert [one["order"] for one in page.json["data"]] == [order_id]
    assert len(api.slept) == 3


def test_feed_that_stays_empty_is_answered_in_time(api, pings):
    """When the time is over the answer is an empty page."""
    shop, known = pings
    began = api.clock()
    page = shop.get(f"/v1/events?after={known[-1]}&wait=30")
    assert (page.json, api.clock()) == ({"data": [], "next_cursor": None}, began + 30)


def test_payload_is_what_is_signed_to_the_byte(api):
    """The feed's payload and headers verify with the caller's secret, as a webhook does; other reads show neither."""
    shop = api.new_caller("Puller")
    answer = shop.post("/v1/orders", json={"server": "1", "type": "1", "metadata": {"name": "Zoë \u2028 <&>"}})
    shop.post(f"/v1/orders/{answer.json['id']}/cancel")
    (one,) = shop.get("/v1/events?after=&payload=true").json["data"]
    kept = api.store.load_event(one["id"])
    assert one["payload"].encode() == kept.body
    (secret,) = api.callers.get(shop.id).live_secrets(api.clock())
    signature = sign([secret], one["id"], int(api.clock()), kept.body)
    assert one["headers"] == {
        "webhook-id": one["id"], "webhook-timestamp": str(int(api.clock())), "webhook-signature": signature,
    }  # fmt: skip
    (plain,) = shop.get("/v1/events?after=").json["data"]
    assert not {"payload", "headers"} & set(plain)


def test_event_that_nobody_is_pushed_is_recorded(api):
    """Nothing is due for it, it shows no next attempt, and it cannot be sent again: there is nowhere to."""
    shop = api.new_caller("Puller")
    order_id = shop.post("/v1/orders", json={"server": "1", "type": "1"}).json["id"]
    shop.post(f"/v1/orders/{order_id}/cancel")
    (one,) = shop.get("/v1/events?status=recorded").json["data"]
    assert (one["type"], one["order"], one["next_attempt_at"]) == ("order.cancelled", order_id, None)
    assert api.due("deliver") == {}
    assert code(shop.post(f"/v1/events/{one['id']}/redeliver")) == (409, "no_callback")


def test_events_of_an_order_are_its_own(api, pings):
    """`order` shows that order's events, to its owner alone."""
    shop, _ = pings
    order_id = shop.order_id()
    shop.post(f"/v1/orders/{order_id}/cancel")
    page = shop.get(f"/v1/events?order={order_id}")
    assert [one["type"] for one in page.json["data"]] == ["order.cancelled"]
    assert ids(shop.get(f"/v1/events?order={order_id}&status=delivered")) == []
    assert ids(api.shop.get(f"/v1/events?order={order_id}")) == []


@pytest.mark.parametrize(
    "query",
    ["order=x", "status=lost", "after=1", "cursor=ord_1", "limit=", "foo=1", "since=2026-11-22", "since=1795341600",
     "until=2026-11-22T10:00:00", "until=2026-02-30T10:00:00Z", "failing=yes"],
)  # fmt: skip
def test_odd_listing_is_refused(api, query):
    """Listing takes what is described and nothing else."""
    assert list(bad_fields(api.shop.get(f"/v1/events?{query}"))) == [query.split("=")[0]]


def test_event_of_somebody_else_looks_like_none(api, pings):
    """Reading or redelivering another's event answers as if it were not there."""
    _, (first, *_) = pings
    assert code(api.shop.get(f"/v1/events/{first}")) == (404, "not_found")
    assert code(api.shop.post(f"/v1/events/{first}/redeliver")) == (404, "not_found")


def test_redelivery_keeps_the_id_and_is_due_now(api, pings):
    """The same event is owed once more, its schedule from the start."""
    shop, (first, *_) = pings
    given_up = replace(api.store.load_event(first), status=EventStatus.EXHAUSTED, tries=13, due_at=None)
    written(api, given_up)
    api.raw.zrem("rb:due:deliver", first)
    answer = shop.post(f"/v1/events/{first}/redeliver")
    assert (answer.status_code, answer.json["id"], answer.json["status"]) == (202, first, "pending")
    assert api.due("deliver")[first] == api.clock()
    assert api.store.load_event(first).tries == 0


def test_redelivery_amid_an_attempt_leaves_it_alone(api, pings):
    """An attempt under way is what was asked for."""
    shop, (first, *_) = pings
    api.raw.zadd(f"rb:endpoint:{api.store.load_event(first).endpoint}", {first: (api.clock() + 15) * 1000})
    version = api.store.load_event(first).version
    assert shop.post(f"/v1/events/{first}/redeliver").status_code == 202
    assert api.store.load_event(first).version == version
