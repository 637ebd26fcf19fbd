"""The body and headers of a webhook."""

from __future__ import annotations

import json

import pytest

from worker.order import rfc3339
from worker.webhooks.message import headers, render, without_personal

MOMENT = 1795341600.0


def test_body_is_compact_json_in_the_contracts_order():
    """The bytes that are signed hold no spaces and no escapes that UTF-8 does not need."""
    body = render("order.otp_received", MOMENT, {"id": "ord_1", "otp": "12 ü"})
    assert body == (
        '{"type":"order.otp_received","timestamp":"2026-11-22T10:00:00.000Z",'
        '"data":{"id":"ord_1","otp":"12 ü"}}'.encode()
    )


def test_half_a_surrogate_pair_still_makes_a_body():
    """A caller's metadata may hold what UTF-8 cannot spell: it is escaped, and the webhook leaves."""
    body = render("order.failed", MOMENT, {"metadata": {"odd": "\ud800"}})
    assert json.loads(body)["data"]["metadata"]["odd"] == "\ud800"


def test_not_a_number_is_refused():
    """What is not JSON is found out when rendering, not by a receiver."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        render("order.failed", MOMENT, {"metadata": {"odd": float("nan")}})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (MOMENT, "2026-11-22T10:00:00.000Z"),
        (MOMENT + 0.123, "2026-11-22T10:00:00.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(seconds: float, text: str):
    """A time reads the same whatever the machine's zone."""
    assert rfc3339(seconds) == text


def test_headers_name_event_attempt_and_signature():
    """Exactly the three headers of Standard Webhooks and the type of the body."""
    assert headers("evt_1", 1614265330, "v1,abc") == {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,abc",
        "content-type": "application/json",
    }


def test_code_is_erased_and_the_message_says_so():
    """A redelivery after the erasure carries the order without its code, flagged; all else stays."""
    data = {"id": "ord_1", "otp": "493-221", "flags": ["odd_number"], "metadata": {"n": [1, 2.5, None]}}
    erased = json.loads(without_personal(render("order.otp_received", MOMENT, data)))
    expected = {**data, "otp": None, "flags": ["odd_number", "otp_erased"]}
    assert erased == {
        "type": "order.otp_received",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "data": expected,
    }


def test_erasing_twice_changes_nothing_more():
    """The sweep may run again over what it has erased."""
    once = without_personal(render("order.otp_received", MOMENT, {"otp": "1", "flags": []}))
    assert without_personal(once) == once


@pytest.mark.parametrize("data", [{"otp": None, "flags": []}, {"hello": "there"}])
def test_message_without_a_code_stays_as_it_is(data: dict[str, object]):
    """What never held a code is not flagged as having lost one."""
    body = render("order.expired", MOMENT, data)
    assert without_personal(body) == body
