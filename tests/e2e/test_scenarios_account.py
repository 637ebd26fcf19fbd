"""Trouble with the account and the network: it concerns everybody, is said once, and passes by itself."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.invariants import check_order, checked_stack
from tests.e2e.provider import Script, buy, cancel, poll
from tests.e2e.stack import Stack, wait_for
from worker.store import keys

pytestmark = pytest.mark.e2e

CODE = "771204"
OUTAGE = 8.0
"""Seconds; a cancel comes due in the first half of them."""
PAGE = "<html><body>ACCESS_BALANCE:99.00</body></html>"


@pytest.fixture(scope="module")
def treasury(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker, a buy budget that outlasts a pause, and two products whose prices are known."""
    settings = {"RINGBACK_BUY_BUDGET": "25", "RINGBACK_CHEAP_PRICE": "10", "RINGBACK_PRODUCTS": "cheap,email"}
    yield from checked_stack(tmp_path_factory.mktemp("treasury"), settings=settings)


@pytest.fixture(autouse=True)
def calm(treasury: Stack) -> Iterator[None]:
    """What one scenario left behind at the provider or in the gate is no other's concern."""
    yield
    treasury.provider.clear_faults()
    treasury.provider.set_balance("1000000")
    with redis.Redis.from_url(treasury.store.url) as client:
        client.delete(keys.GATE, keys.PAUSED_ITEMS, keys.LIMIT)


def account(action: str, kind: str, **kwargs: Any) -> Script:
    """A fault of getBalance or getServers."""
    return {"action": action, "kind": kind, **kwargs}


def read(stack: Stack, path: str) -> dict[str, Any]:
    """The balance or the servers, read anew."""
    return dict(stack.api.get(path, params={"refresh": "true"}).json())


def pauses(stack: Stack) -> list[str]:
    """Why all buying is paused, as the web says."""
    reasons = stack.api.get("/v1/balance").json()["buying"]["reasons"]
    return [one["reason"] for one in reasons if one["item"] is None]


# The account.


def without_reason(stale: dict[str, Any]) -> dict[str, Any]:
    """A stale reading without the word that says why, which it has to have."""
    assert stale.pop("reason")
    return stale


def test_a_balance_that_cannot_be_read_is_unknown(treasury: Stack) -> None:
    """Anything but a plain decimal is no balance: the last good one stays and is marked stale."""
    treasury.provider.set_balance("4321.05")
    good = read(treasury, "/v1/balance")
    assert (good["balance"], good["stale"]) == ("4321.05", False)
    for amount in ("1,234.50", "NaN", "", "1e9", "-"):
        treasury.provider.script(account("getBalance", "text", body=f"ACCESS_BALANCE:{amount}"))
        assert without_reason(read(treasury, "/v1/balance")) == good | {"stale": True}, amount
    for kind, body in (("empty", None), ("html", PAGE)):
        treasury.provider.script(account("getBalance", kind, body=body))
        assert without_reason(read(treasury, "/v1/balance")) == good | {"stale": True}, kind
    assert read(treasury, "/v1/balance")["stale"] is False


def test_the_last_good_list_of_servers_stays(treasury: Stack) -> None:
    """An answer that lists no servers leaves the last good list, marked stale."""
    good = read(treasury, "/v1/servers")
    assert [one["id"] for one in good["servers"]][:2] == ["1", "2"]
    assert good["stale"] is False
    for kind, body in (("text", "{}"), ("text", "[]"), ("html", None), ("http_error", None)):
        treasury.provider.script(account("getServers", kind, body=body))
        assert without_reason(read(treasury, "/v1/servers")) == good | {"stale": True}, (kind, body)


def test_low_balance_pauses_buying_until_it_rises(treasury: Stack) -> None:
    """Too little for any price known: that order fails, the next waits unasked, and is bought once the balance rose."""
    treasury.provider.set_balance("5")
    poor = treasury.play()
    ended = treasury.until_settled(poor["id"], "none")
    assert (ended["status"], ended["error"]["code"]) == ("failed", "insufficient_balance")
    wait_for(lambda: pauses(treasury) == ["insufficient_balance"], what="a pause of everything")
    asked_at = time.time()
    waiting = treasury.play(sms=(CODE, 0.5))
    probes = treasury.provider.requests
    wait_for(lambda: [row for row in probes("getBalance") if row.at > asked_at], 30, "a probe by a free call")
    assert not treasury.provider.seen(waiting["server"], "buy"), "bought while buying was paused"
    treasury.provider.set_balance("500")
    assert treasury.until_settled(waiting["id"], "finished")["otp"] == CODE
    assert pauses(treasury) == []
    _alerted(treasury, "buying_paused", "insufficient_balance")
    for order in (poor, waiting):
        check_order(treasury, order["id"])


