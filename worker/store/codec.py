"""Orders and events as the store keeps them: what scripts need stands open, everything else is sealed JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

from worker.caller import Caller, Caps, Secret
from worker.event import Attempt, Event, EventStatus
from worker.operator import Operator, Role
from worker.order import Ending, ErrorCode, Order, Purchase, Settlement, Status
from worker.reading import Reading
from worker.schedule import ORDER_LANES, Lane, Wake
from worker.store import keys
from worker.store.vault import Vault

_DEFAULTS = {f.name: f.default for f in fields(Order)}
_ENUMS: dict[str, type[Any]] = {
    "status": Status,
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


def pack(order: Order, vault: Vault) -> bytes:
    """The sealed part of an order's record; fields at their defaults are left out."""
    record = {
        name: value
        for name in _DEFAULTS
        if name not in _OUTSIDE and (value := getattr(order, name)) != _DEFAULTS[name] and value not in ({}, ())
    }
    if order.purchase is not None:
        record["purchase"] = {name: value for name, value in asdict(order.purchase).items() if value is not None}
    return vault.seal(_dumped(record))


def unpack(order_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> Order:
    """An order from its hash and its sealed record."""
    record = json.loads(vault.open(sealed))
    for name, enum in _ENUMS.items():
        if record.get(name) is not None:
            record[name] = enum(record[name])
    for name in _AMOUNTS:
        if name in record:
            record[name] = Decimal(record[name])
    if "flags" in record:
        record["flags"] = tuple(record["flags"])
    if "purchase" in record:
        record["purchase"] = _unpack_purchase(record["purchase"])
    record.setdefault("item", {})
    return Order(
        id=order_id,
        caller=stored[b"c"].decode(),
        status=Status(stored[b"s"].decode()),
        version=int(stored[b"v"]),
        **record,
    )


def _unpack_purchase(stored: dict[str, Any]) -> Purchase:
    price = stored.pop("price", None)
    return Purchase(**stored, price=None if price is None else Decimal(price))


def pack_event(event: Event, vault: Vault) -> bytes:
    """The sealed part of an event's record: its address, body and attempts (an answer may echo the code)."""
    record = {
        "url": event.url,
        "body": event.body.decode(),
        "created_at": event.created_at,
        "tries": event.tries,
        "due_at": event.due_at,
        "attempts": [asdict(attempt) for attempt in event.attempts],
    }
    return vault.seal(_dumped(record))


def unpack_event(event_id: str, stored: Mapping[bytes, bytes], sealed: bytes, vault: Vault) -> Event:
    """An event from its hash and its sealed record."""
    record = json.loads(vault.open(sealed))
    return Event(
        id=event_id,
        type=stored[b"t"].decode(),
        caller=stored[b"c"].decode(),
        order=stored[b"o"].decode() or None,
        status=EventStatus(stored[b"s"].decode()),
        version=int(stored[b"v"]),
        sequence=int(stored[b"q"]),
        url=record["url"],
        body=record["body"].encode(),
        created_at=record["created_at"],
        tries=record["tries"],
        due_at=record["due_at"],
        attempts=tuple(Attempt(**attempt) for attempt in record["attempts"]),
    )


def pack_caller(caller: Caller, vault: Vault) -> bytes:
    """A caller's sealed record; its id and its version stand outside."""
    record = asdict(caller)
    del record["id"], record["version"]
    return vault.seal(_dumped(record))


def unpack_caller(caller_id: str, version: int, sealed: bytes, vault: Vault) -> Caller:
    """A caller from its sealed record."""
    record = json.loads(vault.open(sealed))
    secrets = tuple(Secret(**one) for one in record.pop("secrets"))
    return Caller(id=caller_id, version=version, secrets=secrets, caps=_unpack_caps(record.pop("caps")), **record)


def _unpack_caps(stored: dict[str, Any]) -> Caps:
    spend = stored.pop("max_spend_per_day", None)
    return Caps(**stored, max_spend_per_day=None if spend is None else Decimal(spend))


def pack_operator(operator: Operator, vault: Vault) -> bytes:
    """An operator's sealed record; its id and its version stand outside."""
    record = asdict(operator)
    del record["id"], record["version"]
    return vault.seal(_dumped(record))


def unpack_operator(operator_id: str, version: int, sealed: bytes, vault: Vault) -> Operator:
    """An operator from its sealed record."""
    record = json.loads(vault.open(sealed))
    return Operator(id=operator_id, version=version, role=Role(record.pop("role")), **record)


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


def _dumped(record: object) -> bytes:
    """Compact JSON. Half a surrogate pair, which a caller's JSON can spell and UTF-8 cannot, is kept all the same."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, default=_amount)
    return text.encode("utf-8", "surrogatepass")


def _amount(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a record holds no {type(value).__name__}")


def save_call(
    before: Order,
    after: Order,
    vault: Vault,
    *,
    writer: str,
    wake: Wake | None,
    events: Sequence[Event],
    journal: Mapping[str, str] | None,
    retention: float,
    otp_ttl: float,
) -> tuple[list[str], list[Any]]:
    """The keys and arguments of `save.lua` for one change of an order."""
    script_keys = [
        keys.order(after.id),
        keys.caller(after.caller, "open"),
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
    ]
    cancel_at = ms(after.purchase.cancel_at) if after.purchase else ""
    arguments: list[Any] = [
        before.version, writer, after.id, after.version, after.status.value, after.handle, cancel_at,
        pack(after, vault),
        wake.lane if wake else "", "" if wake is None or wake.at is None else ms(wake.at),
        "1" if wake and wake.after_poll else "", int(retention) or 1 if after.ended and not wake else "",
        _erase_at(before, after, otp_ttl), spend_units(after.counted) - spend_units(before.counted), len(events),
    ]  # fmt: skip
    for event in events:
        head = [event.id, event.type, event.status.value, event.host, event.endpoint]
        arguments += [*head, pack_event(event, vault)]
    if journal:
        told = {"order": after.id, "caller": after.caller, "status": after.status.value}
        arguments += flat({**journal, **told, **_worth(after)})
    return script_keys, arguments


def _worth(order: Order) -> dict[str, str]:
    """What is bought and for how much, where that is known: the money is counted by it."""
    price = order.purchase.price if order.purchase else order.quote
    return {"product": order.product, **({} if price is None else {"price": str(price)})}


def _erase_at(before: Order, after: Order, otp_ttl: float) -> str:
    if not after.personal:
        return "0" if before.personal else ""
    first = after.received_at or after.ended_at
    new = not before.ended or not before.personal or (before.otp is None and after.otp is not None)
    return str(ms(first + otp_ttl)) if first is not None and new else ""


def spend_units(amount: Decimal | None) -> int:
    """An amount as scripts count it; a part of a unit counts as a whole one."""
    if amount is None:
        return 0
    return int((amount * SPEND_UNITS).to_integral_value(rounding=ROUND_CEILING))


def _spent_key(before: Order, after: Order) -> str:
    """Where the caller's spend of the purchase's day is counted; empty when the change moves no money."""
    if after.counted == before.counted:
        return ""
    counted_at = (after if after.counted is not None else before).intended_at or 0.0
    return keys.spent(after.caller, counted_at)


def reading(what: str, stored: Sequence[bytes | None]) -> Reading:
    """A reading from its value, its moment and the moment of the last attempt (`keys.reading`)."""
    value, at, asked_at = stored
    return Reading(
        what,
        value.decode() if value is not None else None,
        int(at) / 1000 if at is not None else None,
        int(asked_at) / 1000 if asked_at is not None else None,
    )


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
