"""When an order or a webhook next needs attention. Pure: every function takes the time, and chance where it needs it.

All times are epoch seconds and all spans seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
SLOWEST_ASK = 20.0
"""Longest wait between two purchases that sold nothing."""

Chance = Callable[[], float]
"""A number in [0, 1), as `random.random` gives it."""


def cancel_after(timeout: float, life: float, earliest: float) -> float:
    """Seconds after the purchase at which an order without a code begins to be cancelled.

    At most the number's life less a reserve in which to cancel, never before the provider allows it.
    """
    latest = life - LIFE_RESERVE if life > 2 * LIFE_RESERVE else life / 2
    return min(max(min(timeout, latest), earliest), life)


def next_ask(asks: int, now: float, budget_ends: float, chance: Chance) -> float | None:
    """When to ask for a number again after `asks` refusals: doubling from 1 s, jittered; None past the budget."""
    if now >= budget_ends:
        return None
    wait = min(SLOWEST_ASK, 2.0 ** min(asks, 10)) * (1 + 0.25 * chance())
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
