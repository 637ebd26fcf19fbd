"""What the sandbox provider sells besides cheap numbers: its catalogue, its words, and the money."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sandbox_stage import EMAIL, SMS, START, Theatre
from tests.unit.sandbox_stage import RENTAL as RENTAL_ITEM
from web.sandbox import State
from web.sandbox.handlers import HANDLERS, IDS, KNOWN_ACTIONS, SMS_HANDLER
from web.sandbox.ledger import OrderEnded
from web.sandbox.orders import RENTAL

HOUR = 3600


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()


# The catalogue


def test_countries_are_keyed_by_type(theatre: Theatre):
    """getCountries answers as the vendor's page has it; without a type it lists all six."""
    assert json.loads(theatre.sms("getCountries", type="4"))["4"][0] == {"id": "33", "name": "Canada"}
    assert list(json.loads(theatre.sms("getCountries"))) == ["1", "2", "3", "4", "5", "6"]


def test_services_have_name_and_price_in_one_text(theatre: Theatre):
    """getServices answers code to text, the price being its last number and perhaps a decimal."""
    listed = json.loads(theatre.sms("getServices", type="4", country="33"))
    assert listed["tg"] == "Telegram - 45 PKR"
    assert listed["ab"] == "AirBnb - 376.88 PKR"
    assert listed["go"] == "Google - YouTube - 19.75 PKR"


def test_ids_belong_to_one_type(theatre: Theatre):
    """A country or a service of another type is refused."""
    assert theatre.sms("getNumber", service="tg", country="33", type="1") == "BAD_COUNTRY"
    assert theatre.sms("getNumber", service="tg", country="92", type="2") == "BAD_SERVICE"


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"action": "getCountries", "type": "7"}, "BAD_TYPE"),
        ({"action": "getServices", "country": "33"}, "BAD_TYPE"),
        ({"action": "getServices", "country": "nowhere", "type": "4"}, "[]"),
        ({"action": "getNumber", **SMS, "type": "0"}, "BAD_TYPE"),
        ({"action": "getNumber", **SMS, "country": "nowhere"}, "BAD_COUNTRY"),
        ({"action": "getNumber", **SMS, "service": "nothing"}, "BAD_SERVICE"),
        ({"action": "getStatus", "id": "nobody"}, "NO_ACTIVATION"),
        ({"action": "setStatus", "id": "nobody", "status": "5"}, "BAD_STATUS"),
        ({"action": "buyNumber"}, "BAD_ACTION"),
    ],
)
def test_sms_words(theatre: Theatre, query: dict[str, str], word: str):
    """What SMS OTP cannot do is answered with one of the family's words."""
    assert theatre.sms(**query) == word


def test_email_services_of_a_domain(theatre: Theatre):
    """getEmailServices lists code, name, price and stock; a domain that nobody sells has none."""
    listed = theatre.email("getEmailServices", domain="gmail.com")
    assert listed["services"][0] == {"service_code": "tg", "service_name": "Telegram", "price": "25.00", "count": 120}
    assert theatre.email("getEmailServices", domain="bad.invalid")["services"] == []


def test_price_moves_with_every_listing(theatre: Theatre):
    """A step is added after each reading, and a purchase costs what the next one would tell."""
    theatre.stage.change_items("sms", {"type": "4"}, "tg", {"step": Decimal("0.50")})
    first, second = (json.loads(theatre.sms("getServices", type="4", country="33"))["tg"] for _ in range(2))
    assert (first, second) == ("Telegram - 45 PKR", "Telegram - 45.50 PKR")
    assert theatre.bought("sms").price == 46


def test_guarded_price_refuses_until_it_is_read_again():
    """With the guard on, a price that has moved since it was listed is PRICE_CHANGED and costs nothing."""
    theatre = Theatre(price_guard=True)
    theatre.sms("getServices", type="4", country="33")
    theatre.stage.change_items("sms", {}, "tg", {"base": Decimal(50)})
    assert theatre.buy("sms") == "PRICE_CHANGED"
    assert theatre.stage.ledger.charges() == 0
    theatre.sms("getServices", type="4", country="33")
    assert theatre.bought("sms").price == 50


def test_stock_runs_out(theatre: Theatre):
    """Each sale takes one away; the last one gone is NO_NUMBERS."""
    theatre.stage.change_items("email", {"domain": "gmail.com"}, "tg", {"count": 1})
    theatre.bought("email")
    assert json.loads(theatre.buy("email")) == {"status": "400", "message": "NO_NUMBERS"}


