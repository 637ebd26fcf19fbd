"""What happens to an order, in the order in which it happens: buying, polling, settling. And to a rental: renting.

Read it beside `worker/order.py`. A step takes what is due, asks the provider, writes what follows in one go and returns
it as a value: `Saved` (the order changed), `Snooze` (nothing changed; look again then) or `Nothing`. The rules that
cost money are those of the vendor's page: a purchase is sent once and its intent is stored before it; every number
without a code is cancelled; `refunded` is said only on the provider's word.
"""

from __future__ import annotations

from worker.gate import Gate
from worker.lifecycle.buying import Buying
from worker.lifecycle.polling import Polling
from worker.lifecycle.renting import Renewals, Rentals, Renting
from worker.lifecycle.settling import Settling
from worker.lifecycle.steps import Outcome, ProviderCalls, Rules, Writer
from worker.metrics import Counters
from worker.rental import ID_PREFIX
from worker.schedule import Chance, Lane
from worker.store import AsyncStore
from worker.tracing import Tracer

__all__ = ["Lifecycle", "Rules"]


class Lifecycle:
    """The steps by the lane that they run in."""

    def __init__(
        self,
        store: AsyncStore,
        provider: ProviderCalls,
        gate: Gate,
        rules: Rules,
        counters: Counters,
        *,
        chance: Chance,
        tracer: Tracer | None = None,
    ) -> None:
        tracer = tracer or Tracer()
        shared = (store, provider, gate, rules, counters, Writer(store, counters, tracer), chance, tracer)
        polling = Polling(*shared)
        self.buy = Buying(*shared).buy
        self.poll = polling.poll
        self.settle = Settling(*shared, polling).settle
        self.attend = Renting(*shared, Rentals(*shared), Renewals(*shared)).attend

    async def step(self, lane: Lane, id: str, handle: str) -> Outcome:
        """The step that an entry of a lane is due for: a rental has one for all, an order has one in each."""
        if id.startswith(ID_PREFIX):
            return await self.attend(id)
        if lane is Lane.POLL:
            return await self.poll(id, handle)
        return await (self.buy if lane is Lane.BUY else self.settle)(id)
