"""How the client reads answers: everything that is promised, and without complaint what came later."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback import Balance, Delivery, Order, OrderStatus, Products, Rental, Servers, Services
from ringback._reading import Unreadable, read
from tests.client_stage import ANY, CREATED, JSON, order


def test_order_is_read_whole():
    """Text is text, money is decimal, moments know their zone, an error is a value."""
    found = read(Order, order(
        status="failed", product="sms", type="1", service="tg", country="33", price="45.10", max_price="50",
        metadata={"user": 42}, settlement="none", error={"code": "no_numbers", "message": "None left."},
        flags=["late_code"], ended_at="2026-11-22T15:00:00+05:00",
    ))  # fmt: skip
    assert (found.price, found.max_price, found.metadata) == (Decimal("45.10"), Decimal(50), {"user": 42})
    assert found.error is not None
    assert (found.error.code, found.flags) == ("no_numbers", ("late_code",))
    assert found.created_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert found.ended_at == found.created_at


def test_what_an_older_service_does_not_send_has_its_default():
    """An order of the first version is a cheap one."""
    found = read(Order, order())
    assert (found.product, found.number, found.metadata, found.flags, found.ended) == ("cheap", None, {}, (), False)


def test_null_is_as_good_as_absent():
    """Null stands for what is not there, in lists and objects too."""
    found = read(Order, order(metadata=None, flags=None, settlement=None, error=None))
    assert (found.metadata, found.flags, found.error) == ({}, (), None)


def test_unknown_fields_are_kept():
    """A later service's field can be used before the client knows it, inside of others too."""
    found = read(Order, order(colour="blue", error={"code": "x", "message": "y", "hint": "z"}))
    assert found.extra == {"colour": "blue"}
    assert found.error is not None
    assert found.error.extra == {"hint": "z"}


def test_unknown_words_are_kept():
    """A status that came later is text like the others, and compares with those that are known."""
    assert read(Order, order(status="teleported")).status == "teleported"
    assert read(Order, order(status="received")).status == OrderStatus.RECEIVED


@pytest.mark.parametrize(
    ("status", "ended"), [("queued", False), ("cancelling", False), ("received", True), ("expired", True),
                          ("cancelled", True), ("failed", True), ("teleported", False)],
)  # fmt: skip
def test_end_is_known_by_the_status(status, ended):
    """Four of them are final."""
    assert read(Order, order(status=status)).ended is ended


def test_end_in_an_unknown_status_is_known_by_its_moment():
    """A final status that came later has its moment."""
    assert read(Order, order(status="teleported", ended_at=CREATED)).ended


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", None), ("id", 5), ("status", None), ("created_at", "yesterday"), ("created_at", None), ("created_at", 5),
     ("price", "cheap"), ("price", "NaN"), ("price", []), ("flags", "late_code"), ("flags", [5]), ("metadata", []),
     ("error", "no_numbers"), ("number", True)],
)  # fmt: skip
def test_what_has_the_wrong_type_is_named_without_its_value(field, value):
    """The message leads to the field."""
    with pytest.raises(Unreadable, match=rf"Order\.{field}") as caught:
        read(Order, order(**{field: value}))
    assert "late_code" not in str(caught.value)


def test_personal_data_is_not_shown_by_accident():
    """A logged order, rental or event shows neither number nor code nor callback."""
    found = read(Order, order(number="+923001234567", address="a@gmail.com", otp="001234", callback_url="https://x/?k"))
    rental = read(Rental, order(id="rnt_1", number="+923001234567"))
    delivery = read(Delivery, {"id": "evt_1", "type": "t", "created_at": CREATED, "payload": "001234"})
    shown = f"{found!r} {rental!r} {delivery!r}"
    assert [one for one in ("+923001234567", "a@gmail.com", "001234", "https://x") if one in shown] == []


def test_moment_without_a_zone_is_utc():
    """A moment can always be compared with another."""
    found = read(Order, order(created_at="2026-11-22T10:00:00"))
    assert found.created_at.utcoffset() == timedelta(0)


def test_balance_that_was_never_read_is_stale():
    """Nothing is known, and that is said."""
    found = read(
        Balance, {"balance": None, "currency": "PKR", "as_of": None, "stale": True, "buying": {"paused": True}}
    )
    assert (found.balance, found.stale, found.buying.paused) == (None, True, True)


@pytest.mark.parametrize("name", ["servers", "data"])
def test_list_of_a_reading_may_have_either_name(name):
    """`data` is what other lists are called."""
    found = read(Servers, {"type": "1", name: [{"id": "1", "name": "One"}], "as_of": None, "stale": False})
    assert found.servers is not None
    assert [(one.id, one.name) for one in found.servers] == [("1", "One")]


def test_list_that_was_never_read_is_none():
    """No reading is not an empty one."""
    assert read(Servers, {"type": "1", "servers": None}).servers is None
    assert read(Servers, {"type": "1", "servers": []}).servers == ()


def test_service_without_a_price_is_a_service():
    """A price that cannot be read is unknown, never 0."""
    rows = [{"code": "tg", "name": "Telegram", "price": "45.00", "count": 3}, {"code": "ab", "price": None}]
    found = read(Services, {"product": "sms", "services": rows}).services
    assert found is not None
    assert [one.price for one in found] == [Decimal("45.00"), None]


def test_products_keep_whatever_describes_their_fields():
    """A product's fields are described by the service."""
    rows = {"data": [{"product": "sms", "fields": ["service", "country"], "verified": True, "life": 1200}]}
    (found,) = read(Products, rows).products
    assert (found.product, found.fields, found.verified, found.extra) == (
        "sms", ["service", "country"], True, {"life": 1200},
    )  # fmt: skip


@ANY
@given(st.dictionaries(st.sampled_from([*Order.__dataclass_fields__, "other"]), JSON))
def test_any_object_is_an_order_or_unreadable(fields):
    """Whatever comes, there is one exception."""
    with contextlib.suppress(Unreadable):
        assert read(Order, fields).id == fields["id"]
