"""Polling: waiting → received, and what else a look at a number may show."""

from __future__ import annotations

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry, line
from worker.lifecycle.steps import STILL_WAITING, Gone, Nothing, Outcome, Snooze, Steps
from worker.metrics import key
from worker.order import Ending, Settlement, Status, read_handle
from worker.provider.protocol import Cancelled, Code, Declined, Missing, StatusReply, Throttled
from worker.provider.replies import WAITING
from worker.schedule import Lane, Wake

SLOW_RETRY = 6
"""Poll intervals until an order whose poll was declined (BAD_KEY) is polled again."""
POLLED_WAITING = key("polls", {"reply": "Waiting"})
"""Made once: counted for every poll."""
MISSING_IN_A_ROW = 3
"""Answers "no such activation" in a row before the number counts as lost."""


class Polling(Steps):
    """The steps while a number waits for its code."""

    async def poll(self, order_id: str, handle: str) -> Outcome:
        """Look once. "Still waiting" writes nothing: the claim has already set the next poll."""
        reply = await self.provider.status(*read_handle(handle))
        if reply is WAITING:
            self.counters.add_to(POLLED_WAITING)
            return STILL_WAITING
        return await self.looked(order_id, reply)

    async def looked(self, order_id: str, reply: StatusReply) -> Outcome:
        """Act on what a look at an order's number has shown."""
        self.heard("polls", reply)
        now = self.now()
        match reply:
            case Code():
                return await self._code_arrived(order_id, reply)
            case Cancelled():
                return await self.cancelled_unasked(order_id)
            case Missing():
                return await self._number_missing(order_id)
            case Declined():
                await self.account_trouble(order_id, reply)
                return Snooze(now + SLOW_RETRY * self.rules.poll_interval, f"the provider answered {reply.word}")
            case Throttled():
                await self.gate.throttled(reply)
        return STILL_WAITING

    async def _code_arrived(self, order_id: str, code: Code) -> Outcome:
        """Store the code once and owe its webhook, whatever else happened to the order meanwhile."""
        order = await self.store.load(order_id)
        if order is None:
            return Gone()
        if order.received_at is not None or order.otp == code.text:
            return Nothing("the code is known")
        return await self.writer.write(
            order,
            lambda o: (
                o.keep_late_code(code.text, *code.flags) if o.ended else o.receive(code.text, self.now(), *code.flags)
            ),
            wake=lambda o: (
                Wake(Lane.SETTLE) if o.status is Status.RECEIVED and o.settlement is Settlement.PENDING else None
            ),
            journal=line(Entry.RECEIVED),
        )

    async def cancelled_unasked(self, order_id: str) -> Outcome:
        """The provider ended the number by itself: tell the caller, and still try to get the money back."""
        order = await self.store.load(order_id)
        if order is None:
            return Gone()
        if order.status is not Status.WAITING or order.purchase is None:
            return Nothing(f"already {order.status}")
        self.gate.alert(Alert.CANCELLED_BY_PROVIDER, order=order_id)
        at = max(order.purchase.cancellable_at, self.now() + self.rules.poll_interval)
        return await self.writer.write(
            order,
            lambda o: o.lose("the provider cancelled the number by itself", self.now()),
            wake=Wake(Lane.SETTLE, at),
            journal=line(Entry.LOST),
        )

    async def _number_missing(self, order_id: str) -> Outcome:
        """It may be replication lag; several such answers in a row after the grace mean that the number is lost."""
        seen = await self.store.count_missing(order_id, 1.9 * self.rules.poll_interval)
        order = await self.store.load(order_id)
        if order is None:
            return Gone()
        if order.status is not Status.WAITING or order.purchase is None:
            return Nothing(f"already {order.status}")
        now, bought = self.now(), order.purchase
        grace_ends = max(bought.bought_at + schedule.ACTIVATION_GRACE, bought.cancellable_at)
        if seen < MISSING_IN_A_ROW or now < grace_ends:
            return STILL_WAITING
        self.gate.alert(Alert.NUMBER_MISSING, order=order_id)
        wake = Wake(Lane.SETTLE, now + self.rules.poll_interval)
        return await self.writer.write(order, lambda o: o.begin_cancel(Ending.LOST), wake=wake)
