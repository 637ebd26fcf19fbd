"""Orders, rentals and events as the store keeps them: what scripts need stands open, all else is sealed JSON.

A record says by which format it was written (an attempt goes by its event's). Fields and words that this version does
not know are kept and written back, so that two versions may work on one store (docs/upgrading.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

from worker.caller import Caller, Caps, Secret
from worker.event import Attempt, Event, EventStatus
from worker.metrics import NEEDS_A_PERSON, Report
from worker.operator import Operator, Role
from worker.order import Acquisition, Ending, ErrorCode, Order, Purchase, Settlement, Status
from worker.reading import LISTING_EVERY, MISSED, PROVIDER_UNREACHABLE, Reading
from worker.rental import Message, Renewal, RenewalState, Rental, RentalStatus
from worker.schedule import ORDER_LANES, Lane, Wake
from worker.store import figures, keys
from worker.store.vault import Damaged, Place, Unreadable, Vault

FORMAT = 2
"""The format of the records that this version writes, and the newest that it reads.

1 had no number and was bound to no place. A further field or word is no new format: readers keep what they do not know.
"""

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)


class RecordTooNew(Unreadable):
    """A record was written by a newer version, in a format that this one does not know."""


_DEFAULTS: Mapping[type[Acquisition], Mapping[str, Any]] = {
    kind: {f.name: f.default for f in fields(kind) if f.name != "beyond"} for kind in (Order, Rental)
}
_ENUMS: dict[str, type[StrEnum]] = {
    "settlement": Settlement,
    "error": ErrorCode,
    "ending": Ending,
}
_AMOUNTS = ("max_price", "quote", "counted")
_OUTSIDE = ("id", "caller", "status", "version")
SPEND_UNITS = 10_000
"""Units in which scripts count a PKR against a spend cap: whole numbers, so that nothing is lost in adding them up."""


class Written(StrEnum):
    """What became of a save."""

    SAVED = "saved"
    CONFLICT = "conflict"
    """Somebody else changed the order in between: read it anew."""
    MISSING = "missing"
    DUPLICATE = "duplicate"
    """The provider's id belongs to another order."""
    OVER_CAP = "over_cap"
    """The caller's spend cap would be exceeded; nothing was written."""


def ms(seconds: float) -> int:
    """Epoch seconds as the scores' milliseconds."""
    return round(seconds * 1000)


def pack(order: Acquisition, vault: Vault) -> bytes:
    """The sealed part of the record of an order or a rental; fields at their defaults are left out."""
    defaults = _DEFAULTS[type(order)]
    record = {
        name: value
        for name in defaults
        if name not in _OUTSIDE and (value := getattr(order, name)) != defaults[name] and value not in ({}, ())
    }
    if order.purchase is not None:
        record["purchase"] = _set(order.purchase)
    if isinstance(order, Rental):
        record |= {"messages": [_set(message) for message in order.messages]} if order.messages else {}
        record |= {"renewal": _set(order.renewal)} if order.renewal else {}
    return _sealed(record | dict(order.beyond), vault, Place("order", order.id, order.caller))


def _set(value: Any) -> dict[str, Any]:
    """The fields of a value that are set."""
    return {name: one for name, one in _fields(value).items() if one is not None}


