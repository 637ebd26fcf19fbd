"""The console on a store that holds a bit of everything, operators who look at it, and texts that mean harm."""

from __future__ import annotations

import asyncio
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import fakeredis
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.test import Client, TestResponse

from tests.api_stage import Api
from tests.builders import NOW, bought, rental, sms
from tests.fakes import ManualClock
from worker.announce import announce, message_event
from worker.caller import Caps
from worker.event import Attempt, Event, EventStatus
from worker.journal import Entry, line
from worker.metrics import Report, key
from worker.operator import Operator, Role
from worker.operators import Operators
from worker.order import Acquisition, Ending, ErrorCode, EventType, Order, Settlement
from worker.rental import Rental
from worker.schedule import Lane, Wake
from worker.store import AsyncStore, ServerClock, Vault, Written
from worker.store.queries import EventFilter

CODE, NUMBER = "847293", "+923001234567"
HOSTILE = (
    "<script>alert(1)</script>",
    "\u202egnp.exe\u202c",
    "w" * 10_000,
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
)
"""Markup, right-to-left marks, a word of 10 kB, an attribute's end, a template."""


class Compiled(BytecodeCache):
    """Templates that were compiled once: each application would compile them anew."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Called by Jinja before it compiles a template."""
        if bucket.key in self._held:
            bucket.bytecode_from_string(self._held[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Called by Jinja with what it has compiled."""
        self._held[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


class Console:
    """One web with its console. `at` moves with the clock that it was given."""

    def __init__(self, clock: ManualClock, **environ: Any) -> None:
        self.clock = clock
        self.api = Api(clock, console=True, **environ)
        self.api.app.jinja_env.bytecode_cache = COMPILED
        self.store = self.api.store
        self.operators = Operators(self.store)
        self.caller = self.api.shop.id
        self.bought = 0
        self.address = ""
        """Where it is served, once it is."""

    def operator(self, role: Role = Role.OPERATOR, name: str | None = None) -> Visitor:
        """Somebody with that role, logged in."""
        operator = self.operators.create(name or f"{role} {len(self.operators.all()) + 1}", role, self.clock())
        return Visitor(self, operator)

    def engine(self, work: Any) -> Any:
        """What a worker does: a coroutine function of the store as workers have it."""

        async def run() -> Any:
            clock = ServerClock(self.clock, self.clock)
            client = fakeredis.FakeAsyncRedis(server=self.api.server)
            store = AsyncStore(client, Vault(), retention=604_800, otp_ttl=86_400, clock=clock)
            try:
                return await work(store)
            finally:
                await store.aclose()

        with ThreadPoolExecutor(1) as elsewhere:  # whoever drives a browser has a loop running here
            return elsewhere.submit(asyncio.run, run()).result()

    # Orders, by what became of them.

    def order(self, **fields: Any) -> Order:
        """An order that was just accepted."""
        return self.api.kept(self.api.shop.order_id(**fields))

    def waiting(self, number: str = NUMBER, **fields: Any) -> Order:
        """An order with a number."""
        queued = self.order(**fields)
        self.bought += 1
        self.clock.advance(1)
        buying = queued.intend(self.clock())
        self.save(queued, buying, Lane.BUY, Entry.INTENT)
        self.clock.advance(1)
        waiting = buying.assign(bought(f"act_{self.bought}", self.clock(), number=number))
        self.save(buying, waiting, Lane.POLL, Entry.BOUGHT, EventType.NUMBER_ASSIGNED)
        return waiting

    def received(self, code: str = CODE, **fields: Any) -> Order:
        """An order whose code came, and whose webhooks are owed."""
        waiting = self.waiting(**fields)
        self.clock.advance(8)
        received = waiting.receive(code, self.clock())
        self.save(waiting, received, Lane.SETTLE, Entry.RECEIVED, EventType.OTP_RECEIVED)
        return received

    def finished(self, **fields: Any) -> Order:
        """An order that ran to its good end."""
        received = self.received(**fields)
        finished = received.settle(Settlement.FINISHED)
        self.save(received, finished, None, Entry.FINISHED)
        return finished

    def expired(self, *, refunded: bool = True, **fields: Any) -> Order:
        """An order without a code, given back."""
        waiting = self.waiting(**fields)
        self.clock.advance(540)
        cancelling = waiting.begin_cancel(Ending.TIMEOUT)
        self.save(waiting, cancelling, Lane.SETTLE)
        tried = cancelling.try_cancel(self.clock())
        self.save(cancelling, tried, Lane.SETTLE, Entry.CANCEL)
        if refunded:
            noted = tried.note_refund(self.clock())
            self.save(tried, noted, Lane.SETTLE, Entry.REFUNDED)
            tried = noted
        over = tried.conclude(self.clock())
        self.save(tried, over, None, None if refunded else Entry.UNCONFIRMED, EventType.EXPIRED)
        return over

    def failed(self, **fields: Any) -> Order:
        """An order for which no number was to be had."""
        queued = self.order(**fields)
        failed = queued.reject(ErrorCode.NO_NUMBERS, "the provider had no numbers", self.clock())
        self.save(queued, failed, None, Entry.NOT_BOUGHT, EventType.FAILED)
        return failed

    def unknown(self, **fields: Any) -> Order:
        """An order whose purchase nobody knows the outcome of."""
        queued = self.order(**fields)
        buying = queued.intend(self.clock())
        self.save(queued, buying, Lane.BUY, Entry.INTENT)
        lost = buying.lose_purchase("the answer could not be read", self.clock())
        self.save(buying, lost, None, Entry.PURCHASE_UNKNOWN, EventType.FAILED)
        return lost

    def rented(self, *texts: str, **fields: Any) -> Rental:
        """A rental with a number and so many messages, and the webhooks of each."""
        self.bought += 1
        queued = rental(id=f"rnt_{self.bought:024x}", caller=self.caller, created_at=self.clock(), **fields)
        assert self.store.create(queued, Caps()).outcome == "created"
        buying = queued.intend(self.clock(), Decimal("120"), Decimal("120"))
        self.save(queued, buying, Lane.BUY, Entry.INTENT)
        self.clock.advance(2)
        number = bought(f"rent_{self.bought}", self.clock(), life=86_400, number=NUMBER)
        told = buying.start(number)
        started = [announce(EventType.RENTAL_STARTED, told, self.clock())]
        paid = line(Entry.RENTED, price="120")
        wake = Wake(Lane.POLL, self.clock() + 30)
        assert self.store.save(buying, told, wake=wake, events=started, journal=paid) is Written.SAVED
        for text in texts:
            self.clock.advance(30)
            before, told = told, told.tell([sms(text, at=self.clock())], self.clock(), 10)
            event = message_event(told, told.messages[-1], self.clock())
            wake = Wake(Lane.POLL, self.clock() + 30)
            assert self.store.save(before, told, wake=wake, events=[event]) is Written.SAVED
        return told

    def unrented(self, **fields: Any) -> Rental:
        """A rental whose purchase nobody knows the outcome of."""
        self.bought += 1
        queued = rental(id=f"rnt_{self.bought:024x}", caller=self.caller, created_at=self.clock(), **fields)
        assert self.store.create(queued, Caps()).outcome == "created"
        buying = queued.intend(self.clock())
        self.save(queued, buying, Lane.BUY, Entry.INTENT)
        lost = buying.lose_purchase("the answer could not be read", self.clock())
        self.save(buying, lost, None, Entry.PURCHASE_UNKNOWN, EventType.RENTAL_FAILED)
        return lost

    def save(
        self, before: Any, after: Any, lane: Lane | None, entry: Entry | None = None, kind: EventType | None = None
    ) -> None:
        """A worker writes a change."""
        wake = Wake(lane, self.clock() + 5) if lane else None
        events = [announce(kind, after, self.clock())] if kind else []
        journal = line(entry) if entry else None
        assert self.store.save(before, after, wake=wake, events=events, journal=journal) is Written.SAVED

    def events(self, order: Acquisition) -> list[Event]:
        """The webhooks of an order or a rental, newest first."""
        return self.store.events(self.caller, order=order.id, status=None, limit=10, before=None)[0]

    def attempt(
        self, event: Event, status: int | None, error: str | None = None, excerpt: str = "", *, final: bool = False
    ) -> Event:
        """One attempt of a webhook; a failed one is due again unless it was the last."""
        good = status is not None and 200 <= status < 300
        kept = EventStatus.DELIVERED if good else EventStatus.EXHAUSTED if final else EventStatus.PENDING
        attempt = Attempt(self.clock(), status, error, 0.042, excerpt)
        due = self.clock() + 60 if kept is EventStatus.PENDING else None
        after = event.tried(attempt, kept, due_at=due)
        self.engine(
            lambda store: store.record_attempt(
                event, after, endpoint_is_up=good, host_is_up=True, erase_after=None, patience=0.0
            )
        )
        return after

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Workers hand a count over."""
        report = Report(secrets.token_hex(4), 1, {key(name, labels): amount})
        self.engine(lambda store: store.add_report(report))

    def work_jobs(self) -> int:
        """A worker does its chore for what was asked to be sent again."""
        from worker.redelivery import Redelivery

        return int(self.engine(lambda store: Redelivery(store).work()))


def furnished(console: Console) -> Console:
    """A store with a bit of everything, and texts that mean harm wherever others can write."""
    hostile = {f"field {place}": text[:700] for place, text in enumerate(HOSTILE)}
    for place in range(12):
        order = console.finished(number=f"+9230012345{place:02}", metadata={"user": place}, purpose="sign-up test")
        for event in console.events(order):
            console.attempt(event, 200, excerpt="ok")
        console.count("orders_ended", status="received")
        console.count("code_to_webhook_seconds_bucket", le="0.1")
        console.clock.advance(97)
    console.expired(purpose="sign-up test")
    console.count("orders_ended", status="expired")
    console.expired(refunded=False)
    console.failed(metadata=hostile, purpose=HOSTILE[0][:40])
    console.count("orders_ended", status="failed")
    unknown = console.unknown()
    event = console.events(unknown)[0]
    console.attempt(event, 401, excerpt=f"{HOSTILE[0]} {HOSTILE[1]}")
    given_up = console.received()
    for place, one in enumerate(console.events(given_up)):
        again = console.attempt(one, 500, excerpt=f"cannot take {CODE} for {NUMBER} {HOSTILE[2]}")
        console.attempt(again, None, "timeout", final=place == 0)
    console.waiting()
    console.order()
    rented = console.rented(f"{CODE} is your code", *HOSTILE, metadata=hostile, purpose=HOSTILE[0][:40])
    console.attempt(console.events(rented)[0], 500, excerpt=f"no {HOSTILE[1]} {CODE} for {NUMBER}")
    console.unrented()
    console.api.callers.create(HOSTILE[0][:60], console.clock(), callback_url="https://caller.example/hook?token=hush")
    console.store.pause("provider_banned", {"since": console.clock(), "by": "alice", "reason": HOSTILE[0]})
    console.count("alerts", kind="purchase_unknown")
    listed = json.dumps([{"id": "1", "name": HOSTILE[0]}, {"id": "2", "name": HOSTILE[2]}])

    async def read(store: AsyncStore) -> None:
        await store.put_reading("servers:1", listed)
        await store.put_reading("balance", "412.50")
        await store.alive("host-a:17:abcd", 1.7, 0.75)
        await store.describe("host-a:17:abcd", {"version": "0.1.0", "delivers": "1", "running:poll": "3"})

    console.engine(read)
    given_up_all = EventFilter(status=EventStatus.EXHAUSTED)
    console.store.jobs.start("alice", HOSTILE[0][:60], given_up_all, 0, console.clock())
    console.work_jobs()  # counted, it waits until the number is accepted; the next one is still being counted
    console.store.jobs.start("bob", "status exhausted", given_up_all, 0, console.clock())
    return console


def told(console: Console) -> dict[str, str]:
    """A store as on an ordinary day with one receiver in trouble: the pages worth a picture, by name."""
    _busy_hour(console)
    console.expired(purpose="sign-up test")
    console.count("orders_ended", status="expired")
    console.failed()
    console.count("orders_ended", status="failed")
    console.unknown()
    for place in range(3):
        failing = console.received(purpose="sign-up test")
        for one in console.events(failing):
            again = console.attempt(one, 401, excerpt="signature does not match")
            console.clock.advance(5)
            console.attempt(again, 401, excerpt="signature does not match", final=not place)
    waiting = console.waiting(purpose="sign-up test")
    rental = console.rented("Welcome! Your code is 193847", "Your parcel has arrived", purpose="support line")
    for event in console.events(rental):
        console.attempt(event, 204)
    console.unrented()
    console.order()
    _workers_at_work(console)
    return {
        "overview": "/console", "orders": "/console/orders", "order": f"/console/orders/{failing.id}",
        "waiting": f"/console/orders/{waiting.id}", "rentals": "/console/rentals",
        "rental": f"/console/rentals/{rental.id}", "webhooks": "/console/webhooks",
        "webhook": f"/console/webhooks/{console.events(failing)[0].id}", "callers": "/console/callers",
        "caller": f"/console/callers/{console.caller}", "money": "/console/money", "provider": "/console/provider",
        "workers": "/console/workers", "audit": "/console/audit",
    }  # fmt: skip


def _busy_hour(console: Console) -> None:
    for place in range(40):
        order = console.finished(
            number=f"+9230012345{place:02}", purpose="sign-up test" if place % 3 else "sms monitor"
        )
        for event in console.events(order):
            console.attempt(event, 204)
        for _ in range(1 + place % 4):
            console.count("orders_ended", status="received")
        console.count("code_to_webhook_seconds_bucket", le="0.1" if place % 9 else "0.5")
        if place % 11 == 3:
            console.count("orders_ended", status="expired")
        console.clock.advance(60)
        balance = f"{640 - 7.5 * place:.2f}"
        console.engine(lambda store, read=balance: store.put_reading("balance", read))


def _workers_at_work(console: Console) -> None:
    console.engine(lambda store: store.put_reading("servers:1", json.dumps([{"id": "1", "name": "Server 1"}])))

    async def live(store: AsyncStore) -> None:
        for name in ("host-a:17:abcd", "host-b:17:ef01"):
            await store.alive(name, 1.7, 0.75)
            await store.describe(
                name, {"version": "0.1.0", "delivers": "1", "running:poll": "3", "running:deliver": "1"}
            )
        await store.put_reading("balance", "340.50")

    console.engine(live)
    now = int(console.clock() * 1000)
    console.api.raw.set("rb:clock:tick", now)
    raw: Any = console.api.raw
    for lane in ("buy", "poll", "settle", "deliver"):
        for name in raw.zrangebyscore(f"rb:due:{lane}", "-inf", now):
            raw.zadd(f"rb:due:{lane}", {name: now + 2_000})
    kept = {"version": "8.1", "maxmemory_policy": "noeviction", "aof_enabled": "1", "used_memory": "84000000"}
    console.store.info = lambda: kept  # type: ignore[method-assign]


class Visitor:
    """Somebody at the console, with a session."""

    def __init__(self, console: Console, operator: Operator) -> None:
        self.operator = operator
        self.client = console.api.app.test_client()
        entered = log_in(self.client, console.operators.link(operator.id))
        assert entered.status_code == 303, entered.text

    def get(self, path: str, **sent: Any) -> TestResponse:
        """Open a page."""
        return self.client.get(path, **sent)

    def page(self, path: str) -> str:
        """A page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text

    def post(self, path: str, **form: str) -> TestResponse:
        """Send a form."""
        return self.client.post(path, data=form, headers={"Sec-Fetch-Site": "same-origin"})


def log_in(client: Client, token: str) -> TestResponse:
    """Press the button behind a login link."""
    return client.post(f"/console/login/{token}", headers={"Sec-Fetch-Site": "same-origin"})


def pages(console: Console) -> list[str]:
    """Every page, those of one order, webhook and caller among them."""
    everything = console.store.queries
    from worker.store.queries import EventFilter, OrderFilter

    orders = everything.orders(OrderFilter(), console.clock(), limit=100)
    events = everything.events(EventFilter(), console.clock(), limit=100)
    return [
        "/console", "/console/orders", "/console/webhooks", "/console/callers", "/console/money",
        "/console/provider", "/console/workers", "/console/audit", "/console/webhooks?status=exhausted",
        "/console/orders?status=failed", "/console/rentals", "/console/rentals?settlement=charged",
        *(f"/console/rentals/{one.id}" for one in everything.rentals(OrderFilter(), console.clock()).items),
        *(f"/console/orders/{one.id}" for one in orders.items),
        *(f"/console/webhooks/{one.id}" for one in events.items),
        *(f"/console/callers/{one}" for one in console.store.callers()),
    ]  # fmt: skip


__all__ = ["CODE", "HOSTILE", "NOW", "NUMBER", "Console", "Visitor", "furnished", "log_in", "pages"]
