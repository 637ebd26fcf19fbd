"""Any order of events for a rental's messages: two workers, kills, repeated writes, lists in any order and length.

A reading stops before it is listed, on its way back, and around its write. Hypothesis decides who goes on, who is
killed there, what arrives and what a list shows. The scripts are the real ones: no message is ever told twice, and
once a whole list was read in peace, each was told.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from datetime import datetime
from typing import Any

import fakeredis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.builders import LIFE, rental, rules, sms
from tests.fakes import ManualClock, PromptGate, ScriptedProvider, World, fakeredis_follows
from tests.unit.test_stateful import CRASH, EXAMPLES, FEW, WELL, Stage, StoppingStore
from worker.lifecycle import Lifecycle
from worker.lifecycle.renting import MOST_TOLD
from worker.provider.replies import Messages, MessagesReply, Unclear
from worker.rental import RentalStatus
from worker.schedule import Lane
from worker.store import ServerClock, Vault

STEPS = 50
"""What happens in one life at most."""
LONGEST_PAUSE = int(LIFE / STEPS) - 1
"""Seconds between two steps at most: the rental outlasts all of them together."""
Said = tuple[str, float]
"""A message as the test knows it: its text and its date."""


class ListingProvider(ScriptedProvider):
    """Lists what has arrived: in any order, and a part of it if it likes."""

    def __init__(self, clock: ManualClock, stage: Stage) -> None:
        super().__init__(clock)
        self.stage = stage
        self.chance = random.Random(0)
        self.most = 1_000

    async def messages(self, product: str, activation: str) -> MessagesReply:
        """A list as of the moment at which it is made; it may be long on its way, or never arrive."""
        await self.stage.stop("about to list")
        listed = self.chance.sample(self.received, len(self.received))[: self.most]
        return Messages(tuple(listed)) if await self.stage.stop("listed") == WELL else Unclear("timeout")


class Messaging(RuleBasedStateMachine):
    """A rental that is active, two workers that read it, and what they told."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.following = fakeredis_follows(self.clock)
        self.following.__enter__()
        self.stage = Stage()
        self.world = World(self.clock)
        self.provider = ListingProvider(self.clock, self.stage)
        self.workers = [self._worker(), self._worker()]
        self.world.accept_rental(rental())
        self.stage.run(self.world.work(Lane.BUY))
        self.provider.numbers = self.world.provider.numbers
        self.arrived: Counter[Said] = Counter()

    def _worker(self) -> Lifecycle:
        client = fakeredis.FakeAsyncRedis(server=self.world.server)
        clock = ServerClock(self.clock, self.clock)
        store = StoppingStore(client, Vault(), retention=604_800.0, otp_ttl=86_400.0, clock=clock)
        store.stage = self.stage
        gate = PromptGate(store, self.world.counters)
        return Lifecycle(store, self.provider, gate, rules(), self.world.counters, chance=lambda: 0.0)

    # What can happen.

    @rule(text=st.sampled_from(["code 1111", "code 2222"]), times=st.integers(1, 3))
    def arrive(self, text: str, times: int) -> None:
        """Messages come in; those of one second with one text are equal."""
        self.provider.received += [sms(text, at=self.clock())] * times
        self.arrived[text, self.clock()] += times

    @rule(seconds=st.integers(1, LONGEST_PAUSE))
    def time_passes(self, seconds: int) -> None:
        """What arrives from now on has another date."""
        self.clock.advance(seconds)

    @rule(seed=st.integers(0, 1_000), most=st.sampled_from([0, 1, 2, 5, 1_000]))
    def list_otherwise(self, seed: int, most: int) -> None:
        """Lists come in another order from now on, or shorter."""
        self.provider.chance, self.provider.most = random.Random(seed), most

    @precondition(lambda self: len(self.stage.stopped) < 4)
    @rule(worker=st.integers(0, 1))
    def read(self, worker: int) -> None:
        """A worker begins to read."""
        self.stage.begin(self._attend(worker))
        self.stage.settle()

    @precondition(lambda self: self.stage.stopped)
    @rule(which=st.integers(0, 3), how=st.sampled_from([WELL, WELL, WELL, "twice", "unheard", CRASH]))
    def go_on(self, which: int, how: str) -> None:
        """One of those who stopped goes on: well, with its write repeated, without its answer, or not at all."""
        one = self.stage.stopped[which % len(self.stage.stopped)]
        if how == CRASH:
            one.task.cancel()
            one.go.cancel()
        else:
            one.go.set_result(how)
        self.stage.settle()

    async def _attend(self, worker: int) -> None:
        await self.workers[worker].attend("rnt_1")

    # What always holds.

    @invariant()
    def no_message_is_told_twice(self) -> None:
        """There are never more webhooks of a message than came in of it; and the record says the same."""
        told = self._told()
        assert not told - self.arrived, "told what did not arrive, or more often than it did"
        assert len(self.world.see_rental().messages) == told.total()

    def teardown(self) -> None:
        """Everybody who stopped is killed; then the whole list is read in peace."""
        try:
            self.stage.run(self._kill_all())
            self.provider.most = 1_000
            for _ in range(1 + self.arrived.total() // MOST_TOLD):
                self.stage.run(self._attend(0))
            assert self._told() == self.arrived, "a message was never told"
            assert self.world.see_rental().status is RentalStatus.ACTIVE
        finally:
            self.stage.close()
            self.following.__exit__(None, None, None)

    async def _kill_all(self) -> None:
        for one in list(self.stage.stopped):
            one.go.cancel()
        await asyncio.gather(*self.stage.tasks, return_exceptions=True)
        self.stage.tasks.clear()

    def _told(self) -> Counter[Said]:
        page, _ = self.world.blocking.events("cal_1", order="rnt_1", status=None, limit=1_000, before=None)
        bodies: list[dict[str, Any]] = [json.loads(event.body) for event in page]
        messages = [body["message"] for body in bodies if "message" in body]
        dates = {message.key: message.received_at for message in self.world.see_rental().messages}
        assert len({message["id"] for message in messages}) == len(messages) == len(dates)
        return Counter((one["text"], _epoch(one["received_at"])) for one in messages)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


TestMessaging = Messaging.TestCase
TestMessaging.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES == FEW,
)
