"""Answers of SMS OTP and Email OTP, in every shape that has been met, and whatever bytes may come."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW, PRODUCTS
from web.sandbox import Sandbox
from worker.provider import protocol
from worker.provider.catalogue import read_price
from worker.provider.replies import (
    BUY_REJECTIONS,
    Bought,
    Cancelled,
    Choice,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    Listing,
    Missing,
    Throttled,
    Unclear,
    Waiting,
    Word,
)

SMS, EMAIL = PRODUCTS["sms"], PRODUCTS["email"]
SOLD = Bought("12345", None, 1200.0, address="x@gmail.com")
READERS = {
    "buy": protocol.read_buy, "status": protocol.read_status, "cancel": protocol.read_cancel,
    "finish": protocol.read_finish, "balance": protocol.read_balance,
}  # fmt: skip
LISTINGS = {("sms", "countries"): {"type": "4"}, ("sms", "services"): {"country": "33", "type": "4"}}


def read(call: str, body: Any, product: Any = EMAIL, status: int = 200) -> Any:
    """A body, or what is to be JSON, as the reader of a call takes it."""
    text = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return READERS[call](product, status, {}, text, now=NOW)


def listed(body: Any, product: Any = SMS, listing: str = "services", **place: str) -> Any:
    """A listing's answer as it is read."""
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    where = place or {"country": "33", "type": "4"}
    return protocol.read_listing(product, listing, where, 200, {}, text, now=NOW)


# A purchase of an address.


@pytest.mark.parametrize("status", ["200", 200, 200.0, " 200 ", "success"])
@pytest.mark.parametrize("name", ["email_id", "id"])
@pytest.mark.parametrize("identity", ["12345", 12345])
def test_a_success_is_one_word_in_every_spelling(status: Any, name: str, identity: Any):
    """Text, number or word; the id stays text under each of its names."""
    assert read("buy", {"status": status, name: identity, "email": "x@gmail.com"}) == SOLD


@pytest.mark.parametrize("wrap", [lambda held: {"data": held}, lambda held: {"data": [held]}, lambda held: held])
def test_id_and_address_are_found_where_they_lie(wrap):
    """At the top, under data, or in a list there."""
    assert read("buy", {"status": "200", **wrap({"email_id": "12345", "email": "x@gmail.com"})}) == SOLD


@pytest.mark.parametrize("word", sorted(BUY_REJECTIONS))
@pytest.mark.parametrize("name", ["message", "msg", "error"])
@pytest.mark.parametrize("empty", [{}, {"data": []}, {"data": {}}, {"data": None}, {"data": ""}])
def test_a_refusal_that_holds_nothing_proves_that_nothing_was_bought(word: Word, name: str, empty: dict):
    """By the word in its text, wherever that stands."""
    assert read("buy", {"status": "400", name: word.value, **empty}) == Declined(word)


def test_a_refusal_with_a_text_that_nobody_knows_is_refused():
    """The table's reject set is the proof, not the text."""
    assert read("buy", {"status": "402", "message": "Sorry"}) == Declined(Word.REFUSED)
    assert read("buy", {"status": "402", "message": "Sorry"}, status=500) == Unclear("http_500")


def test_a_bare_word_counts_from_a_json_handler_too():
    """The family's words are the same everywhere."""
    assert read("buy", "NO_NUMBERS") == Declined(Word.NO_NUMBERS)
    assert read("buy", "ERR_PRICE_CHANGED") == Declined(Word.PRICE_CHANGED)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "200", "message": "ok"},
        {"status": "200", "data": []},
        {"status": "400", "message": "NO_NUMBERS", "email_id": "9"},
        {"status": "400", "message": "NO_NUMBERS", "email": "x@gmail.com"},
        {"status": "400", "message": "NO_NUMBERS", "data": {"anything": 1}},
        {"status": "400", "message": "NO_NUMBERS", "data": "12345"},
        {"status": "error", "message": "Internal error"},
        {"status": "418", "message": "NO_NUMBERS"},
        {"message": "NO_NUMBERS"},
        {"status": None, "message": "NO_NUMBERS"},
        {"status": True, "message": "NO_NUMBERS"},
        {"status": "", "message": "NO_NUMBERS"},
        ["200"],
        '{"status":"200","email_id":"12',
        "<html>NO_NUMBERS</html>",
        "",
        "REFUSED",
    ],
)
def test_anything_else_proves_nothing(body: Any):
    """Unknown is never asked again: not one of these is "not bought"."""
    assert isinstance(read("buy", body), Unclear)


