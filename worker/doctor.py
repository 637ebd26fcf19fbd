"""The doctor: looks at settings, store and workers, and says what each finding means and what to do.

The provider is asked elsewhere (`worker.cli.provider_check`), so that a page may show all of this without its key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice

from worker.alerts import Alert
from worker.errors import RingbackError, SettingsInvalid, StoreTooNew
from worker.pause import Pause
from worker.schedule import LIFE
from worker.settings import Settings
from worker.store import Store

TICK_LATE = 10.0
"""Seconds since a worker's clock last ticked from which nothing counts as running (contract.md, /readyz)."""
LATE, VERY_LATE = 5.0, 60.0
"""Seconds by which the oldest entry of a lane may be late: more is a warning, then a failure."""
LONG_PAST = 86_400.0
"""Seconds after which an alert that was not repeated is no finding any more."""
NEARLY_FULL, MB = 0.8, 1e6
"""Share of maxmemory from which the store is nearly full; bytes of a megabyte."""
SKEWED, BADLY_SKEWED = 2.0, 60.0
"""Seconds between this clock and the store's."""
RECORDS_AT_ONCE = 500
"""Records that are read from the store in one call."""
NAMED = 5
"""Records that are named of those that cannot be opened."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what it is about, what it means, and what to do about it."""

    level: Level
    subject: str
    meaning: str
    advice: str = ""

    def public(self) -> dict[str, str]:
        """The finding as JSON shows it."""
        return asdict(self)


ITEMS_NAMED = 5
"""Paused items that are named; the others are counted."""
MERELY_WARNED_OF = frozenset({Pause.PROVIDER_BANNED, Pause.SWITCHED_OFF})
"""Pauses that are somebody's decision or end by themselves; the others need an operator."""
COUNTED: Mapping[str, str] = {
    "mended": "the store lost wake-ups; look for evictions (maxmemory) or lost writes (appendfsync)",
    "failures": "there were unexpected errors; see the workers' log lines at error level",
}


def examine(settings: Settings, store: Store) -> list[Finding]:
    """Everything, in the order in which to mend it. Raises StoreUnavailable when the store goes away meanwhile."""
    return [
        *check_settings(settings),
        *check_persistence(store),
        check_clocks(store.now(), time.time()),
        *check_records(store),
        check_workers(store),
        *check_lanes(store),
        *check_pauses(store),
        check_account(store),
        *check_alerts(store),
    ]


def explained(error: RingbackError) -> Finding:
    """An error that ends the examination, as its only finding."""
    if isinstance(error, SettingsInvalid):
        return Finding(
            Level.FAIL, "settings", str(error), "correct these in the environment; docs/configuration.md lists all"
        )
    if isinstance(error, StoreTooNew):
        return Finding(Level.FAIL, "store", str(error), "docs/upgrading.md says how to upgrade, and how to roll back")
    return Finding(Level.FAIL, "store", str(error), "no orders are accepted without it; no accepted order is lost")


def check_settings(settings: Settings) -> Iterator[Finding]:
    """The settings' warnings, and holes in the address guard."""
    warnings = settings.warnings()
    for warning in warnings:
        yield Finding(Level.WARN, "settings", warning)
    if settings.callback_allowed_networks:
        networks = ", ".join(settings.callback_allowed_networks)
        yield Finding(
            Level.WARN, "callback guard", f"callbacks into {networks} are allowed",
            "unset RINGBACK_CALLBACK_ALLOWED_NETWORKS unless your own receivers are there",
        )  # fmt: skip
    if not warnings:
        yield Finding(Level.OK, "settings", "they are consistent")


# The store.


def check_persistence(store: Store) -> Iterator[Finding]:
    """Whether the store keeps what it acknowledged: nothing evicted, everything on disk."""
    info = store.info()
    yield Finding(Level.OK, "store", f"responds ({info.get('version') or 'version unknown'})")
    yield from _room(info)
    if info.get("role") in ("slave", "replica"):
        yield Finding(
            Level.FAIL, "store", "is a read-only replica: nothing is accepted, polled or cancelled",
            "set RINGBACK_REDIS_URL to the primary, or to Sentinel, which finds it",
        )  # fmt: skip
    yield _eviction(info)
    yield _append_only(info)
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(Level.FAIL, "store", "its last write to disk failed", "check its disk space and log")


