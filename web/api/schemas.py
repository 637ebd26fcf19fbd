"""What goes in and what comes out, field by field: checked on the way in, documented both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

import worker.event
from worker.compact_json import text_json
from worker.event import EventStatus
from worker.order import ErrorCode, EventType, Settlement, Status
from worker.rental import RentalStatus

ORDER_ID = r"^ord_[0-9a-f]{24}$"
RENTAL_ID = r"^rnt_[0-9a-f]{24}$"
MESSAGE_ID = r"^msg_[0-9a-f]{24}$"
EVENT_ID = r"^evt_[0-9a-f]{24}$"
PRINTABLE = r"^[!-~]([ -~]*[!-~])?$"
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
FORWARD = "after."
"""What the cursor of a walk forward begins with: it goes on in its direction wherever it is sent."""
EVENT_CURSOR = r"^(after\.)?evt_[0-9a-f]{24}$"
EVENT_OR_FIRST = r"^((after\.)?evt_[0-9a-f]{24})?$"
MOST_METADATA = 4096
"""Bytes of metadata, as compact JSON in UTF-8."""
DEEPEST_METADATA = 16
"""Objects and arrays inside one another, the outermost counted."""
LONGEST_WAIT = 60
"""Seconds for which an answer may be held back."""


def _is_deeper(value: Any, most: int) -> bool:
    """Whether more than `most` objects and arrays lie inside one another. Level by level: a stack could overflow."""
    level = [value]
    for _ in range(most):
        boxes = [box.values() if isinstance(box, dict) else box for box in level if isinstance(box, dict | list)]
        level = [one for box in boxes for one in box]
    return any(isinstance(one, dict | list) for one in level)


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _is_deeper(value, DEEPEST_METADATA):
        raise PydanticCustomError("too_deep", "must be nested at most 16 levels deep")
    try:
        size = len(text_json(value).encode())
    except UnicodeEncodeError:
        raise PydanticCustomError("bad_text", "contains text that is not valid Unicode") from None
    if size > MOST_METADATA:
        raise PydanticCustomError("too_large", "must be at most 4 KiB as compact JSON")
    return value


def _price(text: str) -> str:
    if re.fullmatch(PRICE.strip("^$"), text, re.ASCII) is None:
        raise PydanticCustomError("bad_amount", 'must be an amount in PKR as a string, like "45.50"')
    return text


def _moment(text: Any) -> datetime:
    """RFC 3339 by the letter: what a reader might take for something else is refused."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None or re.fullmatch(MOMENT, text, re.ASCII) is None:
        raise PydanticCustomError("bad_moment", "must be a time like 2026-11-22T10:00:00Z (RFC 3339)")
    return moment


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


def _whole_number(value: Any) -> Any:
    """JSON knows one kind of number: `24.0` is `24`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Name = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
CODE = r"^[0-9A-Za-z._-]+$"
Code = Annotated[str, Field(min_length=1, max_length=64, pattern=CODE)]
DOMAIN = r"^[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?$"
Domain = Annotated[str, Field(min_length=1, max_length=253, pattern=DOMAIN)]
SmsType = Literal["1", "2", "3", "4", "5", "6"]
PRICE = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"
Price = Annotated[str, AfterValidator(_price), Field(json_schema_extra={"pattern": PRICE})]
MAX_PRICE: Any = Field(None, description="the most that may be paid, a decimal in PKR as a string", examples=["50.00"])
Url = Annotated[str, Field(max_length=2048, json_schema_extra={"pattern": "^https?://[!-~]+$"})]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
Whole = BeforeValidator(_whole)
Wait = Annotated[int, Field(strict=True, ge=0, le=LONGEST_WAIT), Whole]
OrderId = Annotated[str, Field(pattern=ORDER_ID, description="an order's id")]
RentalId = Annotated[str, Field(pattern=RENTAL_ID, description="a rental's id")]
MessageId = Annotated[str, Field(pattern=MESSAGE_ID, description="a message's id")]
EventId = Annotated[str, Field(pattern=EVENT_ID, description="an event's id, its `webhook-id`")]
EventCursor = Annotated[str, Field(pattern=EVENT_CURSOR)]
EventOrFirst = Annotated[str, Field(pattern=EVENT_OR_FIRST)]
Limit = Annotated[int, Field(strict=True, ge=1, le=100, description="how many at most"), Whole]
MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
Instant = Annotated[datetime, BeforeValidator(_moment)]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]

# What several answers have in common.
AsOf = Annotated[Moment | None, Field(description="when a worker last read it; null if never")]
Stale = Annotated[bool, Field(description="true if the last attempt to read it failed, or three were missed")]
Why = Annotated[
    str | None,
    Field(description="why the last attempt failed: `provider_unreachable`, `unreadable`, or the provider's own word"),
]
NEXT_PAGE: Any = Field(description="the value of `cursor` for the next page; null on the last page")
UNREADABLE: Any = Field(None, description="left out: their records cannot be read at the moment")
FAILURE: Any = Field(description="the cause, for programs")
FAILURE_IN_WORDS: Any = Field(description="the cause in words, possibly the provider's")
MOST_PAID: Any = Field(description="the most that may be paid, a decimal in PKR")
CALLBACK: Any = Field(description="where its webhooks go; if null, its events can only be read")
OWN_METADATA: Any = Field(description="returned unchanged")
OWN_PURPOSE: Any = Field(description="its label, as given")
FLAGGED: Any = Field(description="what was unusual; normally empty")


class Incoming(BaseModel):
    """The base of what requests contain: nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Judge(Protocol):
    """Knows what a field's form does not tell; raises PydanticCustomError. It is a validation's context."""

    def server(self, server: str, type: str) -> None:
        """Let a server pass that the provider has."""

    def callback(self, url: str | None) -> str | None:
        """The callback that counts: the one given, or the caller's own, or none."""


