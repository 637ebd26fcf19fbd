"""The web on fakeredis, and callers that ask it, for tests without sockets."""

from __future__ import annotations

import json
from typing import Any

import fakeredis
from werkzeug.test import TestResponse

from tests.builders import NOW, bought
from tests.fakes import ManualClock
from web.api.rate_limits import RateLimits
from web.app import create_app
from worker.callers import Callers
from worker.order import Order
from worker.schedule import Lane, Wake
from worker.settings import load
from worker.store import Store, Vault, Written
from worker.webhooks.guard import Guard
from worker.webhooks.names import NoSuchName

HOOK = "https://caller.example/hook"
BODY = {"server": "1", "type": "1", "callback_url": HOOK}
SILENT = "silent.example"
ADDRESSES = {"caller.example": ["93.184.215.14"], "inside.example": ["10.0.0.7"]}


async def resolve(name: str) -> list[str]:
    """Addresses of the made-up names."""
    if name == SILENT:
        raise OSError("no name server answered")
    if name not in ADDRESSES:
        raise NoSuchName
    return ADDRESSES[name]


class Api:
    """One web application with its store, by default without the console; `clock` moves when somebody waits."""

    def __init__(
        self, clock: ManualClock, *, limits: RateLimits | None = None, console: bool = False, **environ: str
    ) -> None:
        self.clock = clock
        self.server = fakeredis.FakeServer()
        self.raw = fakeredis.FakeRedis(server=self.server)
        self.store = Store(self.raw, Vault(), retention=604_800, otp_ttl=86_400)
        self.callers = Callers(self.store)
        self.slept: list[float] = []
        self.on_sleep: Any = None
        self.guard = Guard(resolve=resolve)
        known = {"RINGBACK_REDIS_URL": "redis://nowhere.example", "RINGBACK_CONSOLE": str(console), **environ}
        settings = load("web", known)
        self.app = create_app(
            settings,
            store=self.store,
            guard=self.guard,
            clock=clock,
            sleep=self._sleep,
            monotonic=clock,
            limits=limits or RateLimits(webhooks=settings.webhooks_per_minute, refreshes=1, clock=clock),
        )
        self.shop = self.new_caller("Shop")

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        if self.on_sleep:
            self.on_sleep()

    def new_caller(self, name: str, **settings: Any) -> Asker:
        """A caller with its key in hand."""
        caller, api_key, _ = self.callers.create(name, NOW, **settings)
        return Asker(self, caller.id, api_key)

    def kept(self, order_id: str) -> Order:
        """The order as the store keeps it."""
        order = self.store.load(order_id)
        assert order is not None
        return order

    def change(self, order: Order, after: Order, lane: Lane | None = Lane.POLL) -> None:
        """A worker changes an order."""
        wake = None if after.ended or lane is None else Wake(lane)
        assert self.store.save(order, after, wake=wake) is Written.SAVED

    def bought(self, order_id: str) -> Order:
        """A worker buys a number for an order."""
        order = self.kept(order_id)
        buying = order.intend(self.clock())
        self.change(order, buying, Lane.BUY)
        waiting = buying.assign(bought("act_" + order_id, self.clock()))
        self.change(buying, waiting)
        return waiting

    def due(self, lane: str) -> dict[str, float]:
        """What is due in a lane, in epoch seconds; what waits for its turn to be bought is due now."""
        held: list[Any] = self.raw.zrange(f"rb:due:{lane}", 0, -1, withscores=True)
        turns: list[Any] = self.raw.zrange("rb:turns", 0, -1) if lane == Lane.BUY else []
        return {one.decode(): at / 1000 for one, at in held} | {one.decode(): self.clock() for one in turns}


class Asker:
    """A caller that sends requests."""

    def __init__(self, api: Api, caller_id: str, api_key: str) -> None:
        self.id = caller_id
        self.api_key = api_key
        self._client = api.app.test_client()

    def ask(self, method: str, path: str, **sent: Any) -> TestResponse:
        """Send a request with this caller's key."""
        headers = {"Authorization": f"Bearer {self.api_key}", **sent.pop("headers", {})}
        return self._client.open(path, method=method, headers=headers, **sent)

    def get(self, path: str, **sent: Any) -> TestResponse:
        """GET."""
        return self.ask("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> TestResponse:
        """POST."""
        return self.ask("POST", path, **sent)

    def order(self, key: str | None = None, **fields: Any) -> TestResponse:
        """Place an order."""
        return self.post("/v1/orders", json={**BODY, **fields}, headers={"Idempotency-Key": key} if key else {})

    def order_id(self, **fields: Any) -> str:
        """Place an order that is accepted."""
        answer = self.order(**fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json["id"]) if answer.json else ""


def bad_fields(answer: TestResponse) -> dict[str, str]:
    """The fields that a 422 complains about, with their codes."""
    assert answer.status_code == 422, answer.text
    return {one["field"]: one["code"] for one in json.loads(answer.text)["errors"]}


def code(answer: TestResponse) -> tuple[int, str]:
    """A problem's status and code; that it is one is checked on the way."""
    assert answer.mimetype == "application/problem+json", answer.text
    told = json.loads(answer.text)
    assert told["status"] == answer.status_code
    return answer.status_code, told["code"]
