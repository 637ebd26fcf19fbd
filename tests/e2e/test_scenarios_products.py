"""SMS OTP and Email OTP through the real processes: the same rules of money, other words, and prices that move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.e2e.invariants import spend_counted
from tests.e2e.plays import Play, Run, alerted, finish_and_judge, rows, season
from tests.e2e.provider import Script, buy, cancel, finish, poll, price
from tests.e2e.stack import BUY_BUDGET, BUY_DEADLINE, PLACES, TERMINAL, Stack
from web.sandbox import State

pytestmark = pytest.mark.e2e

CODE = "640913"
PRODUCTS = ("sms", "email")
LISTED = {"sms": "45", "email": "25.00"}
"""What the vendor asks for the service that is bought here."""
DEARER = {
    "sms": '{"tg":"Telegram - 52.50 PKR"}',
    "email": '{"status":"200","services":[{"service_code":"tg","service_name":"Telegram","price":"52.50"}]}',
}


def got(name: str, *faults: Script, **kwargs: Any) -> Play:
    """Bought, and its code is delivered."""
    expected: dict[str, Any] = {"settlement": "finished", "cancels": 0, "also": paid, **kwargs}
    return Play(name=name, faults=faults, sms=(CODE, 0.6), status="received", otp=CODE, **expected)


def refunded(name: str, *faults: Script, **kwargs: Any) -> Play:
    """Bought, without a code, and given back."""
    expected: dict[str, Any] = {"cancels": (1, 3), "also": paid, **kwargs}
    return Play(
        name=name, faults=faults, timeout=2.0, status="expired", settlement="refunded", finishes=0, **expected
    )  # fmt: skip


def unknown(name: str, *faults: Script, charged: int = 1) -> Play:
    """A purchase whose outcome nobody can know: one request, never a second, and the caller is told."""
    return Play(
        name=name, faults=faults, status="failed", settlement="unconfirmed", error="purchase_unknown",
        charged=charged, buys=1, cancels=0, also=alerted("purchase_unknown"),
    )  # fmt: skip


def unbought(name: str, *faults: Script, error: str, **kwargs: Any) -> Play:
    """Nothing was bought, and nothing will be."""
    return Play(
        name=name, faults=faults, status="failed", settlement="none", error=error, charged=0, cancels=0, **kwargs
    )


def paid(run: Run) -> None:
    """What was bought is told with the price that was paid for it; the contact is the ledger's."""
    (bought,) = run.charged
    assert run.order["price"] == LISTED[run.play.product]
    assert bought.price == pytest.approx(float(run.order["price"]))
    assert (run.order["number"], run.order["address"]) == (bought.number or None, bought.address or None)
    assert run.events()[0] == "order.number_assigned"


def paid_more(run: Run) -> None:
    """The price was read again after it had changed, and the second one was paid."""
    assert run.order["price"] == "52.50"
    assert [len(run.seen("buy")), len(run.seen("price"))] == [2, 2]


def never_asked(run: Run) -> None:
    """Not one purchase went out."""
    assert not run.seen("buy")
    assert run.seen("price")


def of_email(play: Play) -> Play:
    """An address is never finished: its code ends the purchase."""
    return replace(play, finishes=0 if play.status == "received" else play.finishes)


def for_each(product: str) -> list[Play]:
    """The scenarios that both products know."""
    limit = {"max_price": LISTED[product]}
    dearer = price("text", body=DEARER[product], skip=1)
    plays = [
        got("bought and received", finishes=1),
        got("at the very price that is allowed", fields=limit, finishes=1),
        got("no numbers twice", buy("word", body="NO_NUMBERS", times=2), buys=3),
        got("no numbers, quoted with a BOM", buy("text", body='\ufeff"NO_NUMBERS"\r\n'), buys=2),
        got("late, within the deadline", buy("as_is", delay=BUY_DEADLINE / 2, charged=True)),
        got("success under 500", buy("as_is", status=500, charged=True), flags=("odd_http_status",)),
        got("polls fail for a while", poll("http_error", times=3)),
        got("the price cannot be read, and nobody holds one against it", price("html", times=-1), also=None),
        got("price changed, then bought", buy("word", body="PRICE_CHANGED"), dearer, buys=2, also=paid_more),
        got(
            "price changed to what is still allowed", buy("word", body="ERR_PRICE_CHANGED"), dearer,
            fields={"max_price": "52.5"}, buys=2, also=paid_more,
        ),
        refunded("no code"),
        refunded("cancel times out and was done", cancel("as_is", delay=4, charged=True), also=None),
        refunded("too early at first", cancel("word", body="EARLY_CANCEL_DENIED")),
        unknown("bought, then silence", buy("silent", charged=True, delay=10)),
        unknown("bought, then reset", buy("reset", charged=True)),
        unknown("bought, then empty", buy("empty", charged=True)),
        unknown("bought, then 502", buy("http_error", charged=True)),
        unknown("bought, then HTML", buy("html", charged=True)),
        unknown("bought, then ERROR_SQL", buy("word", body="ERROR_SQL", charged=True)),
        unknown("bought, then a JSON error", buy("json_error", charged=True)),
        unknown("bought, then cut", buy("cut", size=10)),
        unknown("bought, without an id", buy("missing_id")),
        unknown("503 that cannot be told apart", buy("http_error", status=503), charged=0),
        unbought("no numbers for ever", buy("word", body="NO_NUMBERS", times=-1), error="no_numbers", buys=(3, 7)),
        unbought("bad service", buy("word", body="BAD_SERVICE"), error="provider_rejected"),
        unbought("above the price", fields={"max_price": "0.99"}, error="price_above_max", buys=0, also=never_asked),
        unbought(
            "price changed to what is too much", buy("word", body="PRICE_CHANGE", times=-1), dearer, fields=limit,
            error="price_above_max", buys=1,
        ),
        unbought(
            "price changes for ever", buy("word", body="PRICE_CHANGED", times=-1), error="provider_rejected", buys=2
        ),
        unbought(
            "the price cannot be read", price("html", times=-1), fields=limit, error="price_unknown", buys=0,
            also=never_asked, within=BUY_BUDGET + 30,
        ),
        unbought(
            "the service is not listed", price("text", body='{"xx":"Nobody - 1 PKR"}', times=-1), fields=limit,
            error="price_unknown", buys=0,
        ),
    ]  # fmt: skip
    return [replace(play, product=product, name=f"{product}: {play.name}") for play in plays]


