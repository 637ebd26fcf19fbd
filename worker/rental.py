"""The rental: a number for hours or days, its transitions with their reasons, and what the outside sees of it.

Pure, like `order.py`: a :class:`Rental` is frozen, every change is a copy made by one named transition, and times are
epoch seconds. A rental lives another life than an order: a message is an event, not an end; it cannot be cancelled, and
no money comes back. Until it is bought it is an :class:`worker.order.Acquisition` like an order, and so is each of its
renewals: a purchase of its own, while the rental goes on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from worker.order import (
    Acquisition,
    ErrorCode,
    EventType,
    Purchase,
    Refused,
    Settlement,
    Transition,
    decimal,
    events_by_state,
    rfc3339,
)

PRODUCT = "rental"
"""Its name in the provider's product table."""
ID_PREFIX = "rnt_"
"""What a rental's id begins with: by it the engine knows whose turn it is."""
ITEM_FIELDS = ("pricing", "country", "provider")
"""What of the product is rented: the offer, by its id, and the place in the catalogue where it is listed."""
HOUR = 3600.0
"""Seconds: offers and renewals are counted in hours."""
ZONE_STEP = 900.0
"""Seconds: all time zones are whole quarters of an hour away from UTC."""
CLOCKS_APART = 2.0
"""Seconds by which the provider's clock may differ from ours."""
EARLIER = 60.0
"""Seconds before the purchase up to which a date counts as later: dates may be whole minutes."""
EARLIER_LEFT_OUT = "earlier_messages_left_out"
"""The flag that says: the number had messages dated before the purchase, an earlier tenant's."""
UNDATED = "undated_messages"
"""The flag that says: the first reading had messages without a date, which may be an earlier tenant's."""
MESSAGES_ERASED = "messages_erased"
"""The flag that says: there were messages whose texts are no longer kept."""


class RentalStatus(StrEnum):
    """Where a rental stands; the last two are terminal."""

    QUEUED = "queued"
    """Accepted, nothing bought. Left by `intend` or `reject`. A crash here: the wake-up is still due."""
    BUYING = "buying"
    """The purchase may be on its way. Left by its answer; a crash ends as `purchase_unknown`, never a second buy."""
    ACTIVE = "active"
    """A number is rented and its messages are read. Left by its end alone. A crash here costs one reading."""
    ENDED = "ended"
    """Terminal: its time is over, and the messages were read one last time after that."""
    FAILED = "failed"
    """Terminal: `error` says why; nothing was rented, or the outcome is unknown."""


class RenewalState(StrEnum):
    """Where a renewal stands; the last three are its ends. The rental goes on in all of them."""

    ASKED = "asked"
    """Accepted, nothing bought."""
    SENT = "sent"
    """It may be on its way; a crash ends as `unknown`, never a second one."""
    DONE = "done"
    """The provider confirmed it, and the end has moved."""
    REFUSED = "refused"
    """Nothing was bought; the rental's `error` says why."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was bought: `renewal_unknown`. The end stays where it is."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The renewal that was asked for last. `hours` is by how much the rental is to last longer."""

    hours: int
    asked_at: float
    max_price: Decimal | None = None
    state: RenewalState = RenewalState.ASKED
    counted: Decimal | None = None
    """What of the rental's `counted` it is."""
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """A message as the provider lists it; `at` is its date, None where none can be read."""

    text: str | None = field(repr=False)
    code: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was told. Its key stays when its text, code and sender are erased."""

    key: str
    received_at: float
    """Its date, or when it was first read where that is not known or would be later."""
    read_at: float
    text: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    beyond: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Fields of a newer version, kept and written back."""

    @property
    def personal(self) -> bool:
        """Whether it holds what is erased after a while."""
        return (self.text, self.code, self.sender) != (None, None, None)

    def erased(self) -> Message:
        """The message without what it said."""
        return replace(self, text=None, code=None, sender=None)


_Q, _B, _A, _E, _F = RentalStatus
ENDED = (RentalStatus.ENDED, RentalStatus.FAILED)
"""The terminal states."""