def _judged_callback(url: str | None, info: ValidationInfo) -> str | None:
    judge: Judge | None = info.context
    return judge.callback(url) if judge else url


class PurchaseBody(Incoming):
    """The fields that orders and rentals share."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    callback_url: Url | None = Field(
        None,
        validate_default=True,
        description="where the webhooks go; by default the caller's own callback. With neither, nothing is pushed "
        "and the events can only be read",
    )
    metadata: Metadata | None = Field(
        None, description="returned unchanged; at most 4 KiB and 16 levels deep", examples=[{"user": "42"}]
    )
    purpose: str | None = Field(None, max_length=100, pattern=ONE_LINE, description="a short label")

    _judged = field_validator("callback_url")(_judged_callback)


class Ping(Incoming):
    """The fields of a ping; the body is optional."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    callback_url: Url | None = Field(
        None, description="where the ping goes, and the callback that its response proves; by default the caller's own"
    )

    _judged = field_validator("callback_url")(_judged_callback)


class OrderBody(PurchaseBody):
    """The fields that orders of all products share."""

    product: str
    timeout: float | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False,
        description="seconds after the purchase at which an order without a code is cancelled",
    )  # fmt: skip


class CheapOrder(OrderBody):
    """A cheap number from one of the provider's servers."""

    product: Literal["cheap"] = Field("cheap", description="the product")
    type: Literal["1", "2"] = Field(description="the provider's type of number", examples=["1"])
    server: Name = Field(description="the provider's server, by its id (see /v1/servers)", examples=["1"])

    @field_validator("server")
    @classmethod
    def _listed(cls, server: str, info: ValidationInfo) -> str:
        judge: Judge | None = info.context
        if judge and "type" in info.data:
            judge.server(server, info.data["type"])
        return server


class SmsOrder(OrderBody):
    """A number for one service in one country."""

    product: Literal["sms"] = Field(description="the product")
    service: Code = Field(description="the service, by its code", examples=["tg"])
    country: Code = Field(description="the country, by its id", examples=["33"])
    type: SmsType = Field(description="the upstream, 1 to 6; each has its own countries and services", examples=["4"])
    max_price: Price | None = MAX_PRICE


class EmailOrder(OrderBody):
    """An email address for one service."""

    product: Literal["email"] = Field(description="the product")
    service: Code = Field(description="the service, by its code", examples=["tg"])
    domain: Domain = Field(description="the domain of the address", examples=["gmail.com"])
    max_price: Price | None = MAX_PRICE


class NewOrder(RootModel[CheapOrder | SmsOrder | EmailOrder]):
    """A new order; its fields depend on its `product`."""


ORDER_BODIES: Mapping[str, type[OrderBody]] = {"cheap": CheapOrder, "sms": SmsOrder, "email": EmailOrder}
"""What an order says, by its product."""
ORDER_EXAMPLES: Mapping[str, dict[str, Any]] = {
    "cheap": {"server": "1", "type": "1", "metadata": {"user": 42}},
    "sms": {"product": "sms", "service": "tg", "country": "33", "type": "4", "max_price": "50.00"},
    "email": {"product": "email", "service": "tg", "domain": "gmail.com", "max_price": "30.00"},
}