def test_emptied_country_is_listed_no_more(theatre: Theatre):
    """What sells nothing is no country, and a catalogue without countries is an empty list."""
    theatre.stage.remove_items("sms", {"type": "4", "country": "33"}, None)
    assert [row["id"] for row in json.loads(theatre.sms("getCountries", type="4"))["4"]] == ["34"]
    theatre.stage.remove_items("sms", {"type": "4"}, None)
    assert theatre.sms("getCountries", type="4") == "[]"


# Money and life


@pytest.mark.parametrize(("product", "price"), [("sms", "45.00"), ("email", "25.00"), ("rental", "350.00")])
def test_purchase_costs_what_the_catalogue_says(theatre: Theatre, product: str, price: str):
    """All products are paid from one wallet, to the paisa."""
    order = theatre.bought(product)
    assert order.price == Decimal(price)
    assert theatre.sms("getBalance") == f"ACCESS_BALANCE:{Decimal(10_000) - order.price:.2f}"


@pytest.mark.parametrize("product", ["sms", "email", "rental"])
def test_poor_account_buys_nothing(product: str):
    """A balance below the price is LOW_BALANCE, in the handler's own manner, with a hint beside it."""
    theatre = Theatre(balance="1")
    assert "LOW_BALANCE" in theatre.buy(product)
    assert theatre.stage.ledger.orders() == ()


def test_empty_account_comes_with_a_hint():
    """The header says how to pay in, and the body stays the provider's word."""
    stage = Theatre(balance="1").stage
    answer = stage.answer({"api_key": "k", "action": "buyNumber", "server": "1", "type": "1"})
    assert answer.body == b"LOW_BALANCE"
    assert "/sandbox/refill" in answer.headers["X-Sandbox-Hint"]


def test_sms_purchase_line(theatre: Theatre):
    """getNumber answers id and number, without a plus and without seconds; it lives 20 minutes."""
    words = theatre.buy("sms").split(":")
    order = theatre.order()
    assert words == ["ACCESS_NUMBER", order.id, order.number.removeprefix("+")]
    assert order.expires_at - order.charged_at == 1200


def test_email_purchase(theatre: Theatre):
    """buyEmail answers an id and an address at the domain."""
    answer = json.loads(theatre.buy("email"))
    order = theatre.order()
    assert (answer["status"], answer["email_id"], answer["email"]) == ("200", order.id, order.address)
    assert order.address.endswith("@gmail.com")
    assert order.number == ""


def test_email_code_then_no_refund(theatre: Theatre):
    """202 while none has come, then the code; a cancel is refused from then on."""
    order = theatre.bought("email")
    assert theatre.email("getEmailCode", email_id=order.id)["status"] == "202"
    theatre.now += 8
    assert theatre.email("getEmailCode", email_id=order.id)["code"] == theatre.order().code
    theatre.now += 200
    assert theatre.email("cancelEmail", email_id=order.id)["message"] == "OTP_RECEIVED"
    assert theatre.stage.ledger.refunds() == 0


@pytest.mark.parametrize("product", ["sms", "email"])
def test_cancel_needs_two_minutes_and_no_code(product: str):
    """A cancel is refused before its time, granted and paid back after it, and pays once."""
    theatre = Theatre(code_after=None)
    order = theatre.bought(product)
    theatre.now += 119
    assert "EARLY_CANCEL_DENIED" in theatre.cancel(order)
    theatre.now += 1
    theatre.cancel(order)
    theatre.cancel(order)
    assert theatre.order().state is State.CANCELLED
    assert theatre.stage.ledger.balance == theatre.stage.ledger.start_balance


def test_cancelled_email_says_300(theatre: Theatre):
    """The vendor's status for what was cancelled shows on every later look."""
    theatre.stage.configure(code_after=None, cancel_after=0)
    order = theatre.bought("email")
    assert theatre.email("cancelEmail", email_id=order.id)["status"] == "300"
    assert theatre.email("getEmailCode", email_id=order.id)["status"] == "300"


