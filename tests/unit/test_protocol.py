"""Bytes to replies: the word table, the rules that cost money, and what hostile bytes must not do."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.builders import CHEAP
from worker.provider.protocol import (
    LISTING_REJECTIONS,
    Balance,
    Bought,
    Cancelled,
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
    read_balance,
    read_buy,
    read_cancel,
    read_finish,
    read_listing,
    read_status,
)
from worker.provider.replies import BUY_REJECTIONS, Choice

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
READERS: dict[str, Callable[..., object]] = {
    "buy": partial(read_buy, CHEAP),
    "status": partial(read_status, CHEAP),
    "cancel": partial(read_cancel, CHEAP),
    "finish": partial(read_finish, CHEAP),
    "balance": partial(read_balance, CHEAP),
    "servers": partial(read_listing, CHEAP, "servers", {"type": "1"}),
}
HTML = b"<!DOCTYPE html><html><body>NO_NUMBERS, sorry, 502 Bad Gateway</body></html>"
EDGE = b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title><div id='cf-error-details'>"
SOLD = Bought("ORDER_ID_12345", "+923001234567", 900.0)

statuses = st.sampled_from([200, 201, 204, 301, 302, 400, 401, 403, 404, 429, 500, 502, 503])
ids = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=60).filter(
    lambda text: text not in set(Word)
)
phones = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


def read(action: str, body: bytes | str, status: int = 200, **headers: str):
    body = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return READERS[action](status, named, body, now=NOW)


# Every word, under every call.

COMMON = {
    "BAD_KEY": Declined(Word.BAD_KEY),
    "BAD_ACTION": Declined(Word.BAD_ACTION),
    "BANNED:'2026-2-13 12-00-00'": Declined(Word.BANNED, datetime(2026, 2, 13, 12, tzinfo=UTC).timestamp()),
}
UNKNOWN_ACTIVATION = {"NO_ACTIVATION": Missing(), "WRONG_ACTIVATION_ID": Missing()}
MEANINGS: dict[str, dict[str, object]] = {
    "buy": COMMON
    | {word: Declined(word) for word in BUY_REJECTIONS}
    | {"ACCESS_NUMBER:7:": Bought("7", None, 900.0, ("sibling_format", "odd_number"))},
    "status": COMMON
    | UNKNOWN_ACTIVATION
    | {
        "STATUS_WAIT_CODE": Waiting(),
        "STATUS_WAIT_RESEND": Waiting(),
        "STATUS_WAIT_RETRY": Waiting(),
        "STATUS_WAIT_RETRY:847293": Waiting(),
        "STATUS_OK:": Waiting(),
        "STATUS_OK:847293": Code("847293"),
        "STATUS_CANCEL": Cancelled(),
    },
    "cancel": COMMON
    | UNKNOWN_ACTIVATION
    | {
        "ACCESS_CANCEL": Done(Word.ACCESS_CANCEL),
        "ACCESS_CANCEL_ALREADY": Done(Word.ACCESS_CANCEL_ALREADY),
        "STATUS_CANCEL": Done(Word.STATUS_CANCEL),
        "EARLY_CANCEL_DENIED": Early(),
        "BAD_STATUS": CodeExists(Word.BAD_STATUS),
        "OTP_RECEIVED": CodeExists(Word.OTP_RECEIVED),
        "STATUS_OK:847293": CodeExists(Word.STATUS_OK),
    },
    "finish": COMMON
    | UNKNOWN_ACTIVATION
    | {
        "ACCESS_FINISH": Done(Word.ACCESS_FINISH),
        "ACCESS_ACTIVATION": Done(Word.ACCESS_ACTIVATION),
        "BAD_STATUS": Declined(Word.BAD_STATUS),
    },
    "balance": COMMON | {"ACCESS_BALANCE:500.00": Balance(Decimal("500.00"))},
    "servers": COMMON | {word: Declined(word) for word in LISTING_REJECTIONS} | {'{"1":[]}': Listing(())},
}
BODIES = sorted({*Word, *(body for table in MEANINGS.values() for body in table)})


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize("body", BODIES)
def test_each_word_means_one_thing_per_call(action, body):
    """A word means what the table says under its call, and is unclear under every other."""
    expected = MEANINGS[action].get(body, Unclear("error_sql" if body == "ERROR_SQL" else "unknown_body"))
    assert read(action, body) == expected


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize("status", [401, 403, 429, 500, 302])
def test_an_explicit_word_wins_over_the_status(action, status):
    """`BAD_KEY` is `BAD_KEY` whatever HTTP says."""
    assert read(action, "BAD_KEY", status) == Declined(Word.BAD_KEY)


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize("body", ["\ufeffBAD_KEY\r\n", ' \t"BAD_KEY"\n', '\r\n\ufeff "BAD_KEY" '])
def test_bom_white_space_and_one_pair_of_quotes_come_off(action, body):
    """Dressing around a body does not hide its word."""
    assert read(action, body) == Declined(Word.BAD_KEY)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        '""',
        "null",
        "[]",
        "{}",
        "bad_key",
        "BAD_KEY.",
        "BAD_KEY BAD_KEY",
        '""BAD_KEY""',
        "\0",
        HTML,
        "BANNED",
        "BANNED:",
        "BANNED:'",
        "BANNED:'2026-2-13 12-00-0",
        "BANNED:2026-2-13 12-00-00'",
    ],
)
@pytest.mark.parametrize("action", READERS)
def test_anything_but_a_whole_word_is_unclear(action, body):
    """Empty, cut, doubled, dressed up or quoted in a page: no proof of anything."""
    assert isinstance(read(action, body), Unclear)


def test_a_ban_until_an_impossible_date_has_no_end():
    """The ban counts, its date does not."""
    assert read("buy", "BANNED:'2026-13-45 99-00-00'") == Declined(Word.BANNED, None)


# Buying.


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("ORDER_ID_12345,+923001234567,900", SOLD),
        ("\ufeffORDER_ID_12345,923001234567,900\r\n", replace(SOLD, as_sold="923001234567")),
        ('"ORDER_ID_12345, +923001234567 ,900.0"', SOLD),
        ("a:b/c=,923001234567,1", Bought("a:b/c=", "+923001234567", 1.0, as_sold="923001234567")),
        (
            "ORDER_ID_12345,+923001234567,899.5,x",
            Bought("ORDER_ID_12345", "+923001234567", 899.5, ("extra_fields",)),
        ),
        ("ORDER_ID_12345,+923001234567", Bought("ORDER_ID_12345", "+923001234567", 900.0, ("bad_seconds",))),
        ("ORDER_ID_12345,+9230", Bought("ORDER_ID_12345", "+9230", 900.0, ("bad_seconds", "odd_number"))),
        ("ORDER_ID_12345,,900", Bought("ORDER_ID_12345", None, 900.0, ("odd_number",))),
        ("ORDER_ID_12345,?\x00\x1b,900", Bought("ORDER_ID_12345", "?", 900.0, ("odd_number",))),
        ("abcdef," + "9" * 99 + ",60", Bought("abcdef", "9" * 32, 60.0, ("odd_number",))),
        (
            "ACCESS_NUMBER:abc123:9230012345",
            Bought("abc123", "+9230012345", 900.0, ("sibling_format",), as_sold="9230012345"),
        ),
        (
            "ACCESS_NUMBER:abc123:9230012345:x",
            Bought("abc123", "+9230012345", 900.0, ("sibling_format", "extra_fields"), as_sold="9230012345"),
        ),
        (
            '{"activationId": 635468024, "phoneNumber": "79584567890", "activationCost": "12.5"}',
            Bought("635468024", "+79584567890", 900.0, ("sibling_format",), as_sold="79584567890"),
        ),
        (
            '{"order_id":"A1","phone":79584567890}',
            Bought("A1", "+79584567890", 900.0, ("sibling_format",), as_sold="79584567890"),
        ),
        (
            '{"orderId":"A1","number":"+79584567890"}',
            Bought("A1", "+79584567890", 900.0, ("sibling_format",)),
        ),
    ],
)
def test_a_success_is_adopted_in_every_shape(body, expected):
    """Whatever carries an id and looks like a sale is adopted, with what was odd as flags."""
    assert read("buy", body) == expected


@pytest.mark.parametrize("seconds", ["", "0", "-1", "abc", "1e3", "86401", "٩٠٠", "9" * 400, "inf", "nan"])
def test_bad_seconds_become_the_documented_life(seconds):
    """An id with a bad seconds field is adopted with 900 s."""
    assert read("buy", f"ORDER_ID_12345,+923001234567,{seconds}") == Bought(
        "ORDER_ID_12345", "+923001234567", 900.0, ("bad_seconds",)
    )


@pytest.mark.parametrize("status", [201, 302, 403, 429, 500, 502])
@pytest.mark.parametrize("body", ["ORDER_ID_12345,+923001234567,900", "ACCESS_NUMBER:1:923001234567"])
def test_a_success_under_any_status_is_adopted_and_flagged(status, body):
    """The id lets us cancel; dropping it loses money."""
    reply = read("buy", body, status)
    assert isinstance(reply, Bought)
    assert reply.flags[-1] == "odd_http_status"


@pytest.mark.parametrize(
    "body",
    [
        "ORDER_ID_12345",
        ",+923001234567,900",
        "NO_NUMBERS,923001234567,900",
        "ERROR_SQL:1,923001234567,900",
        "1,234.50",
        "Sorry,please try,again",
        "no luck 7,923001234567,900",
        "x" * 129 + ",923001234567,900",
        "ACCESS_NUMBER::923001234567",
        "ACCESS_NUMBER:",
        '{"error":"x","id":7}',
        '{"id":true,"number":"79584567890"}',
        '{"number":"79584567890"}',
        '{"id":"a b","number":"79584567890"}',
        '{"id":7,"number"',
        '{"a":' + "[" * 50_000,
        "ERROR_SQL",
        HTML,
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_without_a_whole_word_or_an_id_a_buy_is_unclear(body, status):
    """Nothing here proves a sale, and nothing proves that there was none."""
    assert isinstance(read("buy", body, status), Unclear)


def test_reasons_name_the_status_and_never_the_body():
    """What the provider wrote stays out of our reasons."""
    assert [read("buy", HTML, 502), read("buy", "", 200), read("buy", HTML, 200)] == [
        Unclear("http_502"),
        Unclear("empty_body"),
        Unclear("unknown_body"),
    ]


# Slowing down.


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("9" * 99, 3600.0),
        ("Sun, 22 Nov 2026 10:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 09:00:00 -0000", 0.0),
        ("Sun, 22 Nov 2099 09:00:00 GMT", 3600.0),
        *((nonsense, None) for nonsense in ["", "soon", "-5", "1.5", "٣٠", "Sun, 99 Nov 2026"]),
    ],
)
def test_429_is_throttling_with_its_retry_after(action, header, wait):
    """Seconds or a date, capped at an hour; nonsense is no wait."""
    assert read(action, HTML, 429, Retry_After=header) == Throttled(wait)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (EDGE, {}),
        (b"error code: 1015", {}),
        (b"<html>challenge</html>", {"CF_Mitigated": "challenge"}),
        (b"<h1>403 Forbidden</h1><hr>cloudflare</center>", {"CF_RAY": "8f0-SIN", "Server": "cloudflare"}),
    ],
)
def test_a_403_page_of_the_edge_itself_is_throttling(body, headers):
    """The request never got to the provider."""
    assert read("buy", body, 403, **headers) == Throttled(None)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (403, HTML, {}),
        (403, HTML, {"CF_RAY": "8f0-SIN", "Server": "cloudflare"}),
        (403, b"<script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>", {"CF_RAY": "8f0"}),
        (503, EDGE, {"Retry_After": "30"}),
        (200, EDGE, {}),
    ],
)
def test_a_page_that_only_passed_the_edge_is_unclear(status, body, headers):
    """The provider's script may have run, so the money may be gone."""
    assert isinstance(read("buy", body, status, **headers), Unclear)


