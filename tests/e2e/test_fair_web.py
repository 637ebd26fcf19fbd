"""What one caller asks of the web reaches no other: look-ups, held answers, and what can be caused for free."""

from __future__ import annotations

import secrets
import select
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.nameserver import FICKLE, FINE, SILENT, NameServer
from tests.e2e.provider import buy
from tests.e2e.stack import Stack, running_stack, wait_for
from web.api.callbacks import LOOK_UPS_PER_CALLER
from web.api.long_poll import MOST_PER_CALLER, MOST_WAITING
from worker.schedule import FREE_REFUSALS

pytestmark = pytest.mark.e2e

ROUNDS = 3
HANGING = 40
"""Webhooks whose hosts nobody answers for: more than twice the threads that looked names up before."""
LONG = 60
"""Seconds for which a client asks to be held that then hangs up."""
STORAGE = 1_000_000


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    """The only name server there is."""
    with NameServer() as server:
        yield server


@pytest.fixture(scope="module")
def street(real_server: str, names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service; its own caller is the one whom nothing may reach."""
    settings = {"RINGBACK_CALLBACK_NAMESERVERS": names.address, "RINGBACK_CALLER_STORAGE": str(STORAGE)}
    for stack in running_stack(tmp_path_factory.mktemp("street"), settings=settings):
        wait_for(partial(_servers, stack), what="a reading of the servers")
        yield stack


def _servers(stack: Stack) -> object:
    return stack.api.get("/v1/servers").json()["servers"]


@pytest.fixture
def hostile(street: Stack) -> Iterator[httpx.Client]:
    """Another caller."""
    made = street.ringback("caller", "create", "hostile", "--callback-url", street.receiver.url + "/hostile")
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    with httpx.Client(base_url=street.api.base_url, headers=headers, timeout=70) as client:
        yield client


def hook(street: Stack, host: str) -> str:
    """A callback at the receiver, under one of the name server's names."""
    return f"http://{host}:{urlsplit(street.receiver.url).port}/hook"


def ordered(client: httpx.Client, **fields: object) -> httpx.Response:
    """Post an order."""
    return client.post("/v1/orders", json={"server": "1", "type": "1", **fields})


def told(answer: httpx.Response) -> tuple[int, str]:
    """A problem's status and code; it says when to ask again."""
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.json()["code"]


# Look-ups.


def test_a_zone_that_never_answers_costs_other_callers_nothing(street: Stack, hostile: httpx.Client) -> None:
    """While one caller's hosts are asked for in vain, another's new hosts are judged before the first of those is."""
    with ThreadPoolExecutor(16) as pool:
        for _ in range(ROUNDS):
            silent = [f"{secrets.token_hex(4)}{SILENT}" for _ in range(16)]
            theirs = [pool.submit(ordered, hostile, callback_url=hook(street, host)) for host in silent]
            hung = wait_for(partial(_hung, theirs), what="what is over the share being refused")
            ours = ordered(street.api, callback_url=hook(street, secrets.token_hex(4) + FINE))
            none = ordered(street.api, callback_url=hook(street, secrets.token_hex(4) + ".none.test"))
            assert [one.done() for one in hung] == [False] * LOOK_UPS_PER_CALLER, (
                "the silent zone's hosts were still asked for"
            )
            assert (ours.status_code, none.status_code) == (202, 422)
            answers = Counter(told(one.result()) for one in theirs)
            assert answers[429, "too_many_look_ups"] == len(theirs) - LOOK_UPS_PER_CALLER
            assert answers[503, "resolver_unavailable"] == LOOK_UPS_PER_CALLER


def _hung(requests: list[Future[httpx.Response]]) -> list[Future[httpx.Response]] | None:
    """The requests without an answer, once those over the share have theirs."""
    hung = [one for one in requests if not one.done()]
    return hung if len(hung) <= LOOK_UPS_PER_CALLER else None


def test_a_zone_that_falls_silent_delays_no_other_webhook(
    street: Stack, hostile: httpx.Client, names: NameServer
) -> None:
    """Webhooks whose hosts nobody answers for any more hold up no other: it comes long before one of those gives up."""
    street.provider.stage("900", buy("word", body="NO_NUMBERS", times=-1))
    orders = [ordered(hostile, callback_url=hook(street, f"{n}{FICKLE}"), server="900") for n in range(HANGING)]
    assert {one.status_code for one in orders} == {202}
    names.fickle_is_silent = True
    asked = len(names.asked)
    for one in orders:
        hostile.post(f"/v1/orders/{one.json()['id']}/cancel")
    wait_for(lambda: len(names.asked) - asked > HANGING, what="the worker asking for the silent hosts")
    order = street.play()
    came = wait_for(lambda: street.deliveries(order["id"], "order.number_assigned"), what="the neighbour's webhook")[0]
    delay = came.at - datetime.fromisoformat(came.message["timestamp"]).timestamp()

    def failed() -> list[float]:
        events = hostile.get("/v1/events", params={"limit": 100}).json()["data"]
        return [one["duration"] for event in events for one in event["attempts"] if one["error"] == "dns"]

    given_up = min(wait_for(failed, 30, "an attempt that gave up"))
    assert delay < given_up / 2, f"{delay:.2f} s, and a silent host was given up after {given_up:.2f} s"


# Held answers.


def hold(street: Stack, client: httpx.Client, order_id: str) -> socket.socket:
    """A client of its own that asks to be held for long."""
    connection = socket.create_connection(("127.0.0.1", street.port))
    lines = [
        f"GET /v1/orders/{order_id}?wait={LONG}&wait_for=end HTTP/1.1", "Host: ringback",
        f"Authorization: {client.headers['Authorization']}",
    ]  # fmt: skip
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def test_a_caller_that_holds_all_it_can_leaves_room_for_others(street: Stack, hostile: httpx.Client) -> None:
    """What is over its half is refused; another is held and answered; hanging up frees the places long before time."""
    theirs = street.play(callback_url=hook(street, "x" + FINE))["id"]
    server = street.new_server()
    street.provider.stage(server)
    own = ordered(hostile, server=server).json()["id"]
    with ExitStack() as clients, ThreadPoolExecutor(8) as pool:
        holding = [clients.enter_context(hold(street, hostile, own)) for _ in range(2 * MOST_WAITING)]
        over = len(holding) - MOST_PER_CALLER
        wait_for(lambda: len(select.select(holding, [], [], 0)[0]) >= over, what="an answer to all that are too many")
        refused = _refusal(hostile, own)
        assert refused is not None
        assert told(refused) == (429, "too_many_waiting")
        held = [
            pool.submit(street.api.get, f"/v1/orders/{theirs}", params={"wait": 1, "wait_for": "end"})
            for _ in range(MOST_PER_CALLER // 2)
        ]
        assert [one.result().status_code for one in held] == [200] * len(held)
    wait_for(lambda: _refusal(hostile, own) is None, LONG / 6, "a place that is free again")


def _refusal(client: httpx.Client, order_id: str) -> httpx.Response | None:
    answer = client.get(f"/v1/orders/{order_id}", params={"wait": 1, "wait_for": "end"})
    assert answer.json().get("status") in (429, "queued", "buying", "waiting"), answer.text
    return answer if answer.status_code == 429 else None


# What is free.


def test_what_the_provider_does_not_sell_costs_no_call(street: Stack, hostile: httpx.Client) -> None:
    """A server or a type that is not listed is refused when it is posted; nobody asks the provider."""
    before = len(street.provider.requests("buyNumber"))
    unlisted = hostile.post("/v1/orders", json={"server": "99999", "type": "1"})
    untyped = hostile.post("/v1/orders", json={"server": "1", "type": "9"})
    assert [one.status_code for one in (unlisted, untyped)] == [422, 422]
    assert unlisted.json()["errors"][0]["code"] == "unknown_server"
    assert len(street.provider.requests("buyNumber")) == before


def test_a_caller_whose_orders_are_refused_is_held_off_alone(street: Stack, hostile: httpx.Client) -> None:
    """After so many refusals it is told to wait, and another buys as ever."""
    server = street.new_server()
    street.provider.stage(server, buy("word", body="BAD_SERVER", times=-1))

    def until_refused() -> httpx.Response | None:
        answer = ordered(hostile, server=server)
        return answer if answer.status_code == 429 else None

    assert told(wait_for(until_refused, 30, "the hostile caller being held off")) == (429, "orders_refused")
    assert len(street.provider.seen(server, "buy")) >= FREE_REFUSALS
    assert street.until(street.play()["id"], "waiting")["number"]


def test_a_caller_that_fills_its_storage_is_told_alone(street: Stack, hostile: httpx.Client) -> None:
    """What is over its share is refused, and another orders on."""
    street.provider.stage("901", buy("word", body="NO_NUMBERS", times=-1))
    answers: Counter[tuple[int, str]] = Counter()
    while answers.total() < 2 * STORAGE // 4000 and not answers[429, "storage_full"]:
        answer = ordered(hostile, server="901", metadata={"x": secrets.token_hex(2000)})
        answers[(202, "") if answer.status_code == 202 else told(answer)] += 1
    assert answers[429, "storage_full"] == 1
    assert answers.total() > STORAGE // 16_000
    assert ordered(street.api).status_code == 202
