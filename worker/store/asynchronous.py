"""The store as the worker's event loop uses it: claim, load, save, and what all workers share about the provider."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

import redis.asyncio
from redis.exceptions import RedisError

from worker.caller import Caller
from worker.errors import StoreUnavailable
from worker.event import Event, EventStatus
from worker.journal import JOURNAL_KEPT, Entry, line
from worker.logs import get_logger
from worker.metrics import Report
from worker.order import TERMINAL, Acquisition, Order
from worker.reading import Reading
from worker.rental import ENDED, Rental
from worker.schedule import ORDER_LANES, REFUSALS_KEPT, Lane, Wake, hold_after
from worker.store import codec, figures, keys
from worker.store.answers import LEAKED, meaning
from worker.store.codec import Written, ms
from worker.store.jobs import Job, JobQueue
from worker.store.scripts import source_of_work
from worker.store.vault import Unreadable, Vault

log = get_logger(__name__)

T = TypeVar("T")
A = TypeVar("A", bound=Acquisition)
PROVIDER_AWAY, PROVIDER_WHY = "provider:away", "provider:why"
"""Fields of the account: since when the provider cannot be reached, and why."""
READINGS_KEPT = 604_800
"""Seconds for which the listing of a place is kept that nobody asks for any more."""
PER_ENDPOINT = 8
"""Deliveries in flight to one endpoint, over all workers."""
PER_HOST = 128
"""Deliveries in flight to one receiving host, of all its endpoints (`claim_events.lua` says how they share them)."""
PER_CALLER = 500
"""Deliveries of one caller in flight, over all workers; fewer while few places are free."""
ABOUT = 10
"""Seconds for which what a worker says of itself is kept."""
PROBE_AFTER = 5
"""Failures in a row after which an endpoint, or a host that is out of reach, gets one attempt at a time."""
MOST_LOOKED_AT = 2_000
"""Due webhooks that one claim looks at: those without room are put off, which costs a few microseconds each."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim handed out: entries (id, activation or ""), and seconds before the first and between two calls.

    `late` tells for each poll by how many seconds it is claimed late.
    """

    entries: tuple[tuple[str, str], ...]
    gap: float = 0.0
    first: float = 0.0
    late: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """What a clock's tick found: hints wanted per lane and chores that are due; None of it without the token."""

    holder: bool
    hints: Mapping[Lane, int]
    chores: tuple[str, ...] = ()


class Trigger(StrEnum):
    """What makes a chore due before its period is over (`tick.lua`)."""

    ACCOUNT = "account"
    """Buying is paused, or somebody asked for a reading of the account."""
    ERASURES = "erasures"
    """A code's time is over."""
    JOBS = "jobs"
    """An operator asked for many webhooks to be sent again."""


class ServerClock:
    """The store's clock, so that every worker speaks of the same time. `now()` is epoch seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def heard(self, server_ms: int) -> None:
        """Take over a reading of the server's clock."""
        self._offset = server_ms / 1000 - self._monotonic()

    def now(self) -> float:
        """Epoch seconds by the server's clock."""
        return self._monotonic() + self._offset