def test_an_odd_success_is_adopted_and_says_so():
    """An id lets us cancel; dropping it loses money."""
    odd = {"email_id": "12345", "email": "x@gmail.com"}
    assert read("buy", odd).flags == ("odd_status",)
    assert read("buy", {"status": "200", "email_id": "12345"}).flags == ("odd_address",)
    assert read("buy", "12345,+923001234567,900").flags == ("sibling_format", "odd_address")


# A number's purchase.


def test_a_number_gets_its_plus_and_keeps_how_it_was_sold():
    """Both are known afterwards."""
    bought = read("buy", "ACCESS_NUMBER:abc123:9230012345", SMS)
    assert bought == Bought("abc123", "+9230012345", 1200.0, as_sold="9230012345")


@pytest.mark.parametrize("word", ["PRICE_CHANGED", "PRICE_CHANGE", "ERR_PRICE_CHANGED"])
def test_a_changed_price_is_one_word(word: str):
    """However it is spelled."""
    assert read("buy", word, SMS) == Declined(Word.PRICE_CHANGED)


def test_a_sibling_s_line_is_adopted_and_flagged():
    """The cheap handler's line from the SMS handler."""
    assert read("buy", "7a,+923001234567,900", SMS) == Bought("7a", "+923001234567", 900.0, ("sibling_format",))


# Looks.


@pytest.mark.parametrize("nothing", ["", None, False, 0, "  "])
def test_nothing_in_a_code_s_place_is_waiting(nothing: Any):
    """An empty code is no code."""
    assert read("status", {"status": "200", "code": nothing}) == Waiting()


def test_a_code_keeps_its_digits_as_they_were_written():
    """As a text, and as a number too long for any integer."""
    assert read("status", {"status": "200", "otp": "001234"}) == Code("001234")
    assert read("status", f'{{"status":"200","data":{{"code":{"9" * 5000}}}}}').text == "9" * 4096
    assert read("status", '{"status":200,"code":1.50}') == Code("1.50")


def test_what_a_look_shows():
    """Waiting, cancelled, unknown to the provider, and what cannot be read."""
    assert read("status", {"status": "202", "message": "Waiting"}) == Waiting()
    assert read("status", {"status": "300"}) == Cancelled()
    assert read("status", {"status": "400", "message": "NO_ACTIVATION"}) == Missing()
    assert read("status", {"status": "400", "message": "BAD_KEY"}) == Declined(Word.BAD_KEY)
    assert read("status", {"status": "400", "message": "?"}) == Unclear("refused")
    assert isinstance(read("status", {"code": "123456"}), Unclear)


def test_what_a_cancel_comes_to():
    """A refund on the status alone where the product has no word, a look where a code is there."""
    assert read("cancel", {"status": "300"}) == Done(Word.ACCESS_CANCEL)
    assert read("cancel", {"status": 200}) == Done(Word.ACCESS_CANCEL)
    assert read("cancel", {"status": "200", "code": "12345"}) == CodeExists(Word.STATUS_OK)
    assert read("cancel", {"status": "400", "message": "EARLY_CANCEL_DENIED"}) == Early()
    assert read("cancel", {"status": "400", "message": "OTP_RECEIVED"}) == CodeExists(Word.OTP_RECEIVED)
    assert isinstance(read("cancel", {"status": "200"}, SMS), Unclear)


