"""Buying: queued → buying → waiting, back to queued, or failed. `purchasing.py` has what rentals do alike."""

from __future__ import annotations

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry
from worker.lifecycle.purchasing import Purchasing
from worker.lifecycle.steps import Outcome
from worker.order import Order, Purchase, Status
from worker.provider.replies import Bought, Failure, QuoteReply
from worker.schedule import Lane, Wake


class Buying(Purchasing[Order, Bought]):
    """The steps from an accepted order to a bought number."""

    async def _load(self, id: str) -> Order | None:
        return await self.store.load(id)

    async def _ask_price(self, order: Order) -> QuoteReply:
        return await self.provider.quote(order.product, order.item)

    async def _send(self, order: Order) -> Bought | Failure:
        return await self.provider.buy(order.product, order.item)

    def _adopted_late(self, order: Order) -> None:
        self.gate.alert(Alert.ADOPTED_LATE, order=order.id)

    async def _withdrawn(self, order: Order) -> Outcome | None:
        if not order.cancel_requested:
            return None
        return await self.writer.write(order, lambda o: o.withdraw(self.now()), wake=None)

    async def _done(self, order: Order, bought: Bought) -> Outcome:
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

        return await self._record(order, adopt, bought.activation, wake, Entry.BOUGHT)