# Polling.


@pytest.mark.parametrize(
    "code",
    [
        "001234",
        "873-319",
        "G-269986",
        " 12 34",
        "Your code: 1234. Don't share: ever",
        "<script>",
        "🔑 1",
        'a "b"',
        "a\x00\x1b[31mb",
        "a\nb",
    ],
)
@pytest.mark.parametrize(("status", "flags"), [(200, ()), (500, ("odd_http_status",))])
def test_a_code_is_all_behind_the_first_colon(code, status, flags):
    """Kept to the letter, whatever the provider writes and whatever HTTP says."""
    assert read("status", f"\ufeffSTATUS_OK:{code}\r\n", status) == Code(code, flags)


def test_a_quoted_code_loses_the_bodys_quotes_only():
    """One pair comes off the body, none off the code."""
    assert read("status", '"STATUS_OK:"12""') == Code('"12"')


def test_a_long_code_is_capped_and_flagged():
    """20 KB become 4,096 characters."""
    assert read("status", b"STATUS_OK:" + b"7" * 20_000) == Code("7" * 4096, ("code_capped",))


def test_bytes_that_are_no_utf8_are_replaced():
    """A code in another encoding still arrives, damaged but printable."""
    assert read("status", b"STATUS_OK:12\xff34") == Code("12\ufffd34")


