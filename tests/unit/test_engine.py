"""The engine: how much is under way, what is dropped, who ticks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import CHEAP, NOW, SECRET, event, order
from tests.fakes import FakeSender, ManualClock, World, drained
from worker.account import Account
from worker.engine.chores import CHORES
from worker.engine.clock import Clock, Hint
from worker.engine.heartbeat import BEAT, Heartbeat
from worker.engine.lanes import Lanes, Load
from worker.engine.loop import Engine
from worker.errors import StoreUnavailable
from worker.event import EventStatus
from worker.housekeeping import Housekeeping
from worker.lifecycle.steps import Gone, Snooze
from worker.outbox import Outbox
from worker.reachability import Reachability
from worker.redelivery import Redelivery
from worker.schedule import Lane
from worker.services import Services
from worker.store import AsyncStore
from worker.store.asynchronous import PER_ENDPOINT
from worker.tracing import Tracer

pytestmark = pytest.mark.anyio


def services(world: World, sender: FakeSender | None = None, store: AsyncStore | None = None) -> Services:
    """A worker's services, all of them fakes but the store's scripts."""

    async def of_the_caller(_: str) -> list[str]:
        return [SECRET]

    made = sender or FakeSender()
    made.aclose = world.provider.aclose = _nothing  # type: ignore[attr-defined]
    return Services(
        store=store or world.store,
        provider=world.provider,  # type: ignore[arg-type]
        sender=made,  # type: ignore[arg-type]
        gate=world.gate,
        lifecycle=world.lifecycle,
        outbox=Outbox(
            world.store, made, world.gate, world.counters, secrets_of=of_the_caller, waits=(1.0,), chance=lambda: 0.0
        ),
        account=Account(world.store, world.provider, world.gate, {"cheap": CHEAP}, min_balance=None),
        housekeeping=Housekeeping(world.store, world.gate, world.counters, retention=604_800),
        redelivery=Redelivery(store or world.store),
        counters=world.counters,
        tracer=Tracer(),
        reachability=Reachability(store or world.store),
        lease={Lane.BUY: 2.0, Lane.POLL: 5.0, Lane.SETTLE: 7.0, Lane.DELIVER: 20.0},
        queues_here=False,
    )


async def _nothing() -> None:
    """Closes nothing."""


class HandMadeLoop:
    """The running loop with a time that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0
        self.create_task = asyncio.get_running_loop().create_task

    def time(self) -> float:
        """Seconds of its own."""
        return self.at


def engine_on(world: World, sender: FakeSender | None = None, **capacity: int) -> Engine:
    """An engine whose lanes are worked by hand, on the running loop, without a thread or a clock."""

    async def build() -> Services:
        return services(world, sender)

    engine = Engine(build, lambda _: None, worker="w1", delivers=True)
    engine.loop = HandMadeLoop()  # type: ignore[assignment]
    engine.services = services(world, sender)
    engine.lanes = Lanes(
        engine.services, engine.loop, engine._spawn, worker="w1", delivers=True, stopping=engine._stopping.is_set
    )
    for name, most in capacity.items():
        load(engine, name).capacity = most
    return engine


def load(engine: Engine, lane: str) -> Load:
    """How much of a lane is under way."""
    return engine.lanes._loads[Lane(lane)]


async def take(engine: Engine, lane: str) -> None:
    """A hint for a lane."""
    await engine.lanes.take(Lane(lane))


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def idle(engine: Engine) -> None:
    """Let everything that was started end."""
    await until(lambda: not engine._tasks)


async def waiting_orders(world: World, count: int) -> None:
    """Orders that are due to be polled."""
    for n in range(count):
        world.accept(order(id=f"ord_{n}"))
    await world.work(Lane.BUY)
    world.provider.calls.clear()
    world.clock.advance(5)


