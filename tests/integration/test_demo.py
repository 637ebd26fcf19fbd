"""The demo: what it believes, what it says when it fails, and that it plays through."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime

import httpx
import pytest
from rich.console import Console
from standardwebhooks import Webhook

from worker.local import demo
from worker.local.children import Child
from worker.local.receiver import Receiver

pytestmark = pytest.mark.integration

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(("signed_with", "status"), [(SECRET, 204), ("whsec_b3RoZXI=", 400)])
def test_the_receiver_believes_only_the_right_signature(signed_with, status):
    """A webhook is accepted if the official library verifies it, and refused otherwise; both are noted."""
    body = json.dumps({"type": "order.otp_received", "data": {"otp": "001234"}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(signed_with).sign("msg_1", now, body),
    }
    with Receiver() as receiver:
        receiver.secret = SECRET
        assert httpx.post(receiver.url, content=body, headers=headers).status_code == status
        event = receiver.events.get(timeout=30)
    assert (event.type, event.data, event.verified) == (
        "order.otp_received",
        {"otp": "001234"},
        status == 204,
    )


def test_a_service_that_does_not_start_is_told(monkeypatch):
    """If the processes do not come up the demo leaves with 1 and shows the last they said."""
    broken = Child("web", [sys.executable, "-c", "print('no such module'); raise SystemExit(1)"])
    monkeypatch.setattr(demo, "service", lambda *_, **__: [broken])
    said = io.StringIO()
    assert demo.run(console=Console(file=said), deadline=4) == 1
    assert "was not ready in time" in said.getvalue()
    assert "web | no such module" in said.getvalue()


@pytest.mark.e2e
@pytest.mark.slow
def test_the_demo_plays_through():
    """From an empty folder to a verified webhook, through the real processes, without a terminal."""
    said = io.StringIO()
    assert demo.run(console=Console(file=said)) == 0, said.getvalue()
    assert "order.otp_received, signature verified" in said.getvalue()
