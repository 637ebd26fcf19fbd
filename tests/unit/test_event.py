"""The webhook that is owed: its attempts, and what the API shows of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import NOW, bought, event, order
from worker.announce import announce, ping
from worker.event import MOST_ATTEMPTS_KEPT, Attempt, EventStatus
from worker.order import EventType

FAILED = Attempt(NOW, 500, None, 0.1234, "it broke")


def test_attempt_is_added_and_counted():
    """Attempts are remembered in order, and the version moves on."""
    tried = event().tried(FAILED, EventStatus.PENDING, due_at=NOW + 1)
    assert tried.attempts == (FAILED,)
    assert (tried.tries, tried.version, tried.due_at, tried.status) == (1, 2, NOW + 1, EventStatus.PENDING)


def test_acknowledged_event_is_due_no_more():
    """Nothing follows from a 2xx."""
    assert event().tried(FAILED, EventStatus.DELIVERED).due_at is None


def test_only_the_latest_attempts_are_kept():
    """A receiver that is down for ever does not fill the store."""
    tried = event()
    for n in range(MOST_ATTEMPTS_KEPT + 10):
        tried = tried.tried(replace(FAILED, at=NOW + n), EventStatus.PENDING)
    assert len(tried.attempts) == MOST_ATTEMPTS_KEPT
    assert tried.attempts[-1].at == NOW + MOST_ATTEMPTS_KEPT + 9


def test_redelivery_keeps_the_id_and_starts_the_schedule_anew():
    """The receiver sees the same webhook-id; earlier attempts stay on record."""
    again = event().tried(FAILED, EventStatus.EXHAUSTED).again(NOW + 60)
    assert (again.id, again.tries, again.status, again.due_at) == ("evt_1", 0, EventStatus.PENDING, NOW + 60)
    assert again.attempts == (FAILED,)


@pytest.mark.parametrize("status", EventStatus)
def test_delivery_is_failing_from_its_first_failed_attempt_to_the_one_that_is_acknowledged(status: EventStatus):
    """Untried it is not failing; sent once more at somebody's request, it starts without a stain."""
    assert not event(status=status).failing
    tried = event().tried(FAILED, status)
    assert tried.failing is (status is not EventStatus.DELIVERED)
    assert not tried.again(NOW + 60).failing


def test_public_shape():
    """All attempts with time, status or error, duration and answer; never the body, which may hold a code."""
    shown = event().tried(FAILED, EventStatus.PENDING, due_at=NOW + 1).public()
    assert shown == {
        "id": "evt_1",
        "type": "order.otp_received",
        "order": "ord_1",
        "rental": None,
        "status": "pending",
        "created_at": "2026-11-22T10:00:00.000Z",
        "next_attempt_at": "2026-11-22T10:00:01.000Z",
        "attempts": [
            {
                "at": "2026-11-22T10:00:00.000Z",
                "status_code": 500,
                "error": None,
                "duration": 0.123,
                "response": "it broke",
            }
        ],
    }


@pytest.mark.parametrize("status", [EventStatus.DELIVERED, EventStatus.GONE, EventStatus.EXHAUSTED])
def test_ended_delivery_shows_no_next_attempt(status: EventStatus):
    """What is not owed is not announced."""
    assert event(status=status).public()["next_attempt_at"] is None


def test_repr_shows_no_code():
    """An event in a traceback gives its body and the answers away to nobody."""
    echoed = event().tried(replace(FAILED, excerpt="got 847293"), EventStatus.PENDING)
    assert "847293" not in repr(echoed)


def test_an_order_s_event_has_the_same_id_whenever_it_is_announced():
    """A store that lost its last writes tells nobody the same thing under another webhook-id."""
    first, again = (announce(EventType.OTP_RECEIVED, order(), at) for at in (NOW, NOW + 60))
    assert first.id == again.id
    others = {
        announce(EventType.EXPIRED, order(), NOW).id,
        announce(EventType.OTP_RECEIVED, order(id="ord_2"), NOW).id,
        announce(EventType.OTP_RECEIVED, order(purchase=bought("another number")), NOW).id,
    }
    assert first.id not in others
    assert len(others) == 3


def test_every_ping_has_an_id_of_its_own():
    """A ping is of no order: each is a webhook by itself."""
    assert ping("cal_1", "https://caller.example/hook", NOW).id != ping("cal_1", "https://caller.example/hook", NOW).id


@pytest.mark.parametrize(
    ("url", "same_host", "same_endpoint"),
    [
        ("https://Caller.Example:443/hook?other=query", True, True),
        ("https://caller.example/other", True, False),
        ("https://caller.example:8443/hook", False, False),
        ("http://caller.example/hook", False, False),
        ("https://other.example/hook", False, False),
    ],
)
def test_receivers_are_told_apart(url: str, same_host: bool, same_endpoint: bool):
    """A host by scheme, name and port; an endpoint by its path too, and by its caller."""
    known, other = event(url="https://caller.example/hook"), event(url=url)
    assert (known.host == other.host, known.endpoint == other.endpoint) == (same_host, same_endpoint)
    theirs = event(url=url, caller="cal_2")
    assert (theirs.host, theirs.endpoint != other.endpoint) == (other.host, True)
