"""Webhooks are believed when they are signed, fresh and whole, and never otherwise."""

from __future__ import annotations

import email
import json
from datetime import UTC, datetime

import httpx
import pytest
import werkzeug.datastructures
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook

import ringback
from ringback.testing import sign
from tests.client_stage import ANY, JSON, TEXT, order
from worker.webhooks.message import headers as own_headers
from worker.webhooks.message import render
from worker.webhooks.signing import new_secret
from worker.webhooks.signing import sign as own_sign

SECRET, OTHER = new_secret(), new_secret()
NOW = 1_795_341_600
ORDER = order(status="received", otp="001234")
BODY = render("order.otp_received", NOW, ORDER)


def signed(body=BODY, secret=SECRET, at=NOW):
    """The headers of a webhook."""
    return sign(body, secret, event_id="evt_1", timestamp=at)


def verify(body=BODY, headers=None, secret=SECRET, **more):
    """Verify at the moment of sending."""
    return ringback.verify(body, signed() if headers is None else headers, secret, **{"now": NOW, **more})


def message(**fields):
    """A body."""
    return json.dumps({"timestamp": "2026-11-22T10:00:00.000Z", **fields}).encode()


# What is believed.


def test_what_ringback_sends_is_believed():
    """The service's own signature gives the typed event, its id and its code."""
    headers = own_headers("evt_1", NOW, own_sign([SECRET], "evt_1", NOW, BODY))
    event = ringback.verify(body=BODY, headers=headers, secret=SECRET, now=lambda: NOW)
    assert isinstance(event, ringback.OrderEvent)
    assert (event.id, event.type, event.data.otp, event.order.id) == ("evt_1", "order.otp_received", "001234", "ord_1")
    assert event.timestamp == datetime.fromtimestamp(NOW, UTC)


def test_what_the_official_library_signs_is_believed():
    """Another implementation's signature is as good, by the clock on the wall."""
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", at, BODY.decode()),
    }
    assert ringback.verify(BODY, headers, SECRET).type == "order.otp_received"


def test_signatures_for_tests_are_the_official_ones():
    """What `sign` makes, the official library accepts."""
    assert Webhook(SECRET).verify(BODY, sign(BODY, SECRET))["type"] == "order.otp_received"


@pytest.mark.parametrize(
    "secrets",
    [[OTHER, SECRET], [SECRET, OTHER], (SECRET,), SECRET.removeprefix("whsec_")],
    ids=["last", "first", "only", "without its prefix"],
)
def test_any_of_several_secrets_will_do(secrets):
    """A receiver that is between two secrets knows both."""
    assert verify(secret=secrets).id == "evt_1"


def test_any_of_several_signatures_will_do():
    """A sender that is between two secrets signs with both; versions that are not known are passed over."""
    headers = own_headers("evt_1", NOW, "v2,abc v1a,xyz " + own_sign([OTHER, SECRET], "evt_1", NOW, BODY))
    assert verify(headers=headers).id == "evt_1"


@pytest.mark.parametrize(
    "spell",
    [
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: list(headers.items()),
        werkzeug.datastructures.Headers,
        httpx.Headers,
        lambda headers: email.message_from_string("".join(f"{name}: {headers[name]}\n" for name in headers)),
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
    ],
)
def test_headers_are_read_as_frameworks_give_them(spell):
    """Names in any case, as a mapping, as pairs, as ASGI's bytes."""
    assert verify(headers=spell(signed())).id == "evt_1"


@pytest.mark.parametrize("body", [BODY, BODY.decode(), bytearray(BODY), memoryview(BODY)])
def test_body_is_taken_as_bytes_or_text(body):
    """All of them are the same bytes."""
    assert verify(body=body).id == "evt_1"


@pytest.mark.parametrize("off", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(off):
    """The specification's tolerance, to either side."""
    assert verify(now=NOW + off).id == "evt_1"


# What is not.


@pytest.mark.parametrize("off", [-301, 301, 86_400])
def test_old_and_future_webhooks_are_refused(off):
    """A webhook that was caught cannot be sent again later."""
    with pytest.raises(ringback.BadSignature, match="too long ago"):
        verify(now=NOW + off)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": signed()["webhook-signature"].replace("v1,", "")},
        {"webhook-signature": signed(secret=OTHER)["webhook-signature"]},
        {"webhook-timestamp": f" {NOW}"},
        {"webhook-timestamp": f"+{NOW}"},
        {"webhook-timestamp": f"{NOW}.0"},
        {"webhook-timestamp": "١٧٩٥٣٤١٦٠٠"},
        {"webhook-timestamp": "9" * 30},
        {"webhook-id": ""},
    ],
)
def test_each_header_counts(change):
    """Whatever is changed, nothing is believed."""
    with pytest.raises(ringback.BadSignature):
        verify(headers={**signed(), **change})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_header_is_refused(name):
    """All three are needed."""
    with pytest.raises(ringback.BadSignature, match="missing"):
        verify(headers={one: value for one, value in signed().items() if one != name})


