"""The main job through the lines of `Procfile`: from POST to verified webhook, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.e2e.invariants import check_order, check_stack, checked_stack
from tests.e2e.provider import buy, finish, poll
from tests.e2e.stack import BUY_DEADLINE, ROOT, Process, Stack, procfile, wait_for
from worker.schedule import LIFE_RESERVE
from worker.services import BUY_LEASE, DELIVERY_MARGIN

pytestmark = pytest.mark.e2e

SMS = "Acme: 09:41:07 is your code; mail help@acme.example: it's valid 10 min"
LONGEST_WAIT = 60
"""Seconds that a reader may have its answer held."""
GRACE = BUY_DEADLINE + 5.0
"""Seconds after which a purchase that nobody recorded is given up as unknown."""


@pytest.fixture(scope="module")
def home(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker, one web process, and a store that keeps every write."""
    settings = {"RINGBACK_WEBHOOK_TIMEOUT": "2", "RINGBACK_BUY_BUDGET": "30"}
    yield from checked_stack(tmp_path_factory.mktemp("home"), fsync="always", settings=settings)


def done(stack: Stack, order: dict[str, Any], status: str, settlement: str, seconds: float = 60.0) -> dict[str, Any]:
    """Wait for the end of an order, and hold it against the invariants."""
    ended = stack.until_settled(order["id"], settlement, seconds)
    assert ended["status"] == status, ended
    check_order(stack, order["id"])
    return ended


# From POST to verified webhook.


def test_an_order_becomes_a_verified_webhook(home: Stack) -> None:
    """POST, number, code, and two signed webhooks that the official library verifies; what was given comes back."""
    server = home.new_server()
    home.provider.stage(server, buy("bom_crlf"), poll("bom_crlf", times=-1), finish("bom_crlf"), sms=(SMS, 1.0))
    body = {
        "server": server,
        "type": "1",
        "callback_url": home.hook(server),
        "metadata": {"n": [1, {"é": None}]},
        "purpose": "test",
    }
    accepted = home.api.post("/v1/orders", json=body)
    order = accepted.json()
    home.posted[order["id"]] = server
    assert (accepted.status_code, order["status"], order["settlement"]) == (202, "queued", "none")
    assert home.api.get(accepted.headers["Location"]).json()["id"] == order["id"]
    ended = done(home, order, "received", "finished")
    assert (ended["otp"], ended["metadata"], ended["purpose"]) == (SMS, body["metadata"], "test")
    told = home.deliveries(order["id"])
    assert [one.type for one in told] == ["order.number_assigned", "order.otp_received"]
    assert all(one.verified for one in told)
    assert told[1].message["data"]["otp"] == SMS


def test_a_callback_is_proven_before_it_is_called(home: Stack) -> None:
    """Where a caller has to prove its callbacks, each has to: a 2xx is not enough, and one does not cover another."""
    server, silent = home.new_server(), f"{home.receiver.url}/silent"
    proven = home.hook(server)
    home.provider.stage(server, sms=(SMS, 1.0))
    made = home.ringback("caller", "create", "careful", "--callback-url", proven, "--verify-callback")
    home.receiver.secrets.append(made["webhook_secret"])
    home.receiver.proves[f"/hook/{server}"] = made["webhook_secret"]
    client = home.client(made)
    home.others.append(client)

    def ordered(callback: str) -> httpx.Response:
        return client.post("/v1/orders", json={"server": server, "type": "1", "callback_url": callback})

    assert [ordered(one).status_code for one in (proven, silent)] == [409, 409]
    pings = [client.post("/v1/events/ping", json={"callback_url": one}).json()["id"] for one in (silent, proven)]
    wait_for(lambda: all(client.get(f"/v1/events/{one}").json()["status"] == "delivered" for one in pings))
    accepted = wait_for(lambda: answer if (answer := ordered(proven)).is_success else None, what="the proof")
    order = accepted.json()
    home.posted[order["id"]], home.owners[order["id"]] = server, client
    assert ordered(silent).status_code == 409
    done(home, order, "received", "finished")


