"""Placing, reading, listing and cancelling orders over HTTP."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.api_stage import BODY, HOOK, Api, bad_fields, code
from worker.caller import Caps
from worker.errors import StoreUnavailable
from worker.event import endpoint_of
from worker.order import Status
from worker.store import Written


@pytest.fixture
def api(clock):
    return Api(clock)


def test_new_order_is_accepted_queued_and_due(api):
    """A POST answers 202 with the order and where it is, and a worker's clock will find it at once."""
    answer = api.shop.order(metadata={"user": 42}, purpose="sign-up", timeout=300)
    order = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/orders/{order['id']}"
    assert (order["status"], order["settlement"], order["number"], order["otp"]) == ("queued", "none", None, None)
    assert (order["metadata"], order["purpose"], order["callback_url"]) == ({"user": 42}, "sign-up", HOOK)
    assert api.due("buy") == {order["id"]: api.clock()}
    assert api.kept(order["id"]).timeout == 300


def test_order_has_the_contracts_fields(api):
    """The order shows exactly what the contract lists, in its order."""
    assert (
        list(api.shop.order().json)
        == (
            "id product status server type service country domain number address price max_price otp "
            "callback_url metadata purpose settlement error flags created_at bought_at expires_at received_at ended_at"
        ).split()
    )


def test_timeout_defaults_to_the_setting(clock):
    """An order that asks for none gets the configured timeout."""
    api = Api(clock, RINGBACK_ORDER_TIMEOUT="77")
    assert api.kept(api.shop.order_id()).timeout == 77


def test_callers_own_callback_serves_when_none_is_given(api):
    """Without callback_url the caller's own is used."""
    shop = api.new_caller("With", callback_url="https://caller.example/own")
    answer = shop.post("/v1/orders", json={"server": "1", "type": "1"})
    assert answer.json["callback_url"] == "https://caller.example/own"


def test_order_without_any_callback_is_accepted(api):
    """With no callback anywhere nothing is pushed: the order is taken, and says so."""
    answer = api.shop.post("/v1/orders", json={"server": "1", "type": "1"})
    assert (answer.status_code, answer.json["callback_url"]) == (202, None)
    assert api.kept(answer.json["id"]).callback_url == ""


def test_what_is_pushed_to_nobody_needs_no_proven_callback(api):
    """A caller that has to prove its callback may order without one."""
    shop = api.new_caller("Careful", verify_callback=True)
    assert shop.post("/v1/orders", json={"server": "1", "type": "1"}).status_code == 202


def test_null_is_no_metadata(api):
    """Every optional field takes a null."""
    nothing = dict.fromkeys(("callback_url", "metadata", "purpose", "timeout"))
    answer = api.shop.post("/v1/orders", json={"server": "1", "type": "1", **nothing})
    assert (answer.status_code, answer.json["metadata"]) == (202, {})


def test_all_bad_fields_come_at_once(api):
    """One answer lists every field that is wrong, the callback's judgement included."""
    wrong = {"server": 1, "callback_url": "https://inside.example/", "metadata": [], "timeout": True, "extra": 1}
    assert bad_fields(api.shop.post("/v1/orders", json=wrong)) == {
        "server": "wrong_type", "type": "required", "callback_url": "blocked_address", "metadata": "wrong_type",
        "timeout": "wrong_type", "extra": "unknown_field",
    }  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        {"server": ""}, {"server": "x" * 65}, {"server": "a\nb"}, {"server": "ü"}, {"server": "\x00"}, {"type": None},
        {"type": 1}, {"server": " 1"}, {"timeout": 0}, {"timeout": -1}, {"timeout": 86_401}, {"timeout": "5"},
        {"timeout": False}, {"purpose": "x" * 101}, {"purpose": "a\nb"}, {"purpose": "\x7f"}, {"purpose": 5},
        {"metadata": {"x": "y" * 4096}}, {"metadata": "{}"}, {"callback_url": ""},
        {"callback_url": 5}, {"callback_url": "https://caller.example/" + "x" * 2048}, {"callback_url": "ftp://x/"},
        {"callback_url": "http://caller.example/"}, {"callback_url": "https://unknown.example/"}, {"otp": "1"},
    ],
    ids=lambda field: json.dumps(field)[:30],
)  # fmt: skip
def test_bad_field_is_refused_and_nothing_stored(api, field):
    """A single bad field refuses the order by name, and leaves nothing behind."""
    assert set(bad_fields(api.shop.order(**field))) == set(field)
    assert not api.due("buy")


