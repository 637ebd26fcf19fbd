"""The dictionary of Redis keys. Only `worker.store` knows them; scores are milliseconds of the server's clock.

rb:format                int   the newest format of records that a version has written here
rb:order:<id>            hash  v version · s status · c caller · a activation · k cancel_at · w writer · e event ids
                               A rental is kept like an order.
rb:order:<id>:record     str   its sealed record; beside the hash, so that the hash stays small enough for a list pack
rb:order:<id>:missing    int   "no such activation" answers in a row
rb:event:<id>            hash  v version · s status · c caller · o order · t type · h host · p endpoint · q sequence
                               r times that it was given back by dead workers
rb:event:<id>:record     str   its sealed record
rb:due:<lane>            zset  what is due when: orders in buy, poll, settle; events in deliver
rb:turns                 zset  orders due in buy, moved here from rb:due:buy → their turn (lua/turns.lua)
rb:turns:callers         hash  caller → where its next turn begins · caller:weight · now, at: the last turn taken
rb:hints:<lane>          int   hints under way, so that the clock tops up instead of piling up
rb:activation:<product>:<id>  str  the order that a provider's id belongs to
rb:caller:<id>           hash  v version · m spend cap in 1/10000 PKR;  rb:caller:<id>:record  str  its sealed record
rb:caller:<id>:orders    zset  its orders by creation
rb:caller:<id>:open      zset  its orders that still need attention
rb:caller:<id>:rentals   zset  its rentals by creation;  rb:caller:<id>:rentals:open  zset  those that need attention
rb:caller:<id>:events    zset  its events by sequence
rb:caller:<id>:sequence  int   the last sequence given
rb:caller:<id>:count:<m|d>:<n>  int  orders accepted in that minute or day
rb:caller:<id>:spent:<day>  int  what its purchases of that day count against its spend cap, in 1/10000 PKR
rb:caller:<id>:bytes     hash  day → bytes that its orders and events took on that day
rb:caller:<id>:refusals  int   orders that the provider refused, within an hour of the last one
rb:caller:<id>:hold      str   no orders are taken while it lives: too many were refused
rb:callers               set   all callers
rb:apikey:<sha256>       str   the caller an API key belongs to
rb:idem:<caller>:<sha256>  hash  b body hash · r sealed first answer
rb:endpoint:<digest>     zset  deliveries in flight to an endpoint, by the end of their lease
rb:endpoint:<digest>:waiting   zset  deliveries that wait for a place at the endpoint, by when they were due
rb:endpoint:<digest>:failures  int   failures in a row
rb:host:<digest>         zset  deliveries in flight to a host;  rb:host:<digest>:<caller>  zset  those of one caller
rb:host:<digest>:waiting   zset  endpoints that wait for a place at the host, by since when
rb:host:<digest>:failures  int   attempts in a row that did not reach it
rb:caller:<id>:delivering  zset  deliveries of a caller in flight
rb:caller:<id>:delivering:waiting  zset  endpoints that wait for a place in their caller's share, by since when
rb:workers               zset  worker → ms at which it was last heard of
rb:worker:<name>:deliveries  zset  deliveries that a worker claimed of late, by the end of their lease
rb:erase                 zset  orders whose code, and rentals of which messages, are to be erased when
rb:gate                  hash  why buying is paused: reason → JSON
rb:gate:items            hash  items that are paused for want of money: item → JSON
rb:trial:<item>          str   one order tries a paused item
rb:limit                 hash  hold · rate · since · next · others: the provider's limiter
rb:account               hash  balance, servers:<type>, countries:<type>, each with …:at, …:asked, …:why
                               provider:away, provider:why · price
rb:account:<reading>     hash  the same of a listing of services or rentals, for a week
rb:account:lowest        hash  a product and a price list of its → ms of its reading, and the lowest price in it
rb:refresh_requests      hash  readings of the account that somebody asked for
rb:clock                 str   the worker whose clock ticks;  rb:clock:tick  ms of the last tick
rb:chores                hash  chore → ms when it is next due
rb:counters              hash  counters and histograms of all processes, summed
rb:counters:exemplars    hash  bucket of a histogram → the trace, seconds and moment of one that fell into it
rb:counters:callers      set   callers that have series of their own
rb:levels                hash  process → ms of its last report, and how full it is, as JSON
rb:report:<process>      str   the number of its last report, so that none counts twice
rb:counters:at           hash  counter that needs a person → ms of its last count
rb:journal               stream  every intent, purchase, cancel, finish and refund
rb:orders:<status>       zset  the orders in a state, by creation
rb:orders:doubtful       zset  orders whose money is in doubt, since when
rb:rentals:<status>      zset  the rentals in a state, by creation;  rb:rentals:doubtful  zset  as for orders
rb:events:<status>       zset  webhooks given up (exhausted, gone), since when
rb:host:<host>:good      int   ms of the last acknowledged delivery to a host
rb:money:<day>           hash  <kind>|<caller>|<product> → how many lines of the journal; …|pkr their prices, summed
rb:figures:<hour>        hash  <minute>|<counter> → how much was counted in that minute; kept a day
rb:worker:<name>:about   hash  what a worker says of itself: version, queues, in flight
rb:operators             set   all operators
rb:operator:<id>         hash  v version;  rb:operator:<id>:record  str  its sealed record;  …:sessions  set  of digests
rb:login:<sha256>        str   the operator whom a login link lets in
rb:session:<sha256>      str   the operator that a session belongs to
rb:console:<what>:<n>    int   how often something was done in a window of time
rb:audit                 stream  what operators did: who, act, on, why
rb:jobs                  zset  bulk redeliveries, by when they were asked for
rb:jobs:open             set   those that workers have something to do for
rb:job:<id>              hash  one of them (`jobs.py`);  rb:job:<id>:found  zset  webhooks to send, by creation
rb:reconciliation        str   the last reconciliation run from the console
"""

