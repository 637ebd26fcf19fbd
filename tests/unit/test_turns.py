"""Turns between callers, as a property: whoever else is there, what is due is claimed within so many turns."""

from __future__ import annotations

import math

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.builders import caller, order
from tests.fakes import ManualClock, World, fakeredis_follows
from worker.caller import Caps
from worker.schedule import Lane
from worker.store import Written

CALLERS = ("big", "odd", "small", "tiny")
LEASE = 5.0
"""Seconds after which what was claimed is due again: nothing here is ever bought."""


class Turns(RuleBasedStateMachine):
    """Callers post, workers claim and drop, time passes; every claim is held against the callers' patience."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.following = fakeredis_follows(self.clock)
        self.following.__enter__()
        self.world = World(self.clock)
        self.due_at: dict[str, float] = {}
        """When each order is due, as the claims that were made of it say."""
        self.overtaken = dict.fromkeys(CALLERS, 0)
        """Per caller with something due, how many orders of others were claimed since it last had its turn."""
        self.posted = 0

    @initialize(weights=st.lists(st.integers(1, 4), min_size=len(CALLERS), max_size=len(CALLERS)))
    def begin(self, weights: list[int]) -> None:
        """Callers of different weight."""
        self.weights = dict(zip(CALLERS, weights, strict=True))
        for name, weight in self.weights.items():
            new = caller(id=name, weight=weight, key_hash=name)
            assert self.world.blocking.save_caller(None, new) is Written.SAVED

    @rule(who=st.sampled_from(CALLERS), count=st.sampled_from([1, 1, 1, 2, 5, 30]))
    def post(self, who: str, count: int) -> None:
        """A caller posts some orders."""
        for _ in range(count):
            new = order(id=f"{who}-{self.posted:05}", caller=who, created_at=self.clock())
            assert self.world.blocking.create(new, Caps()).outcome == "created"
            self._due(new.id, self.clock())
            self.posted += 1

    @precondition(lambda self: self.posted)
    @rule(most=st.sampled_from([1, 1, 2, 3, 7, 20]))
    def claim(self, most: int) -> None:
        """A worker claims, and drops what it claimed."""
        for order_id in self._claimed(most):
            who = _owner(order_id)
            assert self.due_at[order_id] <= self.clock(), "claimed before it was due"
            self.due_at[order_id] = self.clock() + LEASE
            self.overtaken[who] = 0
            for other in CALLERS:
                if other != who and self._is_waiting(other):
                    self.overtaken[other] += 1
                    assert self.overtaken[other] <= self._patience(other), f"{other} waits behind {self.overtaken}"

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        """What was claimed long ago is due again."""
        waiting = [who for who in CALLERS if self._is_waiting(who)]
        self.clock.advance(seconds)
        for who in CALLERS:
            if who not in waiting:
                self.overtaken[who] = 0

    @precondition(lambda self: self._due_now())
    @rule()
    def one_claim_of_all_is_enough(self) -> None:
        """Nothing that is due is left out by a claim with room for it."""
        due = self._due_now()
        claimed = self._claimed(len(due) + 5)
        assert sorted(claimed) == sorted(due)
        for order_id in claimed:
            self.due_at[order_id] = self.clock() + LEASE
        self.overtaken = dict.fromkeys(CALLERS, 0)

    def teardown(self) -> None:
        """Time is real again."""
        self.following.__exit__(None, None, None)

    def _claimed(self, most: int) -> list[str]:
        async def claimed() -> list[str]:
            claim = await self.world.engine_store().claim(Lane.BUY, most, LEASE)
            return [order_id for order_id, _ in claim.entries]

        return anyio.run(claimed)

    def _due(self, order_id: str, at: float) -> None:
        if not self._is_waiting(_owner(order_id)):
            self.overtaken[_owner(order_id)] = 0
        self.due_at[order_id] = at

    def _due_now(self) -> list[str]:
        return [order_id for order_id, at in self.due_at.items() if at <= self.clock()]

    def _is_waiting(self, who: str) -> bool:
        return any(_owner(order_id) == who for order_id in self._due_now())

    def _patience(self, who: str) -> int:
        """One order of everybody else, and what their weights give them within a turn of this caller's."""
        others = (self.weights[other] for other in CALLERS if other != who)
        return sum(math.ceil(weight / self.weights[who]) + 1 for weight in others)


def _owner(order_id: str) -> str:
    return order_id.partition("-")[0]


TestTurns = Turns.TestCase
TestTurns.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