async def test_hint_is_claimed_and_worked(world: World):
    """The whole way of an order, by hints alone."""
    engine = engine_on(world)
    world.accept(order())
    await take(engine, "buy")
    await idle(engine)
    assert world.see().charged
    assert load(engine, "buy").running == 0


async def test_no_more_than_a_lanes_capacity_is_under_way_and_the_rest_follows_by_itself(world: World):
    """A full lane claims nothing; the end of what is under way makes room."""
    await waiting_orders(world, 7)
    gate = asyncio.Event()

    async def slow(product: str, activation: str):
        world.provider.calls.append(("status", activation, 0))
        await gate.wait()
        return await world.provider.status(product, activation)

    world.lifecycle = world.steps(provider=_with(world.provider, status=slow))
    engine = engine_on(world, poll=4)
    await take(engine, "poll")
    await until(lambda: world.provider.count("status") == 4)
    await take(engine, "poll")
    assert load(engine, "poll").running == 4
    gate.set()
    await idle(engine)
    assert len({what for _, what, _ in world.provider.calls}) == 7
    assert load(engine, "poll").running == 0


def _with(provider: Any, **methods: Any) -> Any:
    """The provider with some of its calls replaced."""
    names = ("quote", "buy", "status", "cancel", "finish", "balance")
    return type("Replaced", (), {name: staticmethod(methods.get(name, getattr(provider, name))) for name in names})()


async def test_slow_lane_holds_up_no_other(world: World):
    """Polls that hang leave room for a purchase."""
    await waiting_orders(world, 2)
    never = asyncio.Event()

    async def hangs(_product: str, _activation: str):
        await never.wait()

    world.lifecycle = world.steps(provider=_with(world.provider, status=hangs))
    engine = engine_on(world, poll=2)
    await take(engine, "poll")
    world.accept(order(id="ord_new", created_at=NOW))
    await take(engine, "buy")
    await until(lambda: world.see("ord_new").charged)
    never.set()


async def test_stale_claim_is_dropped(world: World):
    """A process that stood still after its claim calls nobody: somebody else has it by now."""
    await waiting_orders(world, 3)
    engine = engine_on(world)
    real = world.store.claim

    async def slow(*args: Any):
        claim = await real(*args)
        engine.loop.at += 2.6  # type: ignore[attr-defined]
        return claim

    world.store.claim = slow  # type: ignore[method-assign, assignment]
    await take(engine, "poll")
    await idle(engine)
    assert world.provider.calls == []
    assert load(engine, "poll").running == 0


async def test_stale_delivery_is_dropped(world: World):
    """What a process had claimed that then stood still is somebody else's by now."""
    sender = FakeSender()
    engine = engine_on(world, sender)
    world.blocking.add_event(event(order=None))
    real = world.store.claim_events

    async def slow(*args: Any):
        events = await real(*args)
        engine.loop.at += 5.1  # type: ignore[attr-defined]
        return events

    world.store.claim_events = slow  # type: ignore[method-assign, assignment]
    await take(engine, "deliver")
    await idle(engine)
    assert sender.sent == []


async def test_receiver_with_a_queue_is_served_without_another_hint(world: World):
    """A free place at its host is filled at once."""
    sender = FakeSender()
    engine = engine_on(world, sender)
    for n in range(3 * PER_ENDPOINT):
        world.blocking.add_event(event(id=f"evt_{n}", order=None))
    await take(engine, "deliver")
    await idle(engine)
    assert len(sender.sent) == 3 * PER_ENDPOINT
    assert len({headers["webhook-id"] for _, headers, _ in sender.sent}) == 3 * PER_ENDPOINT


async def test_step_that_raises_frees_its_place_and_is_counted(world: World):
    """One order's surprise is nobody else's; the claim brings it back."""
    world.accept(order())
    engine = engine_on(world)

    async def broken(order_id: str):
        raise ZeroDivisionError

    world.lifecycle.buy = broken
    await take(engine, "buy")
    await idle(engine)
    assert load(engine, "buy").running == 0
    assert drained(world.counters) == {'failures{lane="buy"}': 1}
    assert world.due("buy") == NOW + 2


