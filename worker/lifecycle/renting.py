"""Renting: queued → buying → active → ended, or failed; and the renewals of a rental that is active.

Messages are read every `rental_poll_interval` seconds until the end and once after it. What is new in a reading is
written together with a webhook for each message, over the version that was read; so each is told once, whoever else
reads at the same time and whatever is killed in between (docs/adr/0017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal

from worker import schedule
from worker.alerts import Alert
from worker.journal import Entry
from worker.lifecycle.purchasing import Purchasing
from worker.lifecycle.steps import Gone, Nothing, Outcome, Snooze, Steps, reply_name
from worker.order import Purchase
from worker.provider.replies import (
    Bought,
    Declined,
    Failure,
    Messages,
    MessagesReply,
    Missing,
    Quote,
    QuoteReply,
    Renewed,
    Throttled,
)
from worker.rental import HOUR, Rental, RentalStatus, believed_end
from worker.schedule import Lane, Wake

MOST_TOLD = 50
"""Messages that one write tells at most; the next reading tells the others."""
MISSING_IN_A_ROW = 3
"""Answers "no such rental" in a row at which an operator is told."""
SLOW_RETRY = 6
"""Intervals until messages are read again whose reading was declined (BAD_KEY)."""


class Rentals(Purchasing[Rental, Bought]):
    """The steps from an accepted rental to a rented number."""

    def _adopted_late(self, order: Rental) -> None:
        self.gate.alert(Alert.RENTED_LATE, order=order.id)

    async def _load(self, id: str) -> Rental | None:
        return await self.store.load_rental(id)

    async def _ask_price(self, order: Rental) -> QuoteReply:
        return await self.provider.quote(order.product, order.item)

    async def _send(self, order: Rental) -> Bought | Failure:
        return await self.provider.buy(order.product, order.item)

    def _intended(self, order: Rental, quote: Quote, now: float) -> Rental:
        return replace(order.intend(now, quote.price, quote.counted), lasting=quote.lasting)

    async def _done(self, order: Rental, bought: Bought) -> Outcome:
        now = self.now()
        ends = believed_end(bought.until, (order.intended_at or now, now), order.lasting, bought.life)
        purchase = Purchase(
            activation=bought.activation, number=bought.number, as_sold=bought.as_sold, bought_at=now,
            expires_at=ends, cancel_at=ends, cancellable_at=ends,
        )  # fmt: skip

        def adopt(current: Rental) -> Rental:
            if current.status is RentalStatus.FAILED:
                return current.adopt_late(purchase, *bought.flags)
            if current.status is RentalStatus.QUEUED:
                # A store that lost its last writes has forgotten the intent; the number is this rental's all the same.
                current = current.intend(now, order.quote, order.counted)
            return current.start(purchase, *bought.flags)

        def wake(after: Rental) -> Wake | None:
            return None if after.ended else Wake(Lane.POLL)

        return await self._record(order, adopt, bought.activation, wake, Entry.RENTED)


class Renewals(Purchasing[Rental, Renewed]):
    """The steps of a renewal that was asked for, while the rental goes on."""

    lane = Lane.POLL

    def _adopted_late(self, order: Rental) -> None:
        self.gate.alert(Alert.RENTED_LATE, order=order.id)

    async def _load(self, id: str) -> Rental | None:
        return await self.store.load_rental(id)

    async def _ask_price(self, order: Rental) -> QuoteReply:
        """What the offer costs by the hour now: no call names a renewal's price."""
        quote = await self.provider.quote(order.product, order.item)
        if not isinstance(quote, Quote) or quote.price is None:
            return quote
        if not quote.lasting or order.renewal is None:
            return Quote()
        share = Decimal(order.renewal.hours) * Decimal(HOUR) / Decimal(quote.lasting)
        price = (quote.price * share).quantize(Decimal("0.01"), rounding=ROUND_UP)
        return Quote(price, price)

    async def _send(self, order: Rental) -> Renewed | Failure:
        activation = order.purchase.activation if order.purchase else ""
        return await self.provider.renew(order.product, activation, order.renewal.hours if order.renewal else 0)

    async def _done(self, order: Rental, bought: Renewed) -> Outcome:
        if order.purchase is None or order.renewal is None:
            return Nothing("there is nothing to renew")
        end, span = order.purchase.expires_at, order.renewal.hours * HOUR
        ends = believed_end(bought.until, (end, end), span, span)
        return await self._record(
            order, lambda o: o.renew(ends), order.purchase.activation, Wake(Lane.POLL), Entry.RENTED
        )

    def _wake_after(self, order: Rental) -> Wake | None:
        return Wake(Lane.POLL)