def _room(info: Mapping[str, str]) -> Iterator[Finding]:
    """How full it is, where it has a bound."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most or used < NEARLY_FULL * most:
        return
    full = used >= most
    state = "full" if full else "nearly full"
    yield Finding(
        Level.FAIL if full else Level.WARN, "store memory",
        f"{state}: {used / MB:.0f} MB of {most / MB:.0f} MB; once full, new orders are refused (503 store_full)",
        "raise its maxmemory (docs/operations.md, Memory), or lower RINGBACK_RETENTION and RINGBACK_JOURNAL_RETENTION",
    )  # fmt: skip


def _eviction(info: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return Finding(
            Level.WARN,
            "store memory",
            "its eviction policy cannot be read",
            "make sure that maxmemory-policy is noeviction",
        )
    if policy == "noeviction":
        return Finding(Level.OK, "store memory", "nothing is evicted (noeviction)")
    level = Level.WARN if info.get("maxmemory", "0") == "0" else Level.FAIL
    return Finding(
        level, "store memory", f"maxmemory-policy is {policy}: orders and webhooks would vanish when memory runs out",
        "run CONFIG SET maxmemory-policy noeviction, and set it in the configuration file",
    )  # fmt: skip


def _append_only(info: Mapping[str, str]) -> Finding:
    subject, enabled = "store disk", info.get("aof_enabled")
    if enabled is None:
        advice = "make sure that appendonly is yes"
        return Finding(Level.WARN, subject, "cannot find out whether it keeps an append-only file", advice)
    if enabled == "1":
        return Finding(
            Level.OK, subject, f"append-only file is on; {_LOSES.get(info.get('appendfsync', ''), _LOSES[''])}"
        )
    return Finding(
        Level.FAIL, subject, "it keeps no append-only file: a restart loses purchases that were paid for",
        "run CONFIG SET appendonly yes, and set it in the configuration file, with appendfsync always or everysec",
    )  # fmt: skip


_LOSES = {
    "always": "nothing acknowledged is lost",
    "everysec": "a crash of its machine loses up to a second",
    "no": "a crash of its machine loses what the operating system had not written yet",
    "": "appendfsync cannot be read",
}


def check_clocks(store_now: float, here: float) -> Finding:
    """How far this machine's clock is from the store's, by which all workers go; epoch seconds."""
    skew = abs(store_now - here)
    if skew <= SKEWED:
        return Finding(Level.OK, "clocks", "this machine's clock and the store's agree")
    level = Level.FAIL if skew > BADLY_SKEWED else Level.WARN
    return Finding(
        level, "clocks", f"the store's clock and this machine's are {skew:.0f} s apart; workers use the store's",
        "run a time service (chrony, systemd-timesyncd) on both",
    )  # fmt: skip


def check_records(store: Store) -> Iterator[Finding]:
    """Whether callers, open orders and webhooks that are owed open here: what is not yet done must be readable."""
    looked, locked = 0, []
    records = store.waiting_records()
    while waiting := list(islice(records, RECORDS_AT_ONCE)):
        looked += len(waiting)
        locked += store.unreadable(waiting)
    if locked:
        named = ", ".join(one for one, _ in locked[:NAMED])
        yield Finding(
            Level.FAIL, "encryption",
            f"{len(locked)} of {looked} records cannot be opened here ({named}): {locked[0][1]}",
            "add the keys that they need to RINGBACK_ENCRYPTION_KEYS everywhere; `ringback keys status` names them",
        )  # fmt: skip
    elif looked:
        yield Finding(
            Level.OK, "encryption", f"all records of callers, open orders and pending webhooks can be opened ({looked})"
        )
    if not store.callers():
        yield Finding(
            Level.WARN, "callers", "there are none, so nobody can post an order", "run `ringback caller create NAME`"
        )


# The workers.


def check_workers(store: Store) -> Finding:
    """Whether any worker's clock ticks."""
    tick, now = store.last_tick(), store.now()
    advice = "start a worker (the Procfile's worker line); if it stops, its log says why"
    if tick is None:
        return Finding(
            Level.FAIL,
            "workers",
            "no worker has ever run on this store: nothing is bought, polled or delivered",
            advice,
        )
    if now - tick > TICK_LATE:
        return Finding(Level.FAIL, "workers", f"no worker's clock has ticked for {now - tick:.0f} s", advice)
    alive = f"{store.workers(LIFE)} alive, the clock ticked {max(0.0, now - tick):.1f} s ago"
    return Finding(Level.OK, "workers", alive)