def product_fields(product: str) -> list[str]:
    """The fields that an order of a product, or a rental, has and others have not."""
    body = ORDER_BODIES.get(product, NewRental)
    return [name for name in body.model_fields if name not in OrderBody.model_fields]


class NewRental(PurchaseBody):
    """A number to be rented for hours or days."""

    pricing: Code = Field(description="the offer, by its id in GET /v1/rental-prices", examples=["101"])
    country: Code = Field(description="the country in which the offer is listed, by its code", examples=["PK"])
    provider: Code = Field("1", description="the provider's own supplier", examples=["1"])
    max_price: Price | None = MAX_PRICE


RENTAL_EXAMPLES: Mapping[str, dict[str, Any]] = {
    "rental": {"pricing": "101", "country": "PK", "provider": "1", "max_price": "400.00"},
}


class Renewal(Incoming):
    """By how much to extend a rental."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    duration: Annotated[int, BeforeValidator(_whole_number)] = Field(ge=1, le=8_784, description="hours", examples=[24])
    max_price: Price | None = MAX_PRICE


RENEWAL_EXAMPLES: Mapping[str, dict[str, Any]] = {"renewal": {"duration": 24, "max_price": "400.00"}}


class RenewalHeaders(Incoming):
    """Headers of a renewal."""

    idempotency_key: str = Field(
        alias="Idempotency-Key", min_length=1, max_length=255, pattern=PRINTABLE,
        description="the same key never renews twice while the rental is kept",
    )  # fmt: skip


class OrderHeaders(Incoming):
    """Headers of a new order."""

    idempotency_key: str | None = Field(
        None, alias="Idempotency-Key", min_length=1, max_length=255, pattern=PRINTABLE,
        description="for 24 hours, the same key with the same body returns the first response again",
    )  # fmt: skip


class OrderPath(BaseModel):
    """An order's id."""

    order_id: OrderId


class RentalPath(BaseModel):
    """A rental's id."""

    rental_id: RentalId


class RentalsQuery(Incoming):
    """Which rentals to list."""

    status: RentalStatus | None = Field(None, description="only rentals in this state")
    limit: Limit = 20
    cursor: RentalId | None = Field(None, description="`next_cursor` of the page before")


class MessagesQuery(Incoming):
    """Which messages to list."""

    after: MessageId | None = Field(None, description="only messages reported after this one")
    limit: Limit = 20
    cursor: MessageId | None = Field(None, description="`next_cursor` of the page before")


class EventPath(BaseModel):
    """An event's id."""

    event_id: EventId


class NewOrderQuery(Incoming):
    """How to place an order."""

    wait: Wait = Field(
        0, description="wait up to this many seconds for the order to get its number or to end (0 to 60)"
    )


class OrderQuery(Incoming):
    """How to ask for an order."""

    wait: Wait = Field(0, description="wait up to this many seconds for the order to change (0 to 60)")
    wait_for: Literal["number", "end", "change"] = Field(
        "change",
        description="what `wait` waits for: `number` (the order has one, or has ended), `end`, or `change` (the order "
        "differs from `If-None-Match`, or without that header from what it was at the time of the request)",
    )


class OrderReadHeaders(Incoming):
    """Headers of reading an order."""

    if_none_match: str | None = Field(
        None,
        alias="If-None-Match",
        description="the `ETag` of the last response; if the order has not changed since, the response is a 304",
    )


class OrdersQuery(Incoming):
    """Which orders to list."""

    status: Status | None = Field(None, description="only orders in this state")
    limit: Limit = 20
    cursor: OrderId | None = Field(None, description="`next_cursor` of the page before")


