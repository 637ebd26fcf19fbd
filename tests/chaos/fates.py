"""What the provider and the caller have in store for an order, and how it may then end."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.provider import Script, buy, cancel, finish, poll, price
from tests.e2e.stack import PLACES

End = tuple[str, str]
"""A status and a settlement."""

GIVEN_BACK: frozenset[End] = frozenset({("expired", "refunded")})
PAID: frozenset[End] = frozenset({("received", "finished"), ("received", "unconfirmed")})
"""A finish is best effort: its few tries may all fall into an outage, and the order then says so."""
LOST_MONEY: frozenset[End] = frozenset({("expired", "unconfirmed")})
UNKNOWN: frozenset[End] = frozenset({("failed", "unconfirmed")})
UNBOUGHT: frozenset[End] = frozenset({("failed", "none")})
BY_CALLER: frozenset[End] = frozenset({("cancelled", "refunded"), ("cancelled", "none")})

BY_STORM: frozenset[End] = frozenset({("failed", "unconfirmed"), ("failed", "refunded"), ("failed", "none")})
"""How any order may end when something dies or stands still in the middle of its purchase: `purchase_unknown` (and
refunded, if the answer turned up after all), or nothing bought until the buy budget was spent."""

NO_NUMBERS = buy("word", body="NO_NUMBERS", times=3)
PRICED = ("sms", "email")
"""The products whose price is read before they are bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One row. `sms` is when the code comes, `cancelled_after` when the caller cancels, in seconds.

    `runs_out`: nothing ends it before its number's life does, so that life is a short one; only a cheap number's answer
    says how long it lives. `products` are those that it can happen to, `max_price` what the order holds against theirs.
    """

    name: str
    ends: frozenset[End]
    share: int = 1
    products: Sequence[str] = tuple(PLACES)
    max_price: str | None = None
    faults: Sequence[Script] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)
    sms: float | None = None
    timeout: float = 20.0
    cancelled_after: float | None = None
    receiver_answers: Sequence[int] = ()
    runs_out: bool = False


FATES = (
    Fate(name="code early", share=4, sms=1.5, ends=PAID),
    Fate(name="code late", share=3, sms=14.0, timeout=25.0, ends=PAID),
    Fate(name="code about the deadline", share=2, sms=9.0, timeout=9.0, ends=PAID | GIVEN_BACK),
    Fate(name="never a code", share=4, timeout=10.0, ends=GIVEN_BACK),
    Fate(name="no numbers, then a code", share=3, faults=(NO_NUMBERS,), sms=3.0, ends=PAID),
    Fate(name="no numbers, then no code", faults=(NO_NUMBERS,), timeout=8.0, ends=GIVEN_BACK),
    Fate(name="bought, then reset", faults=(buy("reset", charged=True),), ends=UNKNOWN),
    Fate(name="bought, then silence", faults=(buy("silent", charged=True, delay=6),), ends=UNKNOWN),
    Fate(name="bought, then 502", faults=(buy("http_error", charged=True),), ends=UNKNOWN),
    Fate(name="bought, slowly", share=2, faults=(buy("as_is", charged=True, delay=1.5),), sms=4.0, ends=PAID),
    Fate(name="too early to cancel", share=2, rules={"cancel_after": 14}, timeout=8.0, ends=GIVEN_BACK),
    Fate(name="cancel was done, unseen", faults=(cancel("reset", charged=True),), timeout=8.0, ends=GIVEN_BACK),
    Fate(name="cancel answers 502 twice", faults=(cancel("http_error", times=2),), timeout=8.0, ends=GIVEN_BACK),
    Fate(
        name="cancel is refused until the end", faults=(cancel("word", body="BAD_STATUS", times=-1),), timeout=8.0,
        ends=LOST_MONEY, runs_out=True, products=("cheap",),
    ),
    Fate(name="polls answer 502", faults=(poll("http_error", skip=1, times=6),), sms=4.0, timeout=25.0, ends=PAID),
    Fate(name="finish answers 502 twice", faults=(finish("http_error", times=2),), sms=2.0, ends=PAID),
    Fate(name="receiver answers 500 three times", sms=2.0, receiver_answers=(500, 500, 500), ends=PAID),
    Fate(name="the price has changed", faults=(buy("word", body="PRICE_CHANGED"),), sms=3.0, ends=PAID),
    Fate(
        name="at the price that is allowed", share=2, products=PRICED, max_price="45", faults=(price("html"),), sms=3.0,
        ends=PAID,
    ),
    Fate(name="dearer than allowed", products=PRICED, max_price="9.99", ends=UNBOUGHT),
    Fate(name="caller cancels at once", cancelled_after=0.0, ends=BY_CALLER),
    Fate(name="caller cancels", share=2, cancelled_after=5.0, ends=BY_CALLER),
    Fate(name="caller cancels as the code arrives", sms=5.0, cancelled_after=5.0, ends=PAID | BY_CALLER),
)  # fmt: skip


def drawn_seed() -> int:
    """What the run's chance begins with: another one every time, unless RINGBACK_CHAOS_SEED says which."""
    return int(os.environ.get("RINGBACK_CHAOS_SEED", time.time_ns() % 1_000_000))


def draw(number: int, chance: random.Random) -> list[Fate]:
    """So many fates in random order, each by its share and each at least once if there is room."""
    deck = [fate for fate in FATES for _ in range(fate.share)]
    dealt = list(FATES) + [deck[place % len(deck)] for place in range(max(0, number - len(FATES)))]
    dealt = dealt[:number]
    chance.shuffle(dealt)
    return dealt