@pytest.mark.parametrize("lane", ["poll", "deliver"])
@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ZeroDivisionError()])
async def test_claim_that_fails_frees_its_room(world: World, lane: str, error: Exception):
    """A store that restarts costs a round, never the lane."""
    engine = engine_on(world)

    async def broken(*_: Any):
        raise error

    for method in ("claim", "claim_events"):
        setattr(world.store, method, broken)
    with contextlib.suppress(ZeroDivisionError):
        await take(engine, lane)
    assert load(engine, lane).running == 0


@pytest.mark.parametrize(("outcome", "due"), [(Snooze(NOW + 7, "later"), NOW + 7), (Gone(), None)])
async def test_outcome_is_acted_on(world: World, outcome: Any, due: float | None):
    """Steps return what comes next; the engine does it."""
    world.accept(order())
    engine = engine_on(world)

    async def told(order_id: str):
        return outcome

    world.lifecycle.buy = told
    await take(engine, "buy")
    await idle(engine)
    assert world.due("buy") == due


async def test_chore_runs_once_at_a_time(world: World):
    """A second hint for it finds it under way."""
    engine, gate, runs = engine_on(world), asyncio.Event(), []

    async def slow() -> int:
        runs.append(1)
        await gate.wait()
        return 0

    engine.services.housekeeping.mend = slow  # type: ignore[method-assign, assignment]
    first = asyncio.get_running_loop().create_task(engine._chore("mend"))
    await until(lambda: bool(runs))
    await engine._chore("mend")
    gate.set()
    await first
    assert runs == [1]
    await engine._chore("mend")
    assert runs == [1, 1]


WORK = {
    "account": ("account", "refresh"),
    "erase": ("housekeeping", "erase"),
    "jobs": ("redelivery", "work"),
    "mend": ("housekeeping", "mend"),
    "trim": ("housekeeping", "trim"),
}
"""What each chore has done, as the test knows it."""


def test_every_chore_of_the_table_has_its_work():
    """Nothing can be added to the table without saying here what it has done."""
    assert set(WORK) == set(CHORES)


@pytest.mark.parametrize("name", CHORES)
async def test_chore_that_is_handed_out_does_its_work(world: World, name: str):
    """Each chore of the table calls what it is for; a store that is away puts it off and is no failure."""
    engine, done = engine_on(world), []

    async def work() -> None:
        done.append(name)
        raise StoreUnavailable("gone")

    part, method = WORK[name]
    setattr(getattr(engine.services, part), method, work)
    await engine._chore(name)
    await engine._chore(name)
    assert done == [name, name]


async def test_unknown_chore_is_an_error(world: World):
    """A hint for a chore that nobody knows is not passed over in silence."""
    with pytest.raises(KeyError):
        await engine_on(world)._chore("sweep")


async def test_chore_travels_on_its_own_queue(world: World):
    """The clock hands each chore of the table to the queue that the table names."""
    hints: list[Hint] = []
    await clock_of(world, "w1", hints)._tick()
    assert {hint.name: hint.queue for hint in hints if hint.chore} == {c.name: c.queue for c in CHORES.values()}


def clock_of(world: World, worker: str, hints: list[Hint]) -> Clock:
    """A worker's clock, with a store connection of its own."""
    own = services(world, store=world.engine_store())
    return Clock(own, hints.append, asyncio.get_running_loop(), worker=worker, here=hints.append)


async def test_clocks_hand_the_token_over_when_one_dies(world: World):
    """Two workers, one ticks; when it is gone the other does, within the token's second."""
    world.accept(order())
    hints: dict[str, list[Hint]] = {"w1": [], "w2": []}
    first, second = (clock_of(world, name, hints[name]) for name in hints)
    await first._tick()
    await second._tick()
    assert Hint(Lane.BUY, Lane.BUY) in hints["w1"]
    assert hints["w2"] == []
    world.clock.advance(0.9)
    await second._tick()
    assert hints["w2"] == []
    world.clock.advance(0.2)
    await second._tick()
    assert Hint(Lane.BUY, Lane.BUY) in hints["w2"]


