"""Buying: queued → buying → waiting, back to queued, or failed.

A purchase is sent once, and its intent is stored before it: what is never answered is `purchase_unknown`, and nobody
sends a second one (otpget-api.md, "Rules that cost money").
"""

from __future__ import annotations

from collections.abc import Mapping

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry, line
from worker.lifecycle.steps import Gone, Nothing, Outcome, Saved, Snooze, Steps, reply_name, unless_moved
from worker.order import ErrorCode, Order, Purchase, Status, decimal
from worker.pause import Pause, item_of
from worker.provider.replies import Balance, Bought, BuyReply, Declined, Quote, Throttled, Unclear, Unreached, Word
from worker.schedule import Lane, Wake
from worker.store import Written

LATE_ATTEMPT = 2.0
"""Seconds past the buy budget after which the last attempt is not made any more: its wake-up came too late."""
ASK_AGAIN = 2.0
"""Seconds until an order that may not be bought just now is looked at again."""
MOST_PRICE_CHANGES = 1
"""Purchases answered "the price has changed" after which another is sent (contract.md, "Products")."""


class Buying(Steps):
    """The steps from an accepted order to a bought number."""

    async def buy(self, order_id: str) -> Outcome:
        """queued → buying → waiting, back to queued, or failed."""
        order = await self.store.load(order_id)
        if order is None:
            return Gone()
        if order.status is Status.BUYING and self.now() < schedule.answer_due(order, self.rules.buy_deadline):
            return Snooze(schedule.answer_due(order, self.rules.buy_deadline), "its purchase is under way")
        if order.status is Status.BUYING:
            return await self._purchase_unknown(order, "the worker that sent the purchase left no record of its answer")
        if order.status is not Status.QUEUED:
            return Nothing(f"already {order.status}")
        if order.cancel_requested:
            return await self.writer.write(order, lambda o: o.withdraw(self.now()), wake=None)
        if held := await self._not_now(order):
            return held
        quote = await self._quote(order)
        return await self._purchase(order, quote) if isinstance(quote, Quote) else quote

    async def _not_now(self, order: Order) -> Outcome | None:
        """Why this order may not be bought just now, if so: it waits, and fails with the reason at its budget's end."""
        if order.attempts and self.now() > self._budget_ends(order) + LATE_ATTEMPT:
            return await self._reject(order, ErrorCode.NO_NUMBERS, "the buy budget was spent before the next attempt")
        reason = await self.gate.closed(item_of(order)) or await self._below_floor()
        if reason is None:
            return None
        spent = f"buying was paused ({reason}) until the buy budget was spent"
        return await self._hold(order, f"buying is paused: {reason}", reason.error, spent)

    async def _hold(self, order: Order, why: str, code: ErrorCode, spent: str) -> Outcome:
        """Its turn has come and it may not be bought: look again soon, and end it when the budget is spent."""
        now, ends = self.now(), self._budget_ends(order)
        again = min(now + ASK_AGAIN, ends)
        if order.first_attempt_at is None:
            return await self.writer.write(order, lambda o: o.hold_back(now), wake=Wake(Lane.BUY, again))
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

    async def _quote(self, order: Order) -> Quote | Outcome:
        """The price as it is right now, if the order may be bought at it.

        One that cannot be read stops an order that holds a price against it, or whose caller has a spend cap.
        """
        reply = await self.provider.quote(order.product, order.item)
        if isinstance(reply, Quote):
            if order.max_price is None or (reply.price is not None and reply.price <= order.max_price):
                return reply
            if reply.price is not None:
                why = f"the price is {decimal(reply.price)} PKR"
                return await self._reject(order, ErrorCode.PRICE_ABOVE_MAX, why)
        if isinstance(reply, Throttled):
            await self.gate.throttled(reply)
        if order.max_price is None and not await self._spend_is_capped(order):
            return Quote()
        spent = "the price could not be read until the buy budget was spent"
        return await self._hold(order, f"the price cannot be read: {reply_name(reply)}", ErrorCode.PRICE_UNKNOWN, spent)

    async def _spend_is_capped(self, order: Order) -> bool:
        caller = await self.store.caller(order.caller)
        return caller is not None and caller.caps.max_spend_per_day is not None

    async def _over_cap(self, order: Order) -> Outcome:
        """The caller's spend cap leaves no room: refunds make some, until the budget is spent."""
        spent = "the caller's spend cap left no room for the price"
        return await self._hold(order, "the caller's spend cap is reached", ErrorCode.SPEND_PER_DAY, spent)

    async def _purchase(self, order: Order, quote: Quote) -> Outcome:
        """Store the intent, send the purchase once, write down what came of it."""
        intended_at = self.now()
        intended = order.intend(intended_at, quote.price, quote.counted)
        deadline = schedule.answer_due(intended, self.rules.buy_deadline)
        written = await self.store.save(
            order, intended, wake=Wake(Lane.BUY, deadline), journal=line(Entry.INTENT, **_priced(intended)),
            patience=self.rules.buy_deadline,
        )  # fmt: skip
        if written is Written.OVER_CAP:
            return await self._over_cap(order)
        if written is not Written.SAVED:
            return Nothing("somebody else has it")
        if self.now() > intended_at + schedule.PURCHASE_GRACE:
            # This process stood still in between: by the time of an answer the order may have been given up.
            return await self._put_off(intended, Unreached("stood still before the purchase"))
        reply = await self.provider.buy(order.product, order.item)
        self.counters.add("purchases", reply=reply_name(reply))
        return await self._bought(intended, reply)

    async def _bought(self, order: Order, reply: BuyReply) -> Outcome:
        match reply:
            case Bought():
                saved = await self._assign(order, reply)
                await self.gate.sold(item_of(order))
                return saved
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

    async def _assign(self, order: Order, bought: Bought) -> Outcome:
        """Record the number before anything else happens to it."""
        now = self.now()
        earliest = self.rules.earliest_cancel if bought.earliest_cancel is None else bought.earliest_cancel

        def purchase(timeout: float) -> Purchase:
            return Purchase(
                activation=bought.activation, number=bought.number, address=bought.address, as_sold=bought.as_sold,
                bought_at=now, expires_at=now + bought.life, cancellable_at=now + earliest,
                cancel_at=now + schedule.cancel_after(timeout, bought.life, earliest),
            )  # fmt: skip

        def adopt(current: Order) -> Order:
            if current.status is Status.FAILED:
                return current.adopt_late(purchase(0.0))
            if current.status is Status.QUEUED:
                # A store that lost its last writes has forgotten the intent; the number is this order's all the same.
                current = current.intend(now, order.quote, order.counted)
            return current.assign(purchase(0.0 if current.cancel_requested else current.timeout), *bought.flags)

        def wake(after: Order) -> Wake:
            if after.status is Status.FAILED:
                return Wake(Lane.SETTLE, now + earliest)
            return Wake(Lane.POLL, now + self.rules.poll_interval)

        journal = line(Entry.BOUGHT, activation=bought.activation, **_priced(order))
        saved = await self.writer.write(order, adopt, wake=wake, journal=journal)
        if isinstance(saved, Nothing) and saved.why == Written.DUPLICATE:
            self.gate.alert(Alert.DUPLICATE_ACTIVATION, order=order.id)
            return await self._purchase_unknown(
                order, "the provider gave a number that belongs to another order", "duplicate_activation"
            )
        if not isinstance(saved, Saved):
            await self._unrecorded(order, bought)
        elif saved.order.status is Status.FAILED:
            self.gate.alert(Alert.ADOPTED_LATE, order=order.id)
        return saved

    async def _unrecorded(self, order: Order, bought: Bought) -> None:
        """The store no longer has an order that this number could belong to: only the journal can keep it."""
        self.gate.alert(Alert.PURCHASE_UNRECORDED, order=order.id)
        await self.store.journal(Entry.UNRECORDED, order=order.id, caller=order.caller, activation=bought.activation)

    async def _declined(self, order: Order, declined: Declined) -> Outcome:
        """The provider's whole answer was a rejection: nothing was bought."""
        if declined.word in (Word.NO_NUMBERS, Word.CHANNELS_LIMIT):
            return await self._put_off(order, declined)
        if declined.word is Word.PRICE_CHANGED:
            return await self._price_changed(order, declined)
        reason = await self.gate.refused(declined, item_of(order))
        if reason is Pause.PROVIDER_BANNED and declined.until is not None and declined.until < self._budget_ends(order):
            return await self._put_off(order, declined)
        if reason is None:
            await self.store.count_refusal(order.caller)
        code = reason.error if reason else ErrorCode.PROVIDER_REJECTED
        return await self._reject(order, code, f"the provider answered {declined.word}")

    async def _price_changed(self, order: Order, declined: Declined) -> Outcome:
        """Nothing was bought: read the price again, hold it against the order's again, and buy once more at most."""
        if order.price_changes >= MOST_PRICE_CHANGES:
            why = "the price kept changing between its reading and the purchase"
            return await self._reject(order, ErrorCode.PROVIDER_REJECTED, why)
        return await self._back_to_queue(order, declined, self.now())

    async def _put_off(self, order: Order, reply: BuyReply) -> Outcome:
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

    async def _back_to_queue(self, order: Order, reply: BuyReply, at: float) -> Outcome:
        journal = line(Entry.NOT_BOUGHT, reply=reply_name(reply))
        changed = isinstance(reply, Declined) and reply.word is Word.PRICE_CHANGED
        put_off = unless_moved(order, lambda o: o.put_off(price_changed=changed))
        saved = await self.writer.write(order, put_off, wake=Wake(Lane.BUY, at), journal=journal)
        if isinstance(saved, Saved) and saved.order.cancel_requested:
            return await self.writer.write(saved.order, lambda o: o.withdraw(self.now()), wake=None)
        return saved

    async def _reject(self, order: Order, code: ErrorCode, message: str) -> Outcome:
        journal = line(Entry.NOT_BOUGHT, reply=code.value)
        reject = unless_moved(order, lambda o: o.reject(code, message, self.now()))
        return await self.writer.write(order, reject, wake=None, journal=journal)

    async def _purchase_unknown(self, order: Order, why: str, *flags: str) -> Outcome:
        """Nobody knows whether money was spent: say so, and never buy again for this order."""
        journal = line(Entry.PURCHASE_UNKNOWN)
        lose = unless_moved(order, lambda o: o.lose_purchase(why, self.now(), *flags))
        saved = await self.writer.write(order, lose, wake=None, journal=journal)
        if isinstance(saved, Saved):
            self.gate.alert(Alert.PURCHASE_UNKNOWN, order=order.id)
        return saved

    def _budget_ends(self, order: Order) -> float:
        """The budget counts from an order's first turn: what it waits for others before that costs it nothing."""
        return (self.now() if order.first_attempt_at is None else order.first_attempt_at) + self.rules.buy_budget


def _priced(order: Order) -> Mapping[str, str]:
    """The price at which a purchase is sent, for the journal."""
    return {} if order.quote is None else {"price": str(order.quote)}


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
        ErrorCode.PROVIDER_UNREACHABLE,
        "the provider could not be reached within the buy budget; nothing was bought",
    )
