"""What a step returns, and how it writes: one change with its wake-up, its webhook and its line in the journal.

Steps return what comes next as values; only the engine acts on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.event import Event
from worker.metrics import Counters
from worker.order import EventType, Order, Refused, caused_event
from worker.store import AsyncStore, Wake, Written

PATIENCE = 600.0
"""Seconds for which the result of a provider call is held in memory while the store cannot be reached."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The order was changed and written; `owes` says that the change caused a webhook."""

    order: Order
    owes: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing changed: look again at `at` (epoch seconds)."""

    at: float
    why: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing to do: somebody else was faster, or the claim has already set the next look."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The order no longer exists; its wake-up can be dropped."""


Outcome = Saved | Again | Nothing | Gone
STILL_WAITING = Nothing("still waiting")
Change = Callable[[Order], Order]


class Writer:
    """Writes changes of orders, and owes the webhooks that they cause."""

    def __init__(
        self, store: AsyncStore, counters: Counters, announce: Callable[[EventType, Order, float], Event]
    ) -> None:
        self._store = store
        self._counters = counters
        self._announce = announce

    async def write(
        self,
        order: Order,
        change: Change,
        *,
        wake: Callable[[Order], Wake | None] | None,
        journal: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Apply a change and save it with its wake-up and webhook, if there is one.

        On a lost version check the change is applied to what is there now; one that no longer fits is dropped, which
        is ordinary. The store is given time to come back, because what the provider said cannot be asked for again.
        """
        while True:
            try:
                after = change(order)
            except Refused as refused:
                return Nothing(str(refused))
            kind = caused_event(order, after)
            events = (self._announce(kind, after, self._store.clock.now()),) if kind else ()
            written = await self._store.save(
                order, after, wake=wake(after) if wake else None, events=events, patience=PATIENCE,
                journal={**journal, "settlement": after.settlement.value} if journal else None,
            )  # fmt: skip
            if written is Written.SAVED:
                if after.ended and not order.ended:
                    self._counters.add("orders_ended", status=after.status.value)
                return Saved(after, owes=bool(events))
            if written is not Written.CONFLICT:
                return Gone() if written is Written.MISSING else Nothing(written)
            fresh = await self._store.load(order.id)
            if fresh is None:
                return Gone()
            order = fresh
