"""The order: its states, its transitions with their reasons, and what the outside sees of it.

Pure: no I/O, no clock of its own. An :class:`Order` is frozen; every change is a copy made by one named
transition of :data:`TRANSITIONS`, and a transition that does not fit the order's state raises :class:`Refused`
and changes nothing. Times are epoch seconds; ``life`` and ``timeout`` are seconds; money is PKR.

What is bought is named by `product` and `item`, which mean something only to the provider's product table: an order of
any product lives the same life. What orders and rentals (`rental.py`) have in common is an :class:`Acquisition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Self


class Status(StrEnum):
    """Where an order stands; the last four are terminal."""

    QUEUED = "queued"
    """Accepted, nothing bought. Left by `intend`, `reject` or `withdraw`. A crash here: the wake-up is still due."""
    BUYING = "buying"
    """The purchase may be on its way. Left by its answer; a crash ends as `purchase_unknown`, never a second buy."""
    WAITING = "waiting"
    """A number is bought and being polled. Left by a code, its deadline or the caller. A crash here costs one poll."""
    CANCELLING = "cancelling"
    """The number is being given back. Left by a code, or when the refund is known or out of reach."""
    RECEIVED = "received"
    """Terminal: the code has arrived. The purchase is then finished, which changes only `settlement`."""
    EXPIRED = "expired"
    """Terminal: no code arrived in time; `settlement` says what happened to the money."""
    CANCELLED = "cancelled"
    """Terminal: the caller cancelled."""
    FAILED = "failed"
    """Terminal: `error` says why. A number that turns up later is cancelled, which changes only `settlement`."""


KNOWN = frozenset(Status)
TERMINAL = frozenset({Status.RECEIVED, Status.EXPIRED, Status.CANCELLED, Status.FAILED})


class Settlement(StrEnum):
    """What happened to the money."""

    NONE = "none"
    """Nothing was bought."""
    PENDING = "pending"
    """A number is bought, but neither finished nor given back yet."""
    FINISHED = "finished"
    """The provider confirmed the end of a purchase whose code arrived."""
    REFUNDED = "refunded"
    """The provider confirmed the cancel."""
    UNCONFIRMED = "unconfirmed"
    """The provider did not confirm a finish or a refund. Never treat it as refunded."""
    CHARGED = "charged"
    """A rental is bought; rentals are never given back."""


class ErrorCode(StrEnum):
    """Why an order failed."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    NO_NUMBERS = "no_numbers"
    PROVIDER_AUTH = "provider_auth"
    PROVIDER_BANNED = "provider_banned"
    PROVIDER_REJECTED = "provider_rejected"
    PURCHASE_UNKNOWN = "purchase_unknown"
    ORDER_LOST = "order_lost"
    PRICE_ABOVE_MAX = "price_above_max"
    PRICE_UNKNOWN = "price_unknown"
    SPEND_PER_DAY = "spend_per_day"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    """No connection could be made until the buy budget was spent: nothing was bought."""
    RENEWAL_UNKNOWN = "renewal_unknown"
    """A rental's renewal was sent and its outcome is unknown; the rental continues."""


class EventType(StrEnum):
    """The webhooks that an order or a rental can cause, and the ping."""

    NUMBER_ASSIGNED = "order.number_assigned"
    OTP_RECEIVED = "order.otp_received"
    EXPIRED = "order.expired"
    CANCELLED = "order.cancelled"
    FAILED = "order.failed"
    PING = "webhook.ping"
    RENTAL_STARTED = "rental.started"
    RENTAL_MESSAGE_RECEIVED = "rental.message_received"
    RENTAL_RENEWED = "rental.renewed"
    RENTAL_ENDED = "rental.ended"
    RENTAL_FAILED = "rental.failed"


class Ending(StrEnum):
    """Why a number is being given back."""

    TIMEOUT = "timeout"
    CALLER = "caller"
    LOST = "lost"


