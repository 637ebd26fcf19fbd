"""Fair shares: what one caller does, or its receivers do, reaches no other. Stated as orders of events and ratios."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.provider import buy
from tests.e2e.receiver import Receiver
from tests.e2e.stack import Stack, running_stack, wait_for
from tests.flood import flooding

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CAP = 8
"""Calls a second where there is a cap."""
QUEUED = 60
"""Orders that the big caller has queued."""
HANGING = 30
"""Webhooks that hang at another path of a host."""
PORTS, OWED = 300, 2_200
"""Hosts that accept and never answer, and webhooks owed to them: more than a worker attempts at a time."""
FLOODED = 8
"""Orders whose receiver floods."""
FREE = buy("word", body="BAD_SERVER", times=-1)
"""The provider refuses the order: it costs nothing and owes a webhook."""
SOLD_OUT = buy("word", body="NO_NUMBERS", times=-1)
"""No order gets a number: each costs nothing, owes a webhook, and is no mistake of its caller's."""
CODE = "402913"


class Caller:
    """A caller of its own, posting to the stack's web."""

    def __init__(self, stack: Stack, name: str, callback: str) -> None:
        self.stack = stack
        self.made = stack.ringback("caller", "create", name, "--callback-url", callback)
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{stack.port}",
            headers={"Authorization": f"Bearer {self.made['api_key']}"},
            timeout=60,
        )

    def post(self, server: str, callback: str | None = None) -> str:
        """Post an order; returns its id."""
        body = {"server": server, "type": "1", **({"callback_url": callback} if callback else {})}
        answer = self.api.post("/v1/orders", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def post_many(self, server: str, callbacks: Sequence[str | None]) -> list[str]:
        """Post an order for each callback, several at a time."""
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda callback: self.post(server, callback), callbacks))

    def order(self, order_id: str) -> dict[str, Any]:
        """The order as it is shown."""
        return dict(self.api.get(f"/v1/orders/{order_id}").json())

    def attempts(self) -> list[dict[str, Any]]:
        """Every attempt that has ended, of all webhooks of this caller."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.api.get("/v1/events", params={"limit": 100, **cursor}).json()
            found += [attempt for event in page["data"] for attempt in event["attempts"]]
            if not page["next_cursor"]:
                return found
            cursor = {"cursor": page["next_cursor"]}


class PartlyHanging(Receiver):
    """A receiver at which one path hangs until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()
        self.hanging = 0

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep a request, or hold it."""
        if path.startswith("/hang"):
            self.hanging += 1
            self.over.wait(120)
        return super().take(path, headers, body)


@pytest.fixture
def shared(real_server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One worker, with the settings that a test names by `indirect`."""
    settings = {"RINGBACK_WEBHOOK_TIMEOUT": "60", **getattr(request, "param", {})}
    yield from running_stack(tmp_path / "shared", settings=settings)


@pytest.mark.parametrize(
    "shared", [{"RINGBACK_OTPGET_MAX_RPS": str(CAP), "RINGBACK_POLL_INTERVAL": "5"}], indirect=True
)
def test_one_callers_queue_delays_anothers_order_by_a_turn(shared: Stack) -> None:
    """Under a cap, B's only order is bought among the next, however many A has queued before it."""
    theirs, mine = shared.new_server(), shared.new_server()
    for server in (theirs, mine):
        shared.provider.stage(server)
    big = Caller(shared, "big", shared.hook("big"))
    small = Caller(shared, "small", shared.hook("small"))
    big.post_many(theirs, [None] * QUEUED)
    wait_for(lambda: shared.provider.seen(theirs, "buy"), what="a first purchase")
    bought_before = len(shared.provider.seen(theirs, "buy"))
    small.post(mine)
    wait_for(lambda: shared.provider.seen(mine, "buy"), 90, "the small caller's purchase")
    overtaken_by = len(shared.provider.seen(theirs, "buy")) - bought_before
    assert overtaken_by <= 2 * CAP, f"{overtaken_by} purchases of {QUEUED} went before it"