TRANSITIONS: Mapping[str, Transition] = {
    t.name: t
    for t in (
        Transition("hold_back", (_Q,), None, "its turn came, and nothing may be bought just now"),
        Transition("intend", (_Q,), _B, "the purchase is about to be sent"),
        Transition("put_off", (_B,), _Q, "nothing was bought; ask again later"),
        Transition("reject", (_Q, _B), _F, "nothing was bought and nothing will be", EventType.RENTAL_FAILED),
        Transition("lose_purchase", (_B,), _F, "nobody knows whether it was rented", EventType.RENTAL_FAILED),
        Transition("start", (_B,), _A, "the number is rented", EventType.RENTAL_STARTED),
        Transition("adopt_late", (_F,), None, "a purchase given up as unknown turned out to be bought"),
        Transition("tell", (_A,), None, "messages were read that are new"),
        Transition("ask_renewal", (_A,), None, "the caller asked for a renewal"),
        Transition("hold_back_renewal", (_A,), None, "its turn came, and nothing may be bought just now"),
        Transition("intend_renewal", (_A,), None, "the renewal is about to be sent"),
        Transition("put_off_renewal", (_A,), None, "nothing was bought; ask again later"),
        Transition("reject_renewal", (_A,), None, "nothing was bought and nothing will be"),
        Transition("lose_renewal", (_A,), None, "nobody knows whether it was renewed"),
        Transition("renew", (_A,), None, "the provider confirmed the renewal"),
        Transition("end", (_A,), _E, "its time is over, and it was read once more", EventType.RENTAL_ENDED),
        Transition("erase", (_A, _E), None, "the time of messages is over"),
    )
}
_EVENTS = events_by_state(TRANSITIONS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental(Acquisition):
    """One rental as the store keeps it. Of its `purchase`, `expires_at` is its end."""

    transitions = TRANSITIONS

    product: str = PRODUCT
    status: RentalStatus = RentalStatus.QUEUED
    lasting: float | None = None
    """Seconds for which the offer lasts, as it was read right before the purchase."""
    first_read_at: float | None = None
    """When its messages were first read."""
    messages: tuple[Message, ...] = ()
    """What was told, in that order."""
    renewal: Renewal | None = None
    renewals: int = 0
    """Renewals asked for so far."""
    renewal_keys: tuple[tuple[str, str], ...] = ()
    """Digests of the Idempotency-Keys of those, each with the digest of what was asked."""

    @property
    def queued(self) -> bool:
        """Whether its purchase, or that of a renewal, may be sent."""
        return self.status is RentalStatus.QUEUED or self._renewal_is(RenewalState.ASKED)

    @property
    def buying(self) -> bool:
        """Whether its purchase, or that of a renewal, may be on its way."""
        return self.status is RentalStatus.BUYING or self._renewal_is(RenewalState.SENT)

    @property
    def ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.status in ENDED

    @property
    def personal(self) -> bool:
        """Whether it holds messages with their texts."""
        return any(message.personal for message in self.messages)

    @property
    def account(self) -> str:
        """Its id, with the number of the renewal once there is one: each is a purchase of its own."""
        return f"{self.id}/{self.renewals}" if self.renewals else self.id

    @property
    def most(self) -> Decimal | None:
        """The most that may be paid for it, or for its renewal."""
        return self.renewal.max_price if self.renewal else self.max_price

    @property
    def standing(self) -> tuple[object, ...]:
        """What a step has to find unchanged before it writes what it found out about one purchase."""
        return self.status, self.attempts, self.settlement, self.renewals, self.renewal and self.renewal.state

    def _renewal_is(self, state: RenewalState) -> bool:
        return self.status is RentalStatus.ACTIVE and self.renewal is not None and self.renewal.state is state

    # The moments of its purchase, and of a renewal's.

    def hold_back(self, now: float) -> Rental:
        """Note that its turn, or that of its renewal, came while nothing may be bought."""
        if not self.renewal:
            return Acquisition.hold_back(self, now)
        asked = RenewalState.ASKED
        return self._renewal_moves("hold_back_renewal", asked, asked, first_attempt_at=now)

    def intend(self, now: float, quote: Decimal | None = None, counted: Decimal | None = None) -> Rental:
        """Record that a purchase, or a renewal, is about to be sent; what it counts comes on top of what was paid."""
        if not self.renewal:
            return Acquisition.intend(self, now, quote, counted)
        first = now if self.first_attempt_at is None else self.first_attempt_at
        total = self.counted if counted is None else counted + (self.counted or 0)
        return self._renewal_moves(
            "intend_renewal", RenewalState.ASKED, RenewalState.SENT, counted,
            first_attempt_at=first, intended_at=now, quote=quote, counted=total,
        )  # fmt: skip

    def put_off(self, *, price_changed: bool = False) -> Rental:
        """The provider sold nothing: ask again later."""
        if not self.renewal:
            return Acquisition.put_off(self, price_changed=price_changed)
        return self._renewal_moves(
            "put_off_renewal", RenewalState.SENT, RenewalState.ASKED, attempts=self.attempts + 1,
            price_changes=self.price_changes + price_changed, quote=None, counted=self._counted_before(),
        )  # fmt: skip

    def reject(self, code: ErrorCode, message: str, now: float) -> Rental:
        """Nothing was bought and nothing will be; a rental whose renewal that is goes on."""
        if not self.renewal:
            return Acquisition.reject(self, code, message, now)
        return self._renewal_moves(
            "reject_renewal", self.renewal.state, RenewalState.REFUSED, error=code, error_message=message,
            quote=None, counted=self._counted_before(),
        )  # fmt: skip

    def lose_purchase(self, why: str, now: float, *flags: str) -> Rental:
        """The outcome of a purchase that went out cannot be known; a rental whose renewal that is goes on."""
        if not self.renewal:
            return Acquisition.lose_purchase(self, why, now, *flags)
        return self._renewal_moves(
            "lose_renewal", RenewalState.SENT, RenewalState.UNKNOWN, self.renewal.counted,
            error=ErrorCode.RENEWAL_UNKNOWN, error_message=why, flags=self._with(*flags),
            settlement=Settlement.UNCONFIRMED,
        )  # fmt: skip

    def start(self, purchase: Purchase, *flags: str) -> Rental:
        """Record what was rented."""
        rented = replace(purchase, price=self.quote)
        return self._move("start", purchase=rented, settlement=Settlement.CHARGED, flags=self._with(*flags))

    def adopt_late(self, purchase: Purchase, *flags: str) -> Rental:
        """Attach a purchase to a rental already given up as `purchase_unknown`: that it is charged is known now."""
        if self.error is not ErrorCode.PURCHASE_UNKNOWN or self.charged:
            raise Refused("adopt_late", self.status)
        rented = replace(purchase, price=self.quote)
        flags = self._with(*flags, "adopted_late")
        return self._move("adopt_late", purchase=rented, settlement=Settlement.CHARGED, flags=flags)

    # While it is active.

    def tell(self, listed: Iterable[Sms], now: float, most: int) -> Rental:
        """Add what is new in a reading, at most so many messages; with nothing new it comes back unchanged.

        What is dated before the purchase is an earlier tenant's, and left out. A key is made of sender, date and text
        and a count of equal ones, so it does not matter in which order messages are listed, or which of them.
        """
        if self.status is not RentalStatus.ACTIVE or self.purchase is None:
            raise Refused("tell", self.status)
        since = self.purchase.bought_at - EARLIER
        everything = list(listed)
        ours = [sms for sms in everything if sms.at is None or sms.at >= since]
        known = {message.key for message in self.messages}
        new = [_told(key, sms, now) for key, sms in _keyed(ours) if key not in known]
        new.sort(key=lambda message: message.received_at)
        flags = [EARLIER_LEFT_OUT] if len(ours) < len(everything) else []
        if self.first_read_at is None and any(sms.at is None for sms in ours):
            flags.append(UNDATED)
        if not new and self.first_read_at is not None and set(flags) <= set(self.flags):
            return self
        return self._move(
            "tell", messages=self.messages + tuple(new[:most]), flags=self._with(*flags),
            first_read_at=now if self.first_read_at is None else self.first_read_at,
        )  # fmt: skip

    def ask_renewal(self, renewal: Renewal, key: tuple[str, str]) -> Rental:
        """The caller's renewal under its key; one that is under way has to end before the next."""
        if self.queued or self.buying:
            raise Refused("ask_renewal", self.status)
        return self._move(
            "ask_renewal", renewal=renewal, renewals=self.renewals + 1,
            renewal_keys=(*self.renewal_keys, key), error=None, error_message=None,
            attempts=0, price_changes=0, first_attempt_at=None, quote=None,
        )  # fmt: skip

    def renew(self, ends_at: float) -> Rental:
        """The provider confirmed the renewal, maybe after it was given up: the end moves, never back."""
        if self.purchase is None:
            raise Refused("renew", self.status)
        until = max(ends_at, self.purchase.expires_at)
        purchase = replace(self.purchase, expires_at=until, cancel_at=until, cancellable_at=until)
        counted = self.renewal.counted if self.renewal else None
        late = self._renewal_is(RenewalState.UNKNOWN)
        return self._renewal_moves(
            "renew", RenewalState.UNKNOWN if late else RenewalState.SENT, RenewalState.DONE, counted,
            purchase=purchase, settlement=Settlement.CHARGED, error=None, error_message=None,
            flags=self._with(*["adopted_late"] * late),
        )  # fmt: skip

    def end(self, now: float) -> Rental:
        """Its time is over."""
        if self.purchase is None or now < self.purchase.expires_at:
            raise Refused("end", self.status)
        return self._move("end", ended_at=now)

    def erase(self, keys: Iterable[str]) -> Rental:
        """Forget what messages said, by their keys; that they were told stays known."""
        gone = set(keys)
        messages = tuple(one.erased() if one.key in gone else one for one in self.messages)
        return self._move("erase", messages=messages, flags=self._with(MESSAGES_ERASED))

    def _counted_before(self) -> Decimal | None:
        """What the purchases before this renewal count against the caller's spend cap."""
        counted = self.renewal.counted if self.renewal else None
        return self.counted if counted is None or self.counted is None else self.counted - counted

    def _renewal_moves(
        self, name: str, source: RenewalState, target: RenewalState, its: Decimal | None = None, **changes: Any
    ) -> Rental:
        if self.renewal is None or self.renewal.state is not source:
            raise Refused(name, self.status)
        return self._move(name, renewal=replace(self.renewal, state=target, counted=its), **changes)

    def public(self) -> dict[str, Any]:
        """The rental as the API and the webhooks show it (contract.md, "Rentals")."""
        bought = self.purchase
        return {
            "id": self.id,
            "status": self.status.value,
            **{name: self.item.get(name) for name in ITEM_FIELDS},
            "number": bought.number if bought else None,
            "price": decimal(bought.price) if bought else None,
            "max_price": decimal(self.max_price),
            "messages": len(self.messages),
            "callback_url": self.callback_url or None,
            "metadata": self.metadata,
            "purpose": self.purpose,
            "settlement": self.settlement.value,
            "error": self._error(),
            "flags": list(self.flags),
            "created_at": rfc3339(self.created_at),
            "starts_at": rfc3339(bought.bought_at) if bought else None,
            "ends_at": rfc3339(bought.expires_at) if bought else None,
            "ended_at": rfc3339(self.ended_at),
        }

    def shown(self, message: Message) -> dict[str, Any]:
        """One of its messages as the API and the webhooks show it."""
        return {
            "id": message_id(self, message),
            "code": message.code,
            "text": message.text,
            "sender": message.sender,
            "received_at": rfc3339(message.received_at),
        }


def message_id(rental: Rental, message: Message) -> str:
    """The id of a rental's message, derived from both: the same however often it is read."""
    return "msg_" + hashlib.sha256(f"{rental.id} {rental.handle} {message.key}".encode()).hexdigest()[:24]


def caused_event(before: Rental, after: Rental) -> EventType | None:
    """The webhook that a change causes besides those of new messages."""
    if after.status is not before.status:
        return _EVENTS.get(after.status)
    done = RenewalState.DONE
    return EventType.RENTAL_RENEWED if after._renewal_is(done) and not before._renewal_is(done) else None


def believed_end(told: float | None, start: tuple[float, float], lasting: float | None, life: float) -> float:
    """When something ends that begins between two moments (epoch seconds) and lasts so many seconds, or else `life`.

    The span of the offer wins over the time that was `told`, where both are known and the difference may come from a
    time zone that is not ours; another time is believed as long as it lies within the span.
    """
    earliest, latest = start
    span = life if lasting is None else lasting
    if told is None or not latest < told <= latest + max(span, life) + ZONE_STEP:
        return latest + span
    apart = told - earliest - span + CLOCKS_APART
    explained = apart % ZONE_STEP <= latest - earliest + 2 * CLOCKS_APART
    return latest + span if lasting is not None and explained else told


def _keyed(listed: Iterable[Sms]) -> list[tuple[str, Sms]]:
    """Each message with its key. A NUL stands in no text, so no two messages run into one."""
    seen: Counter[str] = Counter()
    keyed = []
    for sms in listed:
        said = "\0".join([sms.sender or "", "" if sms.at is None else repr(sms.at), sms.text or "", sms.code or ""])
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        seen[digest] += 1
        keyed.append((f"{digest}-{seen[digest]}", sms))
    return keyed


def _told(key: str, sms: Sms, now: float) -> Message:
    received_at = now if sms.at is None else min(sms.at, now)
    return Message(key=key, received_at=received_at, read_at=now, text=sms.text, code=sms.code, sender=sms.sender)