@dataclass(frozen=True, slots=True)
class Renting(Steps):
    """The steps of a rental, whatever lane it is due in."""

    rentals: Rentals
    renewals: Renewals

    async def attend(self, rental_id: str) -> Outcome:
        """Buy it, renew it, read its messages, or end it: whatever is next."""
        rental = await self.store.load_rental(rental_id)
        if rental is None:
            return Gone()
        if rental.status in (RentalStatus.QUEUED, RentalStatus.BUYING):
            return await self.rentals.buy(rental_id)
        if rental.status is not RentalStatus.ACTIVE or rental.purchase is None:
            return Nothing(f"already {rental.status}")
        renewal = await self.renewals.buy(rental_id) if rental.queued or rental.buying else None
        if renewal is not None and not isinstance(renewal, Snooze):
            return renewal
        return await self._read(rental, rental.purchase, renewal)

    async def _read(self, rental: Rental, rented: Purchase, renewal: Snooze | None) -> Outcome:
        """Read the messages once; a renewal that waits is looked at again when it asked for that."""
        held = await self.gate.held()
        asked_at = self.now()
        if held and asked_at + held < rented.expires_at + schedule.EXPIRY_GRACE:
            return Snooze(asked_at + held, "the provider asked for less")
        reply = await self.provider.messages(rental.product, rented.activation)
        self.counters.add("rental_readings", reply=reply_name(reply))
        again = self._again(rented, reply)
        if renewal is not None:
            again = min(again, renewal.at)
        over = renewal is None and asked_at >= rented.expires_at
        readable = isinstance(reply, Messages | Missing)
        if over and not readable and asked_at < rented.expires_at + schedule.EXPIRY_GRACE:
            over = False
        await self._note(rental, reply)
        return await self._told(rental, reply, again, over=over)

    def _again(self, rented: Purchase, reply: MessagesReply) -> float:
        """When to read next: after an interval, but at the end at the latest, and then soon."""
        now, interval = self.now(), self.rules.rental_poll_interval
        if isinstance(reply, Declined):
            return now + SLOW_RETRY * interval
        if now < rented.expires_at:
            return min(now + interval, rented.expires_at)
        return now + min(interval, self.rules.poll_interval)

    async def _told(self, rental: Rental, reply: MessagesReply, again: float, *, over: bool) -> Outcome:
        """Write what is new, with a webhook for each; or the end, once everything is told."""
        now, listed = self.now(), reply.messages if isinstance(reply, Messages) else ()

        def change(current: Rental) -> Rental:
            told = current.tell(listed, now, MOST_TOLD) if isinstance(reply, Messages) else current
            more = len(told.messages) - len(current.messages) == MOST_TOLD
            ends = current.purchase.expires_at if current.purchase else now
            waits = more or told.queued or told.buying or now < ends
            return told.end(now) if over and not waits else told

        def wake(after: Rental) -> Wake | None:
            soon = len(after.messages) - len(rental.messages) >= MOST_TOLD or (after.queued and not rental.queued)
            return None if after.ended else Wake(Lane.POLL, now if soon else again)

        if change(rental) is rental:
            return Snooze(again, f"nothing new: {reply_name(reply)}")
        return await self.writer.write(rental, change, wake=wake)

    async def _note(self, rental: Rental, reply: MessagesReply) -> None:
        """Tell an operator, or the limiter, what concerns them."""
        if isinstance(reply, Throttled):
            await self.gate.throttled(reply)
        if isinstance(reply, Declined):
            await self.account_trouble(rental.id, reply)
        if isinstance(reply, Missing):
            seen = await self.store.count_missing(rental.id, 1.9 * self.rules.rental_poll_interval)
            if seen == MISSING_IN_A_ROW:
                self.gate.alert(Alert.NUMBER_MISSING, order=rental.id)