def test_a_flood_of_interim_answers_delays_nobody(shared: Stack) -> None:
    """While A's receivers answer 103 without end, B's number is polled as it is while all is quiet."""
    waiting = shared.play(timeout=100)
    shared.until(waiting["id"], "waiting")
    hostile, refused = Caller(shared, "hostile", shared.hook("a")), shared.new_server()
    shared.provider.stage(refused, FREE)
    quiet = longest_gap(shared, waiting["server"])
    with flooding() as port:
        hostile.post_many(refused, [f"http://127.0.0.1:{port}/flood"] * FLOODED)
        flooded = longest_gap(shared, waiting["server"])
        wait_for(hostile.attempts, what="an attempt at the flooding receiver")
    assert flooded < 3 * quiet, f"{flooded:.2f} s between two polls, and {quiet:.2f} s while it is quiet"
    assert {attempt["error"] for attempt in hostile.attempts()} == {"endless_head"}


def longest_gap(stack: Stack, server: str, polls: int = 12) -> float:
    """The longest time between two of the next polls of a number, in seconds."""
    before = len(stack.provider.seen(server, "poll"))
    wait_for(lambda: len(stack.provider.seen(server, "poll")) >= before + polls, 90, f"{polls} polls")
    seen = [row.arrived for row in stack.provider.seen(server, "poll")[before - 1 :]]
    return max(later - earlier for earlier, later in pairwise(seen))


@pytest.mark.parametrize("shared", [{"RINGBACK_BUY_BUDGET": "30"}], indirect=True)
def test_what_one_cannot_pay_for_stops_nobody_elses_purchase(shared: Stack) -> None:
    """A's orders are dearer than the balance and fail or wait; each of B's is bought and gets its code meanwhile."""
    shared.provider.set_balance("100")
    dear = shared.new_server()
    shared.provider.stage(dear, rules={"price": "1000"})
    rich = Caller(shared, "rich", shared.hook("rich"))
    failed = rich.post(dear)
    wait_for(lambda: rich.order(failed)["status"] == "failed", what="the dear order's refusal")
    held = rich.post(dear)
    cheap = [shared.play(sms=(CODE, 0.2)) for _ in range(3)]
    for order in cheap:
        assert shared.until_settled(order["id"], "finished")["otp"] == CODE
    assert rich.order(failed)["error"]["code"] == "insufficient_balance"
    assert rich.order(held)["status"] == "queued", "it waits for its item alone"
    assert len(shared.provider.seen(dear, "buy")) == 1
    reasons = shared.api.get("/v1/balance").json()["buying"]["reasons"]
    assert [(one["reason"], one["item"]) for one in reasons] == [("insufficient_balance", f"cheap/{dear}/1")]


def test_webhooks_that_hang_at_one_path_delay_no_other_path_of_the_host(shared: Stack) -> None:
    """B's webhook has arrived before one of A's attempts, which hang at the same host and port, has ended."""
    receiver = PartlyHanging()
    receiver.start()
    try:
        hostile, empty = Caller(shared, "hostile", receiver.url + "/hang"), shared.new_server()
        shared.provider.stage(empty, SOLD_OUT)
        hostile.post_many(empty, [None] * HANGING)
        wait_for(lambda: receiver.hanging >= 8, 120, "hanging attempts")
        neighbour = Caller(shared, "neighbour", receiver.url + "/well")
        neighbour.post(empty)
        wait_for(lambda: receiver.deliveries("/well"), 120, "the neighbour's webhook")
        assert hostile.attempts() == [], "it came only after an attempt of the other caller had ended"
        assert receiver.hanging <= 8, "an endpoint has eight attempts at a time"
    finally:
        receiver.over.set()
        receiver.stop()


def test_thousands_of_webhooks_for_hanging_hosts_leave_room_for_others(shared: Stack) -> None:
    """A owes more than a worker attempts at a time, to hosts that never answer; B's webhook waits for none of them."""
    empty = shared.new_server()
    shared.provider.stage(empty, SOLD_OUT)
    hostile = Caller(shared, "hostile", shared.hook("a"))
    neighbour = Caller(shared, "neighbour", f"{shared.receiver.url}/neighbour")
    with ExitStack() as hosts:
        ports = [silent_port(hosts) for _ in range(PORTS)]
        hooks = [f"http://127.0.0.1:{ports[n % PORTS]}/hang" for n in range(OWED)]
        posted = hostile.post_many(empty, hooks)
        wait_for(lambda: hostile.order(posted[-1])["status"] == "failed", 120, "the last order's end")
        neighbour.post(empty)
        wait_for(lambda: shared.receiver.deliveries("/neighbour"), 120, "the neighbour's webhook")
        assert hostile.attempts() == [], "it came only after an attempt of the other caller had ended"


def silent_port(hosts: ExitStack) -> int:
    """A port that connections are made to and that never answers."""
    listening = hosts.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))
    return int(listening.getsockname()[1])