@pytest.mark.parametrize("status", [200, 401])
def test_a_bad_key_pauses_buying_until_a_free_call_passes(treasury: Stack, status: int) -> None:
    """BAD_KEY, whatever the HTTP status, fails that order as provider_auth, and buying resumes by itself."""
    refused = treasury.play(buy("word", body="BAD_KEY", status=status))
    ended = treasury.until_settled(refused["id"], "none")
    assert (ended["status"], ended["error"]["code"]) == ("failed", "provider_auth")
    assert pauses(treasury) == ["provider_auth"]
    _alerted(treasury, "buying_paused", "provider_auth")
    if status == 200:
        order = treasury.play(sms=(CODE, 0.5))
        assert treasury.until_settled(order["id"], "finished")["otp"] == CODE
        assert len(treasury.provider.seen(order["server"], "buy")) == 1


def test_a_ban_pauses_buying_until_its_date(treasury: Stack) -> None:
    """BANNED with a date: nobody buys before it, polling goes on, and the order is bought after it."""
    polled = treasury.play(timeout=60)
    treasury.until(polled["id"], "waiting")
    until = datetime.now(UTC) + timedelta(seconds=10)
    date = f"{until.year}-{until.month}-{until.day} {until:%H-%M-%S}"
    order = treasury.play(buy("banned", body=date), sms=(CODE, 0.5))
    wait_for(lambda: pauses(treasury) == ["provider_banned"], what="the pause")
    (banned,) = treasury.provider.seen(order["server"], "buy")
    assert treasury.until_settled(order["id"], "finished")["otp"] == CODE
    again = treasury.provider.seen(order["server"], "buy")[1]
    assert again.at >= until.timestamp() - 1
    assert [row for row in treasury.provider.seen(polled["server"], "poll") if banned.at < row.at < again.at]
    _give_back(treasury, polled)
    check_order(treasury, order["id"])


@pytest.mark.parametrize(
    ("fault", "hold"),
    [(buy("rate_limited", headers={"Retry-After": "2"}), 2.0), (buy("edge"), 5.0)],
    ids=["429 with Retry-After", "403 by the edge"],
)
def test_being_told_to_slow_down_slows_everybody(treasury: Stack, fault: Script, hold: float) -> None:
    """A 429 or the edge's own 403 bought nothing: all polls and purchases rest, then the order is bought."""
    polled = treasury.play(timeout=60)
    treasury.until(polled["id"], "waiting")
    order = treasury.play(fault, sms=(CODE, 0.5))
    told = wait_for(lambda: treasury.provider.seen(order["server"], "buy"), what="the purchase")[0]
    assert treasury.until_settled(order["id"], "finished")["otp"] == CODE
    rows = [row for row in treasury.provider.requests() if told.arrived < row.arrived < told.arrived + hold - 0.1]
    assert len(rows) <= 1, f"besides a poll under way, called in the {hold} s after it: {rows}"
    assert len(treasury.provider.seen(order["server"], "buy")) == 2
    _give_back(treasury, polled)
    check_order(treasury, order["id"])


def test_a_cancel_that_is_told_to_slow_down_is_made_up_for(treasury: Stack) -> None:
    """A 429 on a cancel is obeyed, and the cancel is sent again well before the number expires."""
    order = treasury.play(cancel("rate_limited", headers={"Retry-After": "2"}), timeout=2)
    ended = treasury.until_settled(order["id"], "refunded")
    assert ended["status"] == "expired"
    first, second = treasury.provider.seen(order["server"], "cancel")
    assert second.arrived - first.arrived >= 2
    check_order(treasury, order["id"])


def test_a_wait_that_runs_past_the_number_s_life_is_not_obeyed(treasury: Stack) -> None:
    """Told on a cancel to wait longer than the number lives: the cancel goes out before the money is gone."""
    order = treasury.play(cancel("rate_limited", headers={"Retry-After": "600"}), rules={"life": 12}, timeout=2)
    ended = treasury.until_settled(order["id"], "refunded")
    assert ended["status"] == "expired"
    check_order(treasury, order["id"])


