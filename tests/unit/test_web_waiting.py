"""Held answers: what they wait for, who may wait, and who has left."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.api_stage import BODY, Api, bad_fields, code
from web.api.long_poll import LongPoll
from web.client import DEPARTURE, Departure, has_left
from worker.order import ErrorCode

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(clock):
    return Api(clock)


def room(api, **bounds):
    """Give the application a waiting room of another size."""
    made = LongPoll(api.store.peek, sleep=api._sleep, monotonic=api.clock, **bounds)
    object.__setattr__(api.app.extensions["ringback"], "waiting", made)
    return made


def ended(api, order_id):
    """A worker ends an order."""
    order = api.kept(order_id)
    api.change(order, order.reject(ErrorCode.NO_NUMBERS, "none", api.clock()))


def after(looks, api, act):
    """Something happens before the so-manyth look."""
    api.on_sleep = lambda: len(api.slept) == looks and act()


def test_wait_returns_when_the_order_changes(api):
    """A held answer comes as soon as a worker has changed the order."""
    order_id = api.shop.order_id()
    after(3, api, lambda: api.bought(order_id))
    answer = api.shop.get(f"/v1/orders/{order_id}?wait=30")
    assert answer.json["status"] == "waiting"
    assert len(api.slept) == 3


def test_wait_ends_when_its_time_is_over(api):
    """Without a change the answer comes after the time asked for, unchanged."""
    order_id, begun = api.shop.order_id(), api.clock()
    assert api.shop.get(f"/v1/orders/{order_id}?wait=2").json["status"] == "queued"
    assert api.clock() - begun == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("wait_for", ["number", "end", "change"])
def test_ended_order_is_not_waited_for(api, wait_for):
    """Nothing more will happen to it."""
    order_id = api.shop.order_id()
    ended(api, order_id)
    answer = api.shop.get(f"/v1/orders/{order_id}?wait=60&wait_for={wait_for}")
    assert answer.json["error"]["code"] == "no_numbers"
    assert not api.slept


def test_number_that_is_there_already_is_not_waited_for(api):
    """Whatever happened between the POST and the GET is not missed."""
    order_id = api.shop.order_id()
    api.bought(order_id)
    assert api.shop.get(f"/v1/orders/{order_id}?wait=60&wait_for=number").json["number"]
    assert not api.slept


def test_wait_for_the_end_passes_over_other_changes(api):
    """The purchase changes the order and does not end the wait."""
    order_id = api.shop.order_id()
    after(2, api, lambda: api.bought(order_id))
    answer = api.shop.get(f"/v1/orders/{order_id}?wait=3&wait_for=end")
    assert (answer.json["status"], sum(api.slept)) == ("waiting", pytest.approx(3))


def test_change_is_what_differs_from_the_tag_that_the_client_has(api):
    """With the tag of the queued order, the bought one is a change that has happened already."""
    order_id = api.shop.order_id()
    tag = api.shop.get(f"/v1/orders/{order_id}").headers["ETag"]
    api.bought(order_id)
    answer = api.shop.get(f"/v1/orders/{order_id}?wait=60", headers={"If-None-Match": tag})
    assert (answer.json["status"], api.slept) == ("waiting", [])
    assert answer.headers["ETag"] != tag


def test_order_that_the_client_has_is_not_sent_again(api):
    """A tag that still holds, weak or among others, gets 304 at once, or when the wait is over."""
    order_id = api.shop.order_id()
    tag = api.shop.get(f"/v1/orders/{order_id}").headers["ETag"]
    for query, seconds in (("", 0), ("?wait=1", 1)):
        answer = api.shop.get(f"/v1/orders/{order_id}{query}", headers={"If-None-Match": f'"x", W/{tag}'})
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
        assert sum(api.slept) == pytest.approx(seconds)


def test_post_waits_for_the_number(api):
    """One call places the order and comes back with its number."""
    after(2, api, lambda: api.bought(api.shop.get("/v1/orders").json["data"][0]["id"]))
    answer = api.shop.post("/v1/orders?wait=10", json=BODY)
    assert (answer.status_code, answer.json["status"], answer.json["number"]) == (202, "waiting", "+923001234567")
    assert answer.headers["Location"] == f"/v1/orders/{answer.json['id']}"


def test_post_that_waits_in_vain_has_placed_the_order(api):
    """The time over, the order is shown as it is."""
    answer = api.shop.post("/v1/orders?wait=2", json=BODY)
    assert (answer.status_code, answer.json["status"], sum(api.slept)) == (202, "queued", pytest.approx(2))


def test_repeated_post_waits_for_the_same_order(api):
    """A client that lost the answer sends it again and gets the number, not the order as it was."""
    first = api.shop.order("key-1").json["id"]
    api.bought(first)
    again = api.shop.post("/v1/orders?wait=10", json=BODY, headers={"Idempotency-Key": "key-1"})
    assert (again.json["id"], again.json["status"]) == (first, "waiting")
    assert again.headers["Idempotency-Replayed"] == "true"


def test_post_without_a_place_places_no_order(api):
    """Refused for want of a place, nothing is bought: the client can send it again as it is."""
    room(api, most=1, per_caller=0)
    assert code(api.shop.post("/v1/orders?wait=5", json=BODY)) == (429, "too_many_waiting")
    assert not api.due("buy")


@pytest.mark.parametrize("wait", ["61", "-1", "x", "", "1.5", "1e1", "99999999999999", "5&wait=6"])
def test_odd_wait_is_refused_when_placing(api, wait):
    """A wait is a whole number of seconds up to 60, given once."""
    assert list(bad_fields(api.shop.post(f"/v1/orders?wait={wait}", json=BODY))) == ["wait"]
    assert not api.due("buy")


def test_no_caller_holds_more_than_half_of_the_places(api):
    """A caller with its share in use is refused and told whose share it was; another is served."""
    waiting, order_id, other = room(api, most=4, per_caller=2), api.shop.order_id(), api.new_caller("Other")
    with waiting.place(api.shop.id, 5), waiting.place(api.shop.id, 5):
        refused = api.shop.get(f"/v1/orders/{order_id}?wait=5")
        served = other.get(f"/v1/orders/{other.order_id()}?wait=1")
    assert code(refused) == (429, "too_many_waiting")
    assert "of this caller" in refused.json["detail"]
    assert refused.headers["Retry-After"] == "1"
    assert served.status_code == 200
    assert api.shop.get(f"/v1/orders/{order_id}?wait=1").status_code == 200


def test_no_more_than_so_many_wait_in_all(api):
    """Past the bound of the process everybody is refused, and told that it is not their doing."""
    waiting, order_id = room(api, most=2, per_caller=2), api.shop.order_id()
    with waiting.place("cal_a", 5), waiting.place("cal_b", 5):
        refused = api.shop.get(f"/v1/orders/{order_id}?wait=5")
    assert code(refused) == (429, "too_many_waiting")
    assert "of this caller" not in refused.json["detail"]


def test_client_that_leaves_frees_its_place_at_the_next_look(api):
    """A closed connection ends the wait, long before its time."""
    order_id = api.shop.order_id()
    left = []
    after(2, api, lambda: left.append(True))
    api.shop.get(f"/v1/orders/{order_id}?wait=60", environ_overrides={DEPARTURE: lambda: bool(left)})
    assert len(api.slept) == 2


async def test_client_has_left_once_the_server_says_so():
    """Nothing is listened to until somebody asks; then the disconnect counts, and nothing that comes before it."""
    messages: asyncio.Queue = asyncio.Queue()
    asked = []

    async def receive():
        asked.append(True)
        return await messages.get()

    departure = Departure(asyncio.get_running_loop(), receive)
    environ = {DEPARTURE: departure}
    await asyncio.sleep(0)
    assert not asked
    assert not has_left(environ)
    await messages.put({"type": "http.request"})
    await asyncio.sleep(0.01)
    assert not has_left(environ)
    await messages.put({"type": "http.disconnect"})
    await until(lambda: has_left(environ))


async def test_server_is_not_listened_to_once_the_request_is_answered():
    """What listens ends with the request; a server that knows of no departures is taken to have none."""
    ended = asyncio.Event()

    async def receive():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    departure = Departure(asyncio.get_running_loop(), receive)
    assert not departure()
    await asyncio.sleep(0.01)
    departure.forget()
    await asyncio.wait_for(ended.wait(), 10)
    assert not has_left({})


async def until(true) -> None:
    """Let the loop run until something is so."""
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


def test_caller_revoked_while_its_answer_was_held_gets_none(api):
    """The code that came meanwhile is not for a key that is revoked."""
    order_id = api.shop.order_id()
    after(2, api, lambda: (api.callers.revoke(api.shop.id, api.clock()), api.bought(order_id)))
    assert code(api.shop.get(f"/v1/orders/{order_id}?wait=30")) == (401, "unauthorized")


def test_all_that_wait_share_one_look(clock):
    """Many waiters of many orders cost one round trip a look, and each is woken by its own change."""
    versions, looks = {("a", "v"): b"1", ("b", "v"): b"1"}, []
    entered, go_on = threading.Semaphore(0), threading.Event()

    def peek(spots):
        looks.append(set(spots))
        return [versions[spot] for spot in spots]

    def sleep(_):
        entered.release()
        go_on.wait(10)

    waiting = LongPoll(peek, most=8, per_caller=8, sleep=sleep, monotonic=clock)
    woken = []

    def wait(spot):
        with waiting.place("cal_1", 60) as place:
            woken.append((spot, place.until_changed(spot, b"1")))

    threads = [threading.Thread(target=wait, args=[spot]) for spot in [("a", "v")] * 3 + [("b", "v")] * 3]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=10)
    while len(waiting._watched) < 2 or waiting._watched.total() < 6:
        pass
    versions.update({("a", "v"): b"2", ("b", "v"): b"2"})
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(woken) == sorted([(("a", "v"), True)] * 3 + [(("b", "v"), True)] * 3)
    assert looks == [{("a", "v"), ("b", "v")}]