def check_lanes(store: Store) -> Iterator[Finding]:
    """Whether what is due is also done."""
    depths = store.depths()
    for lane, depth in depths.items():
        late = depth["late"]
        if late > LATE:
            level = Level.FAIL if late > VERY_LATE else Level.WARN
            yield Finding(
                level, f"lane {lane}", f"{depth['due']:.0f} of {depth['held']:.0f} due, the oldest {late:.0f} s late",
                "start more workers, or find out what slows them down (docs/operations.md, Scaling)",
            )  # fmt: skip
    if all(depth["late"] <= LATE for depth in depths.values()):
        held = ", ".join(f"{lane} {depth['held']:.0f}" for lane, depth in depths.items())
        yield Finding(Level.OK, "lanes", f"nothing is late ({held})")


def check_pauses(store: Store) -> Iterator[Finding]:
    """Why nothing is bought, if so."""
    pauses = store.pauses()
    for reason in (one for one in Pause if one in pauses):
        why = f" ({pauses[reason]['reason']})" if pauses[reason].get("reason") else ""
        level = Level.WARN if reason in MERELY_WARNED_OF else Level.FAIL
        yield Finding(level, "buying", f"is paused: {reason}{why}", reason.advice)
    items = sorted(store.item_pauses())
    if items:
        more = f" and {len(items) - ITEMS_NAMED} more" if len(items) > ITEMS_NAMED else ""
        paused = f"is paused for {', '.join(items[:ITEMS_NAMED])}{more}: the balance is too low"
        yield Finding(Level.WARN, "buying", paused, Pause.INSUFFICIENT_BALANCE.advice)
    if not pauses and not items:
        yield Finding(Level.OK, "buying", "is on")


def check_account(store: Store) -> Finding:
    """Whether the workers reach the provider, and how old their last good reading of the balance is."""
    account, now = store.account(), store.now()
    advice = "check the provider's own pages; then DNS, the firewall and TLS from where the workers run"
    if away := account.get("provider:away"):
        since, why = now - int(away) / 1000, account.get("provider:why") or "no reply"
        return Finding(Level.FAIL, "provider", f"the workers have not reached it for {since:.0f} s ({why})", advice)
    at, asked = int(account.get("balance:at", 0)), int(account.get("balance:asked", 0))
    if asked > at:
        why = account.get("balance:why") or "no reply"
        good = f"the last good one is {now - at / 1000:.0f} s old" if at else "there has never been a good one"
        return Finding(Level.WARN, "balance", f"the last reading failed ({why}); {good}", advice)
    if not at:
        return Finding(Level.OK, "balance", "no worker has read it yet")
    return Finding(Level.OK, "balance", f"{account.get('balance')} PKR, read {max(0.0, now - at / 1000):.0f} s ago")


def check_alerts(store: Store) -> Iterator[Finding]:
    """What the workers have counted of late that somebody should know."""
    counted = {name: count for name, count in store.counters().items() if count > 0}
    at, now = store.counted_at(), store.now()
    shown = past = 0
    for name, count in sorted(counted.items()):
        kind, _, labels = name.partition("{")
        alert = labels.partition('kind="')[2].partition('"')[0]
        advice = _ADVICE.get(alert, "see the log line") if kind == "alerts" else COUNTED.get(kind)
        ago = now - at.get(name, now)
        if advice and ago > LONG_PAST:
            past += 1
        elif advice:
            shown += 1
            last = f", the last one {ago / 3600:.1f} h ago" if name in at else ""
            yield Finding(Level.WARN, "counted", f"{name}: {count:.0f} so far{last}", advice)
    if not shown:
        yield Finding(
            Level.OK, "counted", "no alerts in the last day" + (f" ({past} kinds before that)" if past else "")
        )


_ADVICE = {kind.value: kind.advice for kind in Alert}
