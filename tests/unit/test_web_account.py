"""Balance and servers as the workers last read them."""

from __future__ import annotations

import json

import pytest

from tests.api_stage import Api, bad_fields
from worker.reading import BALANCE_EVERY, LISTING_EVERY
from worker.store import keys
from worker.store.codec import ms


@pytest.fixture
def api(clock):
    return Api(clock)


def read(api, what, value, ago=0.0):
    """A worker reads the account."""
    at = str(ms(api.clock() - ago))
    api.raw.hset("rb:account", mapping={what: value, f"{what}:at": at, f"{what}:asked": at})


def test_balance_never_read_is_unknown_and_stale(api):
    """Nothing is made up."""
    assert api.shop.get("/v1/balance").json == {
        "balance": None, "currency": "PKR", "as_of": None, "stale": True, "buying": {"paused": False, "reasons": []},
    }  # fmt: skip


def test_balance_is_the_decimal_that_was_read(api):
    """The text stays a decimal; a fresh one is not stale."""
    read(api, "balance", "500.00")
    told = api.shop.get("/v1/balance").json
    assert (told["balance"], told["as_of"], told["stale"]) == ("500.00", "2026-11-22T10:00:00.000Z", False)


@pytest.mark.parametrize(("ago", "stale"), [(3 * BALANCE_EVERY - 1, False), (3 * BALANCE_EVERY + 1, True)])
def test_balance_is_stale_once_three_readings_of_it_are_missing(api, ago, stale):
    """By its own interval."""
    read(api, "balance", "500.00", ago=ago)
    assert api.shop.get("/v1/balance").json["stale"] is stale


@pytest.mark.parametrize(("ago", "stale"), [(LISTING_EVERY - 1, False), (3 * LISTING_EVERY + 1, True)])
def test_servers_are_fresh_until_three_readings_of_them_are_missing(api, ago, stale):
    """They are read more seldom than the balance, and a healthy system says so at any moment."""
    read(api, "servers:1", "[]", ago=ago)
    assert api.shop.get("/v1/servers?type=1").json["stale"] is stale


def test_balance_is_stale_after_a_failed_reading(api):
    """The last good one is shown, and that it is no longer certain."""
    read(api, "balance", "500.00", ago=10)
    api.raw.hset("rb:account", "balance:asked", ms(api.clock()))
    told = api.shop.get("/v1/balance").json
    assert (told["balance"], told["stale"]) == ("500.00", True)


@pytest.mark.parametrize("what", ["balance", "servers?type=1"])
def test_a_provider_that_is_gone_is_said(api, what):
    """A reading is stale, and says why, before it is old."""
    read(api, "balance", "500.00")
    read(api, "servers:1", "[]")
    assert "reason" not in api.shop.get(f"/v1/{what}").json
    api.raw.hset("rb:account", "provider:away", ms(api.clock()))
    told = api.shop.get(f"/v1/{what}").json
    assert (told["stale"], told["reason"]) == (True, "provider_unreachable")


def test_pauses_are_shown_with_their_reasons(api):
    """Why nothing is bought, since when, and when that is looked at again."""
    api.store.pause("provider_banned", {"since": api.clock(), "probe_at": api.clock() + 60, "wait": 60})
    api.store.pause("switched_off", {})
    assert api.shop.get("/v1/balance").json["buying"] == {
        "paused": True,
        "reasons": [
            {
                "reason": "provider_banned",
                "item": None,
                "since": "2026-11-22T10:00:00.000Z",
                "probe_at": "2026-11-22T10:01:00.000Z",
            },
            {"reason": "switched_off", "item": None, "since": None, "probe_at": None},
        ],
    }


def test_items_that_are_paused_are_named(api):
    """One that is too dear for the balance is among the reasons, and buying goes on for the others."""
    api.raw.hset("rb:gate:items", "cheap/3/1", json.dumps({"since": api.clock(), "probe_at": None}))
    buying = api.shop.get("/v1/balance").json["buying"]
    assert (buying["paused"], len(buying["reasons"])) == (False, 1)
    assert (buying["reasons"][0]["reason"], buying["reasons"][0]["item"]) == ("insufficient_balance", "cheap/3/1")


