"""The store as the web and the command line use it: blocking, short time limits, one script per write."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import redis
from redis.exceptions import ResponseError

from worker.caller import Caller, Caps
from worker.errors import NotFound, StoreFull, StoreReadOnly, StoreTooNew
from worker.event import Event
from worker.journal import JOURNAL_KEPT
from worker.logs import get_logger
from worker.metrics import Report
from worker.order import Acquisition, Order
from worker.reading import Reading
from worker.rental import Rental
from worker.schedule import Lane, Wake
from worker.store import codec, keys
from worker.store.codec import Written, ms
from worker.store.connection import Script, reaching
from worker.store.figures import Figures
from worker.store.jobs import Jobs
from worker.store.operators import Audit, OperatorRecords
from worker.store.queries import Queries
from worker.store.scripts import source, source_of_work
from worker.store.vault import Place, Unreadable, Vault

log = get_logger(__name__)

Kept = TypeVar("Kept")

DAY = 86_400
IDEMPOTENCY_TTL = DAY
"""Seconds an idempotency key is remembered (contract.md)."""
LOST_CURSOR = "the cursor is unknown or no longer in this list"
Spot = tuple[str, str]
"""A place in the store whose value changes: a hash and its field, or a string and ""."""
MOST_WALKED = 2_000
"""Orders or events looked at for one page: one that fits may be rare among them."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key as the web hands it over: digests of the key and of the body, and the first answer."""

    key: str
    body: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a new order.

    "created" · "replay" (answer) · "mismatch" · "closed" (reason) · "capped" (reason, retry_after in seconds)
    """

    outcome: str
    answer: bytes = b""
    reason: str = ""
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A sealed record as it was read; `field` is "" for one that is a string of its own."""

    key: str
    field: str
    place: Place
    sealed: bytes


