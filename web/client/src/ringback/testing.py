"""For tests of systems that use ringback: pytest finds these fixtures once `ringback-client` is installed.

    def test_sign_up(ringback_service):
        app = make_app(ringback_url=ringback_service.url, ringback_key=ringback_service.api_key)
        ...

    def test_a_code_comes(ringback_client):
        order = ringback_client.orders.create(server="1", type="1")
        assert ringback_client.orders.wait_for_code(order.id).otp

The service is real, with its own store and workers; its provider is the sandbox: play money, made-up numbers, a code
after a few seconds. It needs the `ringback` command. If that is missing, the tests are skipped; in CI (if `CI` is set),
where nobody reads the list of skipped tests, they fail.

You can override two fixtures: `ringback_settings` and `ringback_callback_url`. Outside of pytest, use `running()`. To
test a receiver without any service, use `sign()`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

import pytest

from ringback import webhooks
from ringback._service import Caller, NotInstalled, NotStarted, Service, running
from ringback._sync import Client

__all__ = ["Caller", "NotInstalled", "NotStarted", "Service", "running", "sign"]


@pytest.fixture(scope="session")
def ringback_settings() -> Mapping[str, str]:
    """Settings of the service (`RINGBACK_…`); override it to change them."""
    return {}


@pytest.fixture(scope="session")
def ringback_callback_url() -> str | None:
    """Where the caller's webhooks go; override it to return the address of your receiver."""
    return None


@pytest.fixture(scope="session")
def ringback_service(ringback_settings: Mapping[str, str], ringback_callback_url: str | None) -> Iterator[Service]:
    """A running service with a caller; one for all tests, stopped when they end."""
    try:
        with running(settings=ringback_settings, callback_url=ringback_callback_url) as service:
            yield service
    except NotInstalled as missing:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(str(missing))


@pytest.fixture
def ringback_client(ringback_service: Service) -> Iterator[Client]:
    """A client of the service's caller."""
    with ringback_service.client() as client:
        yield client


def sign(body: bytes, secret: str, *, event_id: str = "evt_test", timestamp: int | None = None) -> dict[str, str]:
    """The headers of a webhook with this body, as ringback signs it; `timestamp` in epoch seconds, now if None."""
    sent_at = str(int(time.time()) if timestamp is None else timestamp)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": webhooks.signature(webhooks.key_of(secret), event_id, sent_at, body),
    }