def test_header_that_is_there_twice_is_refused():
    """Two readers could take it for two things."""
    with pytest.raises(ringback.BadSignature, match="more than one"):
        verify(headers=[*signed().items(), ("Webhook-Id", "evt_2")])


def test_changed_body_is_refused():
    """One byte is enough."""
    with pytest.raises(ringback.BadSignature, match="no signature matches"):
        verify(body=BODY.replace(b"001234", b"001235"))


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"5", b"{}", b'{"type": 5}', b"\xff", b"[" * 99_999])
def test_signed_bytes_that_are_no_event_are_refused(body):
    """The right signature makes no event of anything else."""
    with pytest.raises(ringback.BadSignature, match="not an event"):
        verify(body=body, headers=signed(body))


def test_refusal_shows_neither_secret_nor_body():
    """What is logged gives nothing away."""
    with pytest.raises(ringback.BadSignature) as caught:
        verify(secret=OTHER)
    assert OTHER not in str(caught.value)
    assert "001234" not in str(caught.value)


# What is the receiver's own mistake.


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%", "whsec_ä", [], [SECRET, ""]])
def test_secret_that_is_none_is_the_receivers_mistake(secret):
    """An unset variable is no key that anybody could guess; the message does not repeat it."""
    with pytest.raises(ValueError, match="secret"):
        verify(secret=secret)


def test_parsed_body_is_the_receivers_mistake():
    """The signature covers bytes, not what was made of them."""
    with pytest.raises(TypeError, match="raw bytes"):
        verify(body=json.loads(BODY))


# What the event is.


def test_rental_event_has_its_message():
    """`data` is the rental, and the message stands beside it."""
    rental = {"id": "rnt_1", "status": "active", "created_at": "2026-11-22T10:00:00.000Z"}
    told = {"id": "msg_1", "code": "4711", "text": "Your code is 4711"}
    body = message(type="rental.message_received", data=rental, message=told)
    event = verify(body, signed(body))
    assert isinstance(event, ringback.RentalEvent)
    assert event.message is not None
    assert (event.rental.id, event.message.code) == ("rnt_1", "4711")


def test_ping_is_a_ping():
    """A ping carries what it likes."""
    body = message(type="webhook.ping", data={"caller": "cal_1"})
    assert isinstance(verify(body, signed(body)), ringback.PingEvent)


@pytest.mark.parametrize(
    ("type", "data"),
    [("invoice.paid", {"id": 5}), ("webhook.ping", 5), ("order.otp_received", {}), ("order.otp_received", None),
     ("rental.started", [1]), ("order", "x"), ("", None)],
)  # fmt: skip
def test_unknown_event_is_given_as_it_came(type, data):
    """A type or a shape that came later is an event all the same."""
    body = message(type=type, data=data)
    event = verify(body, signed(body))
    assert (event.__class__, event.type, event.data) == (ringback.Event, type, data)


def test_moment_of_sending_stands_in_for_a_missing_one():
    """An event without a readable time happened, as far as we know, when it was sent."""
    body = b'{"type": "x", "timestamp": "soon"}'
    assert verify(body, signed(body)).timestamp == datetime.fromtimestamp(NOW, UTC)


def test_code_is_not_shown_by_accident():
    """A logged event gives nothing away."""
    assert "001234" not in repr(verify())


# Whatever comes.

NAMES = st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature", "WEBHOOK-SIGNATURE", "host"])
HEADERS = st.dictionaries(NAMES | TEXT, TEXT | st.just(str(NOW)), max_size=6)
FIELDS = st.sampled_from([*ORDER, "error", "flags", "metadata", "price", "ended_at", "number"])


@ANY
@given(st.binary(max_size=200) | TEXT, HEADERS)
@example(b"", {"webhook-id": "\ud800", "webhook-timestamp": str(NOW), "webhook-signature": "v1,\ud800"})
def test_anything_unsigned_is_a_bad_signature(body, headers):
    """Any bytes under any headers are refused in the one way."""
    with pytest.raises(ringback.BadSignature):
        verify(body, headers)


@ANY
@given(st.binary(max_size=200))
def test_anything_signed_is_an_event_or_a_bad_signature(body):
    """Any bytes that are signed are read or refused, never another exception."""
    _event_or_refusal(body)


@ANY
@given(
    st.sampled_from(["order.otp_received", "rental.started", "rental.message_received", "webhook.ping", "x"]),
    JSON, st.dictionaries(FIELDS, JSON, max_size=4), JSON, JSON,
)  # fmt: skip
def test_any_signed_json_is_an_event(type, timestamp, fields, data, told):
    """Whatever stands in the fields of an event, it is one."""
    for one in (data, {**ORDER, **fields}):
        body = json.dumps({"type": type, "timestamp": timestamp, "data": one, "message": told}).encode()
        assert _event_or_refusal(body).type == type


def _event_or_refusal(body):
    try:
        return verify(body, signed(body))
    except ringback.BadSignature:
        return None