class Store:
    """All that the web and the command line ask of Redis. Methods raise StoreUnavailable when it cannot be reached."""

    def __init__(
        self,
        client: redis.Redis,
        vault: Vault,
        *,
        retention: float,
        otp_ttl: float,
        journal_retention: float = JOURNAL_KEPT,
        storage: int | None = None,
    ) -> None:
        """`storage` is how many bytes one caller's orders and events may take within `retention` (seconds)."""
        self._redis: Any = client  # redis-py types replies as bytes or str; ours are bytes
        self._vault = vault
        self._retention = retention
        self._journal_retention = journal_retention
        self._otp_ttl = otp_ttl
        self._storage = storage
        self._create = Script(client, source("create"))
        self._save = Script(client, source("save"))
        self._add_event = Script(client, source("add_event"))
        self._redeliver = Script(client, source("redeliver"))
        self._save_caller = Script(client, source("save_caller"))
        self.operators = OperatorRecords(client, vault)
        self.audit = Audit(client)
        self.figures = Figures(client)
        self.queries = Queries(
            client,
            lambda ids, skipped: self._readable(ids, keys.order, self._order, skipped),
            lambda ids, skipped: self._readable(ids, keys.order, self._rental, skipped),
            lambda ids, skipped: self._readable(ids, keys.event, self._event, skipped),
            retention=retention,
        )
        self.jobs = Jobs(client)
        self._report = Script(client, source_of_work("report"))
        self._pause = Script(client, source_of_work("pause"))
        self._reseal = Script(client, source("reseal"))
        self._adopt_format = Script(client, source("adopt_format"))

    def adopt_format(self) -> None:
        """Note this version's format of records. Raises StoreTooNew where a newer version has worked."""
        with suppress(StoreFull, StoreReadOnly), reaching():
            held = int(self._adopt_format(keys=[keys.FORMAT], args=[codec.FORMAT]))
            if held > codec.FORMAT:
                raise StoreTooNew(
                    f"the store has records of format {held}, written by a newer version; this version reads formats "
                    f"up to {codec.FORMAT}: start the newer version again (docs/upgrading.md)"
                )

    # Orders.

    def create(
        self, order: Acquisition, caps: Caps, idempotency: Idempotency | None = None, *, price: Decimal | None = None
    ) -> Created:
        """Accept an order or a rental: record, wake-up and idempotency record in one script.

        `price` is what its purchase will count against a spend cap, as far as that is known by now.
        """
        caller = order.caller
        script_keys = [
            keys.order(order.id), codec.open_index(order), codec.index(order), keys.due(Lane.BUY),
            keys.idempotency(caller, idempotency.key) if idempotency else "", keys.GATE, codec.state_index(order),
        ]  # fmt: skip
        arguments: list[Any] = [
            order.id, caller, codec.pack(order, self._vault), order.id,  # no other write has this name
            idempotency.body if idempotency else "",
            codec.pack_answer(idempotency.answer, caller, idempotency.key, self._vault) if idempotency else "",
            IDEMPOTENCY_TTL,
            *(_or_none(cap) for cap in (caps.max_in_flight, caps.orders_per_minute, caps.orders_per_day)),
            "" if caps.max_spend_per_day is None else codec.spend_units(caps.max_spend_per_day),
            codec.spend_units(price),
            _or_none(self._storage), math.ceil(self._retention / DAY),
        ]  # fmt: skip
        with reaching():
            reply: list[Any] = self._create(keys=script_keys, args=arguments)
        outcome = reply[0].decode()
        if outcome == "replay" and idempotency:
            return Created(outcome, answer=codec.unpack_answer(reply[1], caller, idempotency.key, self._vault))
        reason = reply[1].decode() if len(reply) > 1 else ""
        return Created(outcome, reason=reason, retry_after=int(reply[2]) if len(reply) > 2 else 0)

    def replayed(self, caller_id: str, idempotency: Idempotency) -> Created | None:
        """What an already used idempotency key answers, or None for a new one."""
        with reaching():
            body, answer = self._redis.hmget(keys.idempotency(caller_id, idempotency.key), "b", "r")
        if body is None:
            return None
        if body.decode() != idempotency.body:
            return Created("mismatch")
        return Created("replay", codec.unpack_answer(answer, caller_id, idempotency.key, self._vault))

    def load(self, order_id: str) -> Order | None:
        """The order, or None when there is none."""
        stored, sealed = self._read([keys.order(order_id)])[0]
        return self._order(order_id, stored, sealed) if stored else None

    def load_rental(self, rental_id: str) -> Rental | None:
        """The rental, or None when there is none."""
        return self._load_rentals([rental_id])[0]

    def rentals(
        self, caller_id: str, *, status: str | None, limit: int, before: str | None
    ) -> tuple[list[Rental], str | None]:
        """A page of a caller's rentals, newest first, and the cursor of the next one.

        Raises NotFound for a cursor that is not among them (any more).
        """
        return self._page(
            keys.caller(caller_id, keys.RENTALS),
            limit,
            before,
            self._load_rentals,
            lambda rental: status is None or rental.status == status,
        )

    def _load_rentals(self, ids: Sequence[str]) -> list[Rental | None]:
        return [
            self._rental(rental_id, stored, sealed) if stored else None
            for rental_id, (stored, sealed) in zip(ids, self._read([keys.order(one) for one in ids]), strict=True)
        ]

    @staticmethod
    def version_of(order_id: str) -> Spot:
        """Where an order's version stands: it changes whenever the order does."""
        return keys.order(order_id), "v"

    @staticmethod
    def reading_of(what: str) -> Spot:
        """Where it stands when a worker last tried to read something anew (`worker.reading` has the names)."""
        return keys.readings(what), keys.reading(what)[-1]

    @staticmethod
    def last_event_of(caller_id: str) -> Spot:
        """Where the number of a caller's newest event stands."""
        return keys.caller(caller_id, "sequence"), ""

    def peek(self, spots: Sequence[Spot]) -> list[bytes | None]:
        """The values of many spots in one round trip: the cheapest way to notice changes."""
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for name, field in spots:
                pipe.hget(name, field) if field else pipe.get(name)
            return list(pipe.execute())

    def save(
        self,
        before: Acquisition,
        after: Acquisition,
        *,
        wake: Wake | None,
        events: Sequence[Event] = (),
        journal: Mapping[str, str] | None = None,
    ) -> Written:
        """Write a change with its wake-up and events in one script, under the version that was read."""
        script_keys, arguments = codec.save_call(
            before, after, self._vault, writer=secrets.token_hex(8), wake=wake, events=events, journal=journal,
            retention=self._retention, journal_retention=self._journal_retention, otp_ttl=self._otp_ttl,
        )  # fmt: skip
        with reaching():
            return Written(self._save(keys=script_keys, args=arguments)[0].decode())

    def orders(
        self,
        caller_id: str,
        *,
        status: str | None,
        limit: int,
        before: str | None,
        skipped: list[str] | None = None,
    ) -> tuple[list[Order], str | None]:
        """A page of a caller's orders, newest first, and the cursor of the next one.

        What cannot be opened is left out; its ids are added to `skipped`. Raises NotFound for a cursor that is not
        among them (any more).
        """
        return self._page(
            keys.caller(caller_id, "orders"),
            limit,
            before,
            lambda ids: self._readable(ids, keys.order, self._order, skipped),
            lambda o: status is None or o.status == status,
        )

    def _order(self, order_id: str, stored: dict[bytes, bytes], sealed: bytes) -> Order:
        return codec.unpack(order_id, stored, sealed, self._vault)

    def _rental(self, rental_id: str, stored: dict[bytes, bytes], sealed: bytes) -> Rental:
        return codec.unpack_rental(rental_id, stored, sealed, self._vault)

    def _event(self, event_id: str, stored: dict[bytes, bytes], sealed: bytes) -> Event:
        return codec.unpack_event(event_id, stored, sealed, self._vault)

    def _readable(
        self,
        ids: Sequence[str],
        key: Callable[[str], str],
        opened: Callable[[str, dict[bytes, bytes], bytes], Kept],
        skipped: list[str] | None,
    ) -> list[Kept | None]:
        """What is there and can be opened; one record that cannot must not hide the others."""
        found: list[Kept | None] = []
        for one, (stored, sealed) in zip(ids, self._read([key(one) for one in ids]), strict=True):
            try:
                found.append(opened(one, stored, sealed) if stored else None)
            except Unreadable as why:
                log.error("record_unreadable", record=one, why=str(why))
                found.append(None)
                if skipped is not None:
                    skipped.append(one)
        return found

    def _read(self, names: Sequence[str]) -> list[tuple[dict[bytes, bytes], bytes]]:
        """Hashes, each with the sealed record beside it, as of one moment."""
        with reaching():
            pipe = self._redis.pipeline(transaction=True)
            for name in names:
                pipe.hgetall(name)
                pipe.get(keys.record(name))
            found = pipe.execute()
        return list(zip(found[::2], found[1::2], strict=True))

    # Events.

    def load_event(self, event_id: str) -> Event | None:
        """The event, or None when there is none."""
        stored, sealed = self._read([keys.event(event_id)])[0]
        return self._event(event_id, stored, sealed) if stored else None

    def events(
        self,
        caller_id: str,
        *,
        order: str | None,
        status: str | None,
        limit: int,
        before: str | None,
        fits: Callable[[Event], bool] | None = None,
        skipped: list[str] | None = None,
    ) -> tuple[list[Event], str | None]:
        """A page of a caller's events that fit, newest first, and the cursor of the next one.

        What cannot be opened is left out; its ids are added to `skipped`. Raises NotFound for a cursor that is not
        among them (any more).
        """

        def wanted(event: Event) -> bool:
            return status in (None, event.status) and (fits is None or fits(event))

        if order is not None:  # its events are few, and named in its record
            with reaching():
                ids = (self._redis.hget(keys.order(order), "e") or b"").split()
            found = self._readable([one.decode() for one in reversed(ids)], keys.event, self._event, skipped)
            return _cut([e for e in found if e is not None and e.caller == caller_id and wanted(e)], limit, before)
        return self._page(
            keys.caller(caller_id, "events"),
            limit,
            before,
            lambda ids: self._readable(ids, keys.event, self._event, skipped),
            wanted,
        )

    def events_after(
        self, caller_id: str, sequence: int, limit: int, fits: Callable[[Event], bool] | None = None
    ) -> tuple[list[Event], str | None]:
        """A caller's events after a sequence number that fit, oldest first, and the last one looked at if more follow.

        None is skipped, whoever writes meanwhile: an event gets its number in the script that makes it visible, so
        none appears behind one that was already read. Those that are gone take no place on a page.
        """
        found: list[Event] = []
        walked = 0
        last: str | None = None
        while batch := self._batch_after(caller_id, sequence):
            for event in self._load_events([event_id for event_id, _ in batch]):
                if event is None:
                    continue
                if len(found) == limit or walked == MOST_WALKED:
                    return found, last
                last, walked = event.id, walked + 1
                found += [event] if fits is None or fits(event) else []
            sequence = batch[-1][1]
        return found, None

    def _batch_after(self, caller_id: str, sequence: int) -> list[tuple[str, int]]:
        """Some ids of events after a sequence number, each with its own."""
        with reaching():
            found = self._redis.zrange(
                keys.caller(caller_id, "events"), f"({sequence}", "+inf", byscore=True, offset=0, num=100,
                withscores=True,
            )  # fmt: skip
        return [(event_id.decode(), int(place)) for event_id, place in found]

    def _load_events(self, ids: Sequence[str]) -> list[Event | None]:
        return self._readable(ids, keys.event, self._event, None)

    def add_event(self, event: Event) -> None:
        """Owe a webhook that belongs to no order (a ping)."""
        script_keys = [
            keys.event(event.id),
            keys.caller(event.caller, "events"),
            keys.caller(event.caller, "sequence"),
            keys.due(Lane.DELIVER),
        ]
        arguments: list[Any] = [
            event.id,
            event.caller,
            event.type,
            event.host,
            event.endpoint,
            codec.pack_event(event, self._vault),
            int(self._retention) or 1,
        ]
        with reaching():
            self._add_event(keys=script_keys, args=arguments)

    def redeliver(self, event: Event, now: float) -> bool:
        """Send an event once more, now. False when an attempt is under way, which is left to end."""
        again = event.again(now)
        script_keys = [
            keys.event(event.id),
            keys.due(Lane.DELIVER),
            keys.endpoint(event.endpoint),
        ]
        arguments: list[Any] = [event.id, event.version, again.version, codec.pack_event(again, self._vault)]
        with reaching():
            return bool(self._redeliver(keys=script_keys, args=arguments))

    # The provider, as the workers last read it.

    def reading(self, what: str) -> Reading:
        """What the workers last read (`worker.reading` has the names)."""
        with reaching():
            return codec.reading(what, self._redis.hmget(keys.readings(what), keys.reading(what)))

    def account(self) -> dict[str, str]:
        """All that is known of the account, field by field (`keys`)."""
        with reaching():
            return {k.decode(): v.decode() for k, v in self._redis.hgetall(keys.ACCOUNT).items()}

    def remember(self, what: str, value: str) -> None:
        """Keep something that was learnt about the account."""
        with reaching():
            self._redis.hset(keys.ACCOUNT, what, value)

    def request_refresh(self, what: str) -> None:
        """Ask the workers to read something anew."""
        with reaching():
            self._redis.hset(keys.REFRESH_REQUESTS, what, 1)

    def pauses(self) -> dict[str, dict[str, Any]]:
        """Why buying is paused: reason → details. Empty means that buying goes on."""
        with reaching():
            return codec.details(self._redis.hgetall(keys.GATE))

    def item_pauses(self) -> dict[str, dict[str, Any]]:
        """The items that are paused for want of money, as `product/server/type`: item → details."""
        with reaching():
            return codec.details(self._redis.hgetall(keys.PAUSED_ITEMS))

    def pause(self, reason: str, details: Mapping[str, Any]) -> None:
        """Pause buying; a full store takes that too."""
        with reaching():
            self._pause(keys=[keys.GATE], args=[reason, json.dumps(details)])

    def resume(self, reason: str) -> None:
        """Lift one reason for the pause."""
        with reaching():
            self._redis.hdel(keys.GATE, reason)

    def journal(self, since: float, batch: int = 1000) -> Iterator[tuple[float, dict[str, str]]]:
        """The journal's lines from `since` (epoch seconds) on: (epoch seconds, fields)."""
        start = str(ms(since))
        while True:
            with reaching():
                lines: list[Any] = self._redis.xrange(keys.JOURNAL, min=start, count=batch)
            for entry, fields in lines:
                yield int(entry.split(b"-")[0]) / 1000, {k.decode(): v.decode() for k, v in fields.items()}
            if len(lines) < batch:
                return
            start = "(" + lines[-1][0].decode()

    # Sealed records, all of them.

    def records(self) -> Iterator[Record]:
        """Every sealed record, each at least once; what is gone meanwhile is passed over."""
        for key in self._scan(keys.RECORDS):
            kind, _, name = key.removeprefix(keys.PREFIX).removesuffix(":record").partition(":")
            with reaching():
                sealed, caller = self._redis.get(key), self._redis.hget(key.removesuffix(":record"), "c")
            if sealed is not None:
                yield Record(key, "", Place(kind, name, name if kind == "caller" else (caller or b"").decode()), sealed)
        for key in self._scan(keys.ANSWERS):
            _, _, caller_id, digest = key.split(":")
            with reaching():
                sealed = self._redis.hget(key, "r")
            if sealed is not None:
                yield Record(key, "r", Place("idempotency", digest, caller_id), sealed)

    def _scan(self, pattern: str) -> Iterator[str]:
        cursor = 0
        while True:
            with reaching():
                cursor, found = self._redis.scan(cursor, match=pattern, count=500)
            yield from (key.decode() for key in found)
            if not cursor:
                return

    def key_of(self, record: Record) -> str:
        """The id of the key that a record needs; "clear" or "unbound" for one written before bindings."""
        return self._vault.key_of(record.sealed)

    def opens(self, record: Record) -> bool:
        """Whether a record opens here."""
        try:
            self._vault.open(record.sealed, record.place)
        except Unreadable:
            return False
        return True

    def reseal(self, record: Record) -> bool:
        """Seal a record anew with the first key. False when it needs no more: somebody wrote it meanwhile, or it is
        as it should be. Raises Unreadable.
        """
        if self._vault.current(record.sealed):
            return False
        sealed = self._vault.seal(self._vault.open(record.sealed, record.place), record.place)
        with reaching():
            return bool(self._reseal(keys=[record.key], args=[record.field, record.sealed, sealed]))

    def waiting_records(self) -> Iterator[tuple[str, str]]:
        """What is still owed or under way, as (kind, id): callers, open orders, webhooks that are due."""
        for caller_id in self.callers():
            yield "caller", caller_id
            with reaching():
                open_orders = self._redis.zrange(keys.caller(caller_id, "open"), 0, -1)
            yield from (("order", one.decode()) for one in open_orders)
        with reaching():
            due = self._redis.zrange(keys.due(Lane.DELIVER), 0, -1)
        yield from (("event", one.decode()) for one in due)

    def unreadable(self, waiting: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of (kind, id) that cannot be opened here, as (id, why)."""
        found = []
        names = [f"{keys.PREFIX}{kind}:{one}" for kind, one in waiting]
        for (kind, one), (stored, sealed) in zip(waiting, self._read(names), strict=True):
            try:
                if stored and kind == "caller":
                    codec.unpack_caller(one, int(stored[b"v"]), sealed, self._vault)
                elif stored:
                    (self._order if kind == "order" else self._event)(one, stored, sealed)
            except Unreadable as why:
                found.append((one, str(why)))
        return found

    # Health.

    def last_tick(self) -> float | None:
        """When a worker's clock last ticked, in epoch seconds."""
        with reaching():
            at = self._redis.get(keys.TICK)
        return int(at) / 1000 if at else None

    def workers(self, within: float) -> int:
        """How many workers were heard of within so many seconds."""
        with reaching():
            return int(self._redis.zcount(keys.WORKERS, ms(self.now() - within), "+inf"))

    def heard_of(self, host: str, within: float) -> bool:
        """Whether a worker on a host was heard of within so many seconds."""
        since = ms(self.now() - within)
        with reaching():
            names = self._redis.zrangebyscore(keys.WORKERS, since, "+inf")
        return any(name.decode().startswith(f"{host}:") for name in names)

    def now(self) -> float:
        """The server's clock in epoch seconds: proof that it answers."""
        with reaching():
            seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    def info(self) -> dict[str, str]:
        """What the server says of its version, memory and disk (names as in INFO); what it will not say is left out."""
        reply: dict[str, Any] = {}
        with reaching():
            with suppress(ResponseError):
                reply |= self._redis.info()
            with suppress(ResponseError):
                reply |= self._redis.config_get("appendfsync")
        reply["version"] = reply.get("valkey_version") or reply.get("redis_version")
        return {name: str(value) for name, value in reply.items() if name in _INFO and value is not None}

    def depths(self) -> dict[Lane, dict[str, float]]:
        """Per lane: how many entries it holds, how many are due, and by how many seconds the oldest is late."""
        now = self.now()
        reply = {}
        for lane in Lane:
            with reaching():
                first = self._redis.zrange(keys.due(lane), 0, 0, withscores=True)
                held, due = (
                    self._redis.zcard(keys.due(lane)),
                    self._redis.zcount(keys.due(lane), "-inf", ms(now)),
                )
            late = max(0.0, now - first[0][1] / 1000) if first else 0.0
            reply[lane] = {"held": held, "due": due, "late": late}
        waiting, late = self._turns(now)
        buy = reply[Lane.BUY]
        reply[Lane.BUY] = {"held": buy["held"] + waiting, "due": buy["due"] + waiting, "late": max(buy["late"], late)}
        return reply

    def _turns(self, now: float) -> tuple[int, float]:
        """How many orders wait for their turn to be bought, and for how many seconds nobody took the one that is next.

        A long queue that moves is not late: whose turn is far off waits behind its own caller's orders.
        """
        with reaching():
            waiting = int(self._redis.zcard(keys.TURNS))
            head = self._redis.zrange(keys.TURNS, 0, 0)
            if not head:
                return 0, 0.0
            caller = self._redis.hget(keys.order(head[0].decode()), "c") or b""
            accepted = self._redis.zscore(keys.caller(caller.decode(), "open"), head[0]) or 0
            taken = int(self._redis.hget(keys.TURN_STATE, "at") or 0)
        return waiting, max(0.0, now - max(accepted, taken) / 1000)

    def counters(self) -> dict[str, float]:
        """The counters and histograms of all processes, summed."""
        with reaching():
            return {k.decode(): float(v) for k, v in self._redis.hgetall(keys.COUNTERS).items()}

    def exemplars(self) -> dict[str, str]:
        """Per bucket of a histogram one that fell into it: trace id, seconds and epoch seconds, spaces between."""
        with reaching():
            return {k.decode(): v.decode() for k, v in self._redis.hgetall(keys.EXEMPLARS).items()}

    def levels(self) -> dict[str, float]:
        """How full all processes are together: a gauge's key to its value."""
        now = self.now()
        with reaching():
            return codec.levels(self._redis.hvals(keys.LEVELS), now)

    def add_report(self, report: Report, *, last: bool = False) -> None:
        """Add what a process has counted to what all have; `last` says that it ends."""
        script_keys, arguments = codec.report_call(report, last=last)
        with reaching():
            self._report(keys=script_keys, args=arguments)

    def counted_at(self) -> dict[str, float]:
        """When what needs a person was last counted, in epoch seconds."""
        with reaching():
            return {k.decode(): int(v) / 1000 for k, v in self._redis.hgetall(keys.COUNTED_AT).items()}

    # Callers.

    def callers(self) -> list[str]:
        """The ids of all callers."""
        with reaching():
            return sorted(one.decode() for one in self._redis.smembers(keys.CALLERS))

    def caller(self, caller_id: str) -> Caller | None:
        """The caller, or None when there is none."""
        stored, sealed = self._read([keys.caller(caller_id)])[0]
        return codec.unpack_caller(caller_id, int(stored[b"v"]), sealed, self._vault) if stored else None

    def save_caller(self, before: Caller | None, after: Caller) -> Written:
        """Write a new caller (`before` is None), or a change of one, under the version that was read."""
        script_keys, arguments = codec.caller_call(before, after, self._vault)
        with reaching():
            return Written(self._save_caller(keys=script_keys, args=arguments).decode())

    def caller_of_key(self, digest: str) -> str | None:
        """The id of the caller that an API key's SHA-256 belongs to."""
        with reaching():
            owner = self._redis.get(keys.api_key(digest))
        return owner.decode() if owner else None

    def _page(
        self,
        index: str,
        limit: int,
        before: str | None,
        load: Callable[[Sequence[str]], list[Any]],
        fits: Callable[[Any], bool],
    ) -> tuple[list[Any], str | None]:
        """Walk an index from its newest end, past members that are gone; a page that would take long ends early."""
        found: list[Any] = []
        first = start = self._place_after(index, before)
        while True:
            with reaching():
                ids = [one.decode() for one in self._redis.zrevrange(index, start, start + 99)]
            if not ids:
                return found, None
            for item in load(ids):
                if item is not None and fits(item):
                    found.append(item)
                if len(found) > limit:
                    return found[:limit], found[limit - 1].id
            start += len(ids)
            if start - first >= MOST_WALKED:
                return found, ids[-1]

    def _place_after(self, index: str, cursor: str | None) -> int:
        if cursor is None:
            return 0
        with reaching():
            rank = self._redis.zrevrank(index, cursor)
        if rank is None:
            raise NotFound(LOST_CURSOR)
        return int(rank) + 1


def _cut(events: list[Event], limit: int, before: str | None) -> tuple[list[Event], str | None]:
    """A page of events that are all at hand."""
    if before is not None:
        ids = [event.id for event in events]
        if before not in ids:
            raise NotFound(LOST_CURSOR)
        events = events[ids.index(before) + 1 :]
    return events[:limit], events[limit - 1].id if len(events) > limit else None


_INFO = frozenset(
    (
        "version aof_enabled appendfsync aof_last_write_status rdb_last_bgsave_status "
        "maxmemory maxmemory_policy used_memory role"
    ).split()
)


def _or_none(cap: int | None) -> int | str:
    """A cap as a script reads it: an empty argument is no cap."""
    return "" if cap is None else cap