from __future__ import annotations

PREFIX = "rb:"
CALLERS = PREFIX + "callers"
WORKERS = PREFIX + "workers"
ERASE = PREFIX + "erase"
GATE = PREFIX + "gate"
PAUSED_ITEMS = PREFIX + "gate:items"
LIMIT = PREFIX + "limit"
ACCOUNT = PREFIX + "account"
LOWEST_PRICES = PREFIX + "account:lowest"
REFRESH_REQUESTS = PREFIX + "refresh_requests"
COUNTERS = PREFIX + "counters"
EXEMPLARS = PREFIX + "counters:exemplars"
COUNTED_CALLERS = PREFIX + "counters:callers"
LEVELS = PREFIX + "levels"
TURNS = PREFIX + "turns"
TURN_STATE = PREFIX + "turns:callers"
COUNTED_AT = PREFIX + "counters:at"
CLOCK = PREFIX + "clock"
TICK = PREFIX + "clock:tick"
CHORES = PREFIX + "chores"
JOURNAL = PREFIX + "journal"
OPERATORS = PREFIX + "operators"
AUDIT = PREFIX + "audit"
DOUBTFUL = PREFIX + "orders:doubtful"
DOUBTFUL_RENTALS = PREFIX + "rentals:doubtful"
FIGURES = PREFIX + "figures:"
JOBS = PREFIX + "jobs"
OPEN_JOBS = PREFIX + "jobs:open"
RECONCILIATION = PREFIX + "reconciliation"
ORDERS, OPEN_ORDERS = "orders", "open"
RENTALS, OPEN_RENTALS = "rentals", "rentals:open"
"""Parts of a caller: all of a kind, and those that still need attention."""
FORMAT = PREFIX + "format"
NEVER_THERE = PREFIX + "never_there"
RECORDS = f"{PREFIX}*:record"
"""A pattern of all sealed records but those of idempotency keys."""
ANSWERS = f"{PREFIX}idem:*"
"""A pattern of the records of idempotency keys."""


def order(order_id: str) -> str:
    """The order's record."""
    return f"{PREFIX}order:{order_id}"


def event(event_id: str) -> str:
    """The event's record."""
    return f"{PREFIX}event:{event_id}"