SMS_PLAYS = [
    replace(play, product="sms", name=f"sms: {play.name}")
    for play in (
        got("sibling line", buy("sibling_text"), flags=("sibling_format",)),
        got("sibling JSON", buy("sibling_json"), flags=("sibling_format",)),
        got("finish is refused", finish("word", body="BAD_STATUS", times=2), finishes=3),
        unbought("bad country", buy("word", body="BAD_COUNTRY"), error="provider_rejected"),
    )
]
EMAIL_PLAYS = [
    replace(play, product="email", name=f"email: {play.name}")
    for play in (
        got(
            "refused with a text that nobody knows, then sold",
            buy("text", body='{"status":"400","message":"NO_NUMBERS","data":[]}'), buys=2,
        ),
        got("waiting with an empty code", poll("text", body='{"status":"202","code":"","data":[]}', times=2)),
        unbought(
            "refused with an unknown text", buy("text", body='{"status":"402","msg":"No."}'), error="provider_rejected"
        ),
        unknown("200 without an id", buy("text", body='{"status":"200","message":"ok","data":[]}', charged=True)),
        unknown("an unknown status", buy("text", body='{"status":"418","message":"NO_NUMBERS"}', charged=True)),
        unknown("refused, with data", buy("text", body='{"status":"400","data":{"email_id":"9"}}', charged=True)),
        unknown("a status that is missing", buy("text", body='{"message":"NO_NUMBERS"}', charged=True)),
    )
]  # fmt: skip
PLAYS = [*for_each("sms"), *SMS_PLAYS, *map(of_email, [*for_each("email"), *EMAIL_PLAYS])]


@pytest.fixture(scope="module")
def begun(playhouse: Stack, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Run]]:
    """All plays, begun at once."""
    yield from season(playhouse, request)


def test_orders_that_exceed_a_spend_cap_together_never_all_go_out(playhouse: Stack) -> None:
    """Accepted at a price that leaves room for two, and dearer when they are bought: one goes out, and counts."""
    shop = playhouse.add_caller("capped", "--max-spend-per-day", "100")
    stages = [playhouse.new_server() for _ in range(4)]
    for stage in stages:
        dearer = price("text", body=DEARER["sms"], skip=1, times=-1)
        playhouse.provider.stage(stage, dearer, sms=(CODE, BUY_BUDGET + 1), product="sms")
    with ThreadPoolExecutor(len(stages)) as at_once:
        assert set(at_once.map(lambda stage: listed_price(shop, stage), stages)) == {Decimal(LISTED["sms"])}
        answers = list(at_once.map(lambda stage: place(shop, "sms", stage), stages))
    assert [one.status_code for one in answers] == [202] * 4
    ends = [ended(playhouse, shop, one.json()["id"]) for one in answers]
    assert Counter(ends) == {("received", None): 1, ("failed", "spend_per_day"): 3}
    assert sum(len(playhouse.provider.bought(stage)) for stage in stages) == 1
    assert spend_counted(playhouse, "capped") == Decimal("52.50")
    assert listed_price(shop, stages[0]) == Decimal("52.50")
    refused = place(shop, "sms", stages[0])
    assert (refused.status_code, refused.json()["code"]) == (429, "spend_per_day")


def test_a_refund_gives_back_what_the_spend_cap_counted(playhouse: Stack) -> None:
    """The next order finds the room that the first one took."""
    shop = playhouse.add_caller("refunded", "--max-spend-per-day", LISTED["email"])
    for _ in range(2):
        stage = playhouse.new_server()
        playhouse.provider.stage(stage, product="email")
        order = place(shop, "email", stage, timeout=2).json()
        assert ended(playhouse, shop, order["id"]) == ("expired", None)
        assert [one.state for one in playhouse.provider.bought(stage)] == [State.CANCELLED]
        assert spend_counted(playhouse, "refunded") == 0


def place(shop: httpx.Client, product: str, stage: str, **fields: Any) -> httpx.Response:
    """POST an order of a caller's that plays on a stage."""
    return shop.post("/v1/orders", json={"product": product, **PLACES[product](stage), **fields})


def ended(stack: Stack, shop: httpx.Client, order_id: str) -> tuple[str, str | None]:
    """How a caller's order ended: its status, and the code of its error."""
    stack.owners[order_id] = shop
    order = stack.until(order_id, TERMINAL)
    return order["status"], (order["error"] or {}).get("code")


def listed_price(shop: httpx.Client, stage: str) -> Decimal:
    """What an SMS number costs that is bought on a stage, read anew."""
    told = shop.get("/v1/services", params={"country": stage, "type": "4", "refresh": "true"}).json()
    return next(Decimal(one["price"]) for one in told["services"] if one["code"] == "tg")


@pytest.mark.parametrize("play", rows(PLAYS))
def test_product(play: Play, begun: Callable[[Play], Run]) -> None:
    """Whatever the provider does, an order of any product is charged at most once and told as it is."""
    finish_and_judge(begun(play))
