"""Rentals over HTTP: what is taken, what is shown, and that nothing is bought or renewed twice."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.api_stage import Api, bad_fields, code
from tests.builders import NOW, bought, sms
from worker.announce import announced
from worker.caller import Caps
from worker.order import ErrorCode
from worker.rental import Rental
from worker.schedule import Lane, Wake
from worker.store import Written

BODY = {"pricing": "101", "country": "PK", "callback_url": "https://caller.example/hook"}


@pytest.fixture
def api(clock):
    return Api(clock, RINGBACK_PRODUCTS="cheap,rental")


def rent(api, key=None, **fields):
    """POST a rental."""
    headers = {"Idempotency-Key": key} if key else {}
    return api.shop.post("/v1/rentals", json={**BODY, **fields}, headers=headers)


def renew(api, rental_id, key="renewal-1", **fields):
    """POST a renewal."""
    headers = {"Idempotency-Key": key} if key else {}
    return api.shop.post(f"/v1/rentals/{rental_id}/renew", json={"duration": 24, **fields}, headers=headers)


def written(api, before: Rental, after: Rental) -> Rental:
    """A worker changes a rental."""
    assert api.store.save(before, after, wake=Wake(Lane.POLL)) is Written.SAVED
    return after


def active(api) -> str:
    """A rental that is active, with two messages."""
    rental_id = rent(api).json["id"]
    queued = api.store.load_rental(rental_id)
    started = written(api, queued, queued.intend(NOW).start(bought(life=3600.0)))
    written(api, started, started.tell([sms("code 1111"), sms("code 2222", at=NOW + 2)], NOW + 3, 50))
    return rental_id


# Renting.


def test_rental_is_accepted(api):
    """202 with where it is read; the provider's provider is 1 unless said."""
    answer = rent(api, max_price="400.00", metadata={"user": 42})
    shown = answer.json
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/rentals/{shown['id']}")
    assert shown | {"id": "", "callback_url": ""} == {
        "id": "", "status": "queued", "pricing": "101", "country": "PK", "provider": "1", "number": None, "price": None,
        "max_price": "400.00", "messages": 0, "callback_url": "", "metadata": {"user": 42}, "purpose": None,
        "settlement": "none", "error": None, "flags": [], "created_at": "2026-11-22T10:00:00.000Z", "starts_at": None,
        "ends_at": None, "ended_at": None,
    }  # fmt: skip
    assert api.shop.get(answer.headers["Location"]).json == shown
    assert list(api.due("buy")) == [shown["id"]]


def test_key_rents_once(api):
    """The first answer again, byte for byte; another body is refused."""
    first, again = rent(api, "k"), rent(api, "k")
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert len(api.shop.get("/v1/rentals").json["data"]) == 1
    assert code(rent(api, "k", country="GB")) == (422, "idempotency_mismatch")


def test_rentals_are_off_by_default(clock):
    """Nothing is bought that nobody has switched on."""
    assert code(rent(Api(clock))) == (422, "product_disabled")


def test_every_bad_field_is_named(api):
    """All at once."""
    answer = api.shop.post("/v1/rentals", json={"pricing": "", "max_price": 4, "hours": 1})
    assert set(bad_fields(answer)) == {"pricing", "country", "max_price", "hours"}


def test_others_see_no_rental(api):
    """Neither the rental, nor its messages, nor its renewal."""
    rental_id, other = active(api), api.new_caller("Other")
    for path in ("", "/messages"):
        assert code(other.get(f"/v1/rentals/{rental_id}{path}")) == (404, "not_found")
    assert other.get("/v1/rentals").json == {"data": [], "next_cursor": None}


def test_rentals_and_orders_are_listed_apart(api):
    """Neither shows in the other's list."""
    order_id, rental_id = api.shop.order_id(), rent(api).json["id"]
    assert [one["id"] for one in api.shop.get("/v1/orders").json["data"]] == [order_id]
    assert [one["id"] for one in api.shop.get("/v1/rentals?status=queued").json["data"]] == [rental_id]
    assert api.shop.get("/v1/rentals?status=ended").json["data"] == []


# Messages.


def test_messages_come_in_pages(api):
    """In the order in which they were told; `after` goes on behind one."""
    path = f"/v1/rentals/{active(api)}/messages"
    page = api.shop.get(f"{path}?limit=1").json
    (first,) = page["data"]
    assert (first["text"], first["sender"], first["received_at"]) == ("code 1111", "Bank", "2026-11-22T10:00:01.000Z")
    for name in ("after", "cursor"):
        rest = api.shop.get(f"{path}?{name}={page['next_cursor']}").json
        assert ([one["text"] for one in rest["data"]], rest["next_cursor"]) == (["code 2222"], None)
    assert code(api.shop.get(f"{path}?after=msg_{'0' * 24}")) == (404, "not_found")


