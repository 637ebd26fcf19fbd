"""The sandbox's other handlers, its stories and its command on a real port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from web.sandbox import Sandbox

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=1, stories=True, cancel_after=0, code_after=None) as running:
        yield running


def ask(sandbox: Sandbox, handler: str, **query: str) -> httpx.Response:
    return httpx.get(f"{sandbox.base_url}/{handler}", params={"api_key": "k", **query})


def test_each_handler_lies_under_the_base_url(sandbox: Sandbox) -> None:
    """Words come as text, envelopes as JSON, and all from one wallet."""
    number = ask(sandbox, "handler_api.php", action="getNumber", service="tg", country="33", type="4")
    email = ask(sandbox, "email_handler.php", action="buyEmail", service_id="tg", domain="gmail.com")
    rental = ask(sandbox, "rental-handler.php", action="rentNumber", pricing_id="101")
    assert number.text.startswith("ACCESS_NUMBER:")
    assert number.headers["Content-Type"].startswith("text/plain")
    assert (email.json()["status"], email.headers["Content-Type"]) == ("200", "application/json")
    assert rental.json()["order_id"]
    assert ask(sandbox, "cheap_handler.php", action="getBalance").text == "ACCESS_BALANCE:80.00"


def test_story_travels_with_the_order(sandbox: Sandbox) -> None:
    """Two orders of one provider play two stories at once: one is reset, the other refused."""
    with pytest.raises(httpx.TransportError):
        ask(sandbox, "email_handler.php", action="buyEmail", service_id="story-purchase-unknown", domain="gmail.com")
    refused = ask(sandbox, "rental-handler.php", action="rentNumber", pricing_id="story-no-numbers")
    assert refused.json() == {"status": "400", "message": "NO_NUMBERS"}
    assert [order.product for order in sandbox.ledger.orders()] == ["email"]


def test_envelope_is_cut_like_any_answer(sandbox: Sandbox) -> None:
    """The faults of the wire spoil JSON as they do words; the address was bought."""
    sandbox.script({"action": "buyEmail", "kind": "cut"})
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sandbox, "email_handler.php", action="buyEmail", service_id="tg", domain="gmail.com")
    assert sandbox.ledger.charges() == 25


def test_refill_over_http(sandbox: Sandbox) -> None:
    """The call that the empty account's hint names fills it, without a body."""
    sandbox.set_balance("0")
    hint = ask(sandbox, "cheap_handler.php", action="buyNumber", server="1", type="1").headers["X-Sandbox-Hint"]
    assert "POST /sandbox/refill" in hint
    assert httpx.post(f"{sandbox.url}/sandbox/refill").json() == {"balance": "500.00"}


def test_rebound_name_is_refused(sandbox: Sandbox) -> None:
    """A browser that was led here by a foreign name can neither read nor direct."""
    headers = {"Host": f"attacker.invalid:{sandbox.port}", "Origin": f"http://attacker.invalid:{sandbox.port}"}
    assert httpx.get(f"{sandbox.url}/sandbox/ledger", headers=headers).status_code == 403
    assert httpx.post(f"{sandbox.url}/sandbox/refill", headers=headers).status_code == 403


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_command_leaves_nothing_behind(how: signal.Signals) -> None:
    """Whoever stops `ringback sandbox` has its port back, and the exit code is 0."""
    command = [str(Path(sys.executable).parent / "ringback"), "sandbox", "--port", "0", "--no-stories"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout
        port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0])
        process.send_signal(how)
        assert process.wait() == 0
        watchdog.cancel()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_options_reach_the_rules() -> None:
    """A rental of seconds, lives and stories are asked for on the command line."""
    options = ["--rental-seconds", "20", "--sms-life", "30", "--email-life", "40", "--message-every", "5"]
    command = [sys.executable, "-m", "web.sandbox", "--port", "0", "--allow-host", "sandbox", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout
        url = process.stdout.readline().strip().removeprefix("sandbox provider on ").removesuffix("/stubs")
        rules: dict[str, Any] = httpx.get(f"{url}/sandbox/config", headers={"Host": "sandbox"}).json()
        process.terminate()
        assert process.wait() == 0
        watchdog.cancel()
    wanted = {"rental_seconds": 20, "sms_life": 30, "email_life": 40, "message_every": 5, "stories": True}
    assert {name: rules[name] for name in wanted} == wanted


def test_calls_are_listed(sandbox: Sandbox) -> None:
    """The control face tells its own calls."""
    listed = json.loads(httpx.get(f"{sandbox.url}/sandbox/calls").text)["calls"]
    assert {"call": "POST /sandbox/refill", "fields": ["amount"], "does": "pays into the account"} in listed
