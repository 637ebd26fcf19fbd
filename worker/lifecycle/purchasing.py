"""Purchasing: what an order's number, a rental and a rental's renewal have in common until they are bought.

A purchase is sent once, and its intent is stored before it: what is never answered is `purchase_unknown`, and nobody
sends a second one (otpget-api.md, "Rules that cost money").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry, line
from worker.lifecycle.steps import A, Change, Gone, Nothing, Outcome, Saved, Snooze, Steps, reply_name, unless_moved
from worker.order import Acquisition, ErrorCode, decimal
from worker.pause import Pause, item_of
from worker.provider.replies import Balance, Declined, Failure, Quote, QuoteReply, Throttled, Unclear, Unreached, Word
from worker.schedule import Lane, Wake
from worker.store import Written

R = TypeVar("R")
"""What the provider answers to a purchase that it made."""

LATE_ATTEMPT = 2.0
"""Seconds past the buy budget after which the last attempt is not made any more: its wake-up came too late."""
ASK_AGAIN = 2.0
"""Seconds until an order that may not be bought just now is looked at again."""
MOST_PRICE_CHANGES = 1
"""Purchases answered "the price has changed" after which another is sent (contract.md, "Products")."""


class Purchasing(Steps, Generic[A, R]):
    """The steps of a purchase. What is bought, and what becomes of it, is for those who derive from this."""

    lane: ClassVar[Lane] = Lane.BUY
    """Where it waits for its turn, and for the answer to its purchase."""

    async def _load(self, id: str) -> A | None:
        raise NotImplementedError

    async def _ask_price(self, order: A) -> QuoteReply:
        raise NotImplementedError

    async def _send(self, order: A) -> R | Failure:
        """The purchase itself. `Declined`, `Throttled`, `Unreached`: nothing was bought."""
        raise NotImplementedError

    async def _done(self, order: A, bought: R) -> Outcome:
        """Record what was bought before anything else happens to it."""
        raise NotImplementedError

    def _adopted_late(self, order: A) -> None:
        """Tell an operator that a purchase was answered after it had been given up."""
        raise NotImplementedError

    async def _withdrawn(self, order: A) -> Outcome | None:
        """What became of one that its caller no longer wants, if so."""
        return None

    async def buy(self, order_id: str) -> Outcome:
        """queued → buying → bought, back to queued, or failed."""
        order = await self._load(order_id)
        if order is None:
            return Gone()
        if order.buying and self.now() < schedule.answer_due(order, self.rules.buy_deadline):
            return Snooze(schedule.answer_due(order, self.rules.buy_deadline), "its purchase is under way")
        if order.buying:
            return await self._purchase_unknown(order, "the worker that sent the purchase left no record of its answer")
        if not order.queued:
            return Nothing(f"already {order.status}")
        if withdrawn := await self._withdrawn(order):
            return withdrawn
        if held := await self._not_now(order):
            return held
        quote = await self._quote(order)
        return await self._purchase(order, quote) if isinstance(quote, Quote) else quote

    async def _not_now(self, order: A) -> Outcome | None:
        """Why this order may not be bought just now, if so: it waits, and fails with the reason at its budget's end."""
        if order.attempts and self.now() > self._budget_ends(order) + LATE_ATTEMPT:
            return await self._reject(order, ErrorCode.NO_NUMBERS, "the buy budget was spent before the next attempt")
        reason = await self.gate.closed(item_of(order)) or await self._below_floor()
        if reason is None:
            return None
        spent = f"buying was paused ({reason}) until the buy budget was spent"
        return await self._hold(order, f"buying is paused: {reason}", reason.error, spent)

    async def _hold(self, order: A, why: str, code: ErrorCode, spent: str) -> Outcome:
        """Its turn has come and it may not be bought: look again soon, and end it when the budget is spent."""
        now, ends = self.now(), self._budget_ends(order)
        again = min(now + ASK_AGAIN, ends)
        if order.first_attempt_at is None:
            return await self.writer.write(order, lambda o: o.hold_back(now), wake=Wake(self.lane, again))
        return Snooze(again, why) if now < ends else await self._reject(order, code, spent)

    async def _below_floor(self) -> Pause | None:
        """With a floor set, money is spent only on a balance that was read just now."""
        floor = self.rules.min_balance
        if floor is None:
            return None
        await self.gate.slot()
        reply = await self.provider.balance()
        balance = reply.amount if isinstance(reply, Balance) else None
        if balance is not None and balance >= floor:
            return None
        await self.gate.observe_balance(balance, floor)
        return Pause.BELOW_MIN_BALANCE

    async def _quote(self, order: A) -> Quote | Outcome:
        """The price as it is right now, if the order may be bought at it.

        One that cannot be read stops an order that holds a price against it, or whose caller has a spend cap.
        """
        reply = await self._ask_price(order)
        if isinstance(reply, Quote):
            if order.most is None or (reply.price is not None and reply.price <= order.most):
                return reply
            if reply.price is not None:
                why = f"the price is {decimal(reply.price)} PKR"
                return await self._reject(order, ErrorCode.PRICE_ABOVE_MAX, why)
        if isinstance(reply, Throttled):
            await self.gate.throttled(reply)
        if order.most is None:
            caller = await self.store.caller(order.caller)
            if caller is None or caller.caps.max_spend_per_day is None:
                return Quote()
        spent = "the price could not be read until the buy budget was spent"
        return await self._hold(order, f"the price cannot be read: {reply_name(reply)}", ErrorCode.PRICE_UNKNOWN, spent)

    async def _purchase(self, order: A, quote: Quote) -> Outcome:
        """Store the intent, send the purchase once, write down what came of it."""
        intended_at = self.now()
        intended = self._intended(order, quote, intended_at)
        deadline = schedule.answer_due(intended, self.rules.buy_deadline)
        written = await self.store.save(
            order, intended, wake=Wake(self.lane, deadline), journal=line(Entry.INTENT, **priced(intended)),
            patience=self.rules.buy_deadline,
        )  # fmt: skip
        if written is Written.OVER_CAP:
            # Refunds make room, until the budget is spent.
            spent = "the caller's spend cap left no room for the price"
            return await self._hold(order, "the caller's spend cap is reached", ErrorCode.SPEND_PER_DAY, spent)
        if written is not Written.SAVED:
            return Nothing("somebody else has it")
        if self.now() > intended_at + schedule.PURCHASE_GRACE:
            # This process stood still in between: by the time of an answer the order may have been given up.
            return await self._put_off(intended, Unreached("stood still before the purchase"))
        self.tracer.left(order, intended, intended_at)
        reply = await self.answered(order, "purchases", self._send(intended))
        return await self._bought(intended, reply)

    def _intended(self, order: A, quote: Quote, now: float) -> A:
        return order.intend(now, quote.price, quote.counted)

    async def _bought(self, order: A, reply: R | Failure) -> Outcome:
        match reply:
            case Declined():
                return await self._declined(order, reply)
            case Throttled():
                await self.gate.throttled(reply)
                return await self._put_off(order, reply)
            case Unreached():
                return await self._put_off(order, reply)
            case Unclear():
                return await self._purchase_unknown(
                    order, f"the answer to the purchase could not be read ({reply.reason})"
                )
            case _:
                saved = await self._done(order, reply)
                await self.gate.sold(item_of(order))
                return saved

    async def _record(
        self, order: A, change: Change[A], activation: str, wake: Wake | Callable[[A], Wake | None], journal: Entry
    ) -> Outcome:
        """Write down what was bought, before anything else happens to it."""
        entry = line(journal, activation=activation, **priced(order))
        saved = await self.writer.write(order, change, wake=wake, journal=entry)
        if isinstance(saved, Nothing) and saved.why == Written.DUPLICATE:
            self.gate.alert(Alert.DUPLICATE_ACTIVATION, order=order.id)
            return await self._purchase_unknown(
                order, "the provider gave a number that belongs to another order", "duplicate_activation"
            )
        if not isinstance(saved, Saved):
            # The store no longer has an order that this purchase could belong to: only the journal can keep it.
            self.gate.alert(Alert.PURCHASE_UNRECORDED, order=order.id)
            await self.store.journal(Entry.UNRECORDED, order=order.id, caller=order.caller, activation=activation)
        elif "adopted_late" in saved.order.flags:
            self._adopted_late(order)
        return saved

    async def _declined(self, order: A, declined: Declined) -> Outcome:
        """The provider's whole answer was a rejection: nothing was bought."""
        if declined.word in (Word.NO_NUMBERS, Word.CHANNELS_LIMIT):
            return await self._put_off(order, declined)
        if declined.word is Word.PRICE_CHANGED:
            if order.price_changes < MOST_PRICE_CHANGES:
                return await self._back_to_queue(order, declined, self.now())
            why = "the price kept changing between its reading and the purchase"
            return await self._reject(order, ErrorCode.PROVIDER_REJECTED, why)
        reason = await self.gate.refused(declined, item_of(order))
        if reason is Pause.PROVIDER_BANNED and declined.until is not None and declined.until < self._budget_ends(order):
            return await self._put_off(order, declined)
        if reason is None:
            await self.store.count_refusal(order.caller)
        code = reason.error if reason else ErrorCode.PROVIDER_REJECTED
        return await self._reject(order, code, f"the provider answered {declined.word}")

    async def _put_off(self, order: A, reply: Failure) -> Outcome:
        """Nothing was bought: ask again within the budget, or end it."""
        now = self.now()
        at = schedule.next_attempt(order.attempts, now, self._budget_ends(order), self.chance)
        if isinstance(reply, Throttled) and reply.retry_after is not None and at is not None:
            at = max(at, now + reply.retry_after)
        if isinstance(reply, Declined) and reply.until is not None and at is not None:
            at = max(at, reply.until)
        if at is None:
            return await self._reject(order, *_spent(reply))
        return await self._back_to_queue(order, reply, at)

    async def _back_to_queue(self, order: A, reply: Failure, at: float) -> Outcome:
        journal = line(Entry.NOT_BOUGHT, reply=reply_name(reply))
        changed = isinstance(reply, Declined) and reply.word is Word.PRICE_CHANGED
        put_off = unless_moved(order, lambda o: o.put_off(price_changed=changed))
        saved = await self.writer.write(order, put_off, wake=Wake(self.lane, at), journal=journal)
        withdrawn = await self._withdrawn(saved.order) if isinstance(saved, Saved) else None
        return withdrawn or saved

    async def _reject(self, order: A, code: ErrorCode, message: str) -> Outcome:
        journal = line(Entry.NOT_BOUGHT, reply=code.value)
        reject = unless_moved(order, lambda o: o.reject(code, message, self.now()))
        return await self.writer.write(order, reject, wake=self._wake_after, journal=journal)

    async def _purchase_unknown(self, order: A, why: str, *flags: str) -> Outcome:
        """Nobody knows whether money was spent: say so, and never buy again for this order."""
        journal = line(Entry.PURCHASE_UNKNOWN)
        lose = unless_moved(order, lambda o: o.lose_purchase(why, self.now(), *flags))
        saved = await self.writer.write(order, lose, wake=self._wake_after, journal=journal)
        if isinstance(saved, Saved):
            self.gate.alert(Alert.PURCHASE_UNKNOWN, order=order.id)
        return saved

    def _wake_after(self, order: A) -> Wake | None:
        """When one is looked at next whose purchase came to nothing."""
        return None

    def _budget_ends(self, order: A) -> float:
        """The budget counts from an order's first turn: what it waits for others before that costs it nothing."""
        return (self.now() if order.first_attempt_at is None else order.first_attempt_at) + self.rules.buy_budget


def priced(order: Acquisition) -> Mapping[str, str]:
    """The price at which a purchase is sent, for the journal."""
    return {} if order.quote is None else {"price": str(order.quote)}


def _spent(reply: Failure) -> tuple[ErrorCode, str]:
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
        ErrorCode.PROVIDER_UNREACHABLE,
        "the provider could not be reached within the buy budget; nothing was bought",
    )