@pytest.mark.parametrize("body", ["STATUS_OK:", "STATUS_OK: \t", '"STATUS_OK: "', "STATUS_WAIT_RETRY:1234"])
def test_no_code_or_an_old_one_is_waiting(body):
    """Nothing behind the colon is no code; what `STATUS_WAIT_RETRY` carries was delivered before."""
    assert read("status", body) == Waiting()


@pytest.mark.parametrize("body", ["STATUS_OK", "status_ok:1", "XSTATUS_OK:1", "<p>STATUS_OK:1</p>"])
def test_a_code_needs_its_whole_word(body):
    """A page that mentions the word is no code."""
    assert isinstance(read("status", body), Unclear)


def test_still_waiting_allocates_nothing():
    """The commonest answer is always the same object."""
    assert read("status", b"STATUS_WAIT_CODE") is read("status", b"STATUS_WAIT_CODE")


def test_codes_and_numbers_stay_out_of_reprs():
    """A reply in a log line or a traceback tells no secret."""
    assert "847293" not in repr(Code("847293"))
    assert "923001234567" not in repr(SOLD)


# Account.


@pytest.mark.parametrize("text", ["500.00", "0", "-3.5", "00012.10", "123456789012345.12345678"])
def test_a_balance_is_an_exact_decimal(text):
    """A decimal, never a float."""
    assert read("balance", f"ACCESS_BALANCE:{text}") == Balance(Decimal(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,234.50",
        "NaN",
        "Infinity",
        "1e5",
        "-",
        "--5",
        "5.",
        ".5",
        "+5",
        " 5",
        "5 PKR",
        "\u0665",
        "1" * 16,
        "1_0",
    ],
)
def test_a_balance_that_is_no_plain_decimal_is_unclear(text):
    """Unknown is better than wrong: buying may depend on it."""
    assert isinstance(read("balance", f"ACCESS_BALANCE:{text}"), Unclear)