DEFAULT_PRODUCT = "cheap"
"""What an order is for that names no product (contract.md, "Products")."""
ITEM_FIELDS = ("server", "type", "service", "country", "domain")
"""Fields of an item as the API shows them; those that a product does not have are null."""
OTP_ERASED = "otp_erased"
"""The flag that says: there was a code, and it is no longer kept."""
ADDRESS_ERASED = "address_erased"
"""The flag that says: there was an address, and it is no longer kept."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One named way from some states to one state (`target` None: the state stays), with its reason."""

    name: str
    sources: tuple[StrEnum, ...]
    target: StrEnum | None
    reason: str
    event: EventType | None = None


_Q, _B, _W, _C = Status.QUEUED, Status.BUYING, Status.WAITING, Status.CANCELLING
_R, _E, _X, _F = Status.RECEIVED, Status.EXPIRED, Status.CANCELLED, Status.FAILED

TRANSITIONS: Mapping[str, Transition] = {
    t.name: t
    for t in (
        Transition("hold_back", (_Q,), None, "its turn came while buying was paused: the buy budget counts from here"),
        Transition("intend", (_Q,), _B, "the purchase is about to be sent"),
        Transition("put_off", (_B,), _Q, "nothing was bought; ask again later"),
        Transition("reject", (_Q, _B), _F, "nothing was bought and nothing will be", EventType.FAILED),
        Transition("withdraw", (_Q,), _X, "the caller cancelled before the purchase", EventType.CANCELLED),
        Transition("assign", (_B,), _W, "the number is bought", EventType.NUMBER_ASSIGNED),
        Transition("lose_purchase", (_B,), _F, "nobody knows whether a number was bought", EventType.FAILED),
        Transition("adopt_late", (_F,), None, "a purchase given up as unknown turned out to be bought"),
        Transition("ask_cancel", (_B,), None, "the caller cancelled while the purchase was on its way"),
        Transition("caller_cancel", (_W,), _C, "the caller cancelled"),
        Transition("begin_cancel", (_W,), _C, "no code in time, or the provider no longer knows the number"),
        Transition("try_cancel", (_C, _F), None, "a cancel is about to be sent"),
        Transition("note_refund", (_C, _F), None, "the provider confirmed the cancel"),
        Transition("receive", (_W, _C), _R, "the code arrived", EventType.OTP_RECEIVED),
        Transition("try_finish", (_R,), None, "a finish is about to be sent"),
        Transition("settle", (_R, _F), None, "the purchase is finished, or its end could not be confirmed"),
        Transition(
            "expire",
            (_C,),
            _E,
            "no code in time; the cancel is settled or can no longer be",
            EventType.EXPIRED,
        ),
        Transition(
            "conclude_cancel",
            (_C,),
            _X,
            "the caller's cancel is settled or can no longer be",
            EventType.CANCELLED,
        ),
        Transition("lose", (_W, _C), _F, "the provider lost or cancelled the number by itself", EventType.FAILED),
        Transition("keep_late_code", (_E, _X, _F), None, "a code was seen after the end; kept, not delivered"),
        Transition("erase", (_R, _E, _X, _F), None, "the time of the code and the address is over"),
    )
}


def events_by_state(transitions: Iterable[Transition]) -> dict[StrEnum, EventType | None]:
    """The webhook of each state that can be entered.

    Raises ValueError for a row whose event could never be sent: one that stays in its state, or one that enters a state
    in company of another event than the other rows do.
    """
    events: dict[StrEnum, EventType | None] = {}
    for one in transitions:
        if one.target is None:
            if one.event is not None:
                raise ValueError(f"{one.name} stays in its state, so {one.event} would never be sent")
        elif events.setdefault(one.target, one.event) is not one.event:
            raise ValueError(f"{one.name} enters {one.target} with another event than the other transitions")
    return events


_EVENTS = events_by_state(TRANSITIONS.values())


def caused_event(before: Order, after: Order) -> EventType | None:
    """The webhook that a change causes: that of the state entered, hence exactly one terminal one per order."""
    return None if after.status is before.status else _EVENTS.get(after.status)


