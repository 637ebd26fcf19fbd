"""The life of an order, step by step: buy → poll → settle.

Read it beside `worker/order.py`. A step takes what is due, asks the provider, writes what follows in one go and
returns it as a value: `Saved` (the order changed), `Again` (nothing changed; look again then) or `Nothing`.
The rules that cost money are those of the vendor's page: a purchase is sent once and its intent is stored before it;
every number without a code is cancelled; `refunded` is said only on the provider's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from worker import schedule
from worker.event import Event
from worker.gate import Gate, Pause
from worker.metrics import Counters
from worker.order import Ending, ErrorCode, EventType, Order, Refused, Settlement, Status
from worker.provider.protocol import (
    Balance,
    BalanceReply,
    Bought,
    BuyReply,
    Cancelled,
    CancelReply,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    FinishReply,
    Missing,
    StatusReply,
    Throttled,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.provider.replies import WAITING
from worker.steps import STILL_WAITING, Again, Change, Gone, Nothing, Outcome, Saved, Writer
from worker.store import AsyncStore, Wake, Written

SLOW_RETRY = 6
"""Poll intervals until an order whose poll was declined (BAD_KEY) is polled again."""
CANCEL_RESERVE = 60.0
"""Seconds before a number's expiry from which its cancel goes out however long the provider asks to wait."""
LATE_ASK = 2.0
"""Seconds past the buy budget after which the last ask is not made any more: its wake-up came too late."""
HELD_UP = 1.0
"""Seconds that reading the order may take before a step to settle it leaves the provider to the next claim."""
MISSING_IN_A_ROW = 3
"""Answers "no such activation" in a row before the number counts as lost."""


