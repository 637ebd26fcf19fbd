"""A rental's answers, as the sandbox gives them in every shape, and what is read in them."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from tests.builders import PRODUCTS
from tests.unit.sandbox_stage import START, Theatre
from web.sandbox.handlers import RENTAL_HANDLER
from worker.provider.protocol import read_buy, read_listing, read_messages, read_renewal
from worker.provider.replies import Bought, Declined, Listing, Messages, Missing, Renewed, Unclear, Word
from worker.rental import Sms

RENTAL = PRODUCTS["rental"]
HOURS = 3600.0
STATUSES = ("text", "int", "float", "padded", "word")
EMPTY = ("absent", "null", "list", "object", "text")


def read(reader: Any, body: str | bytes, status: int = 200) -> Any:
    """What a reader makes of a body."""
    return reader(RENTAL, status, {}, body if isinstance(body, bytes) else body.encode(), now=START)


def asked(theatre: Theatre, action: str, **query: str) -> bytes:
    """What the sandbox answers."""
    return theatre.stage.answer({"action": action, "api_key": "k", **query}, RENTAL_HANDLER).body


@pytest.fixture
def theatre() -> Theatre:
    found = Theatre(stories=False)
    found.stage.refill("5000")
    return found


@pytest.mark.parametrize(
    ("status", "place", "ids", "dates"),
    list(product(STATUSES, ["top", "data", "list"], ["text", "number"], ["local", "zoned", "unix"])),
)
def test_purchase_is_read_in_every_shape(theatre: Theatre, status: str, place: str, ids: str, dates: str):
    """Id, number and end, wherever they lie and however they are written."""
    theatre.stage.shape(status=status, place=place, ids=ids, dates=dates)
    bought = read(read_buy, asked(theatre, "rentNumber", pricing_id="101"))
    assert isinstance(bought, Bought)
    (order,) = theatre.stage.orders()
    assert (bought.activation, bought.number, bought.flags) == (order.id, f"+{order.number.lstrip('+')}", ())
    assert bought.until == int(order.expires_at)


@pytest.mark.parametrize(
    ("dates", "codes", "senders", "empty"),
    list(product(["local", "zoned", "unix", "absent"], ["text", "number"], ["present", "absent"], EMPTY)),
)
def test_messages_are_read_in_every_shape(theatre: Theatre, dates: str, codes: str, senders: str, empty: str):
    """Texts to the letter, codes with their digits, dates in their zone; nothing is an empty list."""
    theatre.stage.shape(dates=dates, codes=codes, senders=senders, empty_data=empty)
    bought = read(read_buy, asked(theatre, "rentNumber", pricing_id="101"))
    assert read(read_messages, asked(theatre, "getRentalSMS", order_id=bought.activation)) == Messages(())
    theatre.stage.message(bought.activation, "Your code is 482913")
    sender, at = ("Sandbox" if senders == "present" else None), (None if dates == "absent" else float(int(START)))
    told = Messages((Sms(text="Your code is 482913", code="482913", sender=sender, at=at),))
    assert read(read_messages, asked(theatre, "getRentalSMS", order_id=bought.activation)) == told


def test_renewal_is_read(theatre: Theatre):
    """With its new end; a rental that is not known is refused."""
    bought = read(read_buy, asked(theatre, "rentNumber", pricing_id="101"))
    renewed = read(read_renewal, asked(theatre, "renewRental", rental_id=bought.activation, duration="24"))
    assert renewed == Renewed(bought.until + 24 * HOURS)
    assert read(read_renewal, asked(theatre, "renewRental", rental_id="9", duration="24")) == Declined(
        Word.NO_ACTIVATION
    )


def test_offers_are_read(theatre: Theatre):
    """Price to the paisa, and hours."""
    body = asked(theatre, "getRentalPricing", country_code="PK", provider="1")
    listing = read_listing(RENTAL, "rental_prices", {"country": "PK", "provider": "1"}, 200, {}, body, now=START)
    assert isinstance(listing, Listing)
    offer = listing.find("102")
    assert offer is not None
    assert (offer.name, offer.price, offer.hours) == ("Telegram", Decimal("1240.75"), Decimal(168))


@pytest.mark.parametrize("body", ["", "<html>", "{}", '{"status":"200"', '{"status":"500","data":[]}', '{"data":[]}'])
@pytest.mark.parametrize("reader", [read_buy, read_renewal, read_messages])
def test_unreadable_answers_prove_nothing(reader: Any, body: str):
    """Neither a purchase nor its absence, and no empty list."""
    assert isinstance(read(reader, body), Unclear)


@pytest.mark.parametrize("body", ['{"status":"200","message":"ok"}', '{"status":"200","data":{"order_id":""}}'])
def test_success_without_an_id_is_no_proof(body: str):
    """A rental may have been charged."""
    assert isinstance(read(read_buy, body), Unclear)


@pytest.mark.parametrize("word", ["LOW_BALANCE", "NO_NUMBERS", "BAD_KEY"])
def test_refusals_are_read_in_both_forms(word: str):
    """As a bare word, and as the text of an envelope that holds nothing."""
    for body in (word, json.dumps({"status": "400", "message": word})):
        assert read(read_buy, body) == read(read_renewal, body) == Declined(Word(word))


def test_refusal_that_holds_an_id_is_no_proof():
    """It may have been sold all the same."""
    body = json.dumps({"status": "400", "message": "LOW_BALANCE", "order_id": "77"})
    assert isinstance(read(read_renewal, body), Unclear)


def test_rental_that_is_not_known_is_missing(theatre: Theatre):
    """By the family's word."""
    assert read(read_messages, asked(theatre, "getRentalSMS", order_id="9")) == Missing()
