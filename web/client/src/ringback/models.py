"""What the service answers with: frozen values, their moments aware of their zone, their money in `Decimal`.

Every model keeps fields that it does not know in `extra`. Numbers, addresses, codes and texts are left out of `repr`,
so that a logged order gives nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ringback._reading import ALSO


class OrderStatus(StrEnum):
    """Where an order stands. A later service may know more; compare `Order.status`, which is text, with these."""

    QUEUED = "queued"
    BUYING = "buying"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    RECEIVED = "received"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Settlement(StrEnum):
    """What became of the money."""

    NONE = "none"
    PENDING = "pending"
    FINISHED = "finished"
    REFUNDED = "refunded"
    UNCONFIRMED = "unconfirmed"
    CHARGED = "charged"


class ErrorCode(StrEnum):
    """Why an order failed."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    NO_NUMBERS = "no_numbers"
    PROVIDER_AUTH = "provider_auth"
    PROVIDER_BANNED = "provider_banned"
    PROVIDER_REJECTED = "provider_rejected"
    PURCHASE_UNKNOWN = "purchase_unknown"
    ORDER_LOST = "order_lost"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    PRICE_ABOVE_MAX = "price_above_max"
    PRICE_UNKNOWN = "price_unknown"
    SPEND_PER_DAY = "spend_per_day"
    RENEWAL_UNKNOWN = "renewal_unknown"


class RentalStatus(StrEnum):
    """Where a rental stands."""

    QUEUED = "queued"
    BUYING = "buying"
    ACTIVE = "active"
    ENDED = "ended"
    FAILED = "failed"


class EventStatus(StrEnum):
    """How far the delivery of an event has come; `recorded`: nobody is pushed, it is only read."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GONE = "gone"
    EXHAUSTED = "exhausted"
    RECORDED = "recorded"


class EventType(StrEnum):
    """What an event tells."""

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


_ENDED_ORDERS = {OrderStatus.RECEIVED, OrderStatus.EXPIRED, OrderStatus.CANCELLED, OrderStatus.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What every answer has: `extra` keeps the fields that this version does not know."""

    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Model):
    """What a worker read at the provider: when, and whether that is too long ago to be relied on."""

    as_of: datetime | None = None
    stale: bool = True
    reason: str | None = None
    """Why the last attempt failed, if it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Model):
    """Why an order or a rental failed."""

    code: str
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Model):
    """An order. What its product does not have is None.

    `price` and `max_price` are PKR. `etag` is the version that was read, for `orders.get(…, known=order)`.
    """

    id: str
    status: str
    product: str = "cheap"
    server: str | None = None
    type: str | None = None
    service: str | None = None
    country: str | None = None
    domain: str | None = None
    number: str | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)
    price: Decimal | None = None
    max_price: Decimal | None = None
    otp: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    purpose: str | None = None
    settlement: str = Settlement.PENDING
    error: Failure | None = None
    flags: tuple[str, ...] = ()
    created_at: datetime
    bought_at: datetime | None = None
    expires_at: datetime | None = None
    received_at: datetime | None = None
    ended_at: datetime | None = None
    etag: str | None = field(default=None, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more but the settlement."""
        return self.ended_at is not None or self.status in _ENDED_ORDERS

    @property
    def contact(self) -> str | None:
        """What the code is sent to: the number, or the address."""
        return self.number or self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental(Model):
    """A rented number. `messages` is how many were told so far; `price` is PKR."""

    id: str
    status: str
    pricing: str | None = None
    country: str | None = None
    provider: str | None = None
    number: str | None = field(default=None, repr=False)
    price: Decimal | None = None
    max_price: Decimal | None = None
    messages: int = 0
    callback_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    purpose: str | None = None
    settlement: str = Settlement.NONE
    error: Failure | None = None
    flags: tuple[str, ...] = ()
    created_at: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Model):
    """A message that a rented number received."""

    id: str
    code: str | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalCountry(Model):
    """A country in which numbers are rented out."""

    code: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalPrice(Model):
    """An offer: `id` is what an order for a rental gives as `pricing`; `duration` is in hours, `price` in PKR."""

    id: str
    service: str | None = None
    price: Decimal | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Model):
    """One attempt to deliver a webhook; `duration` is in seconds, `response` is how the answer began."""

    at: datetime
    status_code: int | None = None
    error: str | None = None
    duration: float = 0.0
    response: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Model):
    """An event as the service keeps it, and how its delivery goes.

    `payload` (the exact text) and `headers` (the three that sign it) are there only where they were asked for.
    """

    id: str
    type: str
    order: str | None = None
    rental: str | None = None
    callback_url: str | None = field(default=None, repr=False)
    status: str = EventStatus.PENDING
    created_at: datetime
    next_attempt_at: datetime | None = None
    tried_until: datetime | None = None
    """The earliest time of its last attempt, if all before it fail; None if no attempt is due."""
    attempts: tuple[Attempt, ...] = ()
    payload: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReason(Model):
    """Why buying is paused; `probe_at` is when it is next looked whether the reason is gone.

    `item` is what alone is paused, its product and fields; None when everything is.
    """

    reason: str
    item: str | None = None
    since: datetime | None = None
    probe_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Buying(Model):
    """Whether anything is bought just now."""

    paused: bool = False
    reasons: tuple[PauseReason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Reading):
    """The provider's balance as it was last read; `balance` is None where it never was."""

    balance: Decimal | None = None
    currency: str = "PKR"
    buying: Buying = field(default_factory=Buying)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Model):
    """A server of the provider, for cheap numbers."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers(Reading):
    """The servers of one type as they were last read; `servers` is None where they never were."""

    type: str | None = None
    servers: tuple[Server, ...] | None = field(default=None, metadata={ALSO: ("data",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Country(Model):
    """A country for numbers of one type: its id means something to that type alone."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Countries(Reading):
    """The countries of one type as they were last read; `countries` is None where they never were."""

    type: str | None = None
    countries: tuple[Country, ...] | None = field(default=None, metadata={ALSO: ("data",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Model):
    """A service that codes are bought for; `price` in PKR is None where it cannot be read, `count` is the stock."""

    code: str
    name: str | None = None
    price: Decimal | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(Reading):
    """The services of a product as they were last read; `services` is None where they never were."""

    product: str | None = None
    type: str | None = None
    country: str | None = None
    domain: str | None = None
    services: tuple[Service, ...] | None = field(default=None, metadata={ALSO: ("data",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(Model):
    """A product that may be ordered, the fields of its orders, and whether the vendor's page documents it."""

    product: str = field(metadata={ALSO: ("id", "name")})
    fields: Any = ()
    verified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Products(Model):
    """The products that may be ordered."""

    products: tuple[Product, ...] = field(default=(), metadata={ALSO: ("data",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalCountries(Reading):
    """Where a provider rents numbers out, as it was last read; None where it never was."""

    provider: str | None = None
    countries: tuple[RentalCountry, ...] | None = field(default=None, metadata={ALSO: ("data",)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalPrices(Reading):
    """The offers in a country, as they were last read; None where they never were."""

    country: str | None = None
    provider: str | None = None
    prices: tuple[RentalPrice, ...] | None = field(default=None, metadata={ALSO: ("data",)})