def test_metadata_may_be_sixteen_deep_and_no_deeper(api):
    """Sixteen objects inside one another pass, seventeen do not."""

    def nested(depth):
        return {"x": nested(depth - 1)} if depth > 1 else {}

    assert api.shop.order(metadata=nested(16)).status_code == 202
    assert bad_fields(api.shop.order(metadata=nested(17))) == {"metadata": "too_deep"}


def test_metadata_comes_back_untouched(api):
    """Big integers, other scripts and odd floats survive."""
    metadata = {"big": 12345678901234567890123, "text": "ناصر 🙂 \u2028", "float": 1e-7, "none": None, "list": [[], {}]}
    order_id = api.shop.order_id(metadata=metadata)
    assert api.shop.get(f"/v1/orders/{order_id}").json["metadata"] == metadata


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"server":"1","server":"2"}',
        b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"[" * 60_000, b'{"a":' + b"9" * 5_000 + b"}", b"{} {}",
    ],
)  # fmt: skip
def test_what_is_no_plain_json_is_refused(api, body):
    """Broken, ambiguous or endless JSON gets one clear answer."""
    answer = api.shop.post("/v1/orders", data=body, content_type="application/json")
    assert code(answer) == (400, "invalid_json")


@pytest.mark.parametrize("body", [b"[]", b'"{}"', b"null", b"5"])
def test_body_that_is_no_object_is_refused(api, body):
    """JSON that is no object is a bad body."""
    assert "body" in bad_fields(api.shop.post("/v1/orders", data=body, content_type="application/json"))


@pytest.mark.parametrize("where", ["metadata", "purpose", "server"])
def test_half_a_surrogate_pair_is_refused(api, where):
    """Text that is no Unicode never reaches the store."""
    value = '{"x":"\\ud800"}' if where == "metadata" else '"\\ud800"'
    body = json.dumps(BODY)[:-1] + f', "{where}": {value}' + "}" if where != "server" else '{"server":"\\ud800"}'
    assert where in bad_fields(api.shop.post("/v1/orders", data=body, content_type="application/json"))


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
)
def test_other_content_types_are_refused(api, kind):
    """Only JSON in UTF-8 is read."""
    answer = api.shop.post("/v1/orders", data=json.dumps(BODY), content_type=kind)
    assert code(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_64_kib_is_refused(api, chunked):
    """A body that is too long gets 413, whether its length is announced or not."""
    body = json.dumps({**BODY, "purpose": "x" * 70_000}).encode()
    sent: dict[str, Any] = {"data": body, "content_type": "application/json"}
    if chunked:
        sent["environ_overrides"] = {
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": "",
            "HTTP_TRANSFER_ENCODING": "chunked",
        }
    assert code(api.shop.post("/v1/orders", **sent)) == (413, "too_large")


def test_same_key_and_body_gives_the_first_answer_again(api):
    """A repeated POST buys once, however its body is spelled, and even when the caller has reached its cap."""
    first = api.shop.order("key-1", metadata={"a": 1, "b": 2})
    api.callers.limit(api.shop.id, Caps(max_in_flight=0))
    api.clock.advance(60)
    again = api.shop.post(
        "/v1/orders",
        data=json.dumps({"metadata": {"b": 2, "a": 1}, **BODY}, indent=3),
        content_type="application/json",
        headers={"Idempotency-Key": "key-1"},
    )
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(api.due("buy")) == 1


def test_replay_needs_no_name_server(api, monkeypatch):
    """The first answer comes again even when the callback's host no longer resolves."""
    api.shop.order("key-1")
    api.clock.advance(60)
    monkeypatch.setattr("tests.api_stage.ADDRESSES", {})
    assert api.shop.order("key-1").status_code == 202


def test_same_key_with_another_body_is_refused(api):
    """A key stands for one order."""
    api.shop.order("key-1")
    assert code(api.shop.order("key-1", server="2")) == (422, "idempotency_mismatch")


def test_keys_of_two_callers_do_not_meet(api):
    """A key belongs to its caller."""
    other = api.new_caller("Other")
    assert api.shop.order("key-1").json["id"] != other.order("key-1").json["id"]


def test_refused_order_does_not_use_up_its_key(api):
    """After a refusal the key may be used for the corrected order."""
    bad_fields(api.shop.order("key-1", server=""))
    assert api.shop.order("key-1").status_code == 202


def test_racing_twin_gets_the_answer_of_the_one_that_was_first(api, monkeypatch):
    """Two at once: the script decides, and the loser shows the winner's answer."""
    first = api.shop.order("key-1")
    monkeypatch.setattr(api.store, "replayed", lambda *_: None)
    again = api.shop.order("key-1")
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "ü"])
def test_odd_idempotency_key_is_refused(api, key):
    """A key is 1 to 255 printable characters."""
    assert list(bad_fields(api.shop.order(key))) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("switched_off", "buying_switched_off"), ("below_min_balance", "balance_below_floor")],
)
def test_closed_gate_refuses_new_orders(api, reason, expected):
    """While buying is off a new order gets 503, says why and when to ask again."""
    api.store.pause(reason, {})
    answer = api.shop.order()
    assert code(answer) == (503, expected)
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("cap", "caps"),
    [
        ("max_in_flight", Caps(max_in_flight=1)),
        ("orders_per_minute", Caps(orders_per_minute=1)),
        ("orders_per_day", Caps(orders_per_day=1)),
    ],
)
def test_reached_cap_is_named(api, cap, caps):
    """The order past a cap gets 429 with the cap's name and when to ask again."""
    shop = api.new_caller("Capped", caps=caps)
    shop.order_id()
    answer = shop.order()
    assert code(answer) == (429, cap)
    assert int(answer.headers["Retry-After"]) > 0


