"""The sandbox's control face without a socket: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.unit.sandbox_stage import Theatre
from web.sandbox.answers import Answer
from web.sandbox.calls import CALLS
from web.sandbox.control import direct
from web.sandbox.wire import Request

HOST = "127.0.0.1:9000"
FORM = "application/x-www-form-urlencoded"
PYTHON = re.compile(r"__init__|Traceback|<class|object is not|NoneType|expected str|unhashable|literal")
"""What only an exception of the language says."""


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()


def call(theatre: Theatre, method: str, target: str, body: Any = None, **headers: str) -> Answer:
    parts = urlsplit(target)
    query = dict(pair.split("=") for pair in parts.query.split("&") if pair)
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return direct(theatre.stage, Request(method, parts.path, query, named, True, sent), {"sandbox"})


def told(answer: Answer) -> Any:
    return json.loads(answer.body)


def post(theatre: Theatre, path: str, body: Any) -> Answer:
    return call(theatre, "POST", f"/sandbox/{path}", body, content_type="application/json")


def form(theatre: Theatre, path: str, **fields: str) -> Answer:
    return call(theatre, "POST", f"/sandbox/{path}", urlencode(fields).encode(), content_type=FORM)


# What is refused


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("faults", {"kind": "empty", "action": "buyPizza"}, "unknown action; known: *, buyEmail"),
        ("faults", {"kind": "empty", "handler": "pizza.php"}, "unknown handler; known"),
        ("faults", {"kind": "pizza"}, "unknown kind; known"),
        ("faults", {"kind": ["empty"]}, "unknown kind; known"),
        ("faults", {"kind": "empty", "colour": "red"}, "unknown: colour; known: action, body"),
        ("faults", {}, "kind is missing"),
        ("faults", [5], "not an object"),
        ("faults", "empty", "not an object"),
        ("config", {"price": None}, "price: not an amount of money"),
        ("config", {"code_after": "soon"}, "code_after: not a number of seconds"),
        ("config", {"cancel_after": {}}, "cancel_after: not a number of seconds"),
        ("config", {"message_limit": 1.5}, "message_limit: not a whole number"),
        ("config", {"rental_path": "elsewhere"}, "rental_path: not one of both, rental-handler.php"),
        ("config", {"stories": "yes"}, "stories: not true or false"),
        ("shapes", {"status": "roman"}, "status: not one of usual, text"),
        ("stories", {"story": "pizza"}, "unknown story; known: otp"),
        ("stories", {"story": "price-changed", "product": "cheap"}, "price-changed is a story of sms, email, rental"),
        ("stories", {"story": "otp", "times": -2}, "times: not a whole number"),
        ("stories", {}, "missing: story"),
        ("code", {"text": ""}, "text: not a string, or an empty one"),
        ("code", {"text": "1", "after": -1}, "after: a number of seconds must be finite and not negative"),
        ("code", {"text": "1", "late": "perhaps"}, "late: not true or false"),
        ("message", {"id": "7"}, "missing: text"),
        ("refill", {"amount": "much"}, "amount: not an amount of money"),
        ("refill", {"amount": "999999999999"}, "an amount of money must be between"),
        ("catalogue", {"product": "cheap"}, "product: not one of sms, email, rental"),
        ("catalogue", {"product": "email", "code": "tg", "country": "33"}, "unknown for email: country; known: domain"),
        ("catalogue", {"product": "sms", "code": "nothing", "price": 1}, "no such item in the catalogue"),
        ("catalogue", {"product": "sms", "price": 1}, "code is missing"),
        ("catalogue", {"product": "sms", "code": "x", "new": True}, "a new item needs type, country, price"),
        ("outage", {"seconds": 1, "kind": "flood"}, "kind: not one of 502, reset, hang"),
        ("reset", [], "the body is a JSON object"),
    ],
)
def test_bad_call_is_refused_in_words(theatre: Theatre, path: str, body: Any, words: str):
    """What makes no sense is a 400 that names the field and what is known, and changes nothing."""
    before = theatre.stage.books(), theatre.stage.configure(), theatre.stage.shape(), theatre.stage.items()
    answer = post(theatre, path, body)
    assert (answer.status, words in told(answer)["error"]) == (400, True), told(answer)
    assert not PYTHON.search(told(answer)["error"])
    assert (theatre.stage.faults(), theatre.stage.stories()) == ([], [])
    assert before == (theatre.stage.books(), theatre.stage.configure(), theatre.stage.shape(), theatre.stage.items())


@pytest.mark.parametrize("one", [one for one in CALLS if one.takes], ids=lambda one: f"{one.method} {one.path}")
@pytest.mark.parametrize("value", [None, True, 1e400, -1, [], {}, "\ud800"])
def test_no_value_shows_an_error_of_python(theatre: Theatre, one: Any, value: Any):
    """Whatever stands in a field, the answer is JSON, and a refusal is in words."""
    for name in one.takes:
        answer = post(theatre, one.path.removeprefix("/sandbox/"), {name: value}) if one.method == "POST" else None
        if answer is not None and answer.status != 200:
            assert not PYTHON.search(told(answer)["error"]), told(answer)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b'{"balance": 5}', 415),
        (FORM, b'{"balance": 5}', 415),
        ("application/json", b"{", 400),
        ("application/json", b'"\xff"', 400),
        ("application/json; charset=utf-8", b'{"balance": 5}', 200),
        ("", b'{"balance": 5}', 200),
    ],
)
def test_type_of_a_body(theatre: Theatre, content_type: str, body: bytes, status: int):
    """JSON that calls itself something else is refused, and never quietly ignored."""
    answer = call(theatre, "POST", "/sandbox/balance", body, content_type=content_type)
    assert answer.status == status
    assert (theatre.stage.ledger.balance == 5) == (status == 200)


def test_broken_json_says_where(theatre: Theatre):
    """The error names line and column."""
    answer = call(theatre, "POST", "/sandbox/balance", b'{"balance": 5,}')
    assert told(answer)["error"] == "the body is not valid JSON: line 1, column 15"


def test_unknown_query_is_refused(theatre: Theatre):
    """A parameter that a reading call does not know is refused too."""
    assert call(theatre, "GET", "/sandbox/requests?colour=red").status == 400
    assert told(call(theatre, "GET", "/sandbox/requests?limit=many"))["error"].startswith("limit: not a whole number")


def test_wrong_method_says_which(theatre: Theatre):
    """A call that is there with another method is a 405 that names it."""
    answer = call(theatre, "DELETE", "/sandbox/refill")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert call(theatre, "GET", "/sandbox/nothing").status == 404


# Who may call


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:9000", True),
        ("localhost:9000", True),
        ("ringback.localhost", True),
        ("[::1]:9000", True),
        ("10.1.2.3:9000", True),
        ("sandbox:9000", True),
        ("attacker.invalid:9000", False),
        ("localhost.attacker.invalid", False),
        ("127.0.0.1.attacker.invalid", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_is_an_address_or_a_name_of_ours(theatre: Theatre, host: str, allowed: bool):
    """A foreign name that was made to lead here neither reads nor directs, though its origin matches."""
    answers = [
        call(theatre, "GET", "/sandbox/ledger", host=host, origin=f"http://{host}"),
        call(theatre, "POST", "/sandbox/refill", host=host, origin=f"http://{host}"),
        call(theatre, "GET", "/sandbox/", host=host),
    ]
    assert [answer.status for answer in answers] == ([200] * 3 if allowed else [403] * 3)
    assert (theatre.stage.ledger.balance == 10_500) == allowed


@pytest.mark.parametrize("origin", ["https://elsewhere.invalid", "null", "http://127.0.0.1:9001", "http://["])
def test_foreign_origin_is_refused(theatre: Theatre, origin: str):
    """A page of another origin directs nothing, though it asks by a good name."""
    assert call(theatre, "POST", "/sandbox/refill", origin=origin).status == 403
    assert theatre.stage.ledger.balance == 10_000


# What is done


def test_refill_pays_in(theatre: Theatre):
    """500 PKR unless it says how much."""
    assert told(post(theatre, "refill", {})) == {"balance": "10500.00"}
    assert told(post(theatre, "refill", {"amount": "0.50"})) == {"balance": "10500.50"}


def test_story_over_the_control_face(theatre: Theatre):
    """A story is asked for, listed, and forgotten."""
    wish = {"story": "no-code", "product": "sms", "times": 2}
    assert told(post(theatre, "stories", wish)) == {"stories": [wish]}
    assert told(call(theatre, "DELETE", "/sandbox/stories")) == {"stories": []}


def test_order_is_directed(theatre: Theatre):
    """An order is sent a code, a late one, or into a story, by its id; a rental a message."""
    order, rental = theatre.bought("sms"), theatre.bought("rental")
    assert told(post(theatre, "play", {"id": order.id, "story": "no-code"}))["story"] == "no-code"
    assert told(post(theatre, "code", {"id": order.id, "text": "12", "late": True}))["state"] == "waiting"
    assert told(post(theatre, "message", {"text": "hello", "times": 3}))["id"] == rental.id
    assert len(theatre.order(rental.id).messages) == 3


def test_catalogue_is_changed(theatre: Theatre):
    """Prices, steps and stock change wherever product, place and code match; items come and go."""
    changed = told(post(theatre, "catalogue", {"product": "sms", "type": "4", "code": "tg", "price": "376.88"}))
    assert [item["price"] for item in changed["items"]] == ["376.88", "376.88"]
    new = {"product": "email", "domain": "mail.invalid", "code": "zz", "price": 1, "name": "New", "new": True}
    assert post(theatre, "catalogue", new).status == 200
    assert theatre.email("getEmailServices", domain="mail.invalid")["services"][0]["service_name"] == "New"
    assert post(theatre, "catalogue", new).status == 400
    post(theatre, "catalogue", {"product": "email", "domain": "mail.invalid", "remove": True})
    assert theatre.email("getEmailServices", domain="mail.invalid")["services"] == []


def test_root_leads_to_the_page(theatre: Theatre):
    """Whoever opens the address in a browser finds the page."""
    assert call(theatre, "GET", "/").headers["Location"] == "/sandbox/"


# The pages


HOSTILE = '<script>alert("1")</script>\u202e'


def pages(theatre: Theatre) -> str:
    targets = ["/sandbox/", "/sandbox/orders", *(f"/sandbox/order?id={one.id}" for one in theatre.stage.orders())]
    answers = [call(theatre, "GET", target) for target in targets]
    assert [answer.status for answer in answers] == [200] * len(targets)
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
    return "".join(answer.body.decode() for answer in answers)


def test_pages_escape_all_that_comes_from_outside(theatre: Theatre):
    """Codes, messages, items and names of others are text, never markup."""
    item = {"product": "rental", "provider": "1", "country_code": HOSTILE, "code": HOSTILE, "name": HOSTILE}
    post(theatre, "catalogue", {**item, "price": 1, "hours": 1, "new": True})
    theatre.bought("rental", HOSTILE)
    theatre.stage.message(None, HOSTILE)
    theatre.stage.arrive(theatre.bought("cheap").id, HOSTILE)
    assert "<script" not in pages(theatre)


def test_pages_have_no_inline_style_or_script(theatre: Theatre):
    """They hold under their policy, fit a phone, and follow its colours."""
    theatre.bought("cheap")
    shown = pages(theatre)
    assert not re.search(r"<style|style=|<script|\son\w+=", shown)
    assert shown.count('name="viewport"') == shown.count("<html")
    assert b"color-scheme: light dark" in call(theatre, "GET", "/sandbox/sandbox.css").body


def test_every_control_of_a_form_has_a_label(theatre: Theatre):
    """Whoever hears the page knows what each field is."""
    theatre.bought("cheap")
    theatre.bought("rental")
    unlabelled = re.sub(r"<label.*?</label>", "", pages(theatre), flags=re.DOTALL)
    assert not re.search(r'<(select|input(?! type="hidden"))', unlabelled)


def test_forms_do_what_they_say(theatre: Theatre):
    """Each form on the pages is taken as a browser sends it, empty fields and all, and leads back."""
    order, rental = theatre.bought("sms"), theatre.bought("rental")
    assert form(theatre, "code", id=order.id, text="12 34", after="0", late="on").headers["Location"] == "/sandbox/"
    assert form(theatre, "message", id="", text="hello", sender="Bank", after="0").status == 303
    assert form(theatre, "stories", story="otp", product="").status == 303
    assert form(theatre, "refill", amount="1").status == 303
    assert form(theatre, "play", id=rental.id, story="no-code").status == 303
    assert form(theatre, "message?back=orders", id=rental.id, text="x").headers["Location"] == "/sandbox/orders"
    assert [one.sender for one in theatre.order(rental.id).messages] == ["Bank", "Sandbox"]
    assert theatre.stage.stories() == [{"story": "otp", "product": None, "times": 1}]


def test_form_that_fails_is_a_page(theatre: Theatre):
    """A form that cannot be done says why, escaped, with a way back."""
    answer = form(theatre, "code", id="<b>nobody</b>", text="1")
    assert (answer.status, b"no such order" in answer.body) == (404, True)
    assert b"<b>" not in answer.body
    assert b'href="/sandbox/"' in answer.body


def test_rows_offer_what_can_be_done(theatre: Theatre):
    """Each waiting order can be sent a code and each rental a message with one press; an ended one nothing."""
    rows = "/sandbox/code?back=orders", "/sandbox/message?back=orders"
    theatre.bought("cheap")
    theatre.bought("rental")
    page = call(theatre, "GET", "/sandbox/orders").body.decode()
    assert [page.count(row) for row in rows] == [1, 1]
    theatre.now += 10**6
    page = call(theatre, "GET", "/sandbox/orders").body.decode()
    assert [page.count(row) for row in rows] == [0, 0]


def test_page_says_when_the_money_is_spent(theatre: Theatre):
    """An account that buys nothing more comes with the way to refill it."""
    assert b"spent" not in call(theatre, "GET", "/sandbox/orders").body
    theatre.stage.set_balance("9.99")
    assert b"POST /sandbox/refill" in call(theatre, "GET", "/sandbox/orders").body
