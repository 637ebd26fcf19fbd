"""An order at the sandbox provider, and a line of its journal: frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum


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


@dataclass(frozen=True, slots=True)
class Sms:
    """A text on its way to a number."""

    text: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class Order:
    """One number that somebody bought. `state` is as of the moment it was looked at."""

    id: str
    number: str = field(repr=False)
    server: str
    type: str
    price: Decimal
    charged_at: float
    expires_at: float
    state: State = State.WAITING
    coming: Sms | None = None
    code: str | None = field(default=None, repr=False)
    code_at: float | None = None
    refunded_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether a text can still reach it."""
        return self.state in (State.WAITING, State.RECEIVED)

    def as_of(self, now: float) -> Order:
        """The order as time has left it: a due text has arrived, a number past its life is gone."""
        order = self
        if self.open and self.coming and self.coming.at <= now and self.coming.at < self.expires_at:
            text, at = self.coming.text, self.coming.at
            order = replace(self, state=State.RECEIVED, code=text, code_at=at, coming=None)
        if order.state is State.WAITING and now >= order.expires_at:
            order = replace(order, state=State.EXPIRED, coming=None)
        return order


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; `kind` is `charge` or `refund`."""

    at: float
    order_id: str
    kind: str
    amount: Decimal