# The catalogue.


@pytest.mark.parametrize(
    "body",
    [
        {"tg": "Telegram - 45 PKR", "ab": "AirBnb - 376.88 PKR"},
        {"4": {"tg": "Telegram - Rs 45", "ab": "AirBnb - Rs. 376.88"}},
        [{"code": "tg", "name": "Telegram", "price": "45"}, {"code": "ab", "name": "AirBnb", "price": 376.88}],
        {"4": [{"code": "tg", "name": "Telegram", "price": 45}, {"id": "ab", "name": "AirBnb", "cost": "376.88"}]},
    ],
)
def test_services_are_read_in_every_shape(body: Any):
    """Texts, wrapped, or rows; a price is an exact decimal."""
    assert listed(body) == Listing((Choice("tg", "Telegram", Decimal("45")), Choice("ab", "AirBnb", Decimal("376.88"))))


def test_a_bare_number_is_a_price():
    """There the code is the name."""
    assert listed('{"tg":45.50}') == Listing((Choice("tg", "tg", Decimal("45.50")),))


@pytest.mark.parametrize(
    "body",
    [
        {"4": [{"id": "33", "name": "Canada"}]},
        [{"id": 33, "name": "Canada"}],
        {"0": {"id": "33", "eng": "Canada"}},
    ],
)
def test_countries_are_read_in_every_shape(body: Any):
    """Keyed by type, a bare list, or numbered."""
    assert listed(body, listing="countries", type="4") == Listing((Choice("33", "Canada"),))


def test_an_empty_list_is_an_answer_and_an_empty_object_is_none():
    """`[]` says that there is nothing; the last good list stays for whatever says nothing."""
    assert listed("[]") == Listing(())
    assert listed({"status": "200", "services": []}, EMAIL, domain="x.y") == Listing(())
    for body in ("{}", "", "<html>", '{"error":"x"}', '{"status":"error","message":"x - 5"}', "[7]"):
        assert isinstance(listed(body), Unclear), body


def test_a_listing_that_is_refused_is_declined():
    """In the family's words, or in an envelope."""
    assert listed("BAD_COUNTRY") == Declined(Word.BAD_COUNTRY)
    assert listed({"status": "400", "message": "BAD_KEY"}, EMAIL, domain="x.y") == Declined(Word.BAD_KEY)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("Telegram - 45 PKR", "45"),
        ("Google - YouTube - 19.75 PKR", "19.75"),
        ("7eleven - Rs. 12.05", "12.05"),
        ("45.", "45"),
        ("1 for 2 - PKR 3", "3"),
    ],
)
def test_a_price_is_the_last_number_behind_the_last_dash(text: str, price: str):
    """Whatever stands in the name."""
    assert read_price(text) == Decimal(price)


@pytest.mark.parametrize(
    "text", ["", "Telegram", "X - free", "X - 1,234.50 PKR", "X - 0", "X - -5", "X - 1e9", "X - 1.2.3", "X - ٤٥"]
)
def test_a_price_that_could_be_read_two_ways_is_unknown(text: str):
    """Never zero, never a guess."""
    assert read_price(text) is None


# Properties.

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([*Word]),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["200", "202", "300", "400", "error", "999", 200, 400.0, None]) | values,
        "message": st.sampled_from([*Word]) | st.text(max_size=20),
        "data": values,
        "email_id": values,
        "email": values,
        "id": values,
        "code": values,
        "services": values,
    },
)


@given(
    body=st.binary(max_size=300) | values.map(json.dumps).map(str.encode) | envelopes.map(json.dumps).map(str.encode)
)
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("call", READERS)
def test_no_bytes_make_a_reader_raise(name: str, call: str, body: bytes):
    """Of any product, for any call."""
    assert read(call, body, PRODUCTS[name]) is not None