def test_unverified_callback_comes_before_the_first_order(api):
    """A caller that has to prove its callbacks orders for one that has answered a ping, and for no other."""
    shop = api.new_caller("Careful", callback_url=HOOK, verify_callback=True)
    assert code(shop.order()) == (409, "callback_unverified")
    before = api.callers.get(shop.id)
    assert api.store.save_caller(before, before.with_verified(endpoint_of(shop.id, HOOK))) is Written.SAVED
    api.clock.advance(3)
    assert shop.order().status_code == 202
    assert shop.order(callback_url=f"{HOOK}?order=7").status_code == 202
    for other in (f"{HOOK}/other", "https://caller.example/own"):
        assert code(shop.order(callback_url=other)) == (409, "callback_unverified")


def test_order_of_somebody_else_looks_like_none(api):
    """Reading or cancelling another's order answers as if it were not there."""
    order_id, other = api.shop.order_id(), api.new_caller("Other")
    missing = other.get("/v1/orders/ord_" + "0" * 24)
    for answer in (other.get(f"/v1/orders/{order_id}"), other.post(f"/v1/orders/{order_id}/cancel")):
        assert code(answer) == (404, "not_found")
        assert answer.data == missing.data
    assert api.kept(order_id).status is Status.QUEUED


@pytest.mark.parametrize("order_id", ["x", "ord_", "ord_" + "g" * 24, "ord_" + "0" * 25, "%00", "ord_1%2F.."])
def test_oddly_shaped_id_is_not_found(api, order_id):
    """What cannot be an id is not there."""
    assert code(api.shop.get(f"/v1/orders/{order_id}")) == (404, "not_found")


@pytest.mark.parametrize("wait", ["61", "-1", "x", "", "1.5", "1e1", "99999999999999", "5&wait=6"])
def test_odd_wait_is_refused(api, wait):
    """A wait is a whole number of seconds up to 60, given once."""
    order_id = api.shop.order_id()
    assert list(bad_fields(api.shop.get(f"/v1/orders/{order_id}?wait={wait}"))) == ["wait"]


def test_listing_pages_from_the_newest(api):
    """Pages follow one another without gap or overlap and end with a null cursor."""
    ids = []
    for _ in range(5):
        ids.append(api.shop.order_id())
        api.clock.advance(1)
    first = api.shop.get("/v1/orders?limit=2").json
    second = api.shop.get(f"/v1/orders?limit=2&cursor={first['next_cursor']}").json
    third = api.shop.get(f"/v1/orders?limit=2&cursor={second['next_cursor']}").json
    assert [one["id"] for page in (first, second, third) for one in page["data"]] == ids[::-1]
    assert third["next_cursor"] is None


