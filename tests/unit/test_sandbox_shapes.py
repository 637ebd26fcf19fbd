"""The shapes in which the sandbox provider gives the same answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.sandbox_stage import EMAIL, START, Theatre
from web.sandbox.shapes import READERS, Shapes

PKT = "2023-11-15 03:13:20"
"""START in Pakistan, where it is five hours later than in UTC."""


@pytest.fixture
def theatre() -> Theatre:
    return Theatre(stories=False)


def test_every_shape_has_a_reader():
    """No shape is there that cannot be asked for."""
    assert set(READERS) == set(Shapes.__slots__)


@pytest.mark.parametrize(
    ("shape", "countries"),
    [
        ("by_type", {"4": [{"id": "33", "name": "Canada"}, {"id": "34", "name": "Germany"}]}),
        ("list", [{"id": "33", "name": "Canada"}, {"id": "34", "name": "Germany"}]),
        ("indexed", {"0": {"id": "33", "eng": "Canada"}, "1": {"id": "34", "eng": "Germany"}}),
    ],
)
def test_shapes_of_countries(theatre: Theatre, shape: str, countries: Any):
    """Countries by type, in a bare list, or indexed."""
    theatre.stage.shape(countries=shape)
    assert json.loads(theatre.sms("getCountries", type="4")) == countries


@pytest.mark.parametrize(
    ("shape", "services"),
    [
        ("text", {"tg": "Telegram - 45 PKR", "ab": "AirBnb - 376.88 PKR"}),
        ("wrapped", {"4": {"tg": "Telegram - 45 PKR", "ab": "AirBnb - 376.88 PKR"}}),
        ("number", {"tg": 45, "ab": 376.88}),
        (
            "list",
            [{"code": "tg", "name": "Telegram", "price": "45"}, {"code": "ab", "name": "AirBnb", "price": "376.88"}],
        ),
    ],
)
def test_shapes_of_services(theatre: Theatre, shape: str, services: Any):
    """Services as text, wrapped under the type, as bare numbers, or as a list."""
    theatre.stage.remove_items("sms", {}, "go")
    theatre.stage.shape(services=shape)
    assert json.loads(theatre.sms("getServices", type="4", country="33")) == services


@pytest.mark.parametrize(
    ("shape", "status"),
    [("text", '"200"'), ("int", "200"), ("float", "200.0"), ("padded", '" 200 "'), ("word", '"success"')],
)
def test_shapes_of_a_status(theatre: Theatre, shape: str, status: str):
    """One status in five spellings."""
    theatre.stage.shape(status=shape)
    assert theatre.ask("email_handler.php", "buyEmail", **EMAIL).startswith(f'{{"status": {status}')


def test_status_can_be_missing(theatre: Theatre):
    """An envelope without a status holds its id all the same."""
    theatre.stage.shape(status="missing")
    assert set(json.loads(theatre.buy("email"))) == {"message", "email_id", "email"}


def test_digits_for_a_status_at_both_paths(theatre: Theatre):
    """A status that is asked for holds for rentals at either handler."""
    theatre.stage.shape(status="text")
    assert json.loads(theatre.sms("getMyRentals"))["status"] == "200"


@pytest.mark.parametrize("product", ["email", "rental"])
@pytest.mark.parametrize("place", ["top", "data", "list"])
def test_places_of_an_id(theatre: Theatre, product: str, place: str):
    """The id lies at the top, in an object, or in a list."""
    theatre.stage.shape(place=place, id_name="id", ids="number")
    whole = json.loads(theatre.buy(product))
    holder = {"top": lambda: whole, "data": lambda: whole["data"], "list": lambda: whole["data"][0]}[place]()
    assert holder["id"] == int(theatre.order().id)


@pytest.mark.parametrize(("shape", "data"), [("null", None), ("list", []), ("object", {}), ("text", "")])
def test_shapes_of_nothing(theatre: Theatre, shape: str, data: Any):
    """Where there is nothing, data is null, a list, an object or text: beside an id, and for an empty list."""
    theatre.stage.shape(empty_data=shape)
    assert json.loads(theatre.buy("email"))["data"] == data
    theatre.buy("rental")
    assert theatre.rental("getRentalSMS", order_id=theatre.order().id)["data"] == data


@pytest.mark.parametrize(
    ("shapes", "text", "told"),
    [
        ({}, "847293", {"code": "847293"}),
        ({"codes": "number"}, "847293", {"code": 847293}),
        ({"codes": "number"}, "001234", {"code": "001234"}),
        ({"code_name": "otp", "place": "data"}, "G-269986", {"data": {"otp": "G-269986"}}),
    ],
)
def test_shapes_of_a_code(theatre: Theatre, shapes: dict[str, str], text: str, told: dict[str, Any]):
    """A code under either name and place, as a number only where that loses nothing."""
    theatre.stage.shape(**shapes)
    order = theatre.bought("email")
    theatre.stage.arrive(order.id, text)
    answer = theatre.email("getEmailCode", email_id=order.id)
    assert {name: answer[name] for name in told} == told


@pytest.mark.parametrize(("shape", "code"), [("empty", ""), ("null", None), ("false", False), ("zero", 0)])
def test_shapes_of_no_code(theatre: Theatre, shape: str, code: Any):
    """What is no code stands in its place while none has come."""
    theatre.stage.shape(no_code=shape)
    order = theatre.bought("email")
    answer = theatre.email("getEmailCode", email_id=order.id)
    assert (answer["status"], answer["code"]) == ("202", code)


def test_shapes_of_a_refusal(theatre: Theatre):
    """A JSON handler refuses in an envelope, whose text has one of three names, or in bare words."""
    theatre.stage.shape(message_name="error")
    assert theatre.email("buyEmail", domain="x") == {"status": "400", "error": "BAD_SERVICE"}
    theatre.stage.shape(refusals="words")
    assert theatre.ask("email_handler.php", "buyEmail", domain="x") == "BAD_SERVICE"


@pytest.mark.parametrize(
    ("shape", "date"),
    [("local", PKT), ("zoned", "2023-11-14T22:13:20+00:00"), ("unix", int(START)), ("absent", None)],
)
def test_shapes_of_a_date(theatre: Theatre, shape: str, date: Any):
    """A message's date without a zone, with one, as a number, or not at all; its sender likewise."""
    theatre.stage.shape(dates=shape, senders="absent")
    order = theatre.bought("rental")
    theatre.stage.message(order.id, "hello")
    (row,) = theatre.rental("getRentalSMS", order_id=order.id)["data"]
    assert row.get("date") == date
    assert "sender" not in row


@pytest.mark.parametrize("shapes", [{"status": "roman"}, {"place": None}, {"colour": "red"}, {"ids": ["text"]}])
def test_bad_shape_is_refused(shapes: dict[str, Any]):
    """A shape that there is not raises ValueError and names what there is."""
    with pytest.raises(ValueError, match=r"not one of|known"):
        Shapes().changed(**shapes)