@pytest.mark.parametrize("product", ["cheap", "sms", "email"])
def test_id_of_another_product_is_unknown(theatre: Theatre, product: str):
    """Each handler knows the orders of its own product only."""
    order = theatre.bought(product)
    answers = {
        "cheap": theatre.ask("cheap_handler.php", "getStatus", id=order.id),
        "sms": theatre.sms("getStatus", id=order.id),
        "email": theatre.email("getEmailCode", email_id=order.id)["message"],
    }
    assert [name for name, answer in answers.items() if answer != "NO_ACTIVATION"] == [product]


@pytest.mark.parametrize("handler", HANDLERS)
def test_wrong_key_is_refused_at_every_handler(handler: str):
    """BAD_KEY comes in the handler's own manner."""
    theatre = Theatre(api_key="right")
    answer = theatre.ask(handler, "getBalance")
    assert answer == "BAD_KEY" or json.loads(answer)["message"] == "BAD_KEY"


# Rentals


def test_rental_runs_from_the_purchase(theatre: Theatre):
    """A rental lasts the hours that were priced, and cannot be cancelled."""
    order = theatre.bought("rental")
    assert (order.state, order.expires_at) == (State.RENTED, START + 24 * HOUR)
    assert theatre.sms("setStatus", id=order.id, status="8") == "NO_ACTIVATION"
    theatre.now += 24 * HOUR
    assert theatre.order().state is State.ENDED
    assert theatre.stage.ledger.refunds() == 0


def test_rental_can_be_very_short():
    """For tests a rental lasts seconds, whatever its hours, and a renewal adds as many."""
    theatre = Theatre(rental_seconds=20)
    order = theatre.bought("rental")
    theatre.rental("renewRental", rental_id=order.id, duration="24")
    assert theatre.order().expires_at == START + 40


def test_renewal_is_charged_by_the_hour(theatre: Theatre):
    """Renewing costs the price per hour, lasts longer, and both charges stand in the journal."""
    order = theatre.bought("rental")
    answer = theatre.rental("renewRental", rental_id=order.id, duration="12")
    renewed = theatre.order()
    assert (answer["status"], renewed.expires_at) == ("200", START + 36 * HOUR)
    assert [entry.amount for entry in theatre.stage.ledger.journal] == [Decimal(350), Decimal(175)]
    assert renewed.price == 525


@pytest.mark.parametrize("hours", ["", "0", "-1", "1.5", "many", "99999"])
def test_renewal_needs_whole_hours(theatre: Theatre, hours: str):
    """What is no number of hours is refused and costs nothing."""
    order = theatre.bought("rental")
    assert theatre.rental("renewRental", rental_id=order.id, duration=hours)["message"] == "BAD_DURATION"
    assert theatre.stage.ledger.charges() == 350


def test_ended_rental_is_not_renewed(theatre: Theatre):
    """After its end a rental is no activation any more, and is none of mine."""
    order = theatre.bought("rental")
    assert len(theatre.rental("getMyRentals", provider="1")["data"]) == 1
    theatre.now += 24 * HOUR
    assert theatre.rental("renewRental", rental_id=order.id, duration="1")["message"] == "NO_ACTIVATION"
    assert theatre.rental("getMyRentals", provider="1")["data"] == []


def test_rental_catalogue(theatre: Theatre):
    """Countries have code and name, prices an id, a service, a price and hours."""
    assert theatre.rental("getRentalCountries", provider="1")["data"][0] == {"code": "PK", "name": "Pakistan"}
    priced = theatre.rental("getRentalPricing", provider="1", country_code="PK")["data"][0]
    assert priced == {"id": "101", "service": "WhatsApp", "price": "350.00", "duration": 24}


def texts(theatre: Theatre, order_id: str) -> list[str]:
    return [row["text"] for row in theatre.rental("getRentalSMS", order_id=order_id)["data"]]


def test_messages_by_hand(theatre: Theatre):
    """Messages show from their moment on, equal ones as often as they came, also after the end."""
    order = theatre.bought("rental")
    theatre.stage.message(None, "Your code is 4711.", times=2)
    theatre.stage.message(order.id, "later", after=60)
    assert texts(theatre, order.id) == ["Your code is 4711."] * 2
    theatre.now += 25 * HOUR
    assert texts(theatre, order.id)[-1] == "later"
    assert theatre.rental("getRentalSMS", order_id=order.id)["data"][0]["code"] == "4711"