def test_a_waiting_reader_learns_of_the_code_at_once(home: Stack) -> None:
    """`?wait=` holds the answer until the order changes, and not until the wait is over."""
    order = home.play()
    home.until(order["id"], "waiting")
    home.provider.arrive(home.provider.bought(order["server"])[0].id, "002468", 1.5)
    begun = time.monotonic()
    read = home.api.get(f"/v1/orders/{order['id']}", params={"wait": LONGEST_WAIT}).json()
    assert (read["status"], read["otp"]) == ("received", "002468")
    assert time.monotonic() - begun < LONGEST_WAIT / 2
    done(home, order, "received", "finished")


def test_a_number_without_a_code_is_refunded(home: Stack) -> None:
    """No code in time: the caller is told that it expired and that the money is back."""
    order = home.play(timeout=2)
    done(home, order, "expired", "refunded")
    (told,) = home.deliveries(order["id"], "order.expired")
    assert told.message["data"]["settlement"] == "refunded"
    (bought,) = home.provider.bought(order["server"])
    assert bought.refunded_at is not None


def test_odd_answers_are_survived(home: Stack) -> None:
    """NO_NUMBERS, a BOM, a whole SMS with colons, leading zeros and a failing receiver, all at once."""
    none = home.play(buy("word", body="NO_NUMBERS"), sms=("112358", 0.5))
    marked = home.play(buy("bom_crlf"), poll("bom_crlf", times=-1), sms=("132134", 0.5))
    zeros = home.play(sms=("000042", 0.5))
    whole = home.new_server()
    home.receiver.answers[f"/hook/{whole}"].extend([500, 404])
    home.provider.stage(whole, sms=(SMS, 0.5))
    retried = home.post(whole)
    for order, code in ((none, "112358"), (marked, "132134"), (zeros, "000042"), (retried, SMS)):
        assert done(home, order, "received", "finished")["otp"] == code
    assert [one.answered for one in home.deliveries(retried["id"])].count(204) == 2
    attempts = [attempt["status_code"] for event in home.events(retried["id"]) for attempt in event["attempts"]]
    assert sorted(attempts) == [204, 204, 404, 500]


# Whatever dies.


def test_killing_the_only_worker_loses_nothing(home: Stack) -> None:
    """SIGKILL with orders at every stage, codes and orders that come meanwhile, and all of them end as they should."""
    (worker,) = home.workers
    coded, due, unwanted = home.play(timeout=60), home.play(timeout=3), home.play(timeout=60)
    asked = home.play(buy("word", body="NO_NUMBERS", times=2), sms=("514229", 0.5))
    for order in (coded, due, unwanted):
        home.until(order["id"], "waiting")
    worker.kill()
    home.provider.arrive(home.provider.bought(coded["server"])[0].id, "317811")
    late = home.play(sms=("832040", 0.5))
    home.cancel(unwanted["id"])
    time.sleep(1.5)
    worker.start()
    assert done(home, coded, "received", "finished")["otp"] == "317811"
    done(home, due, "expired", "refunded")
    done(home, unwanted, "cancelled", "refunded")
    assert done(home, asked, "received", "finished")["otp"] == "514229"
    assert done(home, late, "received", "finished")["otp"] == "832040"


def killed_at(stack: Stack, moment: str, age: float = 0.0, **play: Any) -> dict[str, Any]:
    """Play an order whose worker is killed while the provider answers this call, and started again.

    The first such call is meant that comes `age` seconds after the purchase.
    """
    (worker,) = stack.workers
    killed = threading.Event()

    def kill(order_id: str) -> None:
        if not killed.is_set() and (not age or time.time() - stack.provider.ledger.order(order_id).charged_at > age):
            worker.kill()
            killed.set()

    server = stack.new_server()
    stack.provider.stage(server, sms=play.pop("sms", None), cues={moment: kill})
    order = stack.post(server, **play)
    assert killed.wait(60), f"there was no {moment}"
    worker.start()
    return order


