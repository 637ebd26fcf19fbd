"""Drawings as numbers: where bars, lines and boxes of an SVG stand. Pure; the templates draw, a table says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.order import Acquisition, Order, Status
from worker.rental import Rental, RentalStatus

WIDTH, HEIGHT = 720.0, 160.0
"""Units of a chart's own; it is as wide as its place on the page."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a stacked bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars, one a step of time; `rows` is the table behind them: (label, amount per kind)."""

    bars: Sequence[Bar]
    kinds: Sequence[str]
    rows: Sequence[tuple[float, Mapping[str, float]]]
    top: float
    width: float = WIDTH
    height: float = HEIGHT


def stacked(series: Mapping[str, Mapping[int, float]], first: int, last: int) -> Bars:
    """Bars from minute `first` to `last` (minutes since 1970), one colour a kind."""
    kinds, steps = list(series), range(first, last + 1)
    top = max((sum(series[kind].get(step, 0) for kind in kinds) for step in steps), default=0.0)
    bars: list[Bar] = []
    for place, step in enumerate(steps):
        y = HEIGHT
        for kind in kinds:
            height = HEIGHT * series[kind].get(step, 0) / top if top else 0.0
            y -= height
            if height:
                width = WIDTH / len(steps)
                bars.append(Bar(kind, round(place * width, 2), round(y, 2), round(width * 0.8, 2), round(height, 2)))
    rows = [(step * 60.0, {kind: series[kind].get(step, 0) for kind in kinds}) for step in steps]
    return Bars(bars, kinds, [row for row in rows if any(row[1].values())], top)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through readings: its points as SVG has them, and the table behind it."""

    points: str
    rows: Sequence[tuple[float, float]]
    lowest: float
    highest: float
    width: float = WIDTH
    height: float = HEIGHT


def line(readings: Mapping[int, float], first: int, last: int) -> Line | None:
    """A line from minute `first` to `last`, until which the last reading counts; None if there is nothing to draw."""
    held = sorted((minute, value) for minute, value in readings.items() if first <= minute <= last)
    if not held:
        return None
    low, high = min(value for _, value in held), max(value for _, value in held)
    reach = (high - low) or 1.0
    across, inside = WIDTH / max(1, last - first), HEIGHT - 16
    drawn = [*held, (last, held[-1][1])]
    points = [f"{across * (at - first):.1f},{HEIGHT - 8 - inside * (value - low) / reach:.1f}" for at, value in drawn]
    changes = [row for place, row in enumerate(held) if place in (0, len(held) - 1) or row[1] != held[place - 1][1]]
    return Line(" ".join(points), [(minute * 60.0, value) for minute, value in changes], low, high)


@dataclass(frozen=True, slots=True)
class Step:
    """One state in the drawing of an order or a rental: when it was entered and for how long it lasted (seconds)."""

    name: str
    at: float | None
    lasted: float | None
    reached: bool
    current: bool


def course(order: Order, now: float) -> list[Step]:
    """The states of an order in the order in which they can happen, with what is known of their times."""
    entered: Entered = [
        (Status.QUEUED, order.created_at),
        (Status.BUYING, order.first_attempt_at),
        (Status.WAITING, order.purchase.bought_at if order.purchase else None),
        (Status.CANCELLING, _given_back_at(order)),
    ]
    return _steps(order, entered, ahead=entered[:3], goal=Status.RECEIVED, now=now)


def rented(rental: Rental, now: float) -> list[Step]:
    """The states of a rental; what a renewal goes through is no state of its own."""
    began = rental.purchase.bought_at if rental.purchase else None
    asked = rental.first_attempt_at
    bought = asked if began is None or (asked is not None and asked <= began) else None
    entered: Entered = [
        (RentalStatus.QUEUED, rental.created_at), (RentalStatus.BUYING, bought), (RentalStatus.ACTIVE, began),
    ]  # fmt: skip
    return _steps(rental, entered, ahead=entered, goal=RentalStatus.ENDED, now=now)


Entered = Sequence[tuple[StrEnum, float | None]]
"""States, each with the moment at which it was entered; None where that is not known, or has not come."""


def _steps(order: Acquisition, entered: Entered, *, ahead: Entered, goal: StrEnum, now: float) -> list[Step]:
    """What was reached, then what lies ahead of it, and the end: the one that came, or the one that is wanted."""
    reached = [(status, at) for status, at in entered if at is not None]
    ends = [at for _, at in reached[1:]] + [order.ended_at if order.ended else None]
    steps = [
        Step(status, at, (end if end is not None else now) - at, True, status is order.status)
        for (status, at), end in zip(reached, ends, strict=True)
    ]
    last = max(place for place, (_, at) in enumerate(entered) if at is not None)
    later = [Step(status, None, None, False, False) for status, _ in ahead[last + 1 :] if not order.ended]
    end = Step(order.status if order.ended else goal, order.ended_at, None, order.ended, order.ended)
    return [*steps, *later, end]


def _given_back_at(order: Order) -> float | None:
    if order.status is Status.CANCELLING or order.ending is not None:
        began = order.purchase.cancel_at if order.purchase else None
        # A deadline that has not come, or an order whose provider ended it first, was not given back then.
        return began if began is not None and (order.ended_at is None or began <= order.ended_at) else None
    return None
