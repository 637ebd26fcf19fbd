"""Any order of events: two workers, a slow, lying provider, crashes, lost races, callers who change their minds.

Every step of a worker stops before and after each call to the provider and each write. Hypothesis decides who goes on,
who crashes there, what the provider does and when time passes. The scripts are the real ones; the provider's books are
the oracle, and after every step the invariants of the money hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import fakeredis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.builders import CHEAP, order, purchase_of, rules
from tests.fakes import ManualClock, Number, PromptGate, ScriptedProvider, World, fakeredis_follows
from worker.account import Account
from worker.announce import announce
from worker.caller import Caps
from worker.lifecycle import Lifecycle
from worker.lifecycle.steps import Gone, Snooze
from worker.order import Order, Settlement, Status, caused_event, read_handle
from worker.provider.replies import (
    Bought,
    Code,
    CodeExists,
    Declined,
    Early,
    Missing,
    Throttled,
    Unclear,
    Unreached,
    Word,
)
from worker.schedule import Lane, Wake
from worker.store import AsyncStore, ServerClock, Vault, Written

FEW = 25
EXAMPLES = int(os.environ.get("RINGBACK_EXAMPLES", FEW))
"""How many lives are tried: a few, always the same, unless more are asked for, which are then new ones every time."""
CALLERS = ("cal_1", "cal_2")
"""Whose orders they are, by turns; what their turns promise is a property of its own (test_turns.py)."""
WELL = "well"
CRASH = "crash"
FAULTS = ("fails", "done unheard", "unreached", "throttled", "refused", "odd", "twice", CRASH)
"""How a step may go on where it stopped; "odd" is a lie, "twice" a write that is repeated unheard."""
INTERVAL = 20.0
"""Seconds between two polls: longer than usual, because a test's time is short."""
LEASE = {Lane.BUY: 2.0, Lane.SETTLE: INTERVAL + 2.0, Lane.POLL: INTERVAL}
"""The lanes, in the order in which they are worked, and the seconds until what was claimed is due again."""
REFUSALS = {"buy": Declined(Word.NO_NUMBERS), "status": Missing(), "cancel": Early(), "finish": Missing()}
ODDITIES = {
    "buy": Declined(Word.LOW_BALANCE),
    "status": Declined(Word.BAD_KEY),
    "cancel": Missing(),
    "finish": CodeExists(Word.BAD_STATUS),
}
NOT_BOUGHT = (Declined, Throttled, Unreached)
WRITES = [("about to write", CRASH), ("about to write", "twice"), ("has written", CRASH)]
BEFORE = ("fails", "done unheard", "unreached", "throttled", "refused", "odd", CRASH)


def faults_of(*calls: str) -> st.SearchStrategy[tuple[str, str] | None]:
    """What can go wrong once, and where, in steps that make these calls; or nothing."""
    sent = [(f"{call} on its way", how) for call in calls for how in BEFORE]
    answered = [(f"answer to {call} on its way", how) for call in calls for how in ("unheard", CRASH)]
    return st.none() | st.sampled_from(WRITES + sent + answered)


timeouts = st.sampled_from([10.0, 200.0, 540.0, 2000.0])
TERMINAL_EVENTS = {
    Status.RECEIVED: "order.otp_received",
    Status.EXPIRED: "order.expired",
    Status.CANCELLED: "order.cancelled",
    Status.FAILED: "order.failed",
}


@dataclass(eq=False)
class Stopped:
    """A step that waits to be told how it goes on."""

    what: str
    task: asyncio.Task[Any]
    go: asyncio.Future[str]


class Stage:
    """Where steps stop, and are sent on or end there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stopped: list[Stopped] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    async def stop(self, what: str) -> str:
        """Wait here; returns how it goes on."""
        task = asyncio.current_task()
        assert task is not None
        if task not in self.tasks:
            return WELL
        here = Stopped(what, task, self.loop.create_future())
        self.stopped.append(here)
        try:
            return await here.go
        finally:
            self.stopped.remove(here)

    def begin(self, step: Coroutine[Any, Any, None]) -> None:
        """Start a step, and let it run to where it stops."""
        self.tasks.add(self.loop.create_task(step))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something that does not stop."""
        return self.loop.run_until_complete(work)

    async def _settle(self) -> None:
        while running := self.tasks - {one.task for one in self.stopped if not one.go.done()}:
            for task in [task for task in running if task.done()]:
                self.tasks.discard(task)
                if not task.cancelled():
                    task.result()
            await asyncio.sleep(0)

    def settle(self) -> None:
        """Let everybody run until they have stopped or ended. Raises what a step raised."""
        self.run(self._settle())

    def close(self) -> None:
        """End everybody."""
        for task in self.tasks:
            task.cancel()
        self.run(asyncio.wait(self.tasks) if self.tasks else asyncio.sleep(0))
        self.loop.close()


