"""Housekeeping: codes erased when their time is over, lost wake-ups mended, indexes and journal trimmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.alerts import Alert
from worker.event import Event
from worker.gate import Gate
from worker.metrics import Counters
from worker.order import Order, Refused, Settlement
from worker.schedule import Lane, Wake
from worker.store import AsyncStore, Unreadable, Written
from worker.webhooks.message import spellings, without_personal

JOURNAL_KEPT = 90 * 86_400.0
"""Seconds for which the journal of money is kept unless RINGBACK_JOURNAL_RETENTION says otherwise."""
UNREADABLE_AGAIN = 3600.0
"""Seconds until an order that cannot be opened is looked at again for its code's sake."""
ERASED = "[erased]"


class Housekeeping:
    """What has to be done now and then; each call does a bounded piece of it."""

    def __init__(
        self,
        store: AsyncStore,
        gate: Gate,
        counters: Counters,
        *,
        retention: float,
        journal_retention: float = JOURNAL_KEPT,
    ) -> None:
        self._store = store
        self._gate = gate
        self._counters = counters
        self._retention = retention
        self._journal_retention = journal_retention

    async def erase(self, most: int = 100) -> int:
        """Erase the codes whose time is over: from the order, its webhooks and what receivers answered."""
        erased = 0
        for order_id in await self._store.orders_to_erase(most):
            try:
                erased += await self._erase(order_id)
            except Unreadable as why:
                await self._store.put_off_erasure(order_id, UNREADABLE_AGAIN)
                self._gate.alert(Alert.RECORD_UNREADABLE, record=order_id, why=str(why))
        self._counters.add("otps_erased", erased)
        return erased

    async def _erase(self, order_id: str) -> bool:
        order = await self._store.load(order_id)
        if order is None or not order.personal:
            await self._store.forget_erasure(order_id)
            return False
        return await self._erased(order)

    async def _erased(self, order: Order) -> bool:
        """The webhooks first, the order last: whatever is cut off in between is taken up again."""
        secrets = [text for text in (order.otp, order.purchase and order.purchase.address) if text]
        for event in await self._store.events_of(order.id):
            without = _without(event, secrets)
            if without != event and not await self._store.rewrite_event(event, without.rewritten()):
                return False
        try:
            after = order.erase()
        except Refused:
            return False
        duty = Wake(Lane.SETTLE) if order.charged and order.settlement is Settlement.PENDING else None
        return await self._store.save(order, after, wake=duty) is Written.SAVED

    async def mend(self, batch: int = 500) -> int:
        """Give open orders without a wake-up a new one. Expected never to find any."""
        mended = 0
        for caller_id in await self._store.callers():
            start = 0
            while True:
                walked, lost = await self._store.reconcile(caller_id, start, batch)
                mended += len(lost)
                for order_id in lost:
                    self._gate.alert(Alert.WAKE_UP_LOST, order=order_id)
                if walked < batch:
                    break
                start += walked
        self._counters.add("mended", mended)
        return mended

    async def trim(self) -> None:
        """Take what is past its time out of the indexes and the journal."""
        before = self._store.clock.now() - self._retention - 86_400
        for caller_id in await self._store.callers():
            await self._store.trim_indexes(caller_id, before)
        await self._store.trim_states(before, self._store.clock.now() - self._journal_retention)
        await self._store.trim_journal(self._journal_retention)


def _without(event: Event, secrets: Sequence[str]) -> Event:
    """The event without them: in its body, and in what receivers answered, however they spelled it."""

    def erased(text: str) -> str:
        for secret in secrets:
            text = spellings(secret).sub(ERASED, text)
        return text

    attempts = tuple(replace(one, excerpt=erased(one.excerpt)) for one in event.attempts)
    return replace(event, body=without_personal(event.body), attempts=attempts)