def unpack(order_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> Order:
    """An order from its hash and its sealed record."""
    record = _unpacked(order_id, stored, sealed, vault)
    return _made(Order, record, status=word(Status, stored[b"s"].decode()), **_outside(order_id, stored))


def unpack_rental(rental_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> Rental:
    """A rental from its hash and its sealed record."""
    record = _unpacked(rental_id, stored, sealed, vault)
    record["messages"] = tuple(_made(Message, one) for one in record.get("messages", ()))
    record["renewal_keys"] = tuple((key, body) for key, body in record.get("renewal_keys", ()))
    if renewal := record.get("renewal"):
        for name in renewal.keys() & {"max_price", "counted"}:
            renewal[name] = Decimal(renewal[name])
        renewal["state"] = word(RenewalState, renewal["state"])
        record["renewal"] = _made(Renewal, renewal)
    return _made(Rental, record, status=word(RentalStatus, stored[b"s"].decode()), **_outside(rental_id, stored))


def _outside(order_id: str, stored: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What stands outside the sealed record, but for the status."""
    return {"id": order_id, "caller": stored[b"c"].decode(), "version": int(stored[b"v"])}


def _unpacked(order_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> dict[str, Any]:
    """The fields of an order or a rental that its sealed record holds."""
    record = _opened(sealed, vault, Place("order", order_id, stored[b"c"].decode()))
    for name, enum in _ENUMS.items():
        if record.get(name) is not None:
            record[name] = word(enum, record[name])
    for name in _AMOUNTS:
        if name in record:
            record[name] = Decimal(record[name])
    if "flags" in record:
        record["flags"] = tuple(record["flags"])
    if purchase := record.get("purchase"):
        price = purchase.get("price")
        record["purchase"] = _made(Purchase, purchase, price=None if price is None else Decimal(price))
    record.setdefault("item", {})
    return record


def pack_event(event: Event, vault: Vault) -> bytes:
    """The sealed part of an event's record: its address, body and attempts (an answer may echo the code)."""
    record: dict[str, Any] = {
        "url": event.url,
        "body": event.body.decode(),
        "created_at": event.created_at,
        "tries": event.tries,
        "due_at": event.due_at,
        "attempts": [_fields(attempt) for attempt in event.attempts],
        **({"origin": event.origin} if event.origin else {}),
    }
    return _sealed(record | dict(event.beyond), vault, Place("event", event.id, event.caller))


def unpack_event(event_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> Event:
    """An event from its hash and its sealed record."""
    caller = stored[b"c"].decode()
    record = _opened(sealed, vault, Place("event", event_id, caller))
    record["body"] = record["body"].encode()
    record["attempts"] = tuple(_made(Attempt, attempt) for attempt in record["attempts"])
    return _made(
        Event, record, id=event_id, type=stored[b"t"].decode(), caller=caller, order=stored[b"o"].decode() or None,
        status=word(EventStatus, stored[b"s"].decode()), version=int(stored[b"v"]), sequence=int(stored[b"q"]),
    )  # fmt: skip


def pack_caller(caller: Caller, vault: Vault) -> bytes:
    """A caller's sealed record; its id and its version stand outside."""
    record = _fields(caller) | {
        "secrets": [_fields(secret) for secret in caller.secrets],
        "caps": _fields(caller.caps),
    }
    del record["id"], record["version"]
    return _sealed(record, vault, _place_of(caller.id))


def unpack_caller(caller_id: str, version: int, sealed: bytes, vault: Vault) -> Caller:
    """A caller from its sealed record."""
    record = _opened(sealed, vault, _place_of(caller_id))
    record["secrets"] = tuple(_made(Secret, one) for one in record["secrets"])
    spend = record["caps"].get("max_spend_per_day")
    record["caps"] = _made(Caps, record["caps"], max_spend_per_day=None if spend is None else Decimal(spend))
    record["verified"] = tuple(record.get("verified", ()))
    return _made(Caller, record, id=caller_id, version=version)


def _place_of(caller_id: str) -> Place:
    return Place("caller", caller_id, caller_id)


def pack_operator(operator: Operator, vault: Vault) -> bytes:
    """An operator's sealed record; its id and its version stand outside."""
    record = _fields(operator)
    del record["id"], record["version"]
    return _sealed(record, vault, Place("operator", operator.id, ""))


def unpack_operator(operator_id: str, version: int, sealed: bytes | None, vault: Vault) -> Operator:
    """An operator from its sealed record."""
    record = _opened(sealed, vault, Place("operator", operator_id, ""))
    record["role"] = word(Role, record["role"])
    return _made(Operator, record, id=operator_id, version=version)


def pack_answer(answer: bytes, caller_id: str, key: str, vault: Vault) -> bytes:
    """The first answer to an idempotency key (its digest), sealed."""
    return vault.seal(answer, Place("idempotency", key, caller_id))


def unpack_answer(sealed: bytes, caller_id: str, key: str, vault: Vault) -> bytes:
    """The first answer to an idempotency key."""
    return vault.open(sealed, Place("idempotency", key, caller_id))


def word(kind: type[Word], text: str) -> Word:
    """A word of ours, or one of tomorrow's: equal to none that is known here, and written back as it was."""
    try:
        return kind(text)
    except ValueError:
        unknown = str.__new__(kind, text)
        unknown._name_, unknown._value_ = text, text
        return unknown


_NAMES: Mapping[Any, tuple[str, ...]] = {
    kind: tuple(one.name for one in fields(kind) if one.name != "beyond")
    for kind in (Order, Rental, Message, Renewal, Event, Attempt, Caller, Caps, Secret, Purchase, Operator)
}


def _made(kind: Callable[..., T], record: Mapping[str, Any], **outside: Any) -> T:
    """A value from its record; what this version does not know of it goes along as `beyond`."""
    names = _NAMES[kind]
    known = {name: value for name, value in record.items() if name in names}
    beyond = {name: value for name, value in record.items() if name not in names}
    return kind(**(known | outside), beyond=beyond)


def _fields(value: Any) -> dict[str, Any]:
    """A value's fields as they are written, those beyond this version among them."""
    return {name: getattr(value, name) for name in _NAMES[type(value)]} | dict(value.beyond)


def _sealed(record: Mapping[str, Any], vault: Vault, place: Place) -> bytes:
    """A record as compact JSON. Half a surrogate pair, which JSON can spell and UTF-8 cannot, is kept all the same."""
    told = {"format": FORMAT, **record}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False, default=_amount)
    return vault.seal(text.encode("utf-8", "surrogatepass"), place)


def _amount(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a record holds no {type(value).__name__}")


def _opened(sealed: bytes | None, vault: Vault, place: Place) -> dict[str, Any]:
    """A record as its writer knew it. Raises Unreadable."""
    if sealed is None:
        raise Damaged("a stored record is missing")
    try:
        record: dict[str, Any] = json.loads(vault.open(sealed, place))
    except (ValueError, RecursionError):
        raise Damaged("a stored record is not valid JSON") from None
    written = record.pop("format", 1)
    if written > FORMAT:
        raise RecordTooNew(f"a stored record has format {written}; this version reads formats up to {FORMAT}")
    return record


def caller_call(before: Caller | None, after: Caller, vault: Vault) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `save_caller.lua`: a new caller (`before` is None), or a change of one."""
    script_keys = [
        keys.caller(after.id),
        keys.CALLERS,
        keys.api_key(before.key_hash) if before else "",
        keys.api_key(after.key_hash) if after.revoked_at is None else "",
    ]
    spend = after.caps.max_spend_per_day
    arguments = [after.id, before.version if before else 0, after.version, pack_caller(after, vault)]
    return script_keys, [*arguments, "" if spend is None else spend_units(spend), after.weight]


MOST_CALLERS_COUNTED = 100
"""Callers with metrics of their own; the others share one."""


def report_call(report: Report, *, last: bool) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `report.lua`; `last` says that the process ends."""
    script_keys = [
        keys.COUNTERS, keys.EXEMPLARS, keys.COUNTED_CALLERS, keys.LEVELS, keys.report(report.process), keys.COUNTED_AT,
        keys.FIGURES,
    ]  # fmt: skip
    levels = "" if last else json.dumps(report.levels)
    urgent = {name for name, amount in report.counts.items() if amount and name.partition("{")[0] in NEEDS_A_PERSON}
    first = sorted(report.counts, key=lambda name: name not in urgent)
    counts = {name: repr(float(report.counts[name])) for name in first}
    arguments: list[Any] = [
        report.process, report.number, levels, MOST_CALLERS_COUNTED, len(counts), len(urgent),
        f" {' '.join(figures.COUNTED)} ", figures.KEPT,
    ]  # fmt: skip
    return script_keys, arguments + flat(counts) + flat(report.exemplars)


LEVELS_FRESH = 5.0
"""Seconds after which the levels of a process that has gone silent no longer count."""


def levels(stored: Iterable[bytes], now: float) -> dict[str, float]:
    """How full all processes are together, from what each has told of late."""
    summed: dict[str, float] = {}
    for told in stored:
        at, _, values = told.partition(b" ")
        if now - int(at) / 1000 <= LEVELS_FRESH:
            for name, value in json.loads(values).items():
                summed[name] = summed.get(name, 0.0) + value
    return summed


def save_call(
    before: Acquisition,
    after: Acquisition,
    vault: Vault,
    *,
    writer: str,
    wake: Wake | None,
    events: Sequence[Event],
    journal: Mapping[str, str] | None,
    retention: float,
    journal_retention: float,
    otp_ttl: float,
) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `save.lua` for one change of an order or a rental."""
    script_keys = [
        keys.order(after.id),
        open_index(after),
        *(keys.due(lane) for lane in ORDER_LANES),
        keys.due(Lane.DELIVER),
        keys.caller(after.caller, "events"),
        keys.caller(after.caller, "sequence"),
        keys.JOURNAL,
        keys.ERASE,
        keys.activation(after.handle) if after.handle and not before.handle else "",
        _spent_key(before, after),
        keys.caller(after.caller),
        keys.TURNS,
        state_index(before),
        state_index(after),
        doubt_index(after) if before.doubtful is not after.doubtful else "",
    ]
    cancel_at = ms(after.purchase.cancel_at) if after.purchase else ""
    arguments: list[Any] = [
        before.version, writer, after.id, after.version, after.status.value, after.handle, cancel_at,
        pack(after, vault),
        wake.lane if wake else "", "" if wake is None or wake.at is None else ms(wake.at),
        "1" if wake and wake.after_poll else "", int(retention) or 1 if after.ended and not wake else "",
        _erase_at(before, after, otp_ttl), spend_units(after.counted) - spend_units(before.counted),
        "1" if after.doubtful else "", int(journal_retention) or 1, len(events),
    ]  # fmt: skip
    for event in events:
        head = [event.id, event.type, event.status.value, event.host, event.endpoint]
        arguments += [*head, pack_event(event, vault)]
    if journal:
        told = {"order": after.account, "caller": after.caller, "status": after.status.value}
        arguments += flat({**_worth(after), **journal, **told})
    return script_keys, arguments


def _worth(order: Acquisition) -> dict[str, str]:
    """What is bought and for how much, where that is known: the money is counted by it.

    A rental's lines name their own price, where they have one: each renewal has another.
    """
    if isinstance(order, Rental):
        return {"product": order.product}
    price = order.purchase.price if order.purchase else order.quote
    return {"product": order.product, **({} if price is None else {"price": str(price)})}


def index(order: Acquisition) -> str:
    """Where all of its kind and its caller stand."""
    return keys.caller(order.caller, keys.RENTALS if isinstance(order, Rental) else keys.ORDERS)


def open_index(order: Acquisition) -> str:
    """Where those of its kind and its caller stand that still need attention."""
    return keys.caller(order.caller, keys.OPEN_RENTALS if isinstance(order, Rental) else keys.OPEN_ORDERS)


def state_index(order: Acquisition) -> str:
    """Where those of its kind stand that are in its state."""
    return (keys.rentals_in if isinstance(order, Rental) else keys.orders_in)(order.status.value)


def doubt_index(order: Acquisition) -> str:
    """Where those of its kind stand whose money is in doubt."""
    return keys.DOUBTFUL_RENTALS if isinstance(order, Rental) else keys.DOUBTFUL


def _erase_at(before: Acquisition, after: Acquisition, otp_ttl: float) -> str:
    if not after.personal:
        return "0" if before.personal else ""
    if isinstance(after, Rental):
        known = len(before.messages) if isinstance(before, Rental) else 0
        new = [message.read_at for message in after.messages[known:] if message.personal]
        return str(ms(min(new) + otp_ttl)) if new else ""
    was, order = cast(Order, before), cast(Order, after)
    first = order.received_at or order.ended_at
    began = not was.ended or not was.personal or (was.otp is None and order.otp is not None)
    return str(ms(first + otp_ttl)) if first is not None and began else ""


def spend_units(amount: Decimal | None) -> int:
    """An amount as scripts count it; a part of a unit counts as a whole one."""
    if amount is None:
        return 0
    return int((amount * SPEND_UNITS).to_integral_value(rounding=ROUND_CEILING))


def _spent_key(before: Acquisition, after: Acquisition) -> str:
    """Where the caller's spend of the purchase's day is counted; empty when the change moves no money."""
    if after.counted == before.counted:
        return ""
    counted_at = (after if after.counted is not None else before).intended_at or 0.0
    return keys.spent(after.caller, counted_at)


def reading(what: str, stored: Sequence[bytes | None]) -> Reading:
    """A reading from its value, its moment and the moment of the last attempt (`keys.reading`)."""
    value, at, asked_at, why, away = stored
    told = PROVIDER_UNREACHABLE if away is not None else (why or b"").decode()
    return Reading(
        what,
        value.decode() if value is not None else None,
        int(at) / 1000 if at is not None else None,
        int(asked_at) / 1000 if asked_at is not None else None,
        told,
    )


def lowest_prices(stored: Mapping[bytes, bytes], now: float) -> dict[str, Decimal]:
    """By product, the lowest of the prices that are not stale at a moment (`keys.LOWEST_PRICES`)."""
    lowest: dict[str, Decimal] = {}
    for field, value in stored.items():
        product, (at, price) = field.decode().partition(" ")[0], value.decode().split()
        if now - int(at) / 1000 <= MISSED * LISTING_EVERY:
            lowest[product] = min(Decimal(price), lowest.get(product, Decimal(price)))
    return lowest


def details(stored: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """A hash of JSON objects by name."""
    return {name.decode(): json.loads(value) for name, value in stored.items()}


def flat(pairs: Mapping[str, str]) -> list[str]:
    """A mapping as Redis takes it: name, value, name, value."""
    return [part for pair in pairs.items() for part in pair]


def paired(values: Iterable[bytes]) -> dict[bytes, bytes]:
    """Redis' name, value, name, value as a mapping."""
    walk = iter(values)
    return dict(zip(walk, walk, strict=True))
