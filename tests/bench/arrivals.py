"""What the provider notes about the requests it gets: pure bookkeeping, the clock is passed in."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

BIN = 0.1
"""Width of a gap histogram's bin, in seconds."""
BINS = 600
"""Gaps of a minute and more share the last bin."""


@dataclass(slots=True)
class Arrivals:
    """When each order was last asked about, and how far apart its polls came.

    A gap is the time between two polls of one order. An order that is not polled at all makes no gap, so an
    open gap (last poll until now) that is already too long counts as well when the window is read.
    """

    last: dict[bytes, float] = field(default_factory=dict)
    gaps: list[int] = field(default_factory=lambda: [0] * (BINS + 1))
    polls: int = 0
    opened: float = 0.0

    def window(self, now: float) -> None:
        """Start counting afresh at `now`; what is known of each order's last poll stays."""
        self.gaps = [0] * (BINS + 1)
        self.polls = 0
        self.opened = now

    def note(self, activation: bytes, now: float) -> None:
        """Count one poll of `activation` that arrived at `now` (seconds, a clock that only goes forward)."""
        self.polls += 1
        before = self.last.get(activation)
        self.last[activation] = now
        if before is not None:
            self.gaps[min(int((now - before) / BIN), BINS)] += 1

    def expect(self, activation: bytes, now: float) -> None:
        """From `now` on `activation` is to be polled."""
        self.last[activation] = now

    def forget(self, activation: bytes) -> None:
        """The order is over: nobody has to poll it any more."""
        self.last.pop(activation, None)

    def figures(self, now: float, *, late_after: float) -> dict[str, object]:
        """The window so far; `late_after` is the gap in seconds from which on a poll counts as late."""
        overdue = sum(now - seen > late_after for seen in self.last.values())
        late = sum(self.gaps[round(late_after / BIN) :]) + overdue
        counted = sum(self.gaps) + overdue
        return {
            "seconds": now - self.opened,
            "polls": self.polls,
            "orders": len(self.last),
            "gaps": self.gaps,
            "late": late,
            "late_share": late / counted if counted else 0.0,
            "overdue": overdue,
        }


@dataclass(slots=True)
class Codes:
    """Which orders shall get a code, when it was told, and how long the caller waited for the webhook."""

    due: dict[bytes, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    hooks: int = 0

    def plan(self, activations: list[bytes], now: float, spread: float) -> None:
        """Let each of `activations` have a code at a random moment of the next `spread` seconds."""
        for activation in activations:
            self.due[activation] = now + random.uniform(0, spread)

    def ready(self, activation: bytes, now: float) -> bool:
        """Whether a poll at `now` is answered with the code."""
        return bool(self.due) and self.due.get(activation, now + 1) <= now

    def tell(self, number: str, now: float) -> None:
        """The provider has just answered with the code for `number`; only the first time counts."""
        self.told.setdefault(number, now)

    def hook(self, kind: str, number: str | None, now: float) -> None:
        """A webhook's first byte came at `now`; a code's is set against the moment the provider told it."""
        self.hooks += 1
        told = self.told.get(number or "")
        if kind == "order.otp_received" and told is not None:
            self.waits.append(now - told)