# Renewing.


def test_renewal_needs_a_key(api):
    """Without one it could be sent twice."""
    assert set(bad_fields(renew(api, active(api), key=None))) == {"Idempotency-Key"}


def test_renewal_is_asked_for_once(api):
    """The same key asks for nothing again; with another body it is refused."""
    rental_id = active(api)
    answer, again = renew(api, rental_id), renew(api, rental_id)
    assert (answer.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (202, 202, "true")
    assert api.store.load_rental(rental_id).renewals == 1
    assert code(renew(api, rental_id, duration=48)) == (422, "idempotency_mismatch")


def test_one_renewal_at_a_time(api):
    """A second one waits for the outcome of the first."""
    rental_id = active(api)
    renew(api, rental_id)
    assert code(renew(api, rental_id, "renewal-2")) == (409, "renewal_under_way")
    before = api.store.load_rental(rental_id)
    written(api, before, before.reject(ErrorCode.PRICE_ABOVE_MAX, "too dear", NOW))
    assert renew(api, rental_id, "renewal-2").status_code == 202


def test_only_an_active_rental_is_renewed(api):
    """Before its purchase and after its end there is nothing to renew."""
    assert code(renew(api, rent(api).json["id"])) == (409, "rental_not_active")


def test_nothing_is_renewed_while_buying_is_switched_off(api):
    """A renewal costs money like an order."""
    rental_id = active(api)
    api.store.pause("switched_off", {"since": NOW})
    assert code(renew(api, rental_id)) == (503, "buying_switched_off")


def test_hours_are_a_whole_number(api):
    """However JSON spells it; a part of an hour is none."""
    rental_id = active(api)
    assert set(bad_fields(renew(api, rental_id, duration=1.5))) == {"duration"}
    assert renew(api, rental_id, duration=24.0).status_code == 202
    assert api.store.load_rental(rental_id).renewal.hours == 24


# Events and catalogue.


def test_product_is_listed_as_unverified(api):
    """With its fields, since the vendor's page names little more than its calls."""
    listed = {one["product"]: one for one in api.shop.get("/v1/products").json["data"]}
    assert listed["rental"] == {
        "product": "rental", "fields": ["pricing", "country", "provider", "max_price"], "verified": False,
    }  # fmt: skip


def test_event_of_a_rental_names_it(api):
    """`rental` instead of `order`."""
    queued = api.store.load_rental(rent(api).json["id"])
    failed = queued.reject(ErrorCode.NO_NUMBERS, "none", NOW)
    assert api.store.save(queued, failed, wake=None, events=announced(queued, failed, NOW)) is Written.SAVED
    (event,) = api.shop.get("/v1/events").json["data"]
    assert (event["type"], event["rental"], event["order"]) == ("rental.failed", queued.id, None)


def test_a_spend_cap_goes_by_the_offer_that_was_last_read(api):
    """What it has no room for is refused."""
    shop = api.new_caller("Capped", caps=Caps(max_spend_per_day=Decimal("349.99")))
    assert shop.post("/v1/rentals", json=BODY).status_code == 202
    offers = [{"id": "101", "service": "WhatsApp", "price": "350.00", "duration": 24}]
    name, at = "rental_prices:PK:1", round(api.clock() * 1000)
    api.raw.hset(f"rb:account:{name}", mapping={name: json.dumps(offers), f"{name}:at": at, f"{name}:asked": at})
    assert shop.post("/v1/rentals", json=BODY).json["code"] == "spend_per_day"


def test_offers_are_shown_as_they_were_read(api):
    """And asked for where nobody has read them yet."""
    assert api.shop.get("/v1/rental-prices?country=PK").json == {
        "country": "PK", "provider": "1", "prices": None, "as_of": None, "stale": True,
    }  # fmt: skip
    assert api.raw.hgetall("rb:refresh_requests") == {b"rental_prices:PK:1": b"1"}
    offers = [{"id": "101", "service": "WhatsApp", "price": "350.00", "duration": 24}]
    at = str(round(api.clock() * 1000))
    name = "rental_prices:PK:1"
    api.raw.hset(f"rb:account:{name}", mapping={name: json.dumps(offers), f"{name}:at": at, f"{name}:asked": at})
    told = api.shop.get("/v1/rental-prices?country=PK").json
    assert (told["prices"], told["stale"]) == (offers, False)