class AsyncStore:
    """All that a worker asks of Redis. Methods raise StoreUnavailable when it cannot be reached."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        vault: Vault,
        *,
        retention: float,
        otp_ttl: float,
        journal_retention: float = JOURNAL_KEPT,
        clock: ServerClock | None = None,
        max_rps: float | None = None,
    ) -> None:
        self._redis: Any = client  # redis-py types replies as bytes or str; ours are bytes
        self._vault = vault
        self._retention = retention
        self._journal_retention = journal_retention
        self.otp_ttl = otp_ttl
        self._cap = "" if max_rps is None else repr(max_rps)
        self.clock = clock or ServerClock()
        names = (
            "claim",
            "save",
            "reserve",
            "throttle",
            "tick",
            "claim_events",
            "record_attempt",
            "alive",
            "release",
            "rewrite_event",
            "reconcile",
            "save_caller",
            "redeliver",
            "report",
        )
        self._jobs = JobQueue(client)
        self._scripts = {name: client.register_script(source_of_work(name)) for name in names}

    async def _run(self, script: str, script_keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await _reached(self._scripts[script](keys=list(script_keys), args=list(arguments)))

    async def _read(self, key: str) -> tuple[dict[bytes, bytes], bytes]:
        """A hash and the sealed record beside it, as of one moment."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hgetall(key)
        pipe.get(keys.record(key))
        stored, sealed = await _reached(pipe.execute())
        return stored, sealed

    # Claims.

    async def claim(self, lane: Lane, most: int, lease: float) -> Claim:
        """Claim up to `most` due orders of a lane; each is due again in `lease` seconds whatever happens."""
        reply = await self._run(
            "claim",
            [keys.due(lane), keys.due(Lane.SETTLE), keys.hints(lane), keys.LIMIT, keys.due(Lane.POLL), keys.TURNS],
            [lane, most, ms(lease), self._cap],
        )
        self.clock.heard(int(reply[0]))
        gap, first = float(reply[1]) / 1000, int(reply[2]) / 1000
        ids = [part.decode() for part in reply[3:]]
        if lane is not Lane.POLL:
            return Claim(tuple((one, "") for one in ids), gap, first)
        late = tuple(int(float(one)) / 1000 for one in ids[2::3])
        return Claim(tuple(zip(ids[::3], ids[1::3], strict=True)), gap, first, late)

    async def claim_events(self, most: int, lease: float, worker: str, free: int = PER_CALLER) -> list[Event]:
        """Claim up to `most` due webhooks for `lease` seconds, as far as endpoint, host and caller have room.

        `free` is how many places this process has left: no caller gets more in flight than that. They are this
        worker's: when it dies before the lease is over, `release` gives them back.
        """
        reply = await self._run(
            "claim_events",
            [keys.due(Lane.DELIVER), keys.hints(Lane.DELIVER), keys.deliveries(worker)],
            [most, MOST_LOOKED_AT, ms(lease), PER_ENDPOINT, PER_HOST, PER_CALLER, PROBE_AFTER, free],
        )
        self.clock.heard(int(reply[0]))
        return [event for i in range(1, len(reply), 3) if (event := self._opened(*reply[i : i + 3])) is not None]

    def _opened(self, event_id: bytes, stored: list[bytes], sealed: bytes) -> Event | None:
        """A claimed event, or None for one that cannot be opened here: it must not stop the others."""
        try:
            return codec.unpack_event(event_id.decode(), codec.paired(stored), sealed, self._vault)
        except Unreadable as why:
            log.error("event_unreadable", event_id=event_id.decode(), why=str(why))
            return None

    # Orders.

    async def load(self, order_id: str) -> Order | None:
        """The order, or None when there is none."""
        stored, sealed = await self._read(keys.order(order_id))
        return codec.unpack(order_id, stored, sealed, self._vault) if stored else None

    async def load_rental(self, rental_id: str) -> Rental | None:
        """The rental, or None when there is none."""
        stored, sealed = await self._read(keys.order(rental_id))
        return codec.unpack_rental(rental_id, stored, sealed, self._vault) if stored else None

    async def reload(self, known: A) -> A | None:
        """An order or a rental as it is now."""
        rental = isinstance(known, Rental)
        return cast(A | None, await (self.load_rental(known.id) if rental else self.load(known.id)))

    async def save(
        self,
        before: Acquisition,
        after: Acquisition,
        *,
        wake: Wake | None,
        events: Sequence[Event] = (),
        journal: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> Written:
        """Write a change with its wake-up and events in one script, under the version that was read.

        A store that cannot be reached is asked again for `patience` seconds: a repeated write is recognised and
        counts once. Raises StoreUnavailable after that.
        """
        script_keys, arguments = codec.save_call(
            before, after, self._vault, writer=secrets.token_hex(8), wake=wake, events=events, journal=journal,
            retention=self._retention, journal_retention=self._journal_retention, otp_ttl=self.otp_ttl,
        )  # fmt: skip
        reply = await _patiently(lambda: self._run("save", script_keys, arguments), patience)
        return Written(reply[0].decode())

    async def postpone(self, lane: Lane, order_id: str, at: float) -> None:
        """Move an order's wake-up within its lane; an order that has left the lane is not brought back."""
        await _reached(self._redis.zadd(keys.due(lane), {order_id: ms(at)}, xx=True))

    async def count_missing(self, order_id: str, within: float) -> int:
        """Count a "no such activation"; the count starts anew when the last one is older than `within` seconds."""

        async def counted() -> int:
            pipe = self._redis.pipeline(transaction=True)
            pipe.incr(keys.missing(order_id))
            pipe.pexpire(keys.missing(order_id), ms(within))
            return int((await pipe.execute())[0])

        return await _reached(counted())

    async def drop(self, lane: Lane, order_id: str) -> None:
        """Forget a wake-up whose order is gone."""
        await _reached(self._redis.zrem(keys.due(lane), order_id))

    # Webhooks.

    async def record_attempt(
        self, before: Event, after: Event, *, endpoint_is_up: bool | None, host_is_up: bool | None,
        erase_after: float | None, patience: float,
    ) -> int:  # fmt: skip
        """Record an attempt, with what it says of the endpoint and of the receiving host (None: nothing).

        `erase_after` seconds from now the code of its order may be erased. Returns how many webhooks that waited for
        a place are due now. An event that was changed meanwhile stays as it is.
        """
        due = "" if after.due_at is None or after.status is not EventStatus.PENDING else ms(after.due_at)
        words = [{True: "up", False: "down", None: ""}[up] for up in (endpoint_is_up, host_is_up)]
        erase = before.order if erase_after is not None and before.order else ""
        script_keys = [keys.event(before.id), keys.due(Lane.DELIVER), keys.ERASE, keys.endpoint(before.endpoint)]
        script_keys += [keys.host(before.host), keys.host(before.host, before.caller)]
        script_keys.append(keys.caller(before.caller, "delivering"))
        record = codec.pack_event(after, self._vault)
        arguments = [before.id, before.version, after.version, after.status.value, record, due, *words, erase]
        arguments += [ms(erase_after or 0), PER_ENDPOINT, PROBE_AFTER]
        reply = await _patiently(lambda: self._run("record_attempt", script_keys, arguments), patience)
        return int(reply[1])

    async def load_event(self, event_id: str) -> Event | None:
        """The event, or None when there is none."""
        stored, sealed = await self._read(keys.event(event_id))
        return codec.unpack_event(event_id, stored, sealed, self._vault) if stored else None

    async def events_of(self, order_id: str) -> list[Event]:
        """The events of an order, oldest first."""
        reply = await _reached(self._redis.hget(keys.order(order_id), "e")) or b""
        events = [await self.load_event(event_id.decode()) for event_id in reply.split()]
        return [event for event in events if event is not None]

    async def rewrite_event(self, before: Event, after: Event) -> bool:
        """Write an event's record anew without touching its delivery. False when it was changed meanwhile."""
        arguments = [before.version, after.version, codec.pack_event(after, self._vault)]
        return bool(await self._run("rewrite_event", [keys.event(before.id)], arguments))

    async def redeliver(self, event: Event) -> bool:
        """Send an event once more, now. False when an attempt is under way, or it was changed meanwhile."""
        again = event.again(self.clock.now())
        script_keys = [keys.event(event.id), keys.due(Lane.DELIVER), keys.endpoint(event.endpoint)]
        arguments = [event.id, event.version, again.version, codec.pack_event(again, self._vault)]
        return bool(await self._run("redeliver", script_keys, arguments))

    async def open_jobs(self) -> list[Job]:
        """The bulk redeliveries that have something to do."""
        return await _reached(self._jobs.open())

    async def candidates_of_job(self, job: Job, about: int) -> tuple[list[str], int]:
        """The next webhooks that a job looks at, and the cursor of those that follow: 0 at the end."""
        return await _reached(self._jobs.candidates(job, about))

    async def found_for_job(
        self, job: Job, found: Mapping[str, float], *, looked_at: int, unreadable: int, cursor: int
    ) -> Job | None:
        """What a job found among those it looked at: ids and times of creation; the job as it stands then."""
        return await _reached(self._jobs.found(job, found, looked_at=looked_at, unreadable=unreadable, cursor=cursor))

    async def next_of_job(self, job: Job, most: int) -> list[str]:
        """The webhooks that a job sends next."""
        return await _reached(self._jobs.next(job, most))

    async def advance_job(self, job: Job, sent: Sequence[str], skipped: Sequence[str]) -> None:
        """What of a job was dealt with."""
        await _reached(self._jobs.advance(job, sent, skipped))

    async def orders_to_erase(self, most: int) -> list[str]:
        """Orders whose code is to be erased by now."""
        due = await _reached(
            self._redis.zrange(keys.ERASE, "-inf", ms(self.clock.now()), byscore=True, offset=0, num=most)
        )
        return [order_id.decode() for order_id in due]

    async def put_off_erasure(self, order_id: str, seconds: float) -> None:
        """Look at an order for its code's sake so many seconds from now."""
        await _reached(self._redis.zadd(keys.ERASE, {order_id: ms(self.clock.now() + seconds)}, xx=True))

    async def forget_erasure(self, order_id: str) -> None:
        """Take an order off the list of codes to erase."""
        await _reached(self._redis.zrem(keys.ERASE, order_id))

    # The provider, as all workers share it.

    async def reserve(self) -> float:
        """Take one slot of the provider's limiter: the seconds to wait for it."""
        return int(await self._run("reserve", [keys.LIMIT], [self._cap])) / 1000

    async def held(self) -> float:
        """Seconds for which calls to the provider are still held back."""
        till = await _reached(self._redis.hget(keys.LIMIT, "hold"))
        return max(0.0, int(till) / 1000 - self.clock.now()) if till else 0.0

    async def throttle(self, seconds: float, seen_rps: float) -> None:
        """Hold all calls back for `seconds`, then go on at half of `seen_rps` calls a second, increasing."""
        await self._run("throttle", [keys.LIMIT], [ms(seconds), repr(seen_rps)])

    async def pauses(self) -> dict[str, dict[str, Any]]:
        """Why buying is paused: reason → details. Empty means that buying goes on."""
        return codec.details(await _reached(self._redis.hgetall(keys.GATE)))

    async def pauses_for(self, item: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any] | None]:
        """Why buying is paused, and the pause of one item, as of one moment."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(keys.GATE)
        pipe.hget(keys.PAUSED_ITEMS, item)
        stored, held = await _reached(pipe.execute())
        return codec.details(stored), json.loads(held) if held else None

    async def item_pauses(self) -> dict[str, dict[str, Any]]:
        """The items that are paused for want of money: item → details."""
        return codec.details(await _reached(self._redis.hgetall(keys.PAUSED_ITEMS)))

    async def pause_item(self, item: str, details: Mapping[str, Any]) -> None:
        """Pause an item, or renew its pause."""
        await _reached(self._redis.hset(keys.PAUSED_ITEMS, item, json.dumps(details)))

    async def resume_item(self, item: str) -> None:
        """Lift an item's pause."""
        await _reached(self._redis.hdel(keys.PAUSED_ITEMS, item))

    async def take_trial(self, item: str, seconds: float) -> bool:
        """Whether this order is the one that tries a paused item; it is, for `seconds`, if nobody else is."""
        return bool(await _reached(self._redis.set(keys.trial(item), 1, nx=True, px=ms(seconds))))

    async def pause(self, reason: str, details: Mapping[str, Any]) -> None:
        """Pause buying, or renew a pause."""
        await _reached(self._redis.hset(keys.GATE, reason, json.dumps(details)))

    async def resume(self, reason: str) -> None:
        """Lift one reason for the pause."""
        await _reached(self._redis.hdel(keys.GATE, reason))

    async def provider_went(self, why: str) -> bool:
        """Note that the provider cannot be reached; True for the first to say so."""
        now = str(ms(self.clock.now()))
        first = bool(await _reached(self._redis.hsetnx(keys.ACCOUNT, PROVIDER_AWAY, now)))
        if first:
            await _reached(self._redis.hset(keys.ACCOUNT, PROVIDER_WHY, why))
        return first

    async def provider_came(self) -> float | None:
        """Note that the provider answers: for how many seconds it was away, None when it was not."""
        since = await _reached(self._redis.hget(keys.ACCOUNT, PROVIDER_AWAY))
        if since is None or not await _reached(self._redis.hdel(keys.ACCOUNT, PROVIDER_AWAY)):
            return None
        return max(0.0, self.clock.now() - int(since) / 1000)

    async def put_reading(self, what: str, value: str | None, why: str = "") -> None:
        """Store a reading (`worker.reading`); None marks the last good one as stale, with why."""
        now = str(ms(self.clock.now()))
        stored, at, asked_at, told, _ = keys.reading(what)
        fields = {asked_at: now, told: why} | ({} if value is None else {stored: value, at: now})
        held = keys.readings(what)
        await _reached(self._redis.hset(held, mapping=fields))
        if held != keys.ACCOUNT:
            await _reached(self._redis.expire(held, READINGS_KEPT))
        if what == "balance" and value is not None:
            hour, minute = figures.place("balance", self.clock.now())
            await _reached(self._redis.hset(hour, minute, float(value)))
            await _reached(self._redis.expire(hour, figures.KEPT))

    async def reading(self, what: str) -> Reading:
        """What was last read (`worker.reading` has the names)."""
        return codec.reading(what, await _reached(self._redis.hmget(keys.readings(what), keys.reading(what))))

    async def note_lowest_price(self, product: str, what: str, price: Decimal | None) -> None:
        """Keep the lowest price of a price list that was just read; None: none can be read there."""
        field = f"{product} {what}"
        if price is None:
            await _reached(self._redis.hdel(keys.LOWEST_PRICES, field))
        else:
            await _reached(self._redis.hset(keys.LOWEST_PRICES, field, f"{ms(self.clock.now())} {price}"))

    async def lowest_prices(self) -> dict[str, Decimal]:
        """By product, the lowest of the prices that were read of late."""
        kept = await _reached(self._redis.hgetall(keys.LOWEST_PRICES))
        return codec.lowest_prices(kept, self.clock.now())

    async def count_refusal(self, caller_id: str) -> None:
        """Count an order that the provider refused; past a number of them the caller's next orders have to wait."""
        refusals = keys.caller(caller_id, "refusals")
        count = int(await _reached(self._redis.incr(refusals)))
        await _reached(self._redis.expire(refusals, REFUSALS_KEPT))
        hold = hold_after(count)
        if hold:
            await _reached(self._redis.set(keys.caller(caller_id, "hold"), count, ex=hold))

    async def request_refresh(self, what: str) -> None:
        """Have something read anew soon."""
        await _reached(self._redis.hset(keys.REFRESH_REQUESTS, what, 1))

    async def take_refresh_requests(self) -> list[str]:
        """What somebody asked to be read anew since the last time; each request is handed out once."""
        requested = await _reached(self._redis.hgetall(keys.REFRESH_REQUESTS))
        if requested:
            await _reached(self._redis.hdel(keys.REFRESH_REQUESTS, *requested))
        return [what.decode() for what in requested]

    async def journal(self, kind: Entry, **details: str) -> None:
        """Add a line to the journal of money that belongs to no order's change."""
        await _reached(self._redis.xadd(keys.JOURNAL, line(kind, **details)))

    async def trim_journal(self, older_than: float) -> None:
        """Drop the journal's lines older than so many seconds."""
        await _reached(self._redis.xtrim(keys.JOURNAL, minid=str(ms(self.clock.now() - older_than)), approximate=True))

    # Clock and callers.

    async def tick(
        self,
        worker: str,
        lanes: Sequence[Lane],
        chores: Sequence[tuple[str, float, Trigger | None]],
        *,
        token: float,
        batch: int,
        most: int,
        hint: float,
        linger: float,
        queues_here: bool = False,
    ) -> Tick:
        """One tick of this worker's clock; spans in seconds; a chore is its name, its period and what triggers it.

        `linger` is how long polls wait for a fuller batch; `queues_here` says that the broker uses this database.
        """
        script_keys = [keys.CLOCK, keys.TICK, keys.CHORES, keys.LIMIT, keys.GATE, keys.REFRESH_REQUESTS, keys.ERASE]
        script_keys += [keys.TURNS, keys.PAUSED_ITEMS]
        for lane in lanes:
            script_keys += [keys.due(lane), keys.hints(lane), lane if queues_here else ""]
        arguments: list[Any] = [worker, ms(token), batch, most, ms(hint), ms(linger), len(chores)]
        for name, period, trigger in chores:
            arguments += [name, ms(period), trigger or ""]
        reply = await self._run("tick", script_keys, [*arguments, *lanes])
        if reply[0] == b"0":
            return Tick(False, {})
        self.clock.heard(int(reply[1]))
        hints = {lane: int(n) for lane, n in zip(lanes, reply[2:], strict=False)}
        return Tick(True, hints, tuple(name.decode() for name in reply[2 + len(lanes) :]))

    async def alive(self, worker: str, life: float, silence: float) -> str | None:
        """Note that this worker lives; returns one that was not heard of for `life` seconds, if there is one.

        When nobody at all was heard of for `silence` seconds, that counts for nobody: the store was away.
        """
        dead = await self._run("alive", [keys.WORKERS], [worker, ms(life), ms(silence)])
        return dead.decode() or None

    async def release(self, worker: str, life: float) -> int | None:
        """Make due what a worker was delivering that was not heard of for `life` seconds; returns how many.

        None when it was heard of again, or somebody else did it already.
        """
        script_keys = [keys.WORKERS, keys.deliveries(worker), keys.due(Lane.DELIVER)]
        given_back = int(await self._run("release", script_keys, [worker, ms(life)]))
        return None if given_back < 0 else given_back

    async def leave(self, worker: str) -> None:
        """Sign this worker off: what it was still delivering is given back, and the clock's token is free."""
        await self.release(worker, 0)
        if await _reached(self._redis.get(keys.CLOCK)) == worker.encode():
            await _reached(self._redis.delete(keys.CLOCK))

    async def describe(self, worker: str, about: Mapping[str, str]) -> None:
        """What a worker says of itself, for as long as it goes on saying so."""
        await _reached(self._redis.hset(keys.about(worker), mapping=dict(about)))
        await _reached(self._redis.expire(keys.about(worker), ABOUT))

    async def reconcile(
        self, caller_id: str, start: int, batch: int, index: str = keys.OPEN_ORDERS
    ) -> tuple[int, list[str]]:
        """Walk a caller's open orders from rank `start`: (how many were walked, ids that had lost their wake-up).

        `index` is that of the orders or of the rentals.
        """
        script_keys = [keys.caller(caller_id, index), *(keys.due(lane) for lane in ORDER_LANES), keys.TURNS]
        reply = await self._run("reconcile", script_keys, [start, start + batch - 1])
        return int(reply[0]), [order_id.decode() for order_id in reply[1:]]

    async def callers(self) -> list[str]:
        """The ids of all callers."""
        return sorted(one.decode() for one in await _reached(self._redis.smembers(keys.CALLERS)))

    async def mark_verified(self, caller_id: str, endpoint: str) -> None:
        """Remember that an endpoint holds its caller's secret; for a caller that is gone, or need not know, nothing."""
        while (before := await self.caller(caller_id)) is not None and not before.may_call(endpoint):
            script_keys, arguments = codec.caller_call(before, before.with_verified(endpoint), self._vault)
            if await self._run("save_caller", script_keys, arguments) != b"conflict":
                return

    async def caller(self, caller_id: str) -> Caller | None:
        """The caller, or None when there is none."""
        stored, sealed = await self._read(keys.caller(caller_id))
        return codec.unpack_caller(caller_id, int(stored[b"v"]), sealed, self._vault) if stored else None

    async def trim_indexes(self, caller_id: str, before: float) -> None:
        """Take orders accepted before a moment, and rentals and events that are gone, out of a caller's indexes."""
        await _reached(self._redis.zremrangebyscore(keys.caller(caller_id, "orders"), "-inf", ms(before)))
        rentals, events = keys.caller(caller_id, keys.RENTALS), keys.caller(caller_id, "events")
        for rental_id in await _reached(self._redis.zrange(rentals, 0, 199)):  # one may outlast many that came later
            if not await _reached(self._redis.exists(keys.order(rental_id.decode()))):
                await _reached(self._redis.zrem(rentals, rental_id))
        for event_id in await _reached(self._redis.zrange(events, 0, 199)):
            if await _reached(self._redis.exists(keys.event(event_id.decode()))):
                return
            await _reached(self._redis.zrem(events, event_id))

    async def trim_states(self, before: float, doubted_before: float) -> None:
        """Take orders, rentals and webhooks that are gone by now out of the indexes by state."""
        ended = [*map(keys.orders_in, TERMINAL), *map(keys.rentals_in, ENDED)]
        for index in (*ended, keys.events_in("exhausted"), keys.events_in("gone")):
            await _reached(self._redis.zremrangebyscore(index, "-inf", ms(before)))
        for index in (keys.DOUBTFUL, keys.DOUBTFUL_RENTALS):
            await _reached(self._redis.zremrangebyscore(index, "-inf", ms(doubted_before)))

    async def add_report(self, report: Report, *, last: bool = False) -> None:
        """Add what a process has counted to what all have; `last` says that it ends."""
        await self._run("report", *codec.report_call(report, last=last))

    async def depths(self) -> dict[Lane, int]:
        """How many entries each lane holds."""
        held = {lane: await _reached(self._redis.zcard(keys.due(lane))) for lane in Lane}
        held[Lane.BUY] += await _reached(self._redis.zcard(keys.TURNS))
        return held

    def levels(self) -> dict[str, float]:
        """How many of this process's connections to the store are busy, of how many there may be."""
        pool = self._redis.connection_pool
        busy = len(getattr(pool, "_in_use_connections", ()))
        return {"store_connections_busy": busy, "store_connections": pool.max_connections}

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


async def _reached(call: Awaitable[T]) -> T:
    try:
        return await call
    except (RedisError, OSError, *LEAKED) as error:
        known = meaning(error)
        if known is None:
            raise
        raise known from None


async def _patiently(call: Callable[[], Awaitable[T]], patience: float) -> T:
    """Call until it succeeds, for `patience` seconds; waits double from 50 ms to 1 s."""
    until, wait = time.monotonic() + patience, 0.05
    while True:
        try:
            return await call()
        except StoreUnavailable:
            if time.monotonic() + wait > until:
                raise
        await asyncio.sleep(wait)
        wait = min(1.0, wait * 2)