class EventsQuery(Incoming):
    """Which events to list."""

    order: OrderId | None = Field(None, description="only this order's")
    status: EventStatus | None = Field(None, description="only events in this state")
    type: EventType | None = Field(None, description="only events of this type")
    since: Instant | None = Field(None, description="only events created at this time or later")
    until: Instant | None = Field(None, description="only events created before this time")
    failing: Literal["true", "false"] = Field(
        "false", description="only events whose last attempt failed, whether they are retried or were given up"
    )
    limit: Limit = 20
    cursor: EventCursor | None = Field(None, description="`next_cursor` of the page before; it keeps its direction")
    after: EventOrFirst | None = Field(
        None, description="only events after this one, oldest first; if empty, from the oldest that is kept"
    )
    wait: Wait = Field(0, description="wait up to this many seconds for an event to show (0 to 60)")
    payload: Literal["true", "false"] = Field(
        "false",
        description="add `payload` (the exact text) and `headers` (signed at the time of reading) to each event",
    )

    def fits(self, event: worker.event.Event) -> bool:
        """Whether an event is among those asked for."""
        return (
            self.order in (None, event.order)
            and self.status in (None, event.status)
            and self.type in (None, event.type)
            and (self.since is None or event.created_at >= self.since.timestamp())
            and (self.until is None or event.created_at < self.until.timestamp())
            and (self.failing == "false" or event.failing)
        )


class Refresh(Incoming):
    """Whether to refresh the reading."""

    refresh: Literal["true", "false"] = Field(
        "false", description="ask a worker to read it again, and wait up to 5 seconds for the result"
    )


class ServersQuery(Refresh):
    """Which servers to list."""

    type: Literal["1", "2"] = Field("1", description="the provider's type of number")


class Ready(Incoming):
    """What readiness includes."""

    workers: Literal["true", "false"] = Field(
        "false", description="also check whether a worker's clock has ticked in the last 10 seconds"
    )


class CountriesQuery(Refresh):
    """Which countries to list."""

    type: SmsType = Field("1", description="the upstream, 1 to 6")


class ServicesQuery(Refresh):
    """Which services to list; the required fields depend on the product."""

    product: Literal["sms", "email"] = Field("sms", description="the product whose services to list")
    country: Code | None = Field(None, description="for `sms`: the country, by its id")
    type: SmsType | None = Field(None, description="for `sms`: the upstream, 1 to 6")
    domain: Domain | None = Field(None, description="for `email`: the domain of the address")


class RentalCountriesQuery(Refresh):
    """Which rental countries to list."""

    provider: Code = Field("1", description="the provider's own supplier")


class RentalPricesQuery(RentalCountriesQuery):
    """Which rental offers to list."""

    country: Code = Field(description="the country, by its code")


class OrderError(BaseModel):
    """Why an order failed."""

    code: ErrorCode = FAILURE
    message: str | None = FAILURE_IN_WORDS


class Order(BaseModel):
    """An order."""

    id: OrderId
    product: str = Field(description="what was ordered: `cheap`, `sms` or `email`", examples=["cheap"])
    status: Status = Field(description="its state; final once `ended_at` is set")
    server: str | None = Field(description="for `cheap`: the provider's server")
    type: str | None = Field(description="for `cheap` and `sms`: the provider's type of number")
    service: str | None = Field(description="for `sms` and `email`: what the code is for")
    country: str | None = Field(description="for `sms`: the country of the number")
    domain: str | None = Field(description="for `email`: the domain of the address")
    number: str | None = Field(
        description="the number, once it is bought; null for `email`", examples=["+923001234567"]
    )
    address: str | None = Field(description="an email address; erased in time, then `flags` has `address_erased`")
    price: str | None = Field(description="what was paid, a decimal in PKR; null if the provider names no price")
    max_price: str | None = MOST_PAID
    otp: str | None = Field(description="the code; erased in time, then `flags` has `otp_erased`")
    callback_url: str | None = CALLBACK
    metadata: dict[str, Any] = OWN_METADATA
    purpose: str | None = OWN_PURPOSE
    settlement: Settlement = Field(description="what happened to the money; may still change after the end")
    error: OrderError | None = Field(description="why it failed; null unless `status` is `failed`")
    flags: list[str] = FLAGGED
    created_at: Moment = Field(description="when it was accepted")
    bought_at: Moment | None = Field(description="when the number or address was bought")
    expires_at: Moment | None = Field(description="when the provider takes the number or address back")
    received_at: Moment | None = Field(description="when the code came")
    ended_at: Moment | None = Field(description="when it ended; null while it is under way")


class Orders(BaseModel):
    """A page of orders, newest first. A page may be short; on the last one `next_cursor` is null."""

    data: list[Order] = Field(description="the orders of this page")
    next_cursor: OrderId | None = NEXT_PAGE
    unreadable: list[OrderId] | None = UNREADABLE