class ProviderCalls(Protocol):
    """What the steps ask of the provider (`worker.provider.client.Provider`)."""

    async def buy(self, server: str, type: str) -> BuyReply: ...
    async def status(self, activation: str) -> StatusReply: ...
    async def cancel(self, activation: str) -> CancelReply: ...
    async def finish(self, activation: str) -> FinishReply: ...
    async def balance(self) -> BalanceReply: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that the steps go by, in seconds; `min_balance` in PKR."""

    poll_interval: float
    buy_deadline: float
    buy_budget: float
    earliest_cancel: float
    cancel_retry: float
    min_balance: Decimal | None = None


_READABLE = (Waiting, Missing, Cancelled)
"""Replies that say where a number stands, if not with a code."""


class Lifecycle:
    """The steps. Everything they need is handed in; the clock is the store's."""

    def __init__(
        self,
        store: AsyncStore,
        provider: ProviderCalls,
        gate: Gate,
        rules: Rules,
        counters: Counters,
        *,
        announce: Callable[[EventType, Order, float], Event],
        chance: schedule.Chance,
    ) -> None:
        self._store = store
        self._provider = provider
        self._gate = gate
        self._rules = rules
        self._counters = counters
        self._writer = Writer(store, counters, announce)
        self._chance = chance

    # Buying.

    async def buy(self, order_id: str) -> Outcome:
        """queued → buying → waiting, back to queued, or failed."""
        order = await self._store.load(order_id)
        if order is None:
            return Gone()
        if order.status is Status.BUYING and self._now() < self._answer_due(order):
            return Again(self._answer_due(order), "its purchase is under way")
        if order.status is Status.BUYING:
            return await self._purchase_unknown(order, "the worker that sent the purchase left no record of its answer")
        if order.status is not Status.QUEUED:
            return Nothing(f"already {order.status}")
        if order.cancel_requested:
            return await self._writer.write(order, lambda o: o.withdraw(self._now()), wake=None)
        if held := await self._not_now(order):
            return held
        return await self._purchase(order)

    async def _not_now(self, order: Order) -> Outcome | None:
        """Why this order may not be bought just now, if so: it waits, and fails with the reason at its budget's end."""
        now, ends = self._now(), self._budget_ends(order)
        if order.asks and now > ends + LATE_ASK:
            return await self._reject(order, ErrorCode.NO_NUMBERS, "the buy budget was spent before the next ask")
        reason = await self._gate.closed() or await self._below_floor()
        if reason is None:
            return None
        if now < ends:
            return Again(min(now + 2.0, ends), f"buying is paused: {reason}")
        return await self._reject(order, reason.error, f"buying was paused ({reason}) until the buy budget was spent")

    async def _below_floor(self) -> Pause | None:
        """With a floor set, money is spent only on a balance that was read just now."""
        floor = self._rules.min_balance
        if floor is None:
            return None
        await self._gate.slot()
        reply = await self._provider.balance()
        balance = reply.amount if isinstance(reply, Balance) else None
        if balance is not None and balance >= floor:
            return None
        await self._gate.observe_balance(balance, floor)
        return Pause.BELOW_MIN_BALANCE

    async def _purchase(self, order: Order) -> Outcome:
        """Store the intent, send the purchase once, write down what came of it."""
        intended_at = self._now()
        intended = order.intend(intended_at)
        deadline = self._answer_due(intended)
        written = await self._store.save(
            order, intended, wake=Wake("buy", deadline), journal={"kind": "intent"}, patience=self._rules.buy_deadline
        )
        if written is not Written.SAVED:
            return Nothing("somebody else has it")
        if self._now() > intended_at + schedule.PURCHASE_GRACE:
            # This process stood still in between: by the time of an answer the order may have been given up.
            return await self._put_off(intended, Unreached("stood still before the purchase"))
        reply = await self._provider.buy(order.server, order.type)
        self._counters.add("purchases", reply=_name(reply))
        return await self._bought(intended, reply)

    async def _bought(self, order: Order, reply: BuyReply) -> Outcome:
        match reply:
            case Bought():
                return await self._assign(order, reply)
            case Declined():
                return await self._declined(order, reply)
            case Throttled():
                await self._gate.throttled(reply)
                return await self._put_off(order, reply)
            case Unreached():
                return await self._put_off(order, reply)
            case Unclear():
                return await self._purchase_unknown(
                    order, f"the answer to the purchase could not be read ({reply.reason})"
                )

    async def _assign(self, order: Order, bought: Bought) -> Outcome:
        """Record the number before anything else happens to it."""
        rules, now = self._rules, self._now()

        def adopt(current: Order) -> Order:
            if current.status is Status.FAILED:
                return current.adopt_late(bought.activation, bought.number, now, life=bought.life)
            if current.status is Status.QUEUED:
                # A store that lost its last writes has forgotten the intent; the number is this order's all the same.
                current = current.intend(now)
            timeout = 0.0 if current.cancel_requested else current.timeout
            after = schedule.cancel_after(timeout, bought.life, rules.earliest_cancel)
            return current.assign(
                bought.activation,
                bought.number,
                now,
                life=bought.life,
                cancel_after=after,
                flags=bought.flags,
            )

        def wake(after: Order) -> Wake:
            if after.status is Status.FAILED:
                return Wake("settle", now + rules.earliest_cancel)
            return Wake("poll", now + rules.poll_interval)

        journal = {"kind": "bought", "activation": bought.activation}
        saved = await self._writer.write(order, adopt, wake=wake, journal=journal)
        if isinstance(saved, Nothing) and saved.why == Written.DUPLICATE:
            self._gate.alert("duplicate_activation", order=order.id)
            return await self._purchase_unknown(
                order, "the provider gave a number that belongs to another order", "duplicate_activation"
            )
        if not isinstance(saved, Saved):
            await self._unrecorded(order, bought)
        elif saved.order.status is Status.FAILED:
            self._gate.alert("adopted_late", order=order.id)
        return saved

    async def _unrecorded(self, order: Order, bought: Bought) -> None:
        """The store no longer has an order that this number could belong to: only the journal can keep it."""
        self._gate.alert("purchase_unrecorded", order=order.id)
        await self._store.journal(kind="unrecorded", order=order.id, caller=order.caller, activation=bought.activation)

    async def _declined(self, order: Order, declined: Declined) -> Outcome:
        """The provider's whole answer was a rejection: nothing was bought."""
        if declined.word in (Word.NO_NUMBERS, Word.CHANNELS_LIMIT):
            return await self._put_off(order, declined)
        reason = await self._gate.refused(declined)
        if reason is Pause.PROVIDER_BANNED and declined.until is not None and declined.until < self._budget_ends(order):
            return await self._put_off(order, declined)
        code = reason.error if reason else ErrorCode.PROVIDER_REJECTED
        return await self._reject(order, code, f"the provider answered {declined.word}")

    async def _put_off(self, order: Order, reply: BuyReply) -> Outcome:
        """Nothing was bought: ask again within the budget, or end it."""
        now = self._now()
        at = schedule.next_ask(order.asks, now, self._budget_ends(order), self._chance)
        if isinstance(reply, Throttled) and reply.retry_after is not None and at is not None:
            at = max(at, now + reply.retry_after)
        if isinstance(reply, Declined) and reply.until is not None and at is not None:
            at = max(at, reply.until)
        if at is None:
            return await self._reject(order, *_spent(reply))
        journal = {"kind": "not_bought", "reply": _name(reply)}
        put_off = _unless_moved(order, lambda o: o.put_off())
        saved = await self._writer.write(order, put_off, wake=lambda _: Wake("buy", at), journal=journal)
        if isinstance(saved, Saved) and saved.order.cancel_requested:
            return await self._writer.write(saved.order, lambda o: o.withdraw(self._now()), wake=None)
        return saved

    async def _reject(self, order: Order, code: ErrorCode, message: str) -> Outcome:
        journal = {"kind": "not_bought", "reply": code.value}
        reject = _unless_moved(order, lambda o: o.reject(code, message, self._now()))
        return await self._writer.write(order, reject, wake=None, journal=journal)

    async def _purchase_unknown(self, order: Order, why: str, *flags: str) -> Outcome:
        """Nobody knows whether money was spent: say so, and never buy again for this order."""
        journal = {"kind": "purchase_unknown"}
        lose = _unless_moved(order, lambda o: o.lose_purchase(why, self._now(), *flags))
        saved = await self._writer.write(order, lose, wake=None, journal=journal)
        if isinstance(saved, Saved):
            self._gate.alert("purchase_unknown", order=order.id)
        return saved

    def _answer_due(self, order: Order) -> float:
        """Until when the worker that sent the purchase has time to record its answer."""
        return (order.intended_at or 0.0) + self._rules.buy_deadline + schedule.PURCHASE_GRACE

    def _budget_ends(self, order: Order) -> float:
        return (order.created_at if order.asked_at is None else order.asked_at) + self._rules.buy_budget

    # Polling.

    async def poll(self, order_id: str, activation: str) -> Outcome:
        """Look once. "Still waiting" writes nothing: the claim has already set the next poll."""
        reply = await self._provider.status(activation)
        if reply is WAITING:
            return STILL_WAITING
        return await self._looked(order_id, reply)

    async def _looked(self, order_id: str, reply: StatusReply) -> Outcome:
        self._counters.add("polls", reply=_name(reply))
        now = self._now()
        match reply:
            case Code():
                return await self._code_arrived(order_id, reply)
            case Cancelled():
                return await self._cancelled_unasked(order_id)
            case Missing():
                return await self._number_missing(order_id)
            case Declined():
                await self._account_trouble(order_id, reply)
                return Again(now + SLOW_RETRY * self._rules.poll_interval, f"the provider answered {reply.word}")
            case Throttled():
                await self._gate.throttled(reply)
        return STILL_WAITING

    async def _account_trouble(self, order_id: str, declined: Declined) -> None:
        """A poll or a cancel was declined: tell an operator, and find out by a free call whether it is the key."""
        self._gate.alert("status_declined", word=declined.word.value, order=order_id)
        await self._gate.wish_balance()

    async def _code_arrived(self, order_id: str, code: Code) -> Outcome:
        """Store the code once and owe its webhook, whatever else happened to the order meanwhile."""
        order = await self._store.load(order_id)
        if order is None:
            return Gone()
        if order.received_at is not None or order.otp == code.text:
            return Nothing("the code is known")
        return await self._writer.write(
            order,
            lambda o: (
                o.keep_late_code(code.text, *code.flags) if o.ended else o.receive(code.text, self._now(), *code.flags)
            ),
            wake=lambda o: (
                Wake("settle") if o.status is Status.RECEIVED and o.settlement is Settlement.PENDING else None
            ),
            journal={"kind": "received"},
        )

    async def _cancelled_unasked(self, order_id: str) -> Outcome:
        """The provider ended the number by itself: tell the caller, and still try to get the money back."""
        order = await self._store.load(order_id)
        if order is None:
            return Gone()
        if order.status is not Status.WAITING or order.bought_at is None:
            return Nothing(f"already {order.status}")
        self._gate.alert("cancelled_by_provider", order=order_id)
        at = max(order.bought_at + self._rules.earliest_cancel, self._now() + self._rules.poll_interval)
        return await self._writer.write(
            order,
            lambda o: o.lose("the provider cancelled the number by itself", self._now()),
            wake=lambda _: Wake("settle", at),
            journal={"kind": "lost"},
        )

    async def _number_missing(self, order_id: str) -> Outcome:
        """It may be replication lag; several such answers in a row after the grace mean that the number is lost."""
        seen = await self._store.count_missing(order_id, 1.9 * self._rules.poll_interval)
        order = await self._store.load(order_id)
        if order is None:
            return Gone()
        if order.status is not Status.WAITING or order.bought_at is None:
            return Nothing(f"already {order.status}")
        now = self._now()
        grace = max(schedule.ACTIVATION_GRACE, self._rules.earliest_cancel)
        if seen < MISSING_IN_A_ROW or now < order.bought_at + grace:
            return STILL_WAITING
        self._gate.alert("number_missing", order=order_id)
        wake = Wake("settle", now + self._rules.poll_interval)
        return await self._writer.write(order, lambda o: o.begin_cancel(Ending.LOST), wake=lambda _: wake)

    # Settling.

    async def settle(self, order_id: str) -> Outcome:
        """Finish what has its code; look, cancel and look again at what has none."""
        began = self._now()
        order = await self._store.load(order_id)
        if order is None:
            return Gone()
        if order.activation is None or order.expires_at is None or order.bought_at is None:
            return Gone()
        held = await self._gate.held()
        if held and self._now() + held < order.expires_at - CANCEL_RESERVE:
            return Again(self._now() + held, "the provider asked for less")
        if self._now() > began + HELD_UP:
            return Nothing("the store held this step up; its claim may have passed on")
        if order.status is Status.RECEIVED:
            return await self._finish(order, order.activation)
        if order.status in (Status.WAITING, Status.CANCELLING) or order.status is Status.FAILED:
            return await self._give_back(order, order.activation, order.bought_at, order.expires_at)
        return Gone()

    async def _finish(self, order: Order, activation: str) -> Outcome:
        """Tell the provider that the code has arrived: best effort, the caller has it already."""
        if order.finishes >= schedule.FINISH_TRIES:
            give_up = _unless_moved(order, lambda o: o.settle(Settlement.UNCONFIRMED))
            return await self._writer.write(order, give_up, wake=None, journal={"kind": "unconfirmed"})
        again = Wake("settle", self._now() + self._rules.poll_interval)
        counted = await self._writer.write(order, lambda o: o.try_finish(), wake=lambda _: again)
        if not isinstance(counted, Saved):
            return counted
        reply = await self._provider.finish(activation)
        self._counters.add("finishes", reply=_name(reply))
        if isinstance(reply, Throttled):
            await self._gate.throttled(reply)
        if not isinstance(reply, Done):
            return Nothing(f"not finished yet: {_name(reply)}")
        return await self._writer.write(
            counted.order, lambda o: o.settle(Settlement.FINISHED), wake=None, journal={"kind": "finished"}
        )

    async def _give_back(self, order: Order, activation: str, bought_at: float, expires_at: float) -> Outcome:
        """Look, cancel, look again, until the money is back or can no longer be had."""
        look = await self._provider.status(activation)
        looked_at = self._now()
        next_look = looked_at + self._rules.poll_interval
        if isinstance(look, Code):
            return await self._looked(order.id, look)
        if isinstance(look, Throttled):
            waits = await self._told_to_wait(look, next_look, expires_at)
            if looked_at < expires_at - CANCEL_RESERVE:
                return waits
        if order.settlement is Settlement.REFUNDED:
            return await self._after_refund(order, look, next_look)
        if isinstance(look, Cancelled) and (ended := await self._seen_cancelled(order)):
            return ended
        if looked_at >= expires_at:
            return await self._expired(order, look, next_look, expires_at)
        if order.status is Status.WAITING:
            begun = await self._writer.write(order, _begin_cancel, wake=lambda _: Wake("settle", next_look))
            if not isinstance(begun, Saved):
                return begun
            order = begun.order
        cancel_at = max(
            bought_at + self._rules.earliest_cancel, (order.cancel_sent_at or 0.0) + self._rules.cancel_retry
        )
        if looked_at < cancel_at:
            return Again(max(next_look, min(cancel_at, expires_at)), "the next cancel is not due yet")
        return await self._cancel(order, activation, look, next_look)

    async def _cancel(self, order: Order, activation: str, look: StatusReply, next_look: float) -> Outcome:
        """Send one cancel, counted before it goes out."""
        now = self._now()
        counted = await self._writer.write(
            order,
            lambda o: o.try_cancel(now),
            wake=lambda o: Wake("settle", max(next_look, min(now + self._rules.cancel_retry, o.expires_at or 0.0))),
            journal={"kind": "cancel"},
        )
        if not isinstance(counted, Saved):
            return counted
        order = counted.order
        await self._gate.slot()
        reply = await self._provider.cancel(activation)
        self._counters.add("cancels", reply=_name(reply))
        # The store or the provider may have held this step up, and somebody else may have looked meanwhile.
        next_look = max(next_look, self._now() + self._rules.poll_interval)
        match reply:
            case Done() if self._proves_refund(order, reply):
                return await self._refunded(order, next_look=next_look)
            case Throttled():
                return await self._told_to_wait(reply, next_look, order.expires_at or now)
            case Early():
                return Nothing("too early to cancel; the retry is set")
            case Done():
                return await self._unconfirmed(order)
            case Missing() if isinstance(look, Missing | Cancelled) and (
                order.error or order.ending is Ending.LOST or order.cancels > 1
            ):
                return await self._unconfirmed(order)
            case CodeExists() | Missing() | Unclear() | Unreached():
                return Again(next_look, f"the cancel was answered with {_name(reply)}: look again")
            case Declined():
                await self._account_trouble(order.id, reply)
                return Nothing(f"not cancelled yet: {_name(reply)}")

    async def _told_to_wait(self, reply: Throttled, next_look: float, expires_at: float) -> Outcome:
        """Obey the provider's wait where it does not run past the number's last moments."""
        held = await self._gate.throttled(reply)
        return Again(
            max(next_look, min(self._now() + held, expires_at - CANCEL_RESERVE)),
            "the provider asked for less",
        )

    def _proves_refund(self, order: Order, reply: Done) -> bool:
        """A number that the provider ended by itself was refunded only if it says so anew."""
        return reply.word is Word.ACCESS_CANCEL or order.error is not ErrorCode.ORDER_LOST

    async def _refunded(self, order: Order, *, next_look: float = 0.0, concluded: bool = False) -> Outcome:
        """The money is back. A code may still have come in between: look once more before the end."""
        now = self._now()

        def change(current: Order) -> Order:
            noted = current.note_refund(now)
            return noted.conclude(now) if concluded and not current.ended else noted

        return await self._writer.write(
            order,
            change,
            wake=lambda o: None if o.ended else Wake("settle", next_look),
            journal={"kind": "refunded"},
        )

    async def _after_refund(self, order: Order, look: StatusReply, next_look: float) -> Outcome:
        """The look after a confirmed cancel found no code: the end. An unreadable answer is asked again for a while."""
        limit = (order.refunded_at or 0.0) + schedule.LOOKS_AFTER_CANCEL * self._rules.poll_interval
        if not isinstance(look, _READABLE) and self._now() < limit:
            return Again(next_look, "the look after the cancel could not be read")
        return await self._writer.write(order, lambda o: o.conclude(self._now()), wake=None)

    async def _seen_cancelled(self, order: Order) -> Outcome | None:
        """What a cancelled number means: our cancel went through, or the provider ended it by itself."""
        if order.error is ErrorCode.ORDER_LOST:
            return None
        if order.cancels:
            return await self._refunded(order, concluded=True)
        if order.status is Status.WAITING:
            return await self._cancelled_unasked(order.id)
        return await self._unconfirmed(order)

    async def _expired(self, order: Order, look: StatusReply, next_look: float, expires_at: float) -> Outcome:
        """The number's life is over: nothing can be cancelled any more, a code may still be read for a moment."""
        if not isinstance(look, _READABLE) and self._now() < expires_at + schedule.EXPIRY_GRACE:
            return Again(next_look, "the last look could not be read")
        return await self._unconfirmed(order)

    async def _unconfirmed(self, order: Order) -> Outcome:
        """End it without a word about the money."""
        self._gate.alert("settlement_unconfirmed", order=order.id)

        def change(current: Order) -> Order:
            if current.status is Status.WAITING:
                current = _begin_cancel(current)
            return current.settle(Settlement.UNCONFIRMED) if current.ended else current.conclude(self._now())

        return await self._writer.write(order, _unless_moved(order, change), wake=None, journal={"kind": "unconfirmed"})

    def _now(self) -> float:
        return self._store.clock.now()