def test_ended_rental_takes_no_message(theatre: Theatre):
    """What is sent after the end, or would come after it, reaches nobody."""
    order = theatre.bought("rental")
    theatre.stage.message(order.id, "too late", after=24 * HOUR)
    theatre.now += 25 * HOUR
    assert texts(theatre, order.id) == []
    with pytest.raises(OrderEnded):
        theatre.stage.message(order.id, "later still")


def test_messages_over_time():
    """One message comes each so many seconds, the same ones on every reading, none at the end."""
    theatre = Theatre(rental_seconds=20, message_every=5)
    order = theatre.bought("rental")
    theatre.now += 11
    early = texts(theatre, order.id)
    theatre.now += 100
    assert (len(early), len(texts(theatre, order.id))) == (2, 3)
    assert texts(theatre, order.id)[:2] == early


def test_messages_in_any_order():
    """The newest first, or shuffled anew on every reading, but always the same messages."""
    theatre = Theatre(rental_seconds=100, message_every=1, message_order="newest")
    order = theatre.bought("rental")
    theatre.now += 30
    newest = texts(theatre, order.id)
    theatre.stage.configure(message_order="oldest")
    assert texts(theatre, order.id) == newest[::-1]
    theatre.stage.configure(message_order="shuffled")
    readings = [texts(theatre, order.id) for _ in range(2)]
    assert sorted(readings[0]) == sorted(readings[1]) == sorted(newest)
    assert readings[0] != readings[1]


def test_list_of_messages_shrinks(theatre: Theatre):
    """With a limit only the latest are listed."""
    order = theatre.bought("rental")
    for number in range(3):
        theatre.now += 1
        theatre.stage.message(order.id, f"message {number}")
    theatre.stage.configure(message_limit=1)
    assert texts(theatre, order.id) == ["message 2"]


def test_earlier_tenants_messages_are_dated_before():
    """A number that others had lists their messages too, dated before the purchase."""
    theatre = Theatre(earlier_messages=2)
    theatre.stage.shape(dates="unix")
    order = theatre.bought("rental")
    dated = [row["date"] for row in theatre.rental("getRentalSMS", order_id=order.id)["data"]]
    assert len(dated) == 2
    assert all(date < order.charged_at for date in dated)


def test_rentals_at_both_paths(theatre: Theatre):
    """The handler of SMS OTP knows the same calls, and says their status in words."""
    theatre.ask(SMS_HANDLER, "rentNumber", pricing_id="101")
    answer = json.loads(theatre.ask(SMS_HANDLER, "getMyRentals", provider="1"))
    assert answer["status"] == "success"
    assert answer["data"] == theatre.rental("getMyRentals", provider="1")["data"]


@pytest.mark.parametrize(("path", "known"), [("rental-handler.php", [True, False]), ("handler_api.php", [False, True])])
def test_rentals_at_one_path(path: str, known: list[bool]):
    """A rule says which of the two handlers knows the rental calls; the other refuses them."""
    theatre = Theatre(rental_path=path)
    answers = [json.loads(theatre.ask(h, "getMyRentals")) for h in ("rental-handler.php", "handler_api.php")]
    assert ["data" in answer for answer in answers] == known


def test_message_is_no_use_to_a_number(theatre: Theatre):
    """Only rentals take messages; only those that are not rentals take a late code."""
    theatre.bought("cheap")
    with pytest.raises(LookupError):
        theatre.stage.message(None, "hello")


# Faults and the log


@pytest.mark.parametrize(
    ("handler", "action"), [(name, action) for name, handler in HANDLERS.items() for action in handler.actions]
)
def test_every_action_can_be_spoiled(theatre: Theatre, handler: str, action: str):
    """A fault fires at any action of any handler, and at that handler only if it says so."""
    theatre.stage.script({"action": action, "handler": handler, "kind": "word", "body": "ERROR_SQL"})
    others = [name for name in HANDLERS if name != handler]
    assert "ERROR_SQL" not in [theatre.ask(name, action) for name in others]
    assert theatre.ask(handler, action) == "ERROR_SQL"