def test_listing_by_status_shows_only_that(api):
    """A state filters, and only the caller's own orders are there."""
    bought, _ = api.shop.order_id(), api.shop.order_id()
    api.new_caller("Other").order_id()
    api.bought(bought)
    assert [one["id"] for one in api.shop.get("/v1/orders?status=waiting").json["data"]] == [bought]
    assert len(api.shop.get("/v1/orders").json["data"]) == 2


def test_long_walk_ends_a_page_early(api, monkeypatch):
    """A rare state does not make one request walk everything: the page ends and its cursor goes on."""
    monkeypatch.setattr("worker.store.blocking.MOST_WALKED", 100)
    for _ in range(101):
        api.shop.order_id()
        api.clock.advance(1)
    page = api.shop.get("/v1/orders?status=failed").json
    assert page["data"] == []
    assert api.shop.get(f"/v1/orders?status=failed&cursor={page['next_cursor']}").json["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=1_0", "status=lost", "cursor=x", "stauts=queued"])
def test_odd_listing_is_refused(api, query):
    """Listing takes what is described and nothing else."""
    assert list(bad_fields(api.shop.get(f"/v1/orders?{query}"))) == [query.split("=")[0]]


def test_cursor_of_somebody_else_is_not_found(api):
    """A cursor is one of the caller's own orders."""
    cursor = api.new_caller("Other").order_id()
    assert code(api.shop.get(f"/v1/orders?cursor={cursor}")) == (404, "not_found")


def test_cancel_before_the_purchase_never_buys(api):
    """A queued order ends at once, with its webhook and nothing left to buy."""
    order_id = api.shop.order_id()
    answer = api.shop.post(f"/v1/orders/{order_id}/cancel")
    assert (answer.status_code, answer.json["status"], answer.json["settlement"]) == (202, "cancelled", "none")
    assert not api.due("buy")
    assert [one["type"] for one in api.shop.get("/v1/events").json["data"]] == ["order.cancelled"]


def test_cancel_amid_the_purchase_waits_for_its_answer(api):
    """While the purchase is on its way, the cancel is noted and nobody looks before its deadline."""
    order_id = api.shop.order_id()
    order = api.kept(order_id)
    api.change(order, order.intend(api.clock()), "buy")
    assert api.shop.post(f"/v1/orders/{order_id}/cancel").json["status"] == "buying"
    assert api.kept(order_id).cancel_requested
    assert api.due("buy")[order_id] >= api.clock() + 20


def test_cancel_after_the_purchase_is_due_when_the_provider_allows(api):
    """A bought number is given back from 125 s after its purchase on."""
    order_id = api.shop.order_id()
    api.bought(order_id)
    answer = api.shop.post(f"/v1/orders/{order_id}/cancel")
    assert (answer.status_code, answer.json["status"]) == (202, "cancelling")
    assert api.due("settle") == {order_id: api.clock() + 125}
    assert not api.due("poll")


def test_cancel_twice_changes_nothing_more(api):
    """A second cancel, or one after the end, answers with the order as it is."""
    order_id = api.shop.order_id()
    first = api.shop.post(f"/v1/orders/{order_id}/cancel")
    version = api.kept(order_id).version
    again = api.shop.post(f"/v1/orders/{order_id}/cancel")
    assert (again.status_code, again.data) == (202, first.data)
    assert api.kept(order_id).version == version


def test_cancel_that_loses_a_race_is_tried_anew(api, monkeypatch):
    """A worker bought in between: the cancel then applies to the bought number."""
    order_id, save = api.shop.order_id(), api.store.save
    monkeypatch.setattr(
        api.store,
        "save",
        lambda *args, **kwargs: (monkeypatch.undo(), api.bought(order_id), save(*args, **kwargs))[-1],
    )
    assert api.shop.post(f"/v1/orders/{order_id}/cancel").json["status"] == "cancelling"


def test_cancel_is_in_the_journal(api):
    """The journal of money knows who asked."""
    order_id = api.shop.order_id()
    api.shop.post(f"/v1/orders/{order_id}/cancel")
    assert [line["kind"] for _, line in api.store.journal(0)] == ["caller_cancel"]


def test_unreachable_store_is_a_503(api, monkeypatch):
    """With the store away nothing is accepted, and the answer says when to ask again."""

    def gone(*_, **__):
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(api.store, "create", gone)
    answer = api.shop.order()
    assert code(answer) == (503, "store_unavailable")
    assert answer.headers["Retry-After"]