class Refused(Exception):
    """The transition does not fit the order's state; nothing was changed. Its catcher drops the step or reads anew."""

    def __init__(self, transition: str, status: StrEnum) -> None:
        super().__init__(f"{transition} does not apply to an order that is {status}")
        self.transition = transition
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What was bought, and until when which of it can be done. It is known as a whole, or not at all."""

    activation: str
    """The provider's id. It means something together with the product only."""
    number: str | None = field(default=None, repr=False)
    """With a plus, where a number was bought."""
    address: str | None = field(default=None, repr=False)
    """Where an address was bought; erased like a code."""
    bought_at: float
    expires_at: float
    cancel_at: float
    """When an order without a code begins to be cancelled."""
    cancellable_at: float
    """Before this no cancel is sent: the provider would refuse it."""
    price: Decimal | None = None
    """What was paid, where the provider names prices and this one was read."""
    as_sold: str | None = field(default=None, repr=False)
    """The number as the provider wrote it, where that differs."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back; so below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """What a caller asked for that is bought once, up to the answer to its purchase: an order or a rental."""

    transitions: ClassVar[Mapping[str, Transition]]

    id: str
    caller: str
    product: str = DEFAULT_PRODUCT
    item: Mapping[str, str]
    """What of the product is ordered: its fields by name, for the provider's product table alone."""
    callback_url: str = field(repr=False)
    """Where the webhooks go; empty when nobody is pushed and the events are read instead."""
    created_at: float
    max_price: Decimal | None = None
    """The most that may be paid."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    purpose: str | None = None
    status: StrEnum
    settlement: Settlement = Settlement.NONE
    version: int = 1
    purchase: Purchase | None = None
    error: ErrorCode | None = None
    error_message: str | None = None
    flags: tuple[str, ...] = ()
    attempts: int = 0
    """Purchases sent and answered with "not bought" so far."""
    price_changes: int = 0
    """How many of those for a price that had changed since it was read."""
    quote: Decimal | None = None
    """The price that was read right before the purchase under way, or before the one that was made."""
    counted: Decimal | None = None
    """What the caller's spend cap is charged with for it."""
    first_attempt_at: float | None = None
    """When its turn first came, to be bought or to be held back by a pause; the buy budget counts from it."""
    intended_at: float | None = None
    """When the purchase that is under way, or was made, was intended."""
    ended_at: float | None = None
    origin: str = field(default="", repr=False)
    """The span and the request that placed it (`worker.tracing.Origin`)."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back."""

    @property
    def queued(self) -> bool:
        """Whether a purchase may be sent for it."""
        return self.status == Status.QUEUED

    @property
    def buying(self) -> bool:
        """Whether a purchase may be on its way for it."""
        return self.status == Status.BUYING

    @property
    def ended(self) -> bool:
        """Whether it is in a terminal state."""
        raise NotImplementedError

    @property
    def personal(self) -> bool:
        """Whether it holds what is erased after a while."""
        raise NotImplementedError

    @property
    def charged(self) -> bool:
        """Whether a purchase is known to have been made for it."""
        return self.purchase is not None

    @property
    def doubtful(self) -> bool:
        """Whether it is unclear what happened to its money; if a code came, it is owed, whatever the finish said."""
        return self.settlement is Settlement.UNCONFIRMED and self.status != Status.RECEIVED

    @property
    def handle(self) -> str:
        """What was bought, by product and the provider's id (see `read_handle`); empty before the purchase."""
        return f"{self.product}:{self.purchase.activation}" if self.purchase else ""

    @property
    def account(self) -> str:
        """Under which the journal keeps the money of the purchase that is under way, or was made last."""
        return self.id

    @property
    def most(self) -> Decimal | None:
        """The most that may be paid for the purchase."""
        return self.max_price

    @property
    def standing(self) -> tuple[object, ...]:
        """What a step has to find unchanged before it writes what it found out about one purchase."""
        return self.status, self.attempts, self.settlement

    # The moments of a purchase.

    def hold_back(self, now: float) -> Self:
        """Note that its turn came while nothing may be bought."""
        return self._move("hold_back", first_attempt_at=now)

    def intend(self, now: float, quote: Decimal | None = None, counted: Decimal | None = None) -> Self:
        """Record that a purchase is about to be sent, at which price if known, and what it counts against the cap."""
        first = now if self.first_attempt_at is None else self.first_attempt_at
        return self._move("intend", first_attempt_at=first, intended_at=now, quote=quote, counted=counted)

    def put_off(self, *, price_changed: bool = False) -> Self:
        """Go back to the queue: the provider sold nothing."""
        changes = self.price_changes + price_changed
        return self._move("put_off", attempts=self.attempts + 1, price_changes=changes, quote=None, counted=None)

    def reject(self, code: ErrorCode, message: str, now: float) -> Self:
        """End it: nothing was bought and nothing will be."""
        return self._move("reject", error=code, error_message=message, quote=None, counted=None, ended_at=now)

    def lose_purchase(self, why: str, now: float, *flags: str) -> Self:
        """End it: a purchase went out and its outcome cannot be known."""
        return self._move(
            "lose_purchase", error=ErrorCode.PURCHASE_UNKNOWN, error_message=why, flags=self._with(*flags),
            settlement=Settlement.UNCONFIRMED, ended_at=now,
        )  # fmt: skip

    def _with(self, *flags: str) -> tuple[str, ...]:
        return self.flags + tuple(flag for flag in dict.fromkeys(flags) if flag not in self.flags)

    def _move(self, name: str, **changes: Any) -> Self:
        transition = self.transitions[name]
        if self.status not in transition.sources:
            raise Refused(name, self.status)
        return replace(self, status=transition.target or self.status, version=self.version + 1, **changes)

    def _error(self) -> dict[str, Any] | None:
        return {"code": self.error.value, "message": self.error_message} if self.error else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Acquisition):
    """One order as the store keeps it."""

    transitions = TRANSITIONS

    status: Status = Status.QUEUED
    timeout: float
    otp: str | None = field(default=None, repr=False)
    ending: Ending | None = None
    cancel_requested: bool = False
    cancels: int = 0
    """Cancels sent so far, counted before each is sent."""
    cancel_sent_at: float | None = None
    refunded_at: float | None = None
    finishes: int = 0
    received_at: float | None = None

    @property
    def understood(self) -> bool:
        """Whether its state is one that this version knows: what a newer one does with it is not ours to end."""
        return self.status in KNOWN

    @property
    def ended(self) -> bool:
        """Whether the order is in a terminal state."""
        return self.status in TERMINAL

    @property
    def personal(self) -> bool:
        """Whether it holds what is erased after a while: a code or an address."""
        return self.otp is not None or (self.purchase is not None and self.purchase.address is not None)

    # The moments of an order, in the order in which they can happen.

    def withdraw(self, now: float) -> Order:
        """End it at the caller's word, before any purchase."""
        return self._move("withdraw", ending=Ending.CALLER, cancel_requested=True, ended_at=now)

    def assign(self, purchase: Purchase, *flags: str) -> Order:
        """Record what was bought."""
        return self._move(
            "assign", purchase=replace(purchase, price=self.quote), settlement=Settlement.PENDING,
            flags=self._with(*flags),
        )  # fmt: skip

    def adopt_late(self, purchase: Purchase) -> Order:
        """Attach a purchase to an order already given up as `purchase_unknown`, so that it can be cancelled."""
        if self.error is not ErrorCode.PURCHASE_UNKNOWN or self.charged:
            raise Refused("adopt_late", self.status)
        at_once = replace(purchase, cancel_at=purchase.bought_at, price=self.quote)
        return self._move("adopt_late", purchase=at_once, flags=self._with("adopted_late"))

    def ask_cancel(self, now: float) -> Order:
        """The caller's cancel, whatever the state; an order that is ending or ended comes back unchanged."""
        if self.status is Status.QUEUED:
            return self.withdraw(now)
        if self.status is Status.BUYING and not self.cancel_requested:
            return self._move("ask_cancel", cancel_requested=True)
        if self.status is Status.WAITING and self.purchase:
            at_once = replace(self.purchase, cancel_at=now)
            return self._move("caller_cancel", cancel_requested=True, ending=Ending.CALLER, purchase=at_once)
        return self

    def begin_cancel(self, ending: Ending) -> Order:
        """Begin to give the number back."""
        return self._move("begin_cancel", ending=ending)

    @property
    def standing(self) -> tuple[object, ...]:
        """A step that counts a cancel or a finish has to find those of others unchanged, too."""
        return self.status, self.attempts, self.settlement, self.cancels, self.finishes

    def try_cancel(self, now: float) -> Order:
        """Count a cancel before it is sent."""
        return self._move("try_cancel", cancels=self.cancels + 1, cancel_sent_at=now)

    def note_refund(self, now: float) -> Order:
        """The provider confirmed the cancel."""
        return self._move("note_refund", settlement=Settlement.REFUNDED, refunded_at=now, counted=None)

    def receive(self, code: str, now: float, *flags: str) -> Order:
        """The code arrived; a refund that was confirmed before it stays what it is."""
        return self._move("receive", otp=code, received_at=now, ended_at=now, flags=self._with(*flags))

    def try_finish(self) -> Order:
        """Count a finish before it is sent."""
        return self._move("try_finish", finishes=self.finishes + 1)

    def settle(self, settlement: Settlement) -> Order:
        """Record what became of the money of an ended order."""
        return self._move("settle", settlement=settlement)

    def conclude(self, now: float) -> Order:
        """End an order whose cancel is settled, or can no longer be."""
        if self.status is not Status.CANCELLING:
            raise Refused("conclude", self.status)
        if self.ending is Ending.LOST:
            return self.lose("the provider no longer knows the number", now)
        name = "conclude_cancel" if self.ending is Ending.CALLER else "expire"
        return self._move(name, settlement=self._final(), ended_at=now)

    def lose(self, why: str, now: float) -> Order:
        """End it: the provider lost or cancelled the number by itself."""
        return self._move(
            "lose",
            error=ErrorCode.ORDER_LOST,
            error_message=why,
            ending=Ending.LOST,
            settlement=self._final(),
            ended_at=now,
        )

    def keep_late_code(self, code: str, *flags: str) -> Order:
        """Keep a code seen after the end: there is one terminal event, and it has been sent."""
        return self._move("keep_late_code", otp=code, flags=self._with("late_code", *flags))

    def erase(self) -> Order:
        """Forget the code and the address."""
        flags = [OTP_ERASED] if self.otp is not None else []
        purchase = self.purchase
        if purchase is not None and purchase.address is not None:
            purchase, flags = replace(purchase, address=None), [*flags, ADDRESS_ERASED]
        return self._move("erase", otp=None, purchase=purchase, flags=self._with(*flags))

    def _final(self) -> Settlement:
        known = self.settlement is Settlement.REFUNDED
        return Settlement.REFUNDED if known else Settlement.UNCONFIRMED

    def public(self) -> dict[str, Any]:
        """The order as the API and the webhooks show it (contract.md, "The order")."""
        bought = self.purchase
        return {
            "id": self.id,
            "product": self.product,
            "status": self.status.value,
            **{name: self.item.get(name) for name in ITEM_FIELDS},
            "number": bought.number if bought else None,
            "address": bought.address if bought else None,
            "price": decimal(bought.price) if bought else None,
            "max_price": decimal(self.max_price),
            "otp": self.otp,
            "callback_url": self.callback_url or None,
            "metadata": self.metadata,
            "purpose": self.purpose,
            "settlement": self.settlement.value,
            "error": self._error(),
            "flags": list(self.flags),
            "created_at": rfc3339(self.created_at),
            "bought_at": rfc3339(bought.bought_at) if bought else None,
            "expires_at": rfc3339(bought.expires_at) if bought else None,
            "received_at": rfc3339(self.received_at),
            "ended_at": rfc3339(self.ended_at),
        }


def read_handle(handle: str) -> tuple[str, str]:
    """The product and the provider's id that an order's handle stands for."""
    product, _, activation = handle.partition(":")
    return product, activation


def decimal(amount: Decimal | None) -> str | None:
    """An amount of money as JSON shows it: its digits, without an exponent."""
    return None if amount is None else format(amount, "f")


def rfc3339(at: float | None) -> str | None:
    """Epoch seconds as RFC 3339 in UTC with milliseconds and a Z; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