def test_with_a_floor_an_unknown_balance_buys_nothing(treasury: Stack) -> None:
    """Below RINGBACK_MIN_BALANCE, or with a balance nobody can read, nothing is bought and the web says why."""
    (worker,) = treasury.workers
    treasury.restart(worker, RINGBACK_MIN_BALANCE="50")
    treasury.provider.script(account("getBalance", "text", body="ACCESS_BALANCE:1,234.50", times=-1))
    held = treasury.play(sms=(CODE, 0.5))
    wait_for(lambda: "below_min_balance" in pauses(treasury), 20, "the pause")
    refused = treasury.api.post("/v1/orders", json={"server": "1", "type": "1"})
    assert (refused.status_code, refused.json()["code"]) == (503, "balance_below_floor")
    assert not treasury.provider.seen(held["server"], "buy")
    treasury.provider.clear_faults()
    assert treasury.until_settled(held["id"], "finished")["otp"] == CODE
    treasury.restart(worker, RINGBACK_MIN_BALANCE="")
    check_order(treasury, held["id"])


# The network.


@pytest.mark.parametrize("kind", ["reset", "hang"])
def test_an_outage_loses_nothing(treasury: Stack, kind: str) -> None:
    """After a total outage the cancel that came due in it goes out at once, and codes that came in it are delivered."""
    due, coded = treasury.play(timeout=4), treasury.play(timeout=60)
    for order in (due, coded):
        treasury.until(order["id"], "waiting")
    treasury.provider.outage(OUTAGE, kind)
    over = time.time() + OUTAGE
    treasury.provider.arrive(treasury.provider.bought(coded["server"])[0].id, CODE)
    time.sleep(OUTAGE / 2)
    assert treasury.order(coded["id"])["status"] == "waiting"
    assert treasury.until_settled(due["id"], "refunded")["status"] == "expired"
    assert treasury.until_settled(coded["id"], "finished")["otp"] == CODE
    sent = next(row for row in treasury.provider.seen(due["server"], "cancel") if row.at >= over)
    assert sent.at - over < OUTAGE, "the cancel that was due was held up longer than the outage lasted"
    for order in (due, coded):
        check_order(treasury, order["id"])


def test_redirects_are_not_followed(treasury: Stack) -> None:
    """A redirect to another host is trouble like any other: nobody goes there, above all not with the key."""
    elsewhere = {"Location": treasury.receiver.url + "/elsewhere"}
    treasury.provider.script(account("getBalance", "redirect", headers=elsewhere))
    read(treasury, "/v1/balance")
    bought = treasury.play(buy("redirect", headers=elsewhere, charged=True))
    order = treasury.play(
        poll("redirect", headers=elsewhere, times=3), cancel("redirect", headers=elsewhere, status=307), timeout=2
    )
    treasury.until_settled(bought["id"], "unconfirmed")
    treasury.until_settled(order["id"], "refunded")
    assert not treasury.receiver.deliveries("/elsewhere")
    for each in (bought, order):
        check_order(treasury, each["id"])


def test_an_untrusted_certificate_is_never_accepted(treasury: Stack, tmp_path: Path) -> None:
    """Behind a certificate that nobody vouches for not one request is sent; the order waits, and can be cancelled."""
    (worker,) = treasury.workers
    with impostor(tmp_path) as (url, came):
        treasury.restart(worker, RINGBACK_OTPGET_BASE_URL=url)
        order = treasury.play()
        wait_for(lambda: came["connections"] >= 3, 20, "attempts to connect")
        treasury.cancel(order["id"])
        ended = treasury.until_settled(order["id"], "none")
    treasury.restart(worker, RINGBACK_OTPGET_BASE_URL=treasury.provider.base_url)
    assert (ended["status"], came["requests"]) == ("cancelled", 0)
    again = treasury.play(sms=(CODE, 0.5))
    assert treasury.until_settled(again["id"], "finished")["otp"] == CODE


@contextmanager
def impostor(folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """A provider with a certificate of its own making; counts connections, and requests if any come through."""
    came = {"connections": 0, "requests": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came["requests"] += 1
            self.send_error(500)

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            came["connections"] += 1
            return super().get_request()

        def handle_error(self, *_: object) -> None:
            """A handshake that fails is what this is for."""

    server = Server(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(folder))
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/stubs", came
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "impostor.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


def _give_back(stack: Stack, order: dict[str, Any]) -> None:
    """End an order that only served to be polled."""
    stack.cancel(order["id"])
    stack.until_settled(order["id"], "refunded")


def _alerted(stack: Stack, kind: str, reason: str) -> None:
    lines = [line for text in stack.logs().values() for line in text.splitlines() if f'"{kind}"' in line]
    assert any(f'"{reason}"' in line for line in lines), lines
