"""How much is measured: the full run for the page, the quick one to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Loads (orders in flight), windows and counts of one run; seconds throughout."""

    window: float
    """A multiple of the poll interval, so that every order counts equally often."""
    pair_window: float
    """For one worker, then two, with more due than they can do."""
    bare_orders: int
    peer_orders: int
    """A load that the plain Celery worker carries on two cores; ten times as much it cannot."""
    small: int
    codes_at: int
    """Up to this load orders come in by `POST` and are bought; beyond it they are put into the store."""
    middle: int
    large: int
    huge: int
    codes: int
    codes_spread: float
    posts: int
    pings: int
    post_seconds: float
    console_orders: int
    """In the store while the console's pages are timed."""
    index_rounds: int
    """How often the scripts are timed with the console's indexes and without."""

    @property
    def loads(self) -> tuple[int, ...]:
        """The loads at which ringback is measured, rising, since orders are only ever added."""
        return (self.small, self.middle, self.large, self.huge)


FULL = Plan(
    window=15,
    pair_window=8,
    bare_orders=10_000,
    peer_orders=1_000,
    small=1_000,
    codes_at=5_000,
    middle=10_000,
    large=25_000,
    huge=50_000,
    codes=1_000,
    codes_spread=10,
    posts=500,
    pings=2_000,
    post_seconds=6,
    console_orders=50_000,
    index_rounds=40,
)
QUICK = Plan(
    window=10,
    pair_window=5,
    bare_orders=2_000,
    peer_orders=300,
    small=200,
    codes_at=500,
    middle=1_000,
    large=2_000,
    huge=3_000,
    codes=100,
    codes_spread=6,
    posts=100,
    pings=300,
    post_seconds=3,
    console_orders=1_000,
    index_rounds=5,
)