def test_refresh_waits_for_a_worker(api):
    """A refresh asks, and answers with what a worker then read."""
    read(api, "balance", "500.00")
    api.on_sleep = lambda: len(api.slept) == 2 and read(api, "balance", "400.00")
    assert api.shop.get("/v1/balance?refresh=true").json["balance"] == "400.00"
    assert api.raw.hgetall("rb:refresh_requests") == {b"balance": b"1"}


def test_refresh_without_a_worker_ends_after_five_seconds(api):
    """What is known is shown when nobody reads anew."""
    read(api, "balance", "500.00")
    assert api.shop.get("/v1/balance?refresh=true").json["balance"] == "500.00"
    assert sum(api.slept) == pytest.approx(5)


def test_servers_are_those_of_the_type_asked_for(api):
    """Each type has its own list; one never read is null."""
    read(api, "servers:1", json.dumps([{"id": "1", "name": "Pakistan Server 1"}]))
    one, two = api.shop.get("/v1/servers").json, api.shop.get("/v1/servers?type=2").json
    assert (one["type"], one["servers"], one["stale"]) == ("1", [{"id": "1", "name": "Pakistan Server 1"}], False)
    assert two == {"type": "2", "servers": None, "as_of": None, "stale": True}


def test_servers_refresh_asks_for_that_type(api):
    """The wish names the type."""
    api.shop.get("/v1/servers?type=2&refresh=true")
    assert api.raw.hgetall("rb:refresh_requests") == {b"servers:2": b"1"}


@pytest.mark.parametrize("path", ["balance?refresh=1", "servers?type=3", "servers?type=1&x=", "balance?type=1"])
def test_odd_queries_are_refused(api, path):
    """Only what is described is understood."""
    assert len(bad_fields(api.shop.get(f"/v1/{path}"))) == 1


# The catalogue and the products on sale.


def read_listing(api, what, rows):
    """A worker reads a listing."""
    held, at = keys.readings(what), str(ms(api.clock()))
    api.raw.hset(held, mapping={what: json.dumps(rows), f"{what}:at": at, f"{what}:asked": at})


def test_countries_are_those_of_one_type(api):
    """As a worker last read them."""
    read_listing(api, "countries:4", [{"id": "33", "name": "Canada"}])
    told = api.shop.get("/v1/countries?type=4").json
    assert (told["type"], told["countries"], told["stale"]) == ("4", [{"id": "33", "name": "Canada"}], False)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("product=sms&country=33&type=4", "services:sms:33:4"),
        ("country=33&type=4", "services:sms:33:4"),
        ("product=email&domain=gmail.com", "services:email:gmail.com"),
    ],
)
def test_services_have_their_prices_as_decimals(api, query, what):
    """Of a place of a product; SMS OTP unless it is named."""
    rows = [{"code": "tg", "name": "Telegram", "price": "376.88", "count": None}]
    read_listing(api, what, rows)
    assert api.shop.get(f"/v1/services?{query}").json["services"] == rows


def test_a_listing_that_nobody_has_read_is_asked_for(api):
    """Whoever comes first waits briefly for a worker, and is told that there is none."""
    told = api.shop.get("/v1/services?country=33&type=4").json
    assert (told["services"], told["as_of"], told["stale"]) == (None, None, True)
    assert api.raw.hkeys("rb:refresh_requests") == [b"services:sms:33:4"]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {"country", "type"}),
        ("product=sms&country=33", {"type"}),
        ("product=sms&country=33&type=4&domain=x.y", {"domain"}),
        ("product=email", {"domain"}),
        ("product=email&domain=x.y&type=4", {"type"}),
        ("product=cheap", {"product"}),
        ("country=3:3&type=4", {"country"}),
        ("country=33&type=7", {"type"}),
    ],
)
def test_services_are_asked_for_by_the_fields_of_their_product(api, query, fields):
    """What is missing and what belongs to another product is named, all at once."""
    assert set(bad_fields(api.shop.get(f"/v1/services?{query}"))) == fields


def test_products_on_sale_are_listed_with_what_is_known_of_them(clock):
    """Those of RINGBACK_PRODUCTS alone, and whether the vendor documents them."""
    told = Api(clock, RINGBACK_PRODUCTS="sms,email").shop.get("/v1/products").json
    assert told == {
        "data": [
            {"product": "sms", "fields": ["service", "country", "type", "max_price"], "verified": True},
            {"product": "email", "fields": ["service", "domain", "max_price"], "verified": False},
        ]
    }