class RentalError(BaseModel):
    """Why a rental or its last renewal failed."""

    code: ErrorCode = FAILURE
    message: str | None = FAILURE_IN_WORDS


class Rental(BaseModel):
    """A rented number."""

    id: RentalId
    status: RentalStatus = Field(description="its state; final once `ended_at` is set")
    pricing: str = Field(description="the id of the offer that was taken")
    country: str = Field(description="the country in which the offer is listed, by its code")
    provider: str = Field(description="the provider's own supplier")
    number: str | None = Field(description="the number, once it is rented", examples=["+923001234567"])
    price: str | None = Field(description="what was paid without renewals, a decimal in PKR; null if unknown")
    max_price: str | None = MOST_PAID
    messages: int = Field(description="how many messages have been reported so far")
    callback_url: str | None = CALLBACK
    metadata: dict[str, Any] = OWN_METADATA
    purpose: str | None = OWN_PURPOSE
    settlement: Literal["none", "charged", "unconfirmed"] = Field(description="what happened to the money")
    error: RentalError | None = Field(description="why it or its last renewal failed; otherwise null")
    flags: list[str] = FLAGGED
    created_at: Moment = Field(description="when it was accepted")
    starts_at: Moment | None = Field(description="when the number was rented")
    ends_at: Moment | None = Field(description="moves with a renewal that the provider confirmed")
    ended_at: Moment | None = Field(description="when it ended or failed; null while it is under way")


class Rentals(BaseModel):
    """A page of rentals, newest first. A page may be short; on the last one `next_cursor` is null."""

    data: list[Rental] = Field(description="the rentals of this page")
    next_cursor: RentalId | None = NEXT_PAGE


class Message(BaseModel):
    """A message that a rented number received. Its code, text and sender are erased in time, and then null."""

    id: MessageId
    code: str | None = Field(description="the code in it, if the provider found one")
    text: str | None = Field(description="the whole message, if the provider shows it")
    sender: str | None = Field(description="who sent it, if the provider says so")
    received_at: Moment = Field(description="the message's date or, if unknown, when it was first read")


class Messages(BaseModel):
    """A page of messages, in the sequence in which they were reported."""

    data: list[Message] = Field(description="the messages of this page")
    next_cursor: MessageId | None = NEXT_PAGE


class Attempt(BaseModel):
    """One attempt to deliver a webhook."""

    at: Moment = Field(description="when it began")
    status_code: int | None = Field(description="the HTTP status of the response; null if there was none")
    error: str | None = Field(description="the class of error if there was no response, or it could not count")
    duration: float = Field(description="seconds from connecting to the last byte of the response")
    response: str = Field(description="the beginning of the response, 1 KiB at most")


class Event(BaseModel):
    """A webhook with all its attempts."""

    id: EventId
    type: str = Field(description="what happened", examples=["order.otp_received"])
    order: OrderId | None = Field(description="the order that it is about, if any")
    rental: RentalId | None = Field(description="the rental that it is about, if any")
    callback_url: str | None = Field(description="where it is sent; null if it can only be read")
    status: EventStatus = Field(description="the state of its delivery")
    created_at: Moment = Field(description="when it was created")
    next_attempt_at: Moment | None = Field(description="when it is tried next; null if no attempt is due")
    tried_until: Moment | None = Field(
        description="the earliest time of its last attempt, if all before it fail; null if no attempt is due"
    )
    attempts: list[Attempt] = Field(description="the attempts so far, oldest first; the latest 50 are kept")
    payload: str | None = Field(None, description="with `payload=true`: the exact body that is signed")
    headers: dict[str, str] | None = Field(
        None, description="with `payload=true`: `webhook-id`, `webhook-timestamp` and `webhook-signature`"
    )


class Events(BaseModel):
    """A page of events: newest first, or oldest first with `after`."""

    data: list[Event] = Field(description="the events of this page; it may be short or empty with more to follow")
    next_cursor: EventCursor | None = NEXT_PAGE
    unreadable: list[EventId] | None = UNREADABLE


class PauseReason(BaseModel):
    """Why buying is paused."""

    reason: str = Field(description="the cause", examples=["insufficient_balance"])
    item: str | None = Field(description="the only item paused (product and fields); null if all buying is paused")
    since: Moment | None = Field(description="when the pause began, if known")
    probe_at: Moment | None = Field(description="when the next check is due whether the reason is gone")