def test_killed_between_purchase_and_record(home: Stack) -> None:
    """The worker dies while the purchase is answered: unknown after the restart, and never bought again."""
    order = killed_at(home, "buy")
    assert done(home, order, "failed", "unconfirmed", GRACE + 30)["error"]["code"] == "purchase_unknown"
    assert len(home.provider.seen(order["server"], "buy")) == 1


@pytest.mark.parametrize(
    ("moment", "sms", "status", "settlement"),
    [
        ("poll", ("196418", 0.1), "received", "finished"),
        ("finish", ("121393", 0.1), "received", "finished"),
        ("cancel", None, "expired", "refunded"),
    ],
)
def test_killed_in_the_middle_of_a_call(
    home: Stack, moment: str, sms: tuple[str, float] | None, status: str, settlement: str
) -> None:
    """The worker dies amid a call that can be repeated: it is, and the order ends as if nothing had been."""
    done(home, killed_at(home, moment, sms=sms, timeout=3 if sms is None else 60), status, settlement)


def test_killed_while_looking_before_the_cancel(home: Stack) -> None:
    """The worker dies at the look right before a cancel: the cancel still goes out within the reserve kept for it."""
    order = killed_at(home, "poll", age=2.9, timeout=3)
    wait_for(lambda: home.provider.seen(order["server"], "cancel"), 2 * LIFE_RESERVE, "the cancel")
    bought, sent = home.provider.bought(order["server"])[0], home.provider.seen(order["server"], "cancel")[0]
    died = next(row for row in home.provider.seen(order["server"], "poll") if row.at - bought.charged_at > 2.9)
    assert sent.at - died.at < LIFE_RESERVE
    done(home, order, "expired", "refunded")


def test_killed_in_the_middle_of_a_delivery(home: Stack) -> None:
    """The worker dies while a receiver answers: the same event comes again, with the same id and the same body."""
    (worker,) = home.workers
    order = home.play(sms=("987610", 60.0), timeout=50)
    home.until(order["id"], "waiting")
    taken, take = threading.Event(), home.receiver.take

    def kill_first(path: str, headers: dict[str, str], body: bytes) -> int:
        status = take(path, headers, body)
        if b"order.otp_received" in body and not taken.is_set():
            worker.kill()
            taken.set()
        return status

    home.receiver.take = kill_first  # type: ignore[method-assign]
    home.provider.arrive(home.provider.bought(order["server"])[0].id, "987610")
    assert taken.wait(60)
    worker.start()
    done(home, order, "received", "finished")
    assert len(home.deliveries(order["id"], "order.otp_received")) == 2


@contextmanager
def standing_still(worker: Process) -> Iterator[None]:
    """A worker that does nothing for a while, so that the other one does it."""
    worker.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.kill(signal.SIGCONT)


@contextmanager
def at_the_first_code(stack: Stack, act: Callable[[], object]) -> Iterator[threading.Event]:
    """Have something happen while the receiver takes the first code; the event tells when it has come."""
    taken, take = threading.Event(), stack.receiver.take

    def take_and_act(path: str, headers: dict[str, str], body: bytes) -> int:
        status = take(path, headers, body)
        if b"order.otp_received" in body and not taken.is_set():
            taken.set()
            act()
        return status

    stack.receiver.take = take_and_act  # type: ignore[method-assign]
    try:
        yield taken
    finally:
        stack.receiver.take = take  # type: ignore[method-assign]


def delivered_by_one(stack: Stack, act: Callable[[], object]) -> dict[str, Any]:
    """An order whose code the first worker is delivering, alone, when something happens."""
    order = stack.play(timeout=50)
    stack.until(order["id"], "waiting")
    wait_for(lambda: stack.deliveries(order["id"]), what="the first webhook")
    with standing_still(stack.workers[1]), at_the_first_code(stack, act) as taken:
        stack.provider.arrive(stack.provider.bought(order["server"])[0].id, "756839")
        assert taken.wait(60)
    return order


