"""Isolation: what hangs, a receiver or the provider, holds up nobody else's webhook and nobody's poll."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.bench.engine import Engine
from tests.bench.poster import post
from tests.bench.stage import INTERVAL, until
from tests.e2e.engines import running_engine
from tests.e2e.receiver import Delivery, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STUCK = 1_000
"""Webhooks for a receiver that never answers."""
PER_HOST = 8
"""Attempts that may be in flight at one receiving host, over all workers."""
TIMEOUT = 4.0
"""Seconds for one delivery attempt here, so that a test sees several rounds of hanging attempts."""
ROUNDS, EACH, PAUSE = 16, 8, 0.5
"""The neighbour's webhooks: so many, so often, so many seconds apart."""
SLACK = TIMEOUT / 2
"""Seconds by which a webhook may come later than without the others' trouble: it waits for none of their attempts."""
ORDERS, SLOW, LOST = 1_000, TIMEOUT, 0.1


class Hanging:
    """A receiver that accepts connections, reads what comes and never answers; counts who is there at once."""

    def __init__(self) -> None:
        self.port = self.now = self.most = self.came = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="hanging", daemon=True)

    def __enter__(self) -> Hanging:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where its caller's webhooks go."""
        return f"http://127.0.0.1:{self.port}/hook"

    def _serve(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._hang, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now, self.came = self.now + 1, self.came + 1
        self.most = max(self.most, self.now)
        try:
            while await reader.read(65_536):
                pass
        except OSError:
            pass
        finally:
            self.now -= 1
            writer.close()


class Neighbour(Engine):
    """Another caller of the same service, with a receiver of its own."""

    hook = ""

    @property
    def callback_url(self) -> str:
        """Its own receiver."""
        return self.hook

    @classmethod
    def beside(cls, engine: Engine, hook: str) -> Neighbour:
        """Make the caller."""
        neighbour = cls(engine.stage, port=engine.port, env=engine.env)
        neighbour.hook = hook
        neighbour.make_caller()
        return neighbour

    def ping(self, count: int) -> None:
        """Ask for webhooks."""
        assert post(self.url("/v1/events/ping"), "{}", self.headers(), count=count).accepted == count


class Street:
    """Ringback with two workers and two callers: one's receiver hangs, the other's answers at once."""

    def __init__(self, engine: Engine, hanging: Hanging, receiver: Receiver) -> None:
        self.engine, self.hanging, self.receiver = engine, hanging, receiver
        self.victim = Neighbour.beside(engine, hanging.url)
        self.neighbour = Neighbour.beside(engine, receiver.url + "/hook")
        self._stuck = False
        engine.seed(ORDERS)
        self.usual_polls = engine.window(seconds=2 * INTERVAL, warm=INTERVAL)
        self.usual = self.slowest_webhook()

    def stick(self) -> None:
        """Have the webhooks for the hanging receiver asked for; once is enough."""
        if not self._stuck:
            self.victim.ping(STUCK)
            self._stuck = True
        came = self.hanging.came
        until(lambda: self.hanging.came > came, "an attempt at the hanging receiver")

    def slowest_webhook(self) -> float:
        """Seconds from an event to its arrival: what all but one in twenty of the neighbour's webhooks keep within."""
        before = len(self.receiver.deliveries())
        for _ in range(ROUNDS):
            self.neighbour.ping(EACH)
            time.sleep(PAUSE)
        wanted = before + ROUNDS * EACH
        until(lambda: len(self.receiver.deliveries()) >= wanted, "the neighbour's webhooks", seconds=60)
        ages = sorted(age(came) for came in self.receiver.deliveries()[before:])
        return ages[len(ages) * 19 // 20]


def age(came: Delivery) -> float:
    """Seconds from the event to its arrival."""
    return came.at - datetime.fromisoformat(came.message["timestamp"]).timestamp()


@pytest.fixture(scope="module")
def street(real_server: str) -> Iterator[Street]:
    """One street for all tests: what was stuck in one test is still stuck in the next."""
    receiver = Receiver()
    receiver.start()
    try:
        with Hanging() as hanging, running_engine(workers=2, RINGBACK_WEBHOOK_TIMEOUT=str(TIMEOUT)) as engine:
            yield Street(engine, hanging, receiver)
    finally:
        receiver.stop()


def test_a_thousand_stuck_webhooks_delay_nobody_elses(street: Street) -> None:
    """They wait for the hanging receiver alone, eight at a time at most over both workers."""
    street.stick()
    slowest = street.slowest_webhook()
    assert slowest < street.usual + SLACK, f"{slowest:.2f} s, and {street.usual:.2f} s before"
    assert 1 <= street.hanging.most <= PER_HOST
    assert street.hanging.came > PER_HOST, "a second round of attempts was never made"


def test_a_slow_receiver_delays_no_poll(street: Street) -> None:
    """With all those webhooks stuck, orders are polled on time."""
    street.stick()
    usual, seen = street.usual_polls, street.engine.window(seconds=2 * INTERVAL, warm=INTERVAL)
    assert seen.late_share - usual.late_share <= 0.02, f"{seen.late_share:.1%} late, {usual.late_share:.1%} before"
    assert seen.rate >= 0.9 * usual.rate, f"{seen.rate:.0f} polls a second, {usual.rate:.0f} before"


def test_a_slow_provider_delays_no_webhook(street: Street) -> None:
    """With every poll hanging for seconds and some forever, webhooks go out as they always do."""
    street.engine.stage.ask(f"/bench/mode?delay={SLOW}&silent={LOST}")
    time.sleep(INTERVAL)
    slowest = street.slowest_webhook()
    street.engine.stage.ask("/bench/mode")
    assert slowest < street.usual + SLACK, f"{slowest:.2f} s, and {street.usual:.2f} s before"
