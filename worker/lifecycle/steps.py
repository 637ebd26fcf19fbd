"""What all steps share: what they return, what they are given, and how they write.

Steps return what comes next as values; only the engine acts on them. A write is one change with its wake-up, its
webhook and its line in the journal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from structlog.contextvars import bind_contextvars

from worker import tally
from worker.alerts import Alert
from worker.announce import announced
from worker.gate import Gate
from worker.metrics import Counters
from worker.order import Acquisition, Refused
from worker.provider.replies import (
    BalanceReply,
    BuyReply,
    CancelReply,
    Declined,
    FinishReply,
    MessagesReply,
    QuoteReply,
    RenewReply,
    StatusReply,
)
from worker.schedule import Chance, Wake
from worker.store import AsyncStore, Written
from worker.tracing import Tracer

Reply = TypeVar("Reply")

A = TypeVar("A", bound=Acquisition)

PATIENCE = 600.0
"""Seconds for which the result of a provider call is held in memory while the store cannot be reached."""


@dataclass(frozen=True, slots=True)
class Saved(Generic[A]):
    """The order (or rental) was changed and written; `owes` says that the change caused a webhook."""

    order: A
    owes: bool = False


@dataclass(frozen=True, slots=True)
class Snooze:
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


Outcome = Saved[Any] | Snooze | Nothing | Gone
STILL_WAITING = Nothing("still waiting")
Change = Callable[[A], A]


class ProviderCalls(Protocol):
    """What the steps ask of the provider (`worker.provider.client.Provider`)."""

    async def quote(self, product: str, item: Mapping[str, str]) -> QuoteReply: ...
    async def buy(self, product: str, item: Mapping[str, str]) -> BuyReply: ...
    async def status(self, product: str, activation: str) -> StatusReply: ...
    async def cancel(self, product: str, activation: str) -> CancelReply: ...
    async def finish(self, product: str, activation: str) -> FinishReply: ...
    async def balance(self) -> BalanceReply: ...
    async def messages(self, product: str, activation: str) -> MessagesReply: ...
    async def renew(self, product: str, activation: str, hours: int) -> RenewReply: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that the steps go by, in seconds; `min_balance` in PKR."""

    poll_interval: float
    buy_deadline: float
    buy_budget: float
    earliest_cancel: float
    cancel_retry: float
    rental_poll_interval: float = 30.0
    min_balance: Decimal | None = None


class Writer:
    """Writes changes of orders and rentals, and owes the webhooks that they cause."""

    def __init__(self, store: AsyncStore, counters: Counters, tracer: Tracer) -> None:
        self._store = store
        self._counters = counters
        self._tracer = tracer

    async def write(
        self,
        order: A,
        change: Change[A],
        *,
        wake: Wake | Callable[[A], Wake | None] | None,
        journal: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Apply a change and save it with its wake-up (or what makes one of the order as it is then) and its webhook.

        On a lost version check the change is applied to what is there now; one that no longer fits is dropped, which
        is ordinary. The store is given time to come back, because what the provider said cannot be asked for again.
        """
        while True:
            try:
                after = change(order)
            except Refused as refused:
                return Nothing(str(refused))
            events = announced(order, after, self._store.clock.now())
            written = await self._store.save(
                order, after, wake=wake(after) if callable(wake) else wake, events=events, patience=PATIENCE,
                journal={**journal, "settlement": after.settlement.value} if journal else None,
            )  # fmt: skip
            if written is Written.SAVED:
                tally.changed(self._counters, order, after)
                self._tracer.left(order, after, self._store.clock.now())
                return Saved(after, owes=bool(events))
            if written is not Written.CONFLICT:
                return Gone() if written is Written.MISSING else Nothing(written)
            fresh = await self._store.reload(order)
            if fresh is None:
                return Gone()
            order = fresh


@dataclass(frozen=True, slots=True)
class Steps:
    """What every step is given. The clock is the store's."""

    store: AsyncStore
    provider: ProviderCalls
    gate: Gate
    rules: Rules
    counters: Counters
    writer: Writer
    chance: Chance
    tracer: Tracer

    def now(self) -> float:
        """Epoch seconds by the store's clock."""
        return self.store.clock.now()

    async def answered(self, order: Acquisition, counter: str, call: Awaitable[Reply]) -> Reply:
        """The reply to a call that changes something at the provider: counted, logged, and a span of the order's."""
        begun = self.now()
        reply = await call
        self.heard(counter, reply)
        told = {"order": order.id, "reply": reply_name(reply)}
        self.tracer.tell_below(order.origin, f"provider {counter}", begun, self.now(), kind="client", **told)
        return reply

    def heard(self, counter: str, reply: object) -> None:
        """Count a reply, and have the log lines of this unit of work name it."""
        name = reply_name(reply)
        self.counters.add(counter, reply=name)
        bind_contextvars(reply=name)

    async def account_trouble(self, order_id: str, declined: Declined) -> None:
        """A poll or a cancel was declined: tell an operator, and find out by a free call whether it is the key."""
        self.gate.alert(Alert.STATUS_DECLINED, word=declined.word.value, order=order_id)
        await self.gate.request_balance()


def unless_moved(seen: A, change: Change[A]) -> Change[A]:
    """The change, for as long as the order stands where this step saw it.

    What a step found out about one purchase must not be written to the next one, nor over what others settled: the
    step may have stood still, or its first, unanswered write may have counted long ago.
    """

    def guarded(order: A) -> A:
        if order.standing != seen.standing:
            raise Refused("an outdated change", order.status)
        return change(order)

    return guarded


def reply_name(reply: object) -> str:
    """The reply as a label: its class, with the provider's word where that says more."""
    word = getattr(reply, "word", None)
    return type(reply).__name__ if word is None else f"{type(reply).__name__}.{word.name}"
