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

from web.sandbox.orders import Entry, Order, Sms, State
from web.sandbox.rules import Rules

MAX_ORDERS = 200_000
"""Orders kept in memory; past it the provider has no numbers."""


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

    def buy(self, server: str, kind: str) -> Order:
        """Charge the price and hand out a number; raises Refused with `LOW_BALANCE` or `NO_NUMBERS`."""
        if self.balance < self.rules.price:
            raise Refused("LOW_BALANCE")
        if len(self._orders) >= MAX_ORDERS:
            raise Refused("NO_NUMBERS")
        order = self._new_order(server, kind)
        self.balance -= order.price
        self._write("charge", order)
        return self._keep(order)

    def status(self, order_id: str) -> str:
        """What the provider says about an order; raises Refused with `NO_ACTIVATION`.

        A number that ran out is no activation any more, and running out refunds nothing.
        """
        order = self._known(order_id)
        if order.state is State.WAITING:
            return "STATUS_WAIT_CODE"
        if order.state is State.CANCELLED:
            return "STATUS_CANCEL"
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        return f"STATUS_OK:{order.code}"

    def finish(self, order_id: str) -> str:
        """Confirm a code, again if need be; raises Refused with `BAD_STATUS` or `NO_ACTIVATION`."""
        order = self._known(order_id)
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        if order.state not in (State.RECEIVED, State.FINISHED):
            raise Refused("BAD_STATUS")
        self._keep(replace(order, state=State.FINISHED, coming=None))
        return "ACCESS_FINISH"

    def cancel(self, order_id: str) -> str:
        """Cancel and refund, once; raises Refused when it is too early, too late, or has a code."""
        order = self._known(order_id)
        if order.state is State.CANCELLED:
            return "ACCESS_CANCEL_ALREADY"
        self._refuse_cancel(order)
        self.balance += order.price
        self._write("refund", order)
        self._keep(replace(order, state=State.CANCELLED, coming=None, refunded_at=self._clock()))
        return "ACCESS_CANCEL"

    def arrive(self, order_id: str | None, text: str, after: float = 0.0) -> Order:
        """Send `text` to an order (`None`: the newest waiting) in `after` seconds.

        It takes the place of any other on its way. Raises NoSuchOrder, or OrderEnded for one that takes no
        text any more.
        """
        order = self.order(order_id) if order_id is not None else self._newest_waiting()
        if not order.open:
            raise OrderEnded(f"order {order.id} is {order.state}")
        return self._keep(replace(order, coming=Sms(text, self._clock() + after))).as_of(self._clock())

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

    def newest_id(self) -> str:
        """The id handed out last, or an empty string."""
        return next(reversed(self._orders), "")

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

    def _known(self, order_id: str) -> Order:
        try:
            return self.order(order_id)
        except NoSuchOrder:
            raise Refused("NO_ACTIVATION") from None

    def _refuse_cancel(self, order: Order) -> None:
        if order.state is State.EXPIRED:
            raise Refused("NO_ACTIVATION")
        if order.state is not State.WAITING:
            raise Refused("BAD_STATUS" if order.state is State.FINISHED else self.rules.late_cancel)
        if self._clock() - order.charged_at < self.rules.cancel_after:
            raise Refused("EARLY_CANCEL_DENIED")

    def _new_order(self, server: str, kind: str) -> Order:
        now = self._clock()
        return Order(
            id=self._new_id(),
            number=f"+92300{self._chance.randrange(10**7):07d}",
            server=server,
            type=kind,
            price=self.rules.price,
            charged_at=now,
            expires_at=now + self.rules.life,
            coming=self._expected_sms(now),
        )

    def _new_id(self) -> str:
        """Drawn, not counted: an id must not come back after a restart with fresh books."""
        while (drawn := f"ORDER_ID_{self._chance.randrange(10**12):012d}") in self._orders:
            pass
        return drawn

    def _expected_sms(self, now: float) -> Sms | None:
        code, unlucky = f"{self._chance.randrange(10**6):06d}", self._chance.random()
        if self.rules.code_after is None or unlucky < self.rules.no_code_share:
            return None
        return Sms(code, now + self.rules.code_after)

    def _newest_waiting(self) -> Order:
        now = self._clock()
        for order in reversed(self._orders.values()):
            if order.as_of(now).state is State.WAITING:
                return order
        raise NoSuchOrder("no order is waiting")

    def _keep(self, order: Order) -> Order:
        self._orders[order.id] = order
        return order

    def _write(self, kind: str, order: Order) -> None:
        self.journal.append(Entry(self._clock(), order.id, kind, order.price))

    def _total(self, kind: str) -> Decimal:
        return sum((entry.amount for entry in self.journal if entry.kind == kind), Decimal("0.00"))


def _plain(value: Order | Entry) -> dict[str, Any]:
    """A dataclass as JSON-ready fields; a text still on its way is not shown."""
    shown = {name: str(item) if isinstance(item, Decimal) else item for name, item in asdict(value).items()}
    shown.pop("coming", None)
    return shown
