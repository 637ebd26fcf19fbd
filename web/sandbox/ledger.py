"""The sandbox provider's books: balance, orders, and a journal of every charge and refund.

Pure: the clock and the randomness are handed in, nothing here opens a socket or takes a lock. Times are
seconds since the epoch, money is a `Decimal` in PKR, to the paisa. The books always balance: start balance =
balance + charges - refunds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from web.sandbox.orders import CHEAP, EMAIL, RENTAL, SMS, Entry, Message, Order, Sale, Sms, State
from web.sandbox.rules import Rules

MAX_ORDERS = 200_000
"""Orders kept in memory; past it the provider has no numbers."""

_IDS = {CHEAP: "ORDER_ID_{:012d}", SMS: "{:010x}", EMAIL: "{:012d}", RENTAL: "{:012d}"}
"""What an id looks like; all are opaque."""


class Refused(Exception):
    """The provider says no; `word` is what it says."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class NoSuchOrder(LookupError):
    """A code was sent to an order that is not in the books."""


class OrderEnded(Exception):
    """A code was sent to an order that takes none any more."""


class Ledger:
    """Balance, orders and journal. Orders are frozen values; every change stores a copy."""

    def __init__(self, balance: Decimal, rules: Rules, clock: Callable[[], float], chance: random.Random) -> None:
        self.balance = balance
        self.start_balance = balance
        self.rules = rules
        self.journal: list[Entry] = []
        self._orders: dict[str, Order] = {}
        self._clock = clock
        self._chance = chance

    def buy(self, server: str, kind: str, life: float | None = None) -> Order:
        """Sell a cheap number, `life` seconds long (as the rules have it, if None); see `sell`."""
        item = {"server": server, "type": kind}
        return self.sell(Sale(CHEAP, item, self.rules.price, self.rules.life if life is None else life))

    def sell(self, sale: Sale) -> Order:
        """Charge the price and hand out a number or an address.

        Raises Refused with `LOW_BALANCE` or `NO_NUMBERS`.
        """
        self._afford(sale.price)
        if len(self._orders) >= MAX_ORDERS:
            raise Refused("NO_NUMBERS")
        order = self._new_order(sale)
        self._charge(order, sale.price)
        return self._keep(order)

    def status(self, order_id: str, product: str = CHEAP) -> str:
        """What the provider says about an order; raises Refused with `NO_ACTIVATION`.

        A number that ran out is no activation any more, and running out refunds nothing. A code that came after
        the end shows all the same.
        """
        order = self.known(order_id, product)
        if order.code is not None:
            return f"STATUS_OK:{order.code}"
        if order.state is State.CANCELLED:
            return "STATUS_CANCEL"
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        return "STATUS_WAIT_CODE"

    def finish(self, order_id: str, product: str = CHEAP) -> str:
        """Confirm a code, again if need be; raises Refused with `BAD_STATUS` or `NO_ACTIVATION`."""
        order = self.known(order_id, product)
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        if order.state not in (State.RECEIVED, State.FINISHED):
            raise Refused("BAD_STATUS")
        self._keep(replace(order, state=State.FINISHED, coming=None))
        return "ACCESS_FINISH"

    def cancel(self, order_id: str, product: str = CHEAP) -> str:
        """Cancel and refund, once; raises Refused when it is too early, too late, or has a code."""
        order = self.known(order_id, product)
        if order.state is State.CANCELLED:
            return "ACCESS_CANCEL_ALREADY"
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        if order.state is not State.WAITING:
            raise Refused("BAD_STATUS" if order.state is State.FINISHED else self.rules.late_cancel)
        now = self._clock()
        if now - order.charged_at < self.rules.cancel_after:
            raise Refused("EARLY_CANCEL_DENIED")
        self.balance += order.price
        self._write("refund", order, order.price)
        cancelled = replace(order, state=State.CANCELLED, coming=None, refunded_at=now)
        self._keep(cancelled.with_late_text(now))
        return "ACCESS_CANCEL"

    def renew(self, order_id: str, price: Decimal, life: float) -> Order:
        """Charge a running rental again and let it last `life` seconds longer.

        Raises Refused with `LOW_BALANCE`, or `NO_ACTIVATION` for one that has ended.
        """
        order = self.known(order_id, RENTAL)
        if order.state is State.ENDED:
            raise Refused("NO_ACTIVATION")
        self._afford(price)
        self._charge(order, price)
        return self._keep(replace(order, price=order.price + price, expires_at=order.expires_at + life))

    def arrive(self, order_id: str | None, text: str, after: float = 0.0, *, late: bool = False) -> Order:
        """Send `text` to an order (`None`: the newest waiting) in `after` seconds.

        It takes the place of any other on its way. `late`: it shows as soon as the order has ended without one,
        at once if it has; neither money nor state change by it. Raises NoSuchOrder, or OrderEnded for one that
        takes no text any more.
        """
        order = self.order(order_id) if order_id is not None else self._newest(State.WAITING)
        if late:
            return self._arrive_late(order, text)
        if not order.open:
            raise OrderEnded(f"order {order.id} is {order.state}; only a late text can reach it")
        return self._keep(replace(order, coming=Sms(text, self._clock() + after))).as_of(self._clock())

    def silence(self, order_id: str) -> None:
        """Let no text come to a fresh order by itself; raises KeyError."""
        self._keep(replace(self._orders[order_id], coming=None, every=None))

    def tell(self, order_id: str | None, *messages: Message) -> Order:
        """Send messages to a rental (`None`: the newest that is running).

        Raises NoSuchOrder, or OrderEnded for one that has run out.
        """
        order = self._newest(State.RENTED) if order_id is None else self.order(order_id)
        if order.product != RENTAL:
            raise NoSuchOrder(f"order {order.id} is no rental")
        if not order.open:
            raise OrderEnded(f"rental {order.id} has ended; nothing reaches its number any more")
        return self._keep(replace(order, messages=(*order.messages, *messages)))

    def set_balance(self, balance: Decimal) -> None:
        """Make the balance `balance`, as if the account had been opened with that much more or less."""
        self.start_balance += balance - self.balance
        self.balance = balance

    def order(self, order_id: str) -> Order:
        """One order as of now; raises NoSuchOrder."""
        try:
            return self._orders[order_id].as_of(self._clock())
        except KeyError:
            raise NoSuchOrder("no such order") from None

    def orders(self) -> tuple[Order, ...]:
        """All orders as of now, oldest first."""
        now = self._clock()
        return tuple(order.as_of(now) for order in tuple(self._orders.values()))

    def newest_id(self, product: str | None = None) -> str:
        """The id handed out last, of one product if asked; or an empty string."""
        return next((order.id for order in reversed(self._orders.values()) if product in (None, order.product)), "")

    def charges(self) -> Decimal:
        """The sum of all charges."""
        return self._total("charge")

    def refunds(self) -> Decimal:
        """The sum of all refunds."""
        return self._total("refund")

    def as_json(self) -> dict[str, Any]:
        """The whole books, ready for JSON; amounts are strings."""
        return {
            "balance": str(self.balance),
            "start_balance": str(self.start_balance),
            "charges": str(self.charges()),
            "refunds": str(self.refunds()),
            "orders": [_plain(order) for order in self.orders()],
            "journal": [_plain(entry) for entry in self.journal],
        }

    def known(self, order_id: str, product: str) -> Order:
        """One order of a product as of now; raises Refused with `NO_ACTIVATION`."""
        order = self._orders.get(order_id)
        if order is None or order.product != product:
            raise Refused("NO_ACTIVATION")
        return order.as_of(self._clock())

    def _afford(self, price: Decimal) -> None:
        if self.balance < price:
            raise Refused("LOW_BALANCE")

    def _charge(self, order: Order, price: Decimal) -> None:
        self.balance -= price
        self._write("charge", order, price)

    def _arrive_late(self, order: Order, text: str) -> Order:
        if order.state is State.FINISHED or order.product == RENTAL:
            raise OrderEnded(f"order {order.id} is {order.state}, where no text is late")
        ended = order.state in (State.CANCELLED, State.EXPIRED)
        told = replace(order, late=text, coming=None)
        return self._keep(told.with_late_text(self._clock()) if ended else told)

    def _new_order(self, sale: Sale) -> Order:
        now, product = self._clock(), sale.product
        order_id, digits = self._new_id(product), self._chance.randrange(10**7)
        return Order(
            id=order_id,
            number="" if product == EMAIL else f"+92300{digits:07d}",
            address=f"sandbox.{digits:07d}@{sale.item.get('domain', '')}" if product == EMAIL else "",
            product=product,
            item=sale.item,
            name=sale.name,
            price=sale.price,
            charged_at=now,
            expires_at=now + sale.life,
            state=State.RENTED if product == RENTAL else State.WAITING,
            coming=None if product == RENTAL else self._expected_sms(now),
            every=self.rules.message_every if product == RENTAL else None,
        )

    def _new_id(self, product: str) -> str:
        """Drawn, not counted: an id must not come back after a restart with fresh books."""
        while (drawn := _IDS[product].format(self._chance.randrange(10**12))) in self._orders:
            pass
        return drawn

    def _expected_sms(self, now: float) -> Sms | None:
        code, unlucky = f"{self._chance.randrange(10**6):06d}", self._chance.random()
        if self.rules.code_after is None or unlucky < self.rules.no_code_share:
            return None
        return Sms(code, now + self.rules.code_after)

    def _newest(self, state: State) -> Order:
        now = self._clock()
        for order in reversed(self._orders.values()):
            if order.as_of(now).state is state:
                return order
        raise NoSuchOrder(f"no order is {state}")

    def _keep(self, order: Order) -> Order:
        self._orders[order.id] = order
        return order

    def _write(self, kind: str, order: Order, amount: Decimal) -> None:
        self.journal.append(Entry(self._clock(), order.id, kind, amount))

    def _total(self, kind: str) -> Decimal:
        return sum((entry.amount for entry in self.journal if entry.kind == kind), Decimal("0.00"))


def _plain(value: Order | Entry) -> dict[str, Any]:
    """A dataclass as JSON-ready fields, an order's item among them; a text still on its way is not shown."""
    shown: dict[str, Any] = {
        name: str(item) if isinstance(item, Decimal) else item for name, item in asdict(value).items()
    }
    for hidden in ("coming", "late", "every"):
        shown.pop(hidden, None)
    item = shown.pop("item", {})
    return {**item, **shown}