def test_what_a_killed_worker_was_delivering_another_delivers_at_once(playhouse: Stack) -> None:
    """It dies while a receiver answers: the other worker sends the same event long before its lease is over."""
    (dies, _) = playhouse.workers
    try:
        order = delivered_by_one(playhouse, dies.kill)
        done(playhouse, order, "received", "finished")
    finally:
        playhouse.restart(dies)
    first, second = playhouse.deliveries(order["id"], "order.otp_received")
    assert first.id == second.id
    assert second.at - first.at < DELIVERY_MARGIN, "the lease was waited for"


def test_what_a_stopping_worker_still_delivers_no_other_does(playhouse: Stack) -> None:
    """Told to stop while a receiver takes its time, it ends the attempt, and nobody takes it for dead meanwhile."""
    (stops, _) = playhouse.workers
    order = delivered_by_one(playhouse, lambda: time.sleep(3.5))
    try:
        stops.kill(signal.SIGTERM)
    finally:
        stops.start()
    done(playhouse, order, "received", "finished")
    assert len(playhouse.deliveries(order["id"], "order.otp_received")) == 1


def test_a_purchase_answered_after_it_was_given_up_is_adopted_and_given_back(playhouse: Stack) -> None:
    """Its worker stands still until another has called it unknown, goes on, and finds the answer in its buffer."""
    buyer, other = playhouse.workers
    with standing_still(other):
        order = playhouse.play(buy("as_is", delay=2.0, charged=True))
        wait_for(lambda: playhouse.provider.seen(order["server"], "buy"), what="the purchase")
        buyer.kill(signal.SIGSTOP)
    with standing_still(buyer):
        assert playhouse.until(order["id"], "failed", GRACE + 30)["error"]["code"] == "purchase_unknown"
    ended = done(playhouse, order, "failed", "refunded")
    assert ended["bought_at"] is not None
    assert len(playhouse.provider.seen(order["server"], "buy")) == 1


def test_a_worker_told_to_stop_ends_what_it_began(home: Stack) -> None:
    """SIGTERM amid a purchase: its answer is still written down before the worker goes."""
    (worker,) = home.workers
    order = home.play(buy("as_is", delay=1.2, charged=True), sms=("465782", 0.1))
    wait_for(lambda: home.provider.seen(order["server"], "buy"), what="the purchase")
    worker.kill(signal.SIGTERM)
    assert home.order(order["id"])["status"] == "waiting"
    worker.start()
    done(home, order, "received", "finished")


def test_any_of_two_workers_may_die(playhouse: Stack) -> None:
    """With one of two workers killed, whichever it is, a new order is bought about as soon as with both."""
    usual = seconds_to_purchase(playhouse, playhouse.play(sms=("701408", 0.2)))
    for worker in playhouse.workers:
        worker.kill()
        order = playhouse.play(sms=("701408", 0.2))
        assert seconds_to_purchase(playhouse, order) < usual + 2 * BUY_LEASE
        assert done(playhouse, order, "received", "finished")["otp"] == "701408"
        worker.start()


def seconds_to_purchase(stack: Stack, order: dict[str, Any]) -> float:
    """From the order's acceptance to the provider's sight of its purchase."""
    bought = wait_for(lambda: stack.provider.seen(order["server"], "buy"), 60, "the purchase")
    return bought[0].at - datetime.fromisoformat(order["created_at"]).timestamp()


