"""Settling: received → finished; without a code, look, cancel and look again until the money is back or out of reach.

`refunded` is said only on the provider's word (docs/adr/0006 has the two looks around a cancel).
"""

from __future__ import annotations

from dataclasses import dataclass

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry, line
from worker.lifecycle.polling import Polling
from worker.lifecycle.steps import Gone, Nothing, Outcome, Saved, Snooze, Steps, reply_name, unless_moved
from worker.order import Ending, ErrorCode, Order, Purchase, Settlement, Status
from worker.provider.protocol import (
    Cancelled,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    Missing,
    StatusReply,
    Throttled,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.schedule import Lane, Wake

CANCEL_RESERVE = 60.0
"""Seconds before a number's expiry from which its cancel goes out however long the provider asks to wait."""
HELD_UP = 1.0
"""Seconds that reading the order may take before a step to settle it leaves the provider to the next claim."""
_READABLE = (Waiting, Missing, Cancelled)
"""Replies that say where a number stands, if not with a code."""


@dataclass(frozen=True, slots=True)
class Settling(Steps):
    """The steps that end a purchase; `polling` acts on what their looks show."""

    polling: Polling

    async def settle(self, order_id: str) -> Outcome:
        """Finish what has its code; look, cancel and look again at what has none."""
        began = self.now()
        order = await self.store.load(order_id)
        if order is None:
            return Gone()
        if not order.understood:
            return Nothing(f"a newer version has it ({order.status})")
        if order.purchase is None:
            return Gone()
        held = await self.gate.held()
        if held and self.now() + held < order.purchase.expires_at - CANCEL_RESERVE:
            return Snooze(self.now() + held, "the provider asked for less")
        if self.now() > began + HELD_UP:
            return Nothing("the store held this step up; its claim may have passed on")
        if order.status is Status.RECEIVED:
            return await self._finish(order, order.purchase)
        if order.status in (Status.WAITING, Status.CANCELLING) or order.status is Status.FAILED:
            return await self._give_back(order, order.purchase)
        return Gone()

    async def _finish(self, order: Order, bought: Purchase) -> Outcome:
        """Tell the provider that the code has arrived: best effort, the caller has it already."""
        if order.finishes >= schedule.FINISH_TRIES:
            give_up = unless_moved(order, lambda o: o.settle(Settlement.UNCONFIRMED))
            return await self.writer.write(order, give_up, wake=None, journal=line(Entry.UNCONFIRMED))
        again = Wake(Lane.SETTLE, self.now() + self.rules.poll_interval)
        counted = await self.writer.write(order, unless_moved(order, lambda o: o.try_finish()), wake=again)
        if not isinstance(counted, Saved):
            return counted
        reply = await self.answered(order, "finishes", self.provider.finish(order.product, bought.activation))
        if isinstance(reply, Throttled):
            await self.gate.throttled(reply)
        if not isinstance(reply, Done):
            return Nothing(f"not finished yet: {reply_name(reply)}")
        return await self.writer.write(
            counted.order, lambda o: o.settle(Settlement.FINISHED), wake=None, journal=line(Entry.FINISHED)
        )

    async def _give_back(self, order: Order, bought: Purchase) -> Outcome:
        """Look, cancel, look again, until the money is back or can no longer be had."""
        look, expires_at = await self.provider.status(order.product, bought.activation), bought.expires_at
        looked_at = self.now()
        next_look = looked_at + self.rules.poll_interval
        if isinstance(look, Code):
            return await self.polling.looked(order.id, look)
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
            begun = await self.writer.write(order, _begin_cancel, wake=Wake(Lane.SETTLE, next_look))
            if not isinstance(begun, Saved):
                return begun
            order = begun.order
        cancel_at = max(bought.cancellable_at, (order.cancel_sent_at or 0.0) + self.rules.cancel_retry)
        if looked_at < cancel_at:
            return Snooze(max(next_look, min(cancel_at, expires_at)), "the next cancel is not due yet")
        return await self._cancel(order, bought, look, next_look)

    async def _cancel(self, order: Order, bought: Purchase, look: StatusReply, next_look: float) -> Outcome:
        """Send one cancel, counted before it goes out; not the one that another step has counted meanwhile."""
        now = self.now()
        counted = await self.writer.write(
            order,
            unless_moved(order, lambda o: o.try_cancel(now)),
            wake=Wake(Lane.SETTLE, max(next_look, min(now + self.rules.cancel_retry, bought.expires_at))),
            journal=line(Entry.CANCEL),
        )
        if not isinstance(counted, Saved):
            return counted
        order = counted.order
        await self.gate.slot()
        reply = await self.answered(order, "cancels", self.provider.cancel(order.product, bought.activation))
        # The store or the provider may have held this step up, and somebody else may have looked meanwhile.
        next_look = max(next_look, self.now() + self.rules.poll_interval)
        match reply:
            case Done() if self._proves_refund(order, reply):
                return await self._refunded(order, next_look=next_look)
            case Throttled():
                return await self._told_to_wait(reply, next_look, bought.expires_at)
            case Early():
                return Nothing("too early to cancel; the retry is set")
            case Done():
                return await self._unconfirmed(order)
            case Missing() if isinstance(look, Missing | Cancelled) and (
                order.error or order.ending is Ending.LOST or order.cancels > 1
            ):
                return await self._unconfirmed(order)
            case CodeExists() | Missing() | Unclear() | Unreached():
                return Snooze(next_look, f"the cancel was answered with {reply_name(reply)}: look again")
            case Declined():
                await self.account_trouble(order.id, reply)
                return Nothing(f"not cancelled yet: {reply_name(reply)}")

    async def _told_to_wait(self, reply: Throttled, next_look: float, expires_at: float) -> Outcome:
        """Obey the provider's wait where it does not run past the number's last moments."""
        held = await self.gate.throttled(reply)
        return Snooze(
            max(next_look, min(self.now() + held, expires_at - CANCEL_RESERVE)),
            "the provider asked for less",
        )

    def _proves_refund(self, order: Order, reply: Done) -> bool:
        """Whether the money is back by this word: "already cancelled" may mean a cancel of ours only if there was one.

        A number that the provider ended by itself was refunded only if it says so anew.
        """
        if reply.word is Word.ACCESS_CANCEL_ALREADY and order.cancels == 1:
            return False
        return reply.word is Word.ACCESS_CANCEL or order.error is not ErrorCode.ORDER_LOST

    async def _refunded(self, order: Order, *, next_look: float = 0.0, concluded: bool = False) -> Outcome:
        """The money is back. A code may still have come in between: look once more before the end."""
        now = self.now()

        def change(current: Order) -> Order:
            noted = current.note_refund(now)
            return noted.conclude(now) if concluded and not current.ended else noted

        return await self.writer.write(
            order,
            change,
            wake=lambda o: None if o.ended else Wake(Lane.SETTLE, next_look),
            journal=line(Entry.REFUNDED),
        )

    async def _after_refund(self, order: Order, look: StatusReply, next_look: float) -> Outcome:
        """The look after a confirmed cancel found no code: the end. An unreadable answer is asked again for a while."""
        limit = (order.refunded_at or 0.0) + schedule.LOOKS_AFTER_CANCEL * self.rules.poll_interval
        if not isinstance(look, _READABLE) and self.now() < limit:
            return Snooze(next_look, "the look after the cancel could not be read")
        return await self.writer.write(order, lambda o: o.conclude(self.now()), wake=None)

    async def _seen_cancelled(self, order: Order) -> Outcome | None:
        """What a cancelled number means: our cancel went through, or the provider ended it by itself."""
        if order.error is ErrorCode.ORDER_LOST:
            return None
        if order.cancels:
            return await self._refunded(order, concluded=True)
        if order.status is Status.WAITING:
            return await self.polling.cancelled_unasked(order.id)
        return await self._unconfirmed(order)

    async def _expired(self, order: Order, look: StatusReply, next_look: float, expires_at: float) -> Outcome:
        """The number's life is over: nothing can be cancelled any more, a code may still be read for a moment."""
        if not isinstance(look, _READABLE) and self.now() < expires_at + schedule.EXPIRY_GRACE:
            return Snooze(next_look, "the last look could not be read")
        return await self._unconfirmed(order)

    async def _unconfirmed(self, order: Order) -> Outcome:
        """End it without a word about the money."""
        self.gate.alert(Alert.SETTLEMENT_UNCONFIRMED, order=order.id)

        def change(current: Order) -> Order:
            if current.status is Status.WAITING:
                current = _begin_cancel(current)
            return current.settle(Settlement.UNCONFIRMED) if current.ended else current.conclude(self.now())

        return await self.writer.write(order, unless_moved(order, change), wake=None, journal=line(Entry.UNCONFIRMED))


def _begin_cancel(order: Order) -> Order:
    return order.begin_cancel(Ending.CALLER if order.cancel_requested else Ending.TIMEOUT)
