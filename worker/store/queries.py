"""Questions about everybody's orders, rentals and webhooks: counts, filters, failing endpoints, money by day.

For the console, the command line and the metrics alike. No question walks more than `MOST` records, whatever the store
holds; a page that stopped there says so (`Page.capped`), and its cursor goes on from that place.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import redis

from worker.event import Event, EventStatus
from worker.order import TERMINAL, Acquisition, Order, Settlement, Status
from worker.rental import ENDED, Rental, RentalStatus
from worker.schedule import Lane, Wake
from worker.store import keys
from worker.store.codec import ms
from worker.store.connection import reaching

MOST = 600
"""Records that one question looks at: their opening takes a tenth of a millisecond each."""
BATCH = 200
"""Records read at once: the store answers nobody else meanwhile."""
FAILING_WALKED = 400
"""Webhooks looked at to say which endpoints fail."""
DAY = 86_400

T = TypeVar("T", Order, Rental, Event)
K = TypeVar("K", Order, Rental)
Load = Callable[[Sequence[str], list[str]], list[T | None]]
"""Opens records by their ids; None stands for one that is gone, or cannot be opened: the latter's id joins the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders, or rentals; None is any. `digits` are the last of the number; times are those of the creation."""

    status: Status | RentalStatus | None = None
    caller: str | None = None
    product: str | None = None
    purpose: str | None = None
    error: str | None = None
    settlement: Settlement | None = None
    digits: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def by_state_alone(self) -> bool:
        """Whether the indexes answer it without a look at any record."""
        return not any((self.caller, self.product, self.purpose, self.error, self.settlement, self.digits))

    def means(self, order: Acquisition) -> bool:
        """Whether an order or a rental is meant."""
        return self.status in (None, order.status) and self.fits(order)

    def fits(self, order: Acquisition) -> bool:
        """Whether an order or a rental is meant, its state left aside."""
        return (
            self.caller in (None, order.caller)
            and self.product in (None, order.product)
            and self.purpose in (None, order.purpose)
            and self.error in (None, order.error)
            and self.settlement in (None, order.settlement)
            and (self.digits is None or _number(order).endswith(self.digits))
            and _between(order.created_at, self.since, self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which webhooks; None is any. `error` is what the last attempt was answered with: a status code or a class."""

    status: EventStatus | None = None
    caller: str | None = None
    host: str | None = None
    type: str | None = None
    error: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def by_state_alone(self) -> bool:
        """Whether the indexes answer it without a look at any record."""
        return not any((self.caller, self.host, self.type, self.error, self.since, self.until))

    @property
    def index(self) -> str | None:
        """The index of its state: webhooks that are owed, or were given up in one way. Other states have none."""
        if self.status in (EventStatus.EXHAUSTED, EventStatus.GONE):
            return keys.events_in(self.status)
        return keys.due(Lane.DELIVER) if self.status is EventStatus.PENDING else None

    def means(self, event: Event) -> bool:
        """Whether a webhook is meant."""
        return self.status in (None, event.status) and self.fits(event)

    def fits(self, event: Event) -> bool:
        """Whether a webhook is meant, its state left aside."""
        return (
            self.caller in (None, event.caller)
            and self.host in (None, host_of(event.url))
            and self.type in (None, event.type)
            and self.error in (None, answered(event))
            and _between(event.created_at, self.since, self.until)
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Newest first; `cursor` is where the next page begins. `counts` per state follow the filter.

    `capped`: the walk ended at `MOST` records, so there may be more. `counted`: the counts are of so many of the newest
    records alone; None means of all. `skipped` are ids of records that cannot be opened here.
    """

    items: Sequence[T]
    cursor: str | None
    counts: Mapping[str, int]
    capped: bool = False
    counted: int | None = None
    skipped: Sequence[str] = ()


@dataclass(slots=True)
class Failing:
    """Webhooks to one host that fail in one way: owed still, or given up; times are epoch seconds."""

    host: str
    error: str
    key: str
    """The host as the store knows it (`Event.host`)."""
    owed: int = 0
    given_up: int = 0
    since: float = field(default=float("inf"))
    last_good: float | None = None
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process as it was last heard of, and what it says of itself."""

    name: str
    heard_at: float
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """Lines of the journal of one day: how many of a kind, of whom, for what, and their prices where known (PKR)."""

    day: int
    kind: str
    caller: str
    product: str
    count: int
    pkr: Decimal | None


@dataclass(frozen=True, slots=True)
class _Kind(Generic[K]):
    """Orders or rentals: their states, where they stand by state, by caller and in doubt, and their records."""

    states: tuple[str, ...]
    ends: Collection[str]
    index: Callable[[str], str]
    of_caller: str
    doubtful: str
    load: Load[K]


class Queries:
    """Reads what the indexes hold. Methods raise StoreUnavailable."""

    def __init__(
        self,
        client: redis.Redis,
        load_orders: Load[Order],
        load_rentals: Load[Rental],
        load_events: Load[Event],
        *,
        retention: float,
    ) -> None:
        self._redis: Any = client
        self._orders = _Kind(tuple(Status), TERMINAL, keys.orders_in, keys.ORDERS, keys.DOUBTFUL, load_orders)
        self._rentals = _Kind(
            tuple(RentalStatus), ENDED, keys.rentals_in, keys.RENTALS, keys.DOUBTFUL_RENTALS, load_rentals
        )  # fmt: skip
        self._load_events = load_events
        self._retention = retention

    # Orders and rentals.

    def states(self, now: float) -> dict[str, int]:
        """How many orders are in each state; ended ones as long as they are kept."""
        return self._states(self._orders, now)

    def rental_states(self, now: float) -> dict[str, int]:
        """How many rentals are in each state; ended ones as long as they are kept."""
        return self._states(self._rentals, now)

    def orders(self, wanted: OrderFilter, now: float, *, limit: int = 50, cursor: str | None = None) -> Page[Order]:
        """A page of the orders that a filter means."""
        return self._page(self._orders, wanted, now, limit, cursor)

    def rentals(self, wanted: OrderFilter, now: float, *, limit: int = 50, cursor: str | None = None) -> Page[Rental]:
        """A page of the rentals that a filter means."""
        return self._page(self._rentals, wanted, now, limit, cursor)

    def any_rentals(self) -> bool:
        """Whether there are rentals at all."""
        with reaching():
            return bool(self._redis.exists(*map(keys.rentals_in, RentalStatus)))

    def doubtful(self, limit: int = 50) -> list[Order]:
        """Orders whose money is in doubt, those that came to it last first."""
        return self._doubtful(self._orders, limit)

    def doubtful_rentals(self, limit: int = 50) -> list[Rental]:
        """Rentals whose money is in doubt, those that came to it last first."""
        return self._doubtful(self._rentals, limit)

    def in_doubt(self, since: float | None = None) -> int:
        """How many orders' and rentals' money is in doubt, of those that came to it since a moment."""
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for kind in (self._orders, self._rentals):
                pipe.zcount(kind.doubtful, *_scores(since, None))
            return sum(pipe.execute())

    def _states(
        self, kind: _Kind[K], now: float, since: float | None = None, until: float | None = None
    ) -> dict[str, int]:
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for status in kind.states:
                kept = now - self._retention if status in kind.ends else None
                first = max((one for one in (since, kept) if one is not None), default=None)
                pipe.zcount(kind.index(status), *_scores(first, until))
            return dict(zip(map(str, kind.states), pipe.execute(), strict=True))

    def _page(self, kind: _Kind[K], wanted: OrderFilter, now: float, limit: int, cursor: str | None) -> Page[K]:
        walk, opened = _Walk(cursor), _Opened(kind.load)
        found = walk.page(self._ids(kind, wanted, walk), opened, wanted.means, limit)
        if wanted.by_state_alone:
            counts, counted = self._states(kind, now, wanted.since, wanted.until), None
        else:
            counts, counted = self._counts(kind, wanted, opened)
        return Page(found, walk.cursor, counts, walk.capped, counted, opened.skipped)

    def _doubtful(self, kind: _Kind[K], limit: int) -> list[K]:
        with reaching():
            ids = self._redis.zrevrange(kind.doubtful, 0, limit - 1)
        return [one for one in kind.load([one.decode() for one in ids], []) if one is not None]

    def journal_of(self, order_id: str) -> list[tuple[float, dict[str, str]]]:
        """An order's or a rental's lines of the journal, oldest first: (epoch seconds, fields)."""
        with reaching():
            stored = self._redis.hgetall(keys.order(order_id))
            ids = sorted((one[2:] for one in stored if one.startswith(b"j:")), key=_entry)
            pipe = self._redis.pipeline(transaction=False)
            for entry in ids:
                pipe.xrange(keys.JOURNAL, min=entry, max=entry)
            found = pipe.execute()
        kinds = {entry: stored[b"j:" + entry] for entry in ids}
        return [
            (_entry(entry)[0] / 1000, _texts(lines[0][1]) if lines else {"kind": kinds[entry].decode()})
            for entry, lines in zip(ids, found, strict=True)
        ]

    def wake_of(self, order_id: str) -> Wake | None:
        """In which lane an order or a rental is, and when it is due; no time while it waits for its turn."""
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for lane in Lane:
                pipe.zscore(keys.due(lane), order_id)
            pipe.zscore(keys.TURNS, order_id)
            *scores, turn = pipe.execute()
        due = (Wake(lane, at / 1000) for lane, at in zip(Lane, scores, strict=True) if at is not None)
        return next(due, None if turn is None else Wake(Lane.BUY))

    def purposes(self, wanted: OrderFilter) -> tuple[Counter[tuple[str, str]], int]:
        """(purpose, settlement) → how many of the newest orders, and of how many."""
        orders = list(self._walked(self._ids(self._orders, wanted, _Walk(None)), _Opened(self._orders.load)))
        fitting = [order for order in orders if wanted.fits(order)]
        return Counter((order.purpose or "", order.settlement.value) for order in fitting), len(orders)

    def _ids(self, kind: _Kind[K], wanted: OrderFilter, walk: _Walk) -> Iterator[tuple[float, str]]:
        indexes = [kind.index(one) for one in ([wanted.status] if wanted.status else kind.states)]
        if wanted.caller:
            indexes = [keys.caller(wanted.caller, kind.of_caller)]
        return self._newest(indexes, wanted.since, walk.below(wanted.until))

    def _counts(self, kind: _Kind[K], wanted: OrderFilter, opened: _Opened[K]) -> tuple[dict[str, int], int | None]:
        anywhere = OrderFilter(caller=wanted.caller, since=wanted.since, until=wanted.until)
        walked = list(self._walked(self._ids(kind, anywhere, _Walk(None)), opened))
        found = Counter(str(one.status) for one in walked if wanted.fits(one))
        return {str(status): found[status] for status in kind.states}, None if len(walked) < MOST else MOST

    # Webhooks.

    def event_states(self, now: float) -> dict[str, int]:
        """How many webhooks are owed, and how many were given up as long as they are kept."""
        kept = _scores(now - self._retention, None)
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            pipe.zcard(keys.due(Lane.DELIVER))
            pipe.zcount(keys.events_in(EventStatus.EXHAUSTED), *kept)
            pipe.zcount(keys.events_in(EventStatus.GONE), *kept)
            owed, exhausted, gone = pipe.execute()
        return {"pending": owed, "exhausted": exhausted, "gone": gone}

    def events(self, wanted: EventFilter, now: float, *, limit: int = 50, cursor: str | None = None) -> Page[Event]:
        """A page of the webhooks that a filter means."""
        walk, opened = _Walk(cursor), _Opened(self._load_events)
        found = walk.page(self._event_ids(wanted, walk), opened, wanted.means, limit)
        if wanted.by_state_alone:
            counts, counted = self.event_states(now), None
        else:
            counts, counted = self._event_counts(wanted, opened)
        return Page(found, walk.cursor, counts, walk.capped, counted, opened.skipped)

    def count_matching(self, wanted: EventFilter, now: float) -> int | None:
        """How many webhooks in a state a filter means; None if one question cannot look at all of them."""
        known = self.event_states(now)[str(wanted.status)]
        if wanted.by_state_alone:
            return known
        if known > MOST:
            return None
        ids = self._event_ids(wanted, _Walk(None))
        return sum(wanted.means(event) for event in self._walked(ids, _Opened(self._load_events)))

    def failing(self, now: float, caller: str | None = None) -> list[Failing]:
        """Which endpoints fail, the worst first: by what is owed and was tried, and what was given up in a day."""
        with reaching():
            owed = self._redis.zrange(keys.due(Lane.DELIVER), 0, FAILING_WALKED - 1)
            given_up = self._redis.zrevrangebyscore(
                keys.events_in(EventStatus.EXHAUSTED), "+inf", ms(now - DAY), 0, FAILING_WALKED
            )
        groups: dict[tuple[str, str], Failing] = {}
        ids = [(0.0, one.decode()) for one in (*owed, *given_up)]
        for event in self._walked(ids, _Opened(self._load_events), len(ids)):
            failed = answered(event) is not None and event.status is not EventStatus.DELIVERED
            if failed and caller in (None, event.caller):
                _note(groups, event)
        for one in groups.values():
            one.last_good = self.last_good(one.key)
        return sorted(groups.values(), key=lambda one: (-one.given_up, -one.owed, one.host))

    def last_good(self, host: str) -> float | None:
        """When a delivery to a host (`Event.host`) was last acknowledged, in epoch seconds."""
        with reaching():
            at = self._redis.get(keys.host(host, "good"))
        return int(at) / 1000 if at else None

    def _event_ids(self, wanted: EventFilter, walk: _Walk) -> Iterator[tuple[float, str]]:
        if wanted.index:
            return self._newest([wanted.index], None, walk.below(None))
        if wanted.caller:
            return self._newest([keys.caller(wanted.caller, "events")], None, walk.below(None))
        return self._events_of_orders(wanted, walk)

    def _events_of_orders(self, wanted: EventFilter, walk: _Walk) -> Iterator[tuple[float, str]]:
        """By way of the orders that caused them, the newest order first."""
        indexes = [kind.index(one) for kind in (self._orders, self._rentals) for one in kind.states]
        for chunk in _chunks(self._newest(indexes, wanted.since, walk.below(wanted.until)), BATCH):
            with reaching():
                pipe = self._redis.pipeline(transaction=False)
                for _, order_id in chunk:
                    pipe.hget(keys.order(order_id), "e")
                named = pipe.execute()
            for (score, _), events in zip(chunk, named, strict=True):
                for event_id in sorted((events or b"").split(), reverse=True):
                    yield score, event_id.decode()

    def _event_counts(self, wanted: EventFilter, opened: _Opened[Event]) -> tuple[dict[str, int], int | None]:
        """Counts over what is owed, what was given up, and the newest of all."""
        counts: dict[str, int] = {}
        most = 0
        for status in EventStatus:
            one = replace(wanted, status=status)
            walked = list(self._walked(self._event_ids(one, _Walk(None)), opened, MOST // 4))
            counts[status.value] = sum(one.means(event) for event in walked)
            most = max(most, len(walked))
        return counts, None if most < MOST // 4 else MOST // 4

    # Callers, money, workers.

    def caller_use(self, caller_id: str, now: float) -> dict[str, float | None]:
        """A caller's orders in flight, of this minute and day, and kept; its rentals; when it last ordered."""
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            pipe.zcard(keys.caller(caller_id, keys.OPEN_ORDERS))
            pipe.zcard(keys.caller(caller_id, keys.ORDERS))
            pipe.get(keys.caller(caller_id, f"count:m:{int(now // 60)}"))
            pipe.get(keys.caller(caller_id, f"count:d:{int(now // DAY)}"))
            pipe.zrevrange(keys.caller(caller_id, keys.ORDERS), 0, 0, withscores=True)
            pipe.zcard(keys.caller(caller_id, keys.RENTALS))
            open_, kept, minute, day, newest, rentals = pipe.execute()
        return {
            "open": open_, "kept": kept, "rentals": rentals, "minute": int(minute or 0), "day": int(day or 0),
            "last_order_at": newest[0][1] / 1000 if newest else None,
        }  # fmt: skip

    def money(self, since: float, until: float) -> list[Moved]:
        """What the journal said, day by day (UTC), oldest first."""
        days = range(int(since // DAY), int(until // DAY) + 1)
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for day in days:
                pipe.hgetall(keys.money(day))
            found = pipe.execute()
        return [moved for day, stored in zip(days, found, strict=True) for moved in _moved(day, stored)]

    def workers(self) -> list[Worker]:
        """Every worker that has not taken its leave, with what it said of itself."""
        with reaching():
            heard = self._redis.zrange(keys.WORKERS, 0, -1, withscores=True)
            pipe = self._redis.pipeline(transaction=False)
            for name, _ in heard:
                pipe.hgetall(keys.about(name.decode()))
            told = pipe.execute()
        return [Worker(name.decode(), at / 1000, _texts(about)) for (name, at), about in zip(heard, told, strict=True)]

    def limiter(self) -> dict[str, float]:
        """The provider's limiter: `hold` (epoch seconds until which all wait) and `rate` (calls per second)."""
        with reaching():
            hold, rate = self._redis.hmget(keys.LIMIT, "hold", "rate")
        return {"hold": float(hold or 0) / 1000, "rate": float(rate or 0)}

    def keep_reconciliation(self, result: Mapping[str, Any]) -> None:
        """Keep the last reconciliation for whoever looks next."""
        with reaching():
            self._redis.set(keys.RECONCILIATION, json.dumps(result))

    def reconciliation(self) -> dict[str, Any] | None:
        """The last reconciliation that was run from the console."""
        with reaching():
            kept = self._redis.get(keys.RECONCILIATION)
        return dict(json.loads(kept)) if kept else None

    # Walking.

    def _newest(self, indexes: Sequence[str], since: float | None, below: float | None) -> Iterator[tuple[float, str]]:
        """The members of indexes with their scores, the highest first, read a batch at a time."""
        return heapq.merge(*(self._descending(index, since, below) for index in indexes), reverse=True)

    def _descending(self, index: str, since: float | None, below: float | None) -> Iterator[tuple[float, str]]:
        highest, lowest, offset = "+inf" if below is None else below, "-inf" if since is None else ms(since), 0
        while True:
            with reaching():
                found = self._redis.zrevrangebyscore(index, highest, lowest, offset, BATCH, withscores=True)
            yield from ((score, one.decode()) for one, score in found)
            if len(found) < BATCH:
                return
            offset += BATCH

    def _walked(
        self,
        ids: Iterable[tuple[float, str]],
        opened: _Opened[T],
        most: int = MOST,
    ) -> Iterator[T]:
        for chunk in _chunks(ids, BATCH, most):
            yield from (one for one in opened([name for _, name in chunk]) if one is not None)


class _Opened(Generic[T]):
    """The records that one question has opened, each once: a page and the counts beside it look at much the same."""

    def __init__(self, load: Load[T]) -> None:
        self._load: Load[T] = load
        self._held: dict[str, T | None] = {}
        self.skipped: list[str] = []

    def __call__(self, ids: Sequence[str]) -> list[T | None]:
        new = [one for one in ids if one not in self._held]
        self._held.update(zip(new, self._load(new, self.skipped), strict=True))
        return [self._held[one] for one in ids]


class _Walk:
    """One walk down an index: where it begins, and where the next one would."""

    def __init__(self, cursor: str | None) -> None:
        score, _, name = (cursor or "").partition("~")
        self._start = (float(score), name) if name and _is_number(score) else None
        self.cursor: str | None = None
        self.capped = False

    def below(self, until: float | None) -> float | None:
        """The highest score to look at."""
        tops = [
            top for top in (None if until is None else ms(until), self._start and self._start[0]) if top is not None
        ]
        return min(tops, default=None)

    def rest(self, ids: Iterator[tuple[float, str]]) -> Iterator[tuple[float, str]]:
        """What comes from where it begins on."""
        return (one for one in ids if self._start is None or one < self._start)

    def page(
        self,
        ids: Iterator[tuple[float, str]],
        opened: _Opened[T],
        fits: Callable[[T], bool],
        limit: int,
    ) -> list[T]:
        """Up to `limit` that fit, looking at `MOST` at most; a full page stops as soon as it is one."""
        found: list[T] = []
        walked = 0
        left = self.rest(ids)
        first = min(BATCH, limit + 1)
        for chunk in itertools.chain(_chunks(left, first, first), _chunks(left, BATCH)):
            for place, one in zip(chunk, opened([name for _, name in chunk]), strict=True):
                if len(found) == limit:
                    return found
                if one is not None and fits(one):
                    found.append(one)
                self.cursor = f"{place[0]:.0f}~{place[1]}"
            walked += len(chunk)
            if walked >= MOST:
                self.capped = True
                return found
        self.cursor = None
        return found


def host_of(url: str) -> str:
    """The receiving host with its port, as it is shown."""
    parts = urlsplit(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or (80 if parts.scheme == 'http' else 443)}" if url else ""


def answered(event: Event) -> str | None:
    """What the last attempt was answered with: a status code or an error's class; None while there was none, or 2xx."""
    if not event.attempts:
        return None
    last = event.attempts[-1]
    if last.status is not None and 200 <= last.status < 300:
        return None
    return str(last.status or last.error)


def day_of(day: int) -> str:
    """Days since 1970 as a date."""
    return datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d")


def _number(order: Acquisition) -> str:
    return (order.purchase.number if order.purchase else None) or ""


def _note(groups: dict[tuple[str, str], Failing], event: Event) -> None:
    host, error = host_of(event.url), answered(event) or ""
    one = groups.setdefault((host, error), Failing(host, error, event.host))
    one.since = min(one.since, event.attempts[0].at)
    if event.status is not EventStatus.PENDING:
        one.given_up += 1
        return
    one.owed += 1
    if event.due_at is not None:
        one.next_at = event.due_at if one.next_at is None else min(one.next_at, event.due_at)


def _moved(day: int, stored: Mapping[bytes, bytes]) -> Iterator[Moved]:
    told = _texts(stored)
    for name, count in told.items():
        kind, _, rest = name.partition("|")
        caller, _, product = rest.partition("|")
        if not product.endswith("|pkr"):
            pkr = told.get(f"{name}|pkr")
            yield Moved(day, kind, caller, product, int(count), None if pkr is None else Decimal(pkr))


def _chunks(ids: Iterable[tuple[float, str]], size: int, most: int | None = None) -> Iterator[list[tuple[float, str]]]:
    left = itertools.islice(ids, most)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _scores(since: float | None, until: float | None) -> tuple[int | str, int | str]:
    return "-inf" if since is None else ms(since), "+inf" if until is None else ms(until)


def _between(at: float, since: float | None, until: float | None) -> bool:
    return (since is None or at >= since) and (until is None or at <= until)


def _entry(entry: bytes) -> tuple[int, int]:
    at, _, place = entry.partition(b"-")
    return int(at), int(place)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _texts(stored: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode("utf-8", "replace") for name, value in stored.items()}