@given(body=st.binary(max_size=300) | values.map(json.dumps).map(str.encode))
@pytest.mark.parametrize("listing", LISTINGS, ids=":".join)
def test_no_bytes_make_a_listing_raise(listing: tuple[str, str], body: bytes):
    """Whatever it lists has a code and a name, and a price above zero if any."""
    product, name = listing
    reply = protocol.read_listing(PRODUCTS[product], name, LISTINGS[listing], 200, {}, body, now=NOW)
    for choice in reply.choices if isinstance(reply, Listing) else ():
        assert choice.code
        assert choice.name
        assert choice.price is None or choice.price > 0


@given(envelope=envelopes, status=st.sampled_from([200, 400, 500]))
def test_no_envelope_is_called_not_bought_without_proof(envelope: dict, status: int):
    """Only a status that refuses, beside nothing that was sold, is a proof."""
    reply = read("buy", envelope, status=status)
    if isinstance(reply, Declined):
        assert str(envelope["status"]).strip() in ("400", "400.0", "error")
        assert not envelope.get("data")
        assert reply.word is not Word.REFUSED or status < 500


@given(text=st.text(max_size=100))
def test_no_text_is_called_not_bought_without_a_word(text: str):
    """A whole word of the table, or throttling."""
    reply = read("buy", text)
    assert not isinstance(reply, Throttled)
    assert not isinstance(reply, Declined) or EMAIL.word(text.strip().strip('"')) or "BANNED" in text


# The sandbox's own reading of the page.


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        *((name, value) for name, values in {
            "status": ["text", "int", "float", "padded", "word"], "place": ["top", "data", "list"],
            "empty_data": ["absent", "null", "list", "object", "text"], "ids": ["text", "number"],
            "id_name": ["usual", "id"], "code_name": ["code", "otp"], "codes": ["text", "number"],
            "no_code": ["absent", "empty", "null", "false", "zero"], "prices": ["text", "number"],
            "message_name": ["message", "msg", "error"], "cancelled": ["300", "200"],
            "refusals": ["envelope", "words"],
        }.items() for value in values),
    ],
)  # fmt: skip
def test_every_shape_of_the_sandbox_s_mail_is_read(shape: str, value: str):
    """From the listing to the refund, an address lives the same life in every dress."""
    vendor = Sandbox(code_after=None, cancel_after=0, stories=True)
    vendor.shape(**{shape: value})
    ask = partial(_ask, vendor)
    assert listed(ask("getEmailServices", domain="gmail.com"), EMAIL, domain="gmail.com").find("tg").price == 25
    assert read("buy", ask("buyEmail", service_id="nothing", domain="gmail.com")) == Declined(Word.BAD_SERVICE)
    bought = read("buy", ask("buyEmail", service_id="tg", domain="gmail.com"))
    assert isinstance(bought, Bought)
    assert (bought.address or "").endswith("@gmail.com")
    assert bought.flags == ()
    assert read("status", ask("getEmailCode", email_id=bought.activation)) == Waiting()
    assert read("cancel", ask("cancelEmail", email_id=bought.activation)) == Done(Word.ACCESS_CANCEL)
    assert read("status", ask("getEmailCode", email_id=bought.activation)) == Cancelled()
    second = read("buy", ask("buyEmail", service_id="tg", domain="gmail.com"))
    vendor.arrive(second.activation, "847293")
    assert read("status", ask("getEmailCode", email_id=second.activation)) == Code("847293")
    assert read("cancel", ask("cancelEmail", email_id=second.activation)) == CodeExists(Word.OTP_RECEIVED)
    assert read("status", ask("getEmailCode", email_id="nobody's")) == Missing()


def _ask(vendor: Sandbox, action: str, **query: str) -> str:
    answer = vendor.answer({"api_key": "k", "action": action, **query}, "email_handler.php")
    return answer.sent_body().decode()