def _unless_moved(seen: Order, change: Change) -> Change:
    """The change, for as long as the order stands where this step saw it.

    What a step found out about one purchase must not be written to the next one, nor over what others settled: the
    step may have stood still, or its first, unanswered write may have counted long ago.
    """

    def guarded(order: Order) -> Order:
        if (order.status, order.asks, order.settlement) != (seen.status, seen.asks, seen.settlement):
            raise Refused("an outdated change", order.status)
        return change(order)

    return guarded


def _begin_cancel(order: Order) -> Order:
    return order.begin_cancel(Ending.CALLER if order.cancel_requested else Ending.TIMEOUT)


def _name(reply: object) -> str:
    """The reply as a label: its class, with the provider's word where that says more."""
    word = getattr(reply, "word", None)
    return type(reply).__name__ if word is None else f"{type(reply).__name__}.{word.name}"


def _spent(reply: BuyReply) -> tuple[ErrorCode, str]:
    """Why an order ends whose buy budget is spent."""
    if isinstance(reply, Declined) and reply.word is Word.NO_NUMBERS:
        return ErrorCode.NO_NUMBERS, "the provider had no numbers until the buy budget was spent"
    if isinstance(reply, Declined):
        return (
            ErrorCode.PROVIDER_REJECTED,
            f"the provider answered {reply.word} until the buy budget was spent",
        )
    if isinstance(reply, Throttled):
        return ErrorCode.PROVIDER_REJECTED, "the provider asked for patience until the buy budget was spent"
    return (
        ErrorCode.PROVIDER_REJECTED,
        "the provider could not be reached within the buy budget; nothing was bought",
    )