@pytest.mark.parametrize(
    ("product", "kind", "expected"),
    [
        ("sms", "sibling_text", "{id},+{bare},900"),
        ("sms", "extra_fields", "ACCESS_NUMBER:{id}:{bare}:PK:1"),
        ("sms", "missing_id", "ACCESS_NUMBER::{bare}"),
        ("sms", "bad_seconds", "{id},{bare},soon"),
        ("email", "sibling_text", "ACCESS_NUMBER:{id}:{contact}"),
    ],
)
def test_purchase_in_another_form(theatre: Theatre, product: str, kind: str, expected: str):
    """A purchase is charged and in the books, in whatever form it is told."""
    handler_action: dict[str, Any] = {"sms": "getNumber", "email": "buyEmail"}
    theatre.stage.script({"action": handler_action[product], "kind": kind})
    answer = theatre.buy(product)
    order = theatre.order()
    bare = order.contact.removeprefix("+")
    assert answer == expected.format(id=order.id, bare=bare, contact=order.contact)


@pytest.mark.parametrize("product", ["sms", "email", "rental"])
def test_purchase_under_an_earlier_id(theatre: Theatre, product: str):
    """A second purchase can be told under the first one's id, though another product's is newer."""
    first = theatre.bought(product)
    theatre.bought("cheap")
    theatre.stage.script({"kind": "duplicate_id"})
    answer = theatre.buy(product)
    assert first.id in answer
    assert theatre.order().id not in answer


def test_log_knows_product_ids(theatre: Theatre):
    """The log narrows to an order whatever the parameter is called, and names the handler."""
    order = theatre.bought("email")
    theatre.poll(order)
    seen = theatre.stage.requests(order_id=order.id)
    assert [(row.action, row.handler) for row in seen] == [
        ("buyEmail", "email_handler.php"),
        ("getEmailCode", "email_handler.php"),
    ]


def test_books_tell_what_was_bought(theatre: Theatre):
    """The ledger shows product, item, price and messages of each order."""
    theatre.bought("email")
    theatre.bought("rental")
    theatre.stage.message(None, "hello")
    email, rental = theatre.stage.books()["orders"]
    assert {name: email[name] for name in ("product", *EMAIL)} == {"product": "email", **EMAIL}
    assert (rental["product"], rental["pricing_id"], rental["country_code"]) == (RENTAL, "101", "PK")
    assert rental["messages"][0]["text"] == "hello"
    assert json.dumps(theatre.stage.books())


# Whatever is asked


VALUES = ["1", "4", "8", "33", "tg", "101", "24", "gmail.com", "story-otp", "story-late-code", "\u0663", "-1", ""]
WORDS = st.sampled_from(VALUES)
GOOD = {**RENTAL_ITEM, **EMAIL, **SMS, "server": "1", "status": "8", "duration": "24"}
NAMES = ("type", "country", "service", "service_id", "domain", "pricing_id", "provider", "country_code", "duration")
ANY = st.tuples(st.sampled_from(sorted(HANDLERS)), st.sampled_from(sorted(KNOWN_ACTIONS)))
MONEY = st.sampled_from(
    [
        ("handler_api.php", "getNumber"),
        ("handler_api.php", "setStatus"),
        ("email_handler.php", "buyEmail"),
        ("email_handler.php", "cancelEmail"),
        ("rental-handler.php", "rentNumber"),
        ("handler_api.php", "renewRental"),
    ]
)
ASKED = st.tuples(
    MONEY | MONEY | ANY,
    st.dictionaries(st.sampled_from([*NAMES, "status"]), WORDS, max_size=1),
    st.integers(0, 5),
    st.sampled_from([0, 1, 100, 400]),
)


@given(st.lists(ASKED, min_size=1, max_size=12))
def test_money_is_conserved_over_all_products(asked: list[Any]):
    """Whatever is asked in whatever order: an answer, books that balance, and no rental paid back."""
    theatre = Theatre(balance="900", cancel_after=100, no_code_share=0.5)
    for (handler, action), query, position, wait in asked:
        orders = theatre.stage.ledger.orders()
        known = orders[position % len(orders)].id if orders else "nobody"
        theatre.ask(handler, action, **{**GOOD, **dict.fromkeys(IDS, known), **query})
        theatre.now += wait
        ledger = theatre.stage.ledger
        assert ledger.start_balance == ledger.balance + ledger.charges() - ledger.refunds()
        assert ledger.balance >= 0
        for order in ledger.orders():
            entries = [entry.kind for entry in ledger.journal if entry.order_id == order.id]
            assert ("refund" in entries) == (order.state is State.CANCELLED)
            assert order.product != RENTAL or "refund" not in entries