class StoppingStore(AsyncStore):
    """A worker's store whose writes can be beaten, repeated, or be the worker's last."""

    stage: Stage

    async def _run(self, script: str, script_keys: Any, arguments: Any) -> Any:
        if script != "save":
            return await super()._run(script, script_keys, arguments)
        how = await self.stage.stop("about to write")
        told = await super()._run(script, script_keys, arguments)
        if how == "twice":
            told = await super()._run(script, script_keys, arguments)
        await self.stage.stop("has written")
        return told


class StoppingProvider(ScriptedProvider):
    """The provider, slow on both ways, with faults; the order's id is the `server` of its purchase."""

    def __init__(self, clock: ManualClock, stage: Stage, world: World) -> None:
        super().__init__(clock)
        self.stage = stage
        self.world = world
        self.sealed: set[str] = set()
        """Orders of which nobody may send another purchase."""
        self.shown: dict[asyncio.Task[Any], str] = {}
        """The code that a step has seen."""

    async def buy(self, product: str, item: Mapping[str, str]) -> Any:
        return await self._played("buy", item["server"], self._sell)

    async def status(self, product: str, activation: str) -> Any:
        return await self._played("status", activation, self._look)

    async def cancel(self, product: str, activation: str) -> Any:
        return await self._played("cancel", activation, self._cancel)

    async def finish(self, product: str, activation: str) -> Any:
        return await self._played("finish", activation, self._finish)

    async def _played(self, call: str, what: str, honest: Any) -> Any:
        how = await self.stage.stop(f"{call} on its way")
        reply = self._act(call, what, honest, how)
        if await self.stage.stop(f"answer to {call} on its way") != WELL:
            return Unclear("timeout")
        self._heard(call, what, reply)
        return reply

    def _act(self, call: str, what: str, honest: Any, how: str) -> Any:
        if how == "unreached":
            return Unreached("refused")
        self._came_in(call, what)
        if how == "throttled":
            return Throttled(7.0)
        if how == "refused":
            return REFUSALS[call]
        if how == "odd":
            return self._another_ones(what) if call == "buy" and self.numbers else ODDITIES[call]
        if how == "fails":
            return Unclear("status_502")
        reply = honest(what)
        return Unclear("empty") if how == "done unheard" else reply

    def _another_ones(self, job: str) -> Any:
        """A number that has been sold before, if it was to another order."""
        sold = next(iter(self.numbers.values()))
        return ODDITIES["buy"] if sold.server == job else Bought(sold.activation, None, 900)

    def _came_in(self, call: str, what: str) -> None:
        """What must never arrive."""
        if call == "buy":
            assert what not in self.sealed, "I2: a purchase after one whose outcome is unknown"
            self.sealed.add(what)
        if call == "cancel":
            number = self.numbers[what]
            assert self.clock() >= number.bought_at + 125, "I3: a cancel before the earliest moment"

    def _heard(self, call: str, what: str, reply: Any) -> None:
        if call == "buy" and isinstance(reply, NOT_BOUGHT):
            self.sealed.discard(what)
        if isinstance(reply, Code):
            task = asyncio.current_task()
            assert task is not None
            self.shown[task] = reply.text