def test_killing_the_web_process_loses_nothing(home: Stack) -> None:
    """What was answered with 202 goes on, and the same Idempotency-Key gets the first answer again."""
    server = home.new_server()
    home.provider.stage(server, sms=("433494", 0.5))
    body = {"server": server, "type": "1", "callback_url": home.hook(server)}
    first = home.api.post("/v1/orders", json=body, headers={"Idempotency-Key": "once"})
    home.posted[first.json()["id"]] = server
    home.restart(home.web)
    home.wait_until_ready()
    again = home.api.post("/v1/orders", json=body, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert again.json() == first.json()
    done(home, first.json(), "received", "finished")


def test_a_dead_store_is_one_clear_503_and_loses_nothing(home: Stack) -> None:
    """The store is killed amid polls and a purchase; the web says so, and all goes on when it is back."""
    (worker,) = home.workers
    coded, due = home.play(timeout=60), home.play(timeout=4)
    for order in (coded, due):
        home.until(order["id"], "waiting")
    bought = home.play(buy("as_is", delay=1.0, charged=True), sms=("267914", 3.0))
    wait_for(lambda: home.provider.seen(bought["server"], "buy"), what="the purchase")
    os.kill(home.store.pid or 0, signal.SIGKILL)
    home.provider.arrive(home.provider.bought(coded["server"])[0].id, "165580")
    refused = home.api.post("/v1/orders", json={"server": "1", "type": "1"})
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert (home.api.get("/healthz").status_code, home.api.get("/readyz").status_code) == (200, 503)
    time.sleep(2.0)
    assert home.store.revive()
    home.wait_until_ready()
    assert worker.alive, "the worker gave up"
    assert done(home, coded, "received", "finished")["otp"] == "165580"
    assert done(home, bought, "received", "finished")["otp"] == "267914"
    done(home, due, "expired", "refunded")


# One clear error each.


def test_requests_that_are_wrong_are_told_so(home: Stack) -> None:
    """A wrong key, bad JSON and unknown fields: a problem each, and nothing is bought."""
    before = len(home.provider.requests("buyNumber"))
    json = {"Content-Type": "application/json"}
    wrong = home.api.post("/v1/orders", json={}, headers={"Authorization": "Bearer rbk_" + "x" * 43})
    broken = home.api.post("/v1/orders", content=b'{"server": ', headers=json)
    unknown = home.api.post("/v1/orders", json={"server": 1, "typ": "1", "timeout": -1})
    answers = [(answer.status_code, answer.json()["code"]) for answer in (wrong, broken, unknown)]
    assert answers == [(401, "unauthorized"), (400, "invalid_json"), (422, "invalid_fields")]
    assert {error["field"] for error in unknown.json()["errors"]} >= {"server", "type", "typ", "timeout"}
    assert len(home.provider.requests("buyNumber")) == before


@pytest.mark.parametrize("name", ["web", "worker"])
def test_bad_settings_are_all_told_at_once(home: Stack, name: str) -> None:
    """A process with bad settings ends at once, naming all of them and showing no secret."""
    process = home.web if name == "web" else home.workers[0]
    bad = {
        "RINGBACK_POLL_INTERVAL": "often",
        "RINGBACK_RETENTION": "-1",
        "RINGBACK_ENCRYPTION_KEYS": "hunter2",
        "PORT": "0",
    }
    ended = subprocess.run(
        ["/bin/sh", "-c", f"exec {procfile()[name]}"],
        cwd=ROOT, env={**process.env, **bad}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert all(setting in told for setting in bad if setting != "PORT"), told
    assert "hunter2" not in told
    assert "Traceback" not in told, told


def test_the_web_process_runs_without_the_provider_s_key(home: Stack) -> None:
    """The web is not given the provider's key, and has served every order of this module without it."""
    assert "RINGBACK_OTPGET_API_KEY" not in home.web.env
    assert home.provider_key not in home.web.env.values()
    assert home.api.get("/readyz").status_code == 200


# At the end, because the pause outlasts it.


def test_low_balance_is_told_and_stops_nobody_else(home: Stack) -> None:
    """LOW_BALANCE fails its own order; a number bought before it still gets its code."""
    bought = home.play(timeout=60)
    home.until(bought["id"], "waiting")
    home.provider.set_balance("1")
    poor = home.play()
    assert done(home, poor, "failed", "none")["error"]["code"] == "insufficient_balance"
    home.provider.arrive(home.provider.bought(bought["server"])[0].id, "102334")
    assert done(home, bought, "received", "finished")["otp"] == "102334"


def test_nothing_of_all_this_leaked(home: Stack) -> None:
    """No key, code, secret or full number stands in any log or in the name of any key, and nothing broke."""
    check_stack(home)