class Buying(BaseModel):
    """Whether numbers are being bought at the moment."""

    paused: bool = Field(description="whether all buying is paused; if not, single items may still be")
    reasons: list[PauseReason] = Field(description="every current pause, of all buying or of one item")


class Balance(BaseModel):
    """The provider's balance, as a worker last read it."""

    balance: str | None = Field(description="a decimal; null if it was never read", examples=["500.00"])
    currency: Literal["PKR"] = Field(description="Pakistani rupees")
    as_of: AsOf
    stale: Stale
    reason: Why = None
    buying: Buying = Field(description="whether numbers are being bought at the moment")


class Server(BaseModel):
    """A server of the provider."""

    id: str = Field(description="the value of an order's `server`")
    name: str = Field(description="the provider's name for it")


class Servers(BaseModel):
    """The provider's servers for one type, as a worker last read them."""

    type: str = Field(description="the requested type")
    servers: list[Server] | None = Field(description="null when they were never read")
    as_of: AsOf
    stale: Stale
    reason: Why = None


class RentalCountry(BaseModel):
    """A country in which numbers can be rented."""

    code: str = Field(description="the value of a rental's `country`")
    name: str = Field(description="the provider's name for it")


class RentalCountries(BaseModel):
    """The countries in which numbers can be rented, as a worker last read them."""

    provider: str = Field(description="the requested supplier of the provider")
    countries: list[RentalCountry] | None = Field(description="null when they were never read")
    as_of: AsOf
    stale: Stale
    reason: Why = None


class RentalPrice(BaseModel):
    """A rental offer."""

    id: str = Field(description="the value of a rental's `pricing`")
    service: str = Field(description="what the number is for, in the provider's words")
    price: str | None = Field(description="a decimal in PKR; null if it cannot be read", examples=["350.00"])
    duration: float | None = Field(description="hours; null if unreadable", examples=[24])


class RentalPrices(BaseModel):
    """What can be rented in a country, as a worker last read it."""

    country: str = Field(description="the requested country")
    provider: str = Field(description="the requested supplier of the provider")
    prices: list[RentalPrice] | None = Field(description="null when they were never read")
    as_of: AsOf
    stale: Stale
    reason: Why = None


class FieldError(BaseModel):
    """One bad field."""

    field: str = Field(description="its name, with dots for nested fields", examples=["callback_url"])
    code: str = Field(description="what is wrong, for programs", examples=["not_https"])
    message: str = Field(description="what is wrong, for people", examples=["must use https"])


class Country(BaseModel):
    """A country of the provider."""

    id: str = Field(description="the value of `country` in an order of the same type")
    name: str = Field(description="the provider's name for it")


class Countries(BaseModel):
    """The countries of one type, as a worker last read them."""

    type: str = Field(description="the requested type; ids are only valid for this type")
    countries: list[Country] | None = Field(description="null when they were never read")
    as_of: AsOf
    stale: Stale
    reason: Why = None


class Service(BaseModel):
    """A service that a number or an address can be bought for."""

    code: str = Field(description="the value of an order's `service`")
    name: str = Field(description="the provider's name for it")
    price: str | None = Field(description="a decimal in PKR; null if it cannot be read", examples=["45.00"])
    count: int | None = Field(description="how many are available; null if the provider does not say")


class Services(BaseModel):
    """The services of one product for a country and type, or a domain, as a worker last read them."""

    product: str = Field(description="the requested product")
    country: str | None = Field(description="for `sms`: the requested country")
    type: str | None = Field(description="for `sms`: the requested type")
    domain: str | None = Field(description="of `email`: the domain that was asked for")
    services: list[Service] | None = Field(description="null when they were never read")
    as_of: AsOf
    stale: Stale
    reason: Why = None


class Product(BaseModel):
    """A product that may be ordered here."""

    product: str = Field(description="the value of an order's `product`")
    fields: list[str] = Field(description="the fields of its orders")
    verified: bool = Field(description="whether the vendor's page documents it")


class Products(BaseModel):
    """The products that may be ordered here."""

    data: list[Product] = Field(description="the products; those that are not listed are a 422")


class Problem(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str = Field(description="always `about:blank`: go by `code`")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    code: str = Field(description="stable; for programs")
    detail: str = Field(description="what happened, for people; the text may change")
    errors: list[FieldError] | None = Field(None, description="every bad field of a 422")


class Health(BaseModel):
    """The service's health."""

    status: Literal["ok", "ready"] = Field(description="`ok`: the process is alive; `ready`: it can serve requests")