def due(lane: str) -> str:
    """What is due in a lane."""
    return f"{PREFIX}due:{lane}"


def readings(what: str) -> str:
    """The hash that holds a reading: one for all that is always kept, one for each listing read if asked for."""
    return f"{ACCOUNT}:{what}" if what.startswith(("services:", "rental_")) else ACCOUNT


def reading(what: str) -> list[str]:
    """The fields of a reading in its hash: its value, its moment, the last attempt's and why that failed; and since
    when the provider cannot be reached.
    """
    return [what, f"{what}:at", f"{what}:asked", f"{what}:why", "provider:away"]


def missing(order_id: str) -> str:
    """How often in a row the provider did not know an order's number."""
    return f"{order(order_id)}:missing"


def hints(lane: str) -> str:
    """The hints of a lane that are under way."""
    return f"{PREFIX}hints:{lane}"


def trial(item: str) -> str:
    """That one order tries a paused item."""
    return f"{PREFIX}trial:{item}"


def activation(handle: str) -> str:
    """The order that a provider's id belongs to, by `Order.handle`."""
    return f"{PREFIX}activation:{handle}"


def endpoint(digest: str) -> str:
    """Deliveries in flight to an endpoint."""
    return f"{PREFIX}endpoint:{digest}"


def host(digest: str, caller_id: str = "") -> str:
    """Deliveries in flight to a receiving host, or those of one caller."""
    return f"{PREFIX}host:{digest}" + (f":{caller_id}" if caller_id else "")


def caller(caller_id: str, part: str = "") -> str:
    """The caller's record, or one of its parts (orders, open, events, sequence)."""
    return f"{PREFIX}caller:{caller_id}" + (f":{part}" if part else "")


def spent(caller_id: str, at: float) -> str:
    """What a caller has spent in the day (UTC) of a moment in epoch seconds."""
    return caller(caller_id, f"spent:{int(at // 86_400)}")


def deliveries(worker: str) -> str:
    """The deliveries that a worker claimed of late."""
    return f"{PREFIX}worker:{worker}:deliveries"


def api_key(digest: str) -> str:
    """The caller that an API key's SHA-256 belongs to."""
    return f"{PREFIX}apikey:{digest}"


def idempotency(caller_id: str, digest: str) -> str:
    """The record of an idempotency key's SHA-256."""
    return f"{PREFIX}idem:{caller_id}:{digest}"


def report(process: str) -> str:
    """The number of a process's last report."""
    return f"{PREFIX}report:{process}"


def record(key: str) -> str:
    """The sealed record beside an order's or an event's hash."""
    return f"{key}:record"


def orders_in(status: str) -> str:
    """The orders in a state."""
    return f"{PREFIX}orders:{status}"


def rentals_in(status: str) -> str:
    """The rentals in a state."""
    return f"{PREFIX}rentals:{status}"


def events_in(status: str) -> str:
    """The webhooks that were given up in a state (exhausted, gone)."""
    return f"{PREFIX}events:{status}"


def money(day: int) -> str:
    """What the journal said on a day, counted; days since 1970."""
    return f"{PREFIX}money:{day}"


def figures(hour: int) -> str:
    """What was counted in the minutes of an hour; hours since 1970."""
    return f"{FIGURES}{hour}"


def about(worker: str) -> str:
    """What a worker says of itself."""
    return f"{PREFIX}worker:{worker}:about"


def operator(operator_id: str, part: str = "") -> str:
    """The operator's record, or one of its parts (sessions)."""
    return f"{PREFIX}operator:{operator_id}" + (f":{part}" if part else "")


def login(digest: str) -> str:
    """The operator whom a login link lets in."""
    return f"{PREFIX}login:{digest}"


def session(digest: str) -> str:
    """The operator that a session belongs to."""
    return f"{PREFIX}session:{digest}"


def console_count(what: str, window: int) -> str:
    """How often something was done in a window of time."""
    return f"{PREFIX}console:{what}:{window}"


def job(job_id: str, part: str = "") -> str:
    """A bulk redelivery, or one of its parts (found)."""
    return f"{PREFIX}job:{job_id}" + (f":{part}" if part else "")
