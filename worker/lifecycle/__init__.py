"""What happens to an order, in the order in which it happens: buying, polling, settling.

Read it beside `worker/order.py`. A step takes what is due, asks the provider, writes what follows in one go and returns
it as a value: `Saved` (the order changed), `Snooze` (nothing changed; look again then) or `Nothing`. The rules that
cost money are those of the vendor's page: a purchase is sent once and its intent is stored before it; every number
without a code is cancelled; `refunded` is said only on the provider's word.
"""

from __future__ import annotations

from worker.gate import Gate
from worker.lifecycle.buying import Buying
from worker.lifecycle.polling import Polling
from worker.lifecycle.settling import Settling
from worker.lifecycle.steps import ProviderCalls, Rules, Writer
from worker.metrics import Counters
from worker.schedule import Chance
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
