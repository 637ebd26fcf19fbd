"""When an order or a webhook next needs attention, and in which lane.

Pure: every function takes the time, and chance where it needs it. All times are epoch seconds and all spans seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.order import Acquisition, Order, Status

LIFE = 1.7
"""Seconds of silence after which a worker counts as dead (docs/adr/0009)."""

ACTIVATION_GRACE = 30.0
"""Seconds after a purchase in which NO_ACTIVATION may be replication lag (otpget-api.md, rule 7)."""
PURCHASE_GRACE = 5.0
"""Seconds past the buy deadline after which a purchase that nobody recorded is unknown."""
LIFE_RESERVE = 30.0
"""Seconds of a number's life that are kept for its cancel (contract.md, RINGBACK_ORDER_TIMEOUT)."""
EXPIRY_GRACE = 60.0
"""Seconds past a number's expiry in which a provider that cannot be read is still asked for a code."""
LOOKS_AFTER_CANCEL = 3
"""Unreadable answers to the look after a confirmed cancel before the order ends without one."""
FINISH_TRIES = 5
"""Finishes sent before the settlement is called unconfirmed: best effort, the caller has the code."""
ERASE_AFTER_ACK = 900.0
"""Seconds after a caller acknowledged its code until the code is erased (contract.md, RINGBACK_OTP_TTL)."""
SLOWEST_ATTEMPT = 20.0
"""Longest wait between two purchases that sold nothing."""

FREE_REFUSALS = 20
"""Orders of a caller that the provider may refuse before its next ones have to wait."""
REFUSALS_KEPT = 3600
"""Seconds after the last refusal at which they are forgotten."""
LONGEST_HOLD = 600
"""Seconds for which a caller whose orders are refused is held off at most."""

Chance = Callable[[], float]
"""A number in [0, 1), as `random.random` returns it."""


class Lane(StrEnum):
    """What can be due, each in a queue of its own; the first outranks the next where calls are scarce."""

    SETTLE = "settle"
    """Orders to be finished or given back."""
    POLL = "poll"
    """Orders that wait for their code."""
    BUY = "buy"
    """Orders whose number is to be bought."""
    DELIVER = "deliver"
    """Webhooks."""


ORDER_LANES = (Lane.BUY, Lane.POLL, Lane.SETTLE)
"""The lanes that hold orders; an order is in one of them at most."""


@dataclass(frozen=True, slots=True)
class Wake:
    """When an order next needs attention, and in which lane. `at` is epoch seconds, None means at once.

    `after_poll` keeps the interval to the poll that was scheduled last.
    """

    lane: Lane
    at: float | None = None
    after_poll: bool = False


def answer_due(order: Acquisition, buy_deadline: float) -> float:
    """Until when the worker that sent an order's purchase has time to record its answer."""
    return (order.intended_at or 0.0) + buy_deadline + PURCHASE_GRACE


def after_caller_cancel(order: Order, now: float, *, buy_deadline: float) -> Wake | None:
    """When a worker takes up what the caller has cancelled: once the provider allows it, never amid a purchase."""
    if order.status is Status.BUYING:
        return Wake(Lane.BUY, now + buy_deadline + PURCHASE_GRACE)
    if order.status is Status.CANCELLING and order.purchase is not None:
        return Wake(Lane.SETTLE, order.purchase.cancellable_at, after_poll=True)
    return None


def cancel_after(timeout: float, life: float, earliest: float) -> float:
    """Seconds after the purchase at which an order without a code begins to be cancelled.

    At most the number's life less a reserve in which to cancel, never before the provider allows it.
    """
    latest = life - LIFE_RESERVE if life > 2 * LIFE_RESERVE else life / 2
    return min(max(min(timeout, latest), earliest), life)


def next_attempt(attempts: int, now: float, budget_ends: float, chance: Chance) -> float | None:
    """When to ask for a number again after `attempts` refusals: doubling from 1 s, jittered; None past the budget."""
    if now >= budget_ends:
        return None
    wait = min(SLOWEST_ATTEMPT, 2.0 ** min(attempts, 10)) * (1 + 0.25 * chance())
    return min(now + wait, budget_ends)


def next_delivery(
    schedule: Sequence[float], failures: int, now: float, retry_after: float | None, chance: Chance
) -> float | None:
    """When to try a webhook again after `failures` failed attempts (≥ 1), or None when the schedule is used up.

    Never earlier than the schedule's wait, at most a fifth later. A receiver's Retry-After moves it later, but not
    beyond the longest wait of the schedule.
    """
    if failures > len(schedule):
        return None
    wait = schedule[failures - 1]
    asked = min(retry_after or 0.0, max(schedule))
    return now + max(wait, asked) * (1 + 0.2 * chance())


def last_delivery(schedule: Sequence[float], failures: int, due_at: float) -> float:
    """When the last attempt is due at the earliest, if the one at `due_at` and all that follow fail.

    `failures` attempts have failed before it.
    """
    return due_at + sum(schedule[failures:])


def hold_after(refusals: int) -> int:
    """Seconds for which a caller's orders are not taken after so many refusals: twice as long after each one more."""
    over = refusals - FREE_REFUSALS
    return 0 if over < 0 else min(LONGEST_HOLD, 2 ** min(over + 1, 10))