def test_servers_are_those_of_the_type_asked_for():
    """Others are ignored, numbers become strings, a missing name is made up, junk entries are left out."""
    body = '{"1":[{"id":"1","name":"Pakistan\\u0007 1"},{"id":2},{"name":"x"},7,{"id":true}],"2":[{"id":"3"}]}'
    assert read("servers", body) == Listing((Choice("1", "Pakistan 1"), Choice("2", "Server 2")))


def test_a_listing_of_other_types_only_has_none_of_this_one():
    """A missing type is an empty one."""
    assert read("servers", '{"2":[{"id":"3","name":"India"}]}') == Listing(())


@pytest.mark.parametrize(
    "body", ["{}", "[]", "null", HTML, "", '{"error":"x"}', '{"1":{}}', '{"1":[7]}', '{"1":[', "[" * 50_000]
)
def test_what_lists_no_servers_is_unclear(body):
    """The last good list is better than an empty one made from an error page."""
    assert isinstance(read("servers", body), Unclear)


# Properties.


@given(action=st.sampled_from(list(READERS)), status=statuses, body=st.binary(max_size=300), header=st.text())
@example(action="servers", status=200, body=b'{"1":[{"id":"\\ud800"}]}', header="")
@example(action="servers", status=200, body=b'{"1":[{"id":' + b"9" * 5000 + b"}]}", header="")
def test_no_bytes_make_a_reader_raise(action, status, body, header):
    """Hostile bytes are a reply like any other, and its text can be encoded."""
    reply = read(action, body, status, Retry_After=header)
    str(reply).encode()