# Products.

SMS = {"product": "sms", "service": "tg", "country": "33", "type": "4"}
EMAIL = {"product": "email", "service": "tg", "domain": "gmail.com"}
NO_PRICES: list[Any] = [
    "abc", "-1", "1e9999", "", "NaN", "Infinity", "1,5", " 5", "5\n", "\u0665", "0x1", "1" * 10, 50, 4.5, True, [],
]  # fmt: skip


def placed(api, body):
    """An order without what all products share."""
    return api.shop.post("/v1/orders", json={"callback_url": HOOK, **body})


def test_an_order_of_a_product_shows_its_fields_and_no_others(api):
    """What its product does not have is null; a price that is the most is kept to the letter."""
    told = placed(api, {**SMS, "max_price": "50.00"}).json
    assert {name: told[name] for name in ("product", "service", "country", "type", "max_price")} == {
        **SMS, "max_price": "50.00",
    }  # fmt: skip
    assert [told[name] for name in ("server", "domain", "number", "address", "price")] == [None] * 5
    kept = api.kept(told["id"])
    assert (kept.product, kept.item, kept.max_price) == (
        "sms", {"service": "tg", "country": "33", "type": "4"}, Decimal("50.00"),
    )  # fmt: skip


def test_a_product_that_is_off_is_named(api):
    """422 with a code of its own, and the field."""
    answer = placed(api, EMAIL)
    assert code(answer) == (422, "product_disabled")
    assert answer.json["errors"][0]["field"] == "product"


def test_a_product_that_is_on_is_taken(clock):
    """RINGBACK_PRODUCTS says which."""
    api = Api(clock, RINGBACK_PRODUCTS="email")
    assert placed(api, EMAIL).status_code == 202
    assert code(placed(api, SMS)) == (422, "product_disabled")
    assert code(placed(api, {"server": "1", "type": "1"})) == (422, "product_disabled")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"product": "fax"}, {"product"}),
        ({"product": 7}, {"product"}),
        ({"product": None}, {"product"}),
        ({"product": "sms"}, {"service", "country", "type"}),
        ({**SMS, "type": "7"}, {"type"}),
        ({**SMS, "server": "1"}, {"server"}),
        ({**SMS, "service": "a b"}, {"service"}),
        ({"server": "1", "type": "1", "max_price": "5"}, {"max_price"}),
        ({"server": "1", "type": "1", "service": "tg"}, {"service"}),
        *[({**SMS, "max_price": bad}, {"max_price"}) for bad in NO_PRICES],
    ],
)  # fmt: skip
def test_what_does_not_belong_to_a_product_is_named(api, body, fields):
    """A wrong, missing or foreign field, and a price that is none."""
    assert set(bad_fields(placed(api, body))) == fields


def test_a_spend_cap_that_is_used_up_is_a_429(clock):
    """Named, with the seconds until the next day; a cheap number counts what the setting says."""
    api = Api(clock, RINGBACK_CHEAP_PRICE="10")
    shop = api.new_caller("Capped", caps=Caps(max_spend_per_day=Decimal("9.99")))
    answer = shop.order()
    assert code(answer) == (429, "spend_per_day")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize(
    ("listed", "age", "status"),
    [
        ([{"code": "tg", "price": "45.01"}], 0, 429),
        ([{"code": "tg", "price": "45"}], 0, 202),
        ([{"code": "tg", "price": "45.01"}], 1801, 202),
        ([{"code": "tg", "price": None}], 0, 202),
        ([{"code": "ab", "price": "376.88"}], 0, 202),
        (None, 0, 202),
    ],
)  # fmt: skip
def test_a_spend_cap_goes_by_the_price_that_was_last_read(clock, listed, age, status):
    """What it has no room for is refused; where the price is not known, the worker decides before it buys."""
    api = Api(clock)
    shop = api.new_caller("Capped", caps=Caps(max_spend_per_day=Decimal("45")))
    what, at = "services:sms:33:4", int(clock() * 1000)
    if listed is not None:
        kept: dict[Any, Any] = {what: json.dumps(listed), f"{what}:at": at, f"{what}:asked": at}
        api.raw.hset(f"rb:account:{what}", mapping=kept)
    clock.advance(age)
    assert shop.post("/v1/orders", json={"callback_url": HOOK, **SMS}).status_code == status