class LifeOfOrders(RuleBasedStateMachine):
    """Orders, two workers and the money."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.following = fakeredis_follows(self.clock)
        self.following.__enter__()
        self.stage = Stage()
        self.world = World(self.clock)
        self.world.lease = LEASE
        self.provider = StoppingProvider(self.clock, self.stage, self.world)
        self.workers = [self._worker(), self._worker()]
        self.account = Account(self.world.store, self.provider, self.world.gate, {"cheap": CHEAP}, min_balance=None)
        self.orders: list[str] = []

    def _worker(self) -> tuple[StoppingStore, Lifecycle]:
        client = fakeredis.FakeAsyncRedis(server=self.world.server)
        clock = ServerClock(self.clock, self.clock)
        store = StoppingStore(client, Vault(), retention=604_800.0, otp_ttl=86_400.0, clock=clock)
        store.stage = self.stage
        gate = PromptGate(store, self.world.counters)
        steps = Lifecycle(
            store,
            self.provider,
            gate,
            rules(poll_interval=INTERVAL),
            self.world.counters,
            chance=lambda: 0.0,
        )
        return store, steps

    # What can happen.

    @initialize(orders=st.lists(st.tuples(timeouts, faults_of("buy")), min_size=2, max_size=3))
    def begin(self, orders: list[tuple[float, tuple[str, str] | None]]) -> None:
        """Callers post orders, and they are bought, or not."""
        for timeout, fault in orders:
            self.post(timeout)
            self.next_moment(0, fault)

    @precondition(lambda self: len(self.orders) < 4)
    @rule(timeout=timeouts)
    def post(self, timeout: float) -> None:
        """A caller posts an order."""
        order_id = f"ord_{len(self.orders)}"
        caller = CALLERS[len(self.orders) % len(CALLERS)]
        new = order(id=order_id, caller=caller, server=order_id, timeout=timeout, created_at=self.clock())
        assert self.world.blocking.create(new, Caps()).outcome == "created"
        self.orders.append(order_id)

    @rule(worker=st.integers(0, 1), fault=faults_of("status", "cancel", "finish"))
    def next_moment(self, worker: int, fault: tuple[str, str] | None) -> None:
        """Time passes to what comes due next; it is claimed and worked, all of it well but for one fault."""
        now = self.clock()
        self.clock.at = min(self.world.next_moment(), now + 1000)
        before = set(self.stage.tasks)
        for lane in LEASE:
            self.claim(worker, lane)
        while mine := [one for one in self.stage.stopped if one.task not in before]:
            fails = fault is not None and mine[0].what == fault[0]
            self._send_on(mine[0], fault[1] if fault and fails else WELL)
            fault = None if fails else fault

    @rule(worker=st.integers(0, 1), moments=st.integers(2, 12))
    def quiet_time(self, worker: int, moments: int) -> None:
        """Nothing goes wrong for a while."""
        for _ in range(moments):
            self.next_moment(worker, None)

    @rule(worker=st.integers(0, 1), lane=st.sampled_from(list(LEASE)), stops=st.integers(0, 6))
    def take_and_stand_still(self, worker: int, lane: Lane, stops: int) -> None:
        """A worker takes a hint, one too many perhaps, and gets no further than this for now."""
        before = set(self.stage.tasks)
        self.claim(worker, lane)
        self._play(before, [0] * stops)

    @precondition(lambda self: self._owners())
    @rule(
        which=st.integers(0, 3),
        lanes=st.tuples(*[st.sampled_from([Lane.POLL, Lane.SETTLE])] * 2),
        turns=st.lists(st.integers(0, 1), min_size=4, max_size=16),
        code=st.booleans(),
    )
    def race(self, which: int, lanes: tuple[Lane, Lane], turns: list[int], code: bool) -> None:
        """Two workers work one order, turn by turn, as after a claim that was slept through; a code may just be in."""
        order_id, handle = self._owners()[which % len(self._owners())]
        if code and (number := self.provider.numbers[read_handle(handle)[1]]) in self._active():
            number.code = "873-319"
        before = set(self.stage.tasks)
        for worker, lane in enumerate(lanes):
            self.stage.begin(self._step(worker, lane, order_id, handle))
        self.stage.settle()
        self._play(before, turns)

    def _owners(self) -> list[tuple[str, str]]:
        """Orders that have a number, with it."""
        return [(seen.id, seen.handle) for seen in self._seen() if seen.charged]

    def _play(self, before: set[asyncio.Task[Any]], turns: list[int]) -> None:
        """Those who started just now go on, well, in these turns."""
        for turn in turns:
            mine = [one for one in self.stage.stopped if one.task not in before]
            if mine:
                self._send_on(mine[turn % len(mine)], WELL)

    @rule(worker=st.integers(0, 1), lane=st.sampled_from(list(LEASE)))
    def take_and_die(self, worker: int, lane: Lane) -> None:
        """A worker dies with what it claimed."""
        self.stage.run(self.workers[worker][0].claim(lane, 200, LEASE[lane]))

    def claim(self, worker: int, lane: Lane) -> None:
        """Claim what is due in a lane and start on it."""
        store, _ = self.workers[worker]
        for order_id, activation in self.stage.run(store.claim(lane, 200, LEASE[lane])).entries:
            self.stage.begin(self._step(worker, lane, order_id, activation))
        self.stage.settle()

    async def _step(self, worker: int, lane: Lane, order_id: str, activation: str) -> None:
        store, steps = self.workers[worker]
        if lane is Lane.POLL:
            outcome = await steps.poll(order_id, activation)
        else:
            outcome = await (steps.buy if lane is Lane.BUY else steps.settle)(order_id)
        if isinstance(outcome, Snooze):
            await store.postpone(lane, order_id, outcome.at)
        if isinstance(outcome, Gone):
            await store.drop(lane, order_id)
        task = asyncio.current_task()
        assert task is not None
        if code := self.provider.shown.pop(task, None):
            assert self.world.see(order_id).otp == code, "I4: a code that was seen is not stored"

    @precondition(lambda self: self.stage.stopped)
    @rule(which=st.integers(0, 9), how=st.sampled_from((WELL,) * 10 + FAULTS))
    def go_on(self, which: int, how: str) -> None:
        """One of those who stopped goes on, well or not, or dies there."""
        self._send_on(self.stage.stopped[which % len(self.stage.stopped)], how)

    @precondition(lambda self: self.stage.stopped)
    @rule()
    def all_go_on(self) -> None:
        """Whoever has stopped comes to the end of its step."""
        while self.stage.stopped:
            self._send_on(self.stage.stopped[0], WELL)

    def _send_on(self, here: Stopped, how: str) -> None:
        if how == CRASH:
            self.provider.shown.pop(here.task, None)
            here.task.cancel()
            here.go.cancel()
        else:
            here.go.set_result(how)
        self.stage.settle()

    @rule(seconds=st.sampled_from([1.0, 20.0, 25.0, 36.0, 60.0, 130.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock moves on, whoever is under way."""
        self.clock.advance(seconds)

    @precondition(lambda self: self._active())
    @rule(which=st.integers(0, 2), code=st.sampled_from(["001234", "G-1:2"]))
    def code_arrives(self, which: int, code: str) -> None:
        """A message comes in for a number."""
        self._active()[which % len(self._active())].code = code

    @precondition(lambda self: self._active())
    @rule(which=st.integers(0, 2), refunded=st.booleans())
    def provider_cancels(self, which: int, refunded: bool) -> None:
        """The provider ends a number by itself, with the money back or without."""
        number = self._active()[which % len(self._active())]
        number.cancelled, number.refunded = True, refunded

    def _active(self) -> list[Number]:
        """Numbers for which a code may still come."""
        return [
            one
            for one in self.provider.numbers.values()
            if not one.cancelled and one.code is None and self.clock() < one.bought_at + one.life
        ]

    @precondition(lambda self: self._cancellable())
    @rule(which=st.integers(0, 2))
    def caller_cancels(self, which: int) -> None:
        """The web writes a caller's cancel, as it does."""
        before = self._cancellable()[which % len(self._cancellable())]
        after = before.ask_cancel(self.clock())
        kind = caused_event(before, after)
        events = (announce(kind, after, self.clock()),) if kind else ()
        assert self.world.blocking.save(before, after, wake=self._wake(before), events=events) is Written.SAVED

    def _cancellable(self) -> list[Order]:
        """Orders that a cancel changes; of those nobody has bought for, only the last."""
        return [
            seen
            for seen in self._seen()
            if seen.status is Status.WAITING
            or (seen.status is Status.BUYING and not seen.cancel_requested)
            or (seen.status is Status.QUEUED and seen.id == self.orders[-1])
        ]

    def _wake(self, before: Order) -> Wake | None:
        if before.status is Status.QUEUED:
            return None
        if before.status is Status.BUYING:
            return Wake(Lane.BUY, self.clock() + 25)
        return Wake(Lane.SETTLE, purchase_of(before).cancellable_at, after_poll=True)

    @rule()
    def chores(self) -> None:
        """The account is read, and nothing is found to mend."""
        self.stage.run(self.account.refresh())
        for caller in CALLERS:
            walked, mended = self.stage.run(self.world.store.reconcile(caller, 0, 100))
            assert mended == [], f"{walked} walked, and some had lost their wake-up"

    # What holds, whatever happened.

    @invariant()
    def money_and_words_agree(self) -> None:
        """I1, I3, I4, I6, I9 for every order as it is stored."""
        seen = self._seen()
        jobs = [number.server for number in self.provider.numbers.values()]
        owned = [one.handle for one in seen if one.charged]
        assert len(jobs) == len(set(jobs)), "I1: charged twice for one order"
        assert len(owned) == len(set(owned)), "one number belongs to two orders"
        for one in seen:
            number = self._number_of(one)
            self._code_is_the_right_one(one, number)
            self._settlement_equals_the_books(one, number, charged=one.id in jobs)
            self._one_terminal_event(one)
            self._duty_is_scheduled(one)

    def _code_is_the_right_one(self, seen: Order, number: Number | None) -> None:
        """I4: what is stored is what came in for this order's number."""
        if seen.otp is not None:
            assert number is not None
            assert seen.otp == number.code

    def _settlement_equals_the_books(self, seen: Order, number: Number | None, *, charged: bool) -> None:
        """I6: the order's word about the money is the provider's, or says that it does not know."""
        if seen.settlement is Settlement.REFUNDED:
            assert number is not None
            assert number.refunded
        if seen.settlement is Settlement.FINISHED:
            assert number is not None
            assert number.finished
        if seen.settlement is Settlement.NONE and seen.ended:
            assert not charged

    def _one_terminal_event(self, seen: Order) -> None:
        """I9: the one of its state, when it has ended; and its number is told once."""
        told = self.world.events(seen.id)
        ends = [kind for kind in told if kind in TERMINAL_EVENTS.values()]
        assert ends == ([TERMINAL_EVENTS[seen.status]] if seen.ended else [])
        assigned = seen.charged and "adopted_late" not in seen.flags
        assert told.count("order.number_assigned") == assigned

    def _duty_is_scheduled(self, seen: Order) -> None:
        """I3, I8: what is open, or has money in it, is due in exactly one lane, and nothing else is."""
        owed = not seen.ended or seen.settlement is Settlement.PENDING
        lanes = self.world.lanes(seen.id)
        assert len(lanes) == 1 if owed else len(lanes) <= 1, f"{seen.status} is due in {lanes}"

    def _seen(self) -> list[Order]:
        return [self.world.see(order_id) for order_id in self.orders]

    # And in the end.

    def teardown(self) -> None:
        """All workers die, others come, the provider is well again: everything ends, the money is where it can be."""
        try:
            self._drain()
        finally:
            self.stage.close()
            self.following.__exit__(None, None, None)

    def _drain(self) -> None:
        while self.stage.stopped:
            self._send_on(self.stage.stopped[0], CRASH)
        recoverable = self._recoverable()
        coming = {seen.id for seen in self._seen() if not seen.ended and self._code_of(seen)}
        self.world.provider = self.provider
        self.world.lifecycle = self.workers[0][1]
        until = self.clock() + 4000
        while self.clock() < until and any(self.world.lanes(one) for one in self.orders):
            self.stage.run(self.world.pass_time(60))
            self.stage.run(self.account.refresh())
        for seen in self._seen():
            assert seen.ended, f"{seen.id} is still {seen.status}"
            assert seen.settlement is not Settlement.PENDING
            if seen.id in recoverable:
                assert seen.settlement is Settlement.REFUNDED, "I3: money that could be had back was not"
            if seen.id in coming:
                assert seen.otp == self._code_of(seen), "I4: a code that waited was not fetched"
        self.money_and_words_agree()

    def _code_of(self, seen: Order) -> str | None:
        number = self._number_of(seen)
        return number.code if number else None

    def _number_of(self, seen: Order) -> Number | None:
        return self.provider.numbers.get(seen.purchase.activation) if seen.purchase else None

    def _recoverable(self) -> set[str]:
        """Orders that are still open, whose numbers have no code and time enough to be cancelled."""
        return {
            seen.id
            for seen in self._seen()
            if not seen.ended
            and (number := self._number_of(seen))
            and number in self._active()
            and number.bought_at + number.life - self.clock() > 90
        }


TestLifeOfOrders = LifeOfOrders.TestCase
TestLifeOfOrders.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES == FEW,
)
