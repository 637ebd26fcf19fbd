"""Housekeeping: codes erased when their time is over, lost wake-ups mended, indexes and journal trimmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.alerts import Alert
from worker.announce import message_event_id
from worker.event import Event, EventStatus
from worker.gate import Gate
from worker.journal import JOURNAL_KEPT
from worker.metrics import Counters
from worker.order import Refused, Settlement
from worker.rental import ID_PREFIX, Message, Rental
from worker.schedule import ERASE_AFTER_ACK, Lane, Wake
from worker.store import OPEN_ORDERS, OPEN_RENTALS, AsyncStore, Unreadable, Written
from worker.webhooks.message import spellings, without_personal

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
                rental = order_id.startswith(ID_PREFIX)
                erased += await (self._erase_messages(order_id) if rental else self._erase(order_id))
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
        # The webhooks first, the order last: whatever is cut off in between is taken up again.
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

    async def _erase_messages(self, rental_id: str) -> int:
        """Erase a rental's messages whose time is over, and look again when that of the next one is."""
        rental, now = await self._store.load_rental(rental_id), self._store.clock.now()
        if rental is None or not rental.personal:
            await self._store.forget_erasure(rental_id)
            return 0
        told = {event.id: event for event in await self._store.events_of(rental_id)}
        when = {message.key: self._erase_at(rental, message, told) for message in rental.messages if message.personal}
        due = {key for key, at in when.items() if at <= now}
        for message in rental.messages:
            event = told.get(message_event_id(rental, message))
            secrets = [text for text in (message.text, message.code, message.sender) if text]
            over = message.key in due and event is not None
            if over and event and not await self._store.rewrite_event(event, _without(event, secrets).rewritten()):
                due.discard(message.key)
        duty = None if rental.ended else Wake(Lane.POLL)  # an active one stays due: at once is no later
        if due and await self._store.save(rental, rental.erase(due), wake=duty) is not Written.SAVED:
            return 0
        if len(due) < len(when):
            await self._store.put_off_erasure(rental_id, min(at for key, at in when.items() if key not in due) - now)
        return len(due)

    def _erase_at(self, rental: Rental, message: Message, told: Mapping[str, Event]) -> float:
        """When a message is erased: a while after it was acknowledged, and after its time at the latest."""
        event = told.get(message_event_id(rental, message))
        acknowledged = event is not None and event.status is EventStatus.DELIVERED and event.attempts
        latest = message.read_at + self._store.otp_ttl
        return min(latest, event.attempts[-1].at + ERASE_AFTER_ACK) if event and acknowledged else latest

    async def mend(self, batch: int = 500) -> int:
        """Give open orders without a wake-up a new one. Expected never to find any."""
        mended = 0
        for caller_id in await self._store.callers():
            for index in (OPEN_ORDERS, OPEN_RENTALS):
                mended += await self._mend(caller_id, index, batch)
        self._counters.add("mended", mended)
        return mended

    async def _mend(self, caller_id: str, index: str, batch: int) -> int:
        mended = start = 0
        while True:
            walked, lost = await self._store.reconcile(caller_id, start, batch, index)
            mended += len(lost)
            for order_id in lost:
                self._gate.alert(Alert.WAKE_UP_LOST, order=order_id)
            if walked < batch:
                return mended
            start += walked

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
