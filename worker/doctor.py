"""The doctor: looks at settings, store and workers, and says what each finding means and what to do.

The provider is asked elsewhere (`worker.cli.provider_check`), so that a page may show all of this without its key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from worker.alerts import Alert
from worker.callers import Callers
from worker.errors import RingbackError, SettingsInvalid
from worker.pause import Pause
from worker.schedule import LIFE
from worker.settings import Settings
from worker.store import Store, VaultLocked

TICK_LATE = 10.0
"""Seconds since a worker's clock last ticked from which nothing counts as running (contract.md, /readyz)."""
LATE, VERY_LATE = 5.0, 60.0
"""Seconds by which the oldest entry of a lane may be late: more is a warning, then a failure."""
SKEWED, BADLY_SKEWED = 2.0, 60.0
"""Seconds between this clock and the store's."""
ORDERS_OPENED = 20
"""Newest orders per caller that are opened to prove that the encryption keys fit."""


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
    "failures": "work raised something unexpected; the workers' log lines at error level say what",
}


def examine(settings: Settings, store: Store, callers: Callers) -> list[Finding]:
    """Everything, in the order in which to mend it. Raises StoreUnavailable when the store goes away meanwhile."""
    return [
        *check_settings(settings),
        *check_persistence(store),
        check_clocks(store.now(), time.time()),
        *check_records(store, callers),
        check_workers(store),
        *check_lanes(store),
        *check_pauses(store),
        *check_alerts(store),
    ]


def explained(error: RingbackError) -> Finding:
    """An error that ends the examination, as its only finding."""
    if isinstance(error, SettingsInvalid):
        return Finding(
            Level.FAIL, "settings", str(error), "correct these in the environment; docs/configuration.md lists all"
        )
    return Finding(Level.FAIL, "store", str(error), "without it nothing is accepted, and nothing accepted is lost")


def check_settings(settings: Settings) -> Iterator[Finding]:
    """The settings' warnings, and holes in the address guard."""
    warnings = settings.warnings()
    for warning in warnings:
        yield Finding(Level.WARN, "settings", warning)
    if settings.callback_allowed_networks:
        networks = ", ".join(settings.callback_allowed_networks)
        yield Finding(
            Level.WARN, "callback guard", f"callbacks into {networks} are let through",
            "unset RINGBACK_CALLBACK_ALLOWED_NETWORKS unless these are receivers of yours",
        )  # fmt: skip
    if not warnings:
        yield Finding(Level.OK, "settings", "they hold together")


# The store.


def check_persistence(store: Store) -> Iterator[Finding]:
    """Whether the store keeps what it acknowledged: nothing evicted, everything on disk."""
    info = store.info()
    yield Finding(Level.OK, "store", f"answers ({info.get('version') or 'version unknown'})")
    yield _eviction(info)
    yield _append_only(info)
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(Level.FAIL, "store", "its last write to disk failed", "look at its disk space and log")


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
        "CONFIG SET maxmemory-policy noeviction, and in its configuration file",
    )  # fmt: skip


def _append_only(info: Mapping[str, str]) -> Finding:
    subject, enabled = "store disk", info.get("aof_enabled")
    if enabled is None:
        advice = "make sure that appendonly is yes"
        return Finding(Level.WARN, subject, "whether it keeps an append-only file cannot be read", advice)
    if enabled == "1":
        return Finding(
            Level.OK, subject, f"append-only file is on; {_LOSES.get(info.get('appendfsync', ''), _LOSES[''])}"
        )
    return Finding(
        Level.FAIL, subject, "it keeps no append-only file: a restart loses purchases that were paid for",
        "CONFIG SET appendonly yes, and in its configuration file; appendfsync always or everysec",
    )  # fmt: skip


_LOSES = {
    "always": "nothing acknowledged is lost",
    "everysec": "a crash of its machine loses up to a second",
    "no": "a crash of its machine loses what the system had not written yet",
    "": "appendfsync cannot be read",
}


def check_clocks(store_now: float, here: float) -> Finding:
    """How far this machine's clock is from the store's, by which all workers go; epoch seconds."""
    skew = abs(store_now - here)
    if skew <= SKEWED:
        return Finding(Level.OK, "clocks", "this machine's and the store's agree")
    level = Level.FAIL if skew > BADLY_SKEWED else Level.WARN
    return Finding(
        level, "clocks", f"the store's clock and this machine's are {skew:.0f} s apart; workers go by the store's",
        "run a time service (chrony, systemd-timesyncd) on both",
    )  # fmt: skip


def check_records(store: Store, callers: Callers) -> Iterator[Finding]:
    """Whether callers and newest orders open with the encryption keys that are set here."""
    try:
        known = callers.all()
        for caller in known:
            store.orders(caller.id, status=None, limit=ORDERS_OPENED, before=None)
    except VaultLocked as locked:
        yield Finding(
            Level.FAIL,
            "encryption",
            str(locked),
            "add the key that sealed it to the end of RINGBACK_ENCRYPTION_KEYS, everywhere",
        )
        return
    if known:
        yield Finding(Level.OK, "encryption", f"the records of {len(known)} callers open")
    else:
        yield Finding(
            Level.WARN, "callers", "there are none, so nobody can post an order", "ringback caller create NAME"
        )


# The workers.


def check_workers(store: Store) -> Finding:
    """Whether any worker's clock ticks."""
    tick, now = store.last_tick(), store.now()
    advice = "start a worker (the Procfile's worker line); its log says why it ends, if it does"
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
                "start more workers, or free them (docs/operations.md, Scaling)",
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
        paused = f"is paused for {', '.join(items[:ITEMS_NAMED])}{more}: the balance is too low for that"
        yield Finding(Level.WARN, "buying", paused, Pause.INSUFFICIENT_BALANCE.advice)
    if not pauses and not items:
        yield Finding(Level.OK, "buying", "is on")


def check_alerts(store: Store) -> Iterator[Finding]:
    """What the workers have counted that somebody should know."""
    counted = {name: count for name, count in store.counters().items() if count > 0}
    shown = 0
    for name, count in sorted(counted.items()):
        kind, _, label = name.partition("{")
        advice = _ADVICE.get(_label(label), "the log line says more") if kind == "alerts" else COUNTED.get(kind)
        if advice:
            shown += 1
            yield Finding(Level.WARN, "counted", f"{name}: {count:.0f} so far", advice)
    if not shown:
        yield Finding(Level.OK, "counted", "no alert so far")


_ADVICE = {kind.value: kind.advice for kind in Alert}


def _label(labels: str) -> str:
    return labels.partition('kind="')[2].partition('"')[0]
