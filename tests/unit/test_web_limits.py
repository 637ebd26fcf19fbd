"""What a caller may store and cause for free: bounded, told with 429, and no other caller's trouble."""

from __future__ import annotations

import json
import random

import pytest

from tests.api_stage import HOOK, Api, bad_fields, code
from worker.schedule import FREE_REFUSALS, LONGEST_HOLD, hold_after

pytestmark = pytest.mark.anyio


@pytest.fixture
def api(clock):
    return Api(clock)


def listed(api, *servers, type="1"):
    """A worker reads the servers of a type."""
    api.raw.hset("rb:account", f"servers:{type}", json.dumps([{"id": one, "name": one} for one in servers]))
    api.clock.advance(3)


def told(answer, expected):
    """The 429 that a caller got, with its time to wait."""
    assert code(answer) == (429, expected)
    return int(answer.headers["Retry-After"])


def test_server_that_the_provider_does_not_list_is_refused(api):
    """An order that the provider would refuse costs nobody a call; the field says which servers there are."""
    listed(api, "1", "2")
    answer = api.shop.order(server="9")
    assert bad_fields(answer) == {"server": "unknown_server"}
    assert "1, 2" in answer.json["detail"]
    assert api.shop.order(server="2").status_code == 202


def test_server_is_judged_by_its_own_type(api):
    """A server of the other type is none of this one."""
    listed(api, "1", type="1")
    listed(api, "3", type="2")
    assert bad_fields(api.shop.order(server="3", type="1")) == {"server": "unknown_server"}
    assert api.shop.order(server="3", type="2").status_code == 202


@pytest.mark.parametrize("servers", [None, ()])
def test_any_server_passes_while_none_is_known(api, servers):
    """Before a worker has read the list, and when the list was empty, orders are taken."""
    if servers is not None:
        listed(api, *servers)
    assert api.shop.order(server="9").status_code == 202


def test_stored_bytes_are_bounded_per_caller(api, clock):
    """A caller that fills its share is told; another orders on; and its share is free again after the retention."""
    api.store._storage = 200_000
    metadata = {"x": random.Random(1).randbytes(2000).hex()}  # what repeats itself is stored packed
    answers = [api.shop.order(f"key-{n}", metadata=metadata) for n in range(60)]
    refused = [one for one in answers if one.status_code != 202]
    assert 20 < len(answers) - len(refused) < 50
    assert told(refused[0], "storage_full") > 0
    assert api.new_caller("Other").order(metadata=metadata).status_code == 202
    api.clock.advance(9 * 86_400)
    assert api.shop.order(metadata=metadata).status_code == 202


def test_webhooks_count_as_stored_bytes(api):
    """What an order's events hold is the caller's too."""
    order_id = api.shop.order_id()
    before = sum(map(int, api.raw.hvals(f"rb:caller:{api.shop.id}:bytes")))
    api.shop.post(f"/v1/orders/{order_id}/cancel")
    assert sum(map(int, api.raw.hvals(f"rb:caller:{api.shop.id}:bytes"))) > before + 500


def test_caller_whose_orders_are_refused_is_held_off(api):
    """While the hold lasts its orders are 429 with the time that is left; another's are taken."""
    api.raw.set(f"rb:caller:{api.shop.id}:hold", 25, ex=32)
    assert told(api.shop.order(), "orders_refused") == 32
    assert api.new_caller("Other").order().status_code == 202
    api.clock.advance(33)
    assert api.shop.order().status_code == 202


def test_hold_doubles_with_each_refusal_up_to_a_bound():
    """The first refusals cost nothing, a stream of them soon ten minutes each."""
    assert [hold_after(n) for n in (1, FREE_REFUSALS - 1)] == [0, 0]
    assert [hold_after(FREE_REFUSALS + n) for n in range(3)] == [2, 4, 8]
    assert hold_after(FREE_REFUSALS + 1000) == LONGEST_HOLD


async def test_refused_orders_of_a_caller_hold_it_off(world):
    """It takes the provider's word on so many of a caller's orders, and holds nobody else off."""
    for _ in range(FREE_REFUSALS):
        await world.store.count_refusal("cal_a")
    assert world.raw.ttl("rb:caller:cal_a:hold") == 2
    assert not world.raw.exists("rb:caller:cal_b:hold")


def test_pings_and_redeliveries_share_a_limit_per_caller(clock):
    """Past it a caller is told; another pings on, and so does the first in the next minute."""
    api = Api(clock, RINGBACK_WEBHOOKS_PER_MINUTE="3")
    shop, other = (api.new_caller(name, callback_url=HOOK) for name in ("A", "B"))
    first = json.loads(shop.post("/v1/events/ping").text)["id"]
    assert shop.post(f"/v1/events/{first}/redeliver").status_code == 202
    assert shop.post("/v1/events/ping").status_code == 202
    for path in ("/v1/events/ping", f"/v1/events/{first}/redeliver"):
        wait = told(shop.post(path), "webhooks_per_minute")
    assert other.post("/v1/events/ping").status_code == 202
    api.clock.advance(wait)
    assert shop.post("/v1/events/ping").status_code == 202


def test_one_refresh_a_minute_and_caller(api):
    """A reading is asked for once; who wants it again is told when, and can read what is known."""
    assert api.shop.get("/v1/balance?refresh=true").status_code == 200
    assert told(api.shop.get("/v1/balance?refresh=true"), "refresh_per_minute") <= 60
    assert api.shop.get("/v1/balance").status_code == 200
    assert api.shop.get("/v1/servers?refresh=true").status_code == 200
    assert api.new_caller("Other").get("/v1/balance?refresh=true").status_code == 200