REJECTIONS = BUY_REJECTIONS | {text for text, word in CHEAP.words.items() if word in BUY_REJECTIONS}
"""What the provider may call a purchase that was not made, the other spellings of its words included."""
rejections = st.sampled_from([*sorted(BUY_REJECTIONS), "BANNED:'2026-2-13 12-00-00'"])


@given(word=rejections, at=st.integers(0, 30), junk=st.text(string.printable, max_size=5), cut=st.integers(0, 9))
@example(word="PRICE_CHANGED", at=12, junk="", cut=1)
def test_a_damaged_rejection_is_never_a_rejection(word, at, junk, cut):
    """Only an exact token declines a buy: what reads differently after cleaning proves nothing."""
    damaged = word[:at] + junk + word[at + cut :]
    reply = read("buy", damaged)
    if isinstance(reply, Declined):
        cleaned = damaged.strip(" \t\r\n\v\f")
        assert cleaned in REJECTIONS | {f'"{whole}"' for whole in REJECTIONS} or "BANNED:" in cleaned


@given(text=st.text(max_size=200), status=statuses)
def test_a_buy_declines_on_exact_tokens_only(text, status):
    """No other text under any status proves that nothing was bought, but for throttling."""
    reply = read("buy", text, status)
    assert not isinstance(reply, Declined) or reply.word in text
    assert not isinstance(reply, Throttled) or status in (403, 429)


@given(id=ids, phone=phones, plus=st.sampled_from(["", "+"]), seconds=st.integers(1, 86_400), status=statuses)
def test_a_success_line_is_read_back_as_it_was_written(id, phone, plus, seconds, status):
    """Whatever the id, number and seconds."""
    reply = read("buy", f"{id},{plus}{phone},{seconds}", status)
    flags = () if status == 200 else ("odd_http_status",)
    assert reply == Bought(id, f"+{phone}", seconds, flags, as_sold=None if plus else phone)


@given(id=ids, fields=st.lists(st.text(string.printable.replace(",", ""), max_size=20), max_size=3))
def test_an_id_with_a_phone_number_is_never_dropped(id, fields):
    """However damaged the rest of the line is, the id survives: with it we can cancel."""
    reply = read("buy", ",".join([id, "+923001234567", *fields]))
    assert isinstance(reply, Bought)
    assert (reply.activation, reply.number) == (id, "+923001234567")


@given(code=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4096))
def test_any_code_is_read_back_to_the_letter(code):
    """But for white space at the body's end, which belongs to the transport."""
    reply = read("status", f"STATUS_OK:{code}")
    kept = code.rstrip(" \t\r\n\v\f")
    assert reply == (Code(kept) if kept else Waiting())
