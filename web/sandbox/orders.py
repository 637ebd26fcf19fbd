"""An order at the sandbox provider, and a line of its journal: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

CHEAP, SMS, EMAIL, RENTAL = PRODUCTS = ("cheap", "sms", "email", "rental")
"""What is sold: Cheap Numbers, SMS OTP, Email OTP, rentals."""


class State(StrEnum):
    """Where an order stands. Only `CANCELLED` gives the money back."""

    WAITING = "waiting"
    """Bought, no code yet. Left by a code, by a cancel, or by running out."""
    RECEIVED = "received"
    """A code has arrived. Can be finished, can no longer be cancelled."""
    FINISHED = "finished"
    """The buyer confirmed the code. Terminal."""
    CANCELLED = "cancelled"
    """Cancelled in time and refunded. Terminal."""
    EXPIRED = "expired"
    """Ran out without a code and was not cancelled: the money is gone. Terminal."""
    RENTED = "rented"
    """A rental that is running; it takes messages, and can only be renewed. Left by running out."""
    ENDED = "ended"
    """A rental that has run out. Terminal."""


@dataclass(frozen=True, slots=True)
class Sms:
    """A text on its way to a number."""

    text: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class Message:
    """A text that reaches a rented number at `at`, perhaps before its tenant came."""

    text: str = field(repr=False)
    code: str = field(repr=False)
    sender: str
    at: float


@dataclass(frozen=True, slots=True)
class Sale:
    """What is about to be sold: the item as it was asked for, its price, and its life in seconds."""

    product: str
    item: Mapping[str, str]
    price: Decimal
    life: float
    name: str = ""
    """What it is called in the catalogue."""


@dataclass(frozen=True, slots=True)
class Order:
    """One number or address that somebody bought. `state` is as of the moment it was looked at."""

    id: str
    number: str = field(repr=False)
    """With a plus; empty where an address was bought."""
    product: str
    item: Mapping[str, str]
    """What was asked for, by the parameters of the purchase."""
    price: Decimal
    """The sum of all charges: a renewal adds to it."""
    charged_at: float
    expires_at: float
    address: str = field(default="", repr=False)
    name: str = ""
    state: State = State.WAITING
    coming: Sms | None = None
    late: str | None = field(default=None, repr=False)
    """A text that shows as soon as the order has ended without one."""
    code: str | None = field(default=None, repr=False)
    code_at: float | None = None
    refunded_at: float | None = None
    messages: tuple[Message, ...] = ()
    """What reaches a rental besides the messages that come over time."""
    every: float | None = None
    """Seconds between those, as the rules had it at the purchase."""

    @property
    def server(self) -> str:
        """The server of a cheap number."""
        return self.item.get("server", "")

    @property
    def type(self) -> str:
        """The type, where the product has one."""
        return self.item.get("type", "")

    @property
    def contact(self) -> str:
        """The number or the address."""
        return self.number or self.address

    @property
    def open(self) -> bool:
        """Whether a text can still reach it."""
        return self.state in (State.WAITING, State.RECEIVED, State.RENTED)

    def as_of(self, now: float) -> Order:
        """The order as time has left it: a due text has arrived, a number past its life is gone."""
        if self.product == RENTAL:
            return replace(self, state=State.RENTED if now < self.expires_at else State.ENDED)
        order = self
        if self.open and self.coming and self.coming.at <= now and self.coming.at < self.expires_at:
            text, at = self.coming.text, self.coming.at
            order = replace(self, state=State.RECEIVED, code=text, code_at=at, coming=None)
        if order.state is State.WAITING and now >= order.expires_at:
            order = replace(order, state=State.EXPIRED, coming=None).with_late_text(order.expires_at)
        return order

    def with_late_text(self, at: float) -> Order:
        """The order with the text that comes after its end, if there is one; money and state stay."""
        return replace(self, code=self.late, code_at=at, late=None) if self.late is not None else self


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; `kind` is `charge` or `refund`."""

    at: float
    order_id: str
    kind: str
    amount: Decimal