@pytest.mark.parametrize("late", [0.0, 0.15])
async def test_what_a_dead_worker_was_delivering_goes_on_within_two_seconds(world: World, late: float):
    """Long before its lease is over, even if the other's beats come late."""
    world.blocking.add_event(event(order=None))
    dead, living = (Heartbeat(world.store, name, world.counters) for name in ("dead", "living"))
    for heart in (dead, living):
        await heart.beat()
    assert len(await world.store.claim_events(10, 20, "dead")) == 1
    passed = 0.0
    while not await world.store.claim_events(10, 20, "living"):
        world.clock.advance(BEAT + late)
        passed += BEAT + late
        assert passed <= 2.0
        await living.beat()


async def test_living_workers_keep_what_they_deliver(world: World):
    """However long an attempt takes, and although the store was away for a while."""
    world.blocking.add_event(event(order=None))
    hearts = [Heartbeat(world.store, name, world.counters) for name in ("one", "two")]
    for heart in hearts:
        await heart.beat()
    assert len(await world.store.claim_events(10, 20, "one")) == 1
    for wait in [BEAT] * 10 + [5.0] + [BEAT] * 10:
        world.clock.advance(wait)
        for heart in hearts:
            await heart.beat()
    assert await world.store.claim_events(10, 20, "two") == []


async def test_clock_is_quicker_while_something_is_due(world: World):
    """And calmer when it holds no token or has nothing to do."""
    first, second = clock_of(world, "w1", []), clock_of(world, "w2", [])
    quiet, without = await first._tick(), await second._tick()
    world.accept(order())
    busy = await first._tick()
    assert busy < quiet < without


async def test_hint_that_cannot_be_sent_stops_no_clock(world: World):
    """The broker is away: this worker does what is due itself, and the next tick tries again."""
    world.accept(order())
    done: list[Hint] = []

    def broken(_: Hint) -> None:
        raise ConnectionError("redis://:secret@host")

    clock = Clock(services(world), broken, asyncio.get_running_loop(), worker="w1", here=done.append)
    await clock._tick()
    await clock._tick()
    assert "buy" in {hint.name for hint in done}


def test_engine_starts_works_and_hands_its_token_back(clock: ManualClock):
    """In a thread of its own: hints out, hints in, and a clean end."""
    worlds: list[World] = []
    built, hinted = threading.Event(), threading.Event()

    async def build() -> Services:
        worlds.append(World(clock))
        built.set()
        return services(worlds[0])

    engine = Engine(build, lambda hint: hinted.set() if hint.name == "buy" else None, worker="w1", delivers=True)
    engine.start()
    try:
        world = worlds[0]
        bought = threading.Event()
        real = world.lifecycle.buy

        async def told(order_id: str):
            outcome = await real(order_id)
            bought.set()
            return outcome

        world.lifecycle.buy = told
        world.accept(order())
        assert hinted.wait(10)
        engine.run("buy")
        assert bought.wait(10)
        engine.run_chore("mend")
    finally:
        engine.stop()
    assert world.see().charged
    assert world.raw.get("rb:clock") is None
    engine.stop()


def test_engine_that_cannot_be_built_says_so(clock: ManualClock):
    """The worker does not start with half of its services."""

    async def build() -> Services:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Engine(build, lambda _: None, worker="w1", delivers=True).start()


def test_event_statuses_are_the_five():
    """Owed, delivered, gone, exhausted; recorded where nobody is pushed."""
    assert [status.value for status in EventStatus] == ["pending", "delivered", "gone", "exhausted", "recorded"]
