"""A play is a row of the table of scenarios: what the provider does, and what must come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.invariants import check_order
from tests.e2e.provider import Cue, Script
from tests.e2e.stack import Stack
from web.sandbox import Order, Seen

BETWEEN = 0.03
"""Seconds between two orders of a season: a burst would measure the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One row. What is None is not asked about; a pair is the fewest and the most."""

    name: str
    product: str = "cheap"
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the order says besides what it names."""
    faults: Sequence[Script] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)
    sms: tuple[str, float] | None = None
    cues: Callable[[Stack, str], Mapping[str, Cue]] | None = None
    timeout: float = 60.0
    then: Callable[[Run], object] | None = None
    """What the caller does meanwhile."""

    status: str
    settlement: str
    otp: str | None = None
    error: str | None = None
    flags: Sequence[str] = ()
    charged: int = 1
    buys: int | tuple[int, int] = 1
    cancels: int | tuple[int, int] | None = None
    finishes: int | tuple[int, int] | None = None
    also: Callable[[Run], None] | None = None
    """What else has to hold in the end."""

    within: float = 60.0
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A play that was begun."""

    stack: Stack
    play: Play
    id: str
    server: str
    meanwhile: list[Future[object]] = field(default_factory=list)

    @property
    def order(self) -> dict[str, Any]:
        """The order as it is now."""
        return self.stack.order(self.id)

    def seen(self, moment: str) -> list[Seen]:
        """The provider's requests for it."""
        return self.stack.provider.seen(self.server, moment)

    @property
    def charged(self) -> list[Order]:
        """What the ledger charged for it."""
        return self.stack.provider.bought(self.server)

    def events(self) -> list[str]:
        """The types of its events, oldest first."""
        return [event["type"] for event in self.stack.events(self.id)]


def alerted(kind: str) -> Callable[[Run], None]:
    """An operator is told."""

    def check(run: Run) -> None:
        lines = [line for text in run.stack.logs().values() for line in text.splitlines() if run.id in line]
        assert any('"alert"' in line and f'"{kind}"' in line for line in lines), lines

    return check


def begin(stack: Stack, play: Play) -> Run:
    """Set the stage and post the order."""
    server = stack.new_server()
    cues = play.cues(stack, server) if play.cues else None
    stack.provider.stage(server, *play.faults, rules=play.rules, sms=play.sms, cues=cues, product=play.product)
    product = {} if play.product == "cheap" else {"product": play.product}
    order = stack.post(server, timeout=play.timeout, metadata={"play": play.name}, **product, **play.fields)
    return Run(stack, play, order["id"], server)


def begin_all(stack: Stack, plays: Sequence[Play]) -> Iterator[dict[str, Run]]:
    """Begin many plays at once, each with what its caller does meanwhile."""
    with ThreadPoolExecutor(max_workers=max(1, sum(play.then is not None for play in plays))) as callers:
        runs = {}
        for play in plays:
            time.sleep(BETWEEN)
            run = runs[play.name] = begin(stack, play)
            if play.then:
                run.meanwhile.append(callers.submit(play.then, run))
        yield runs


def finish_and_judge(run: Run) -> None:
    """Wait for the end, and hold it against the row and against the invariants."""
    play = run.play
    for acting in run.meanwhile:
        acting.result(play.within)
    order = run.stack.until_settled(run.id, play.settlement, play.within)
    assert (order["status"], order["otp"]) == (play.status, play.otp), order
    assert (order["error"] or {}).get("code") == play.error, order["error"]
    assert set(play.flags) <= set(order["flags"]), order["flags"]
    assert len(run.charged) == play.charged, run.charged
    for moment, wanted in (("buy", play.buys), ("cancel", play.cancels), ("finish", play.finishes)):
        _count(moment, len(run.seen(moment)), wanted)
    if play.also:
        play.also(run)
    check_order(run.stack, run.id)


def _count(moment: str, seen: int, wanted: int | tuple[int, int] | None) -> None:
    if wanted is not None:
        least, most = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        assert least <= seen <= most, f"{seen} times {moment}, not {wanted}"


def rows(plays: Sequence[Play]) -> list[Any]:
    """The table as pytest's parameters."""
    return [pytest.param(p, id=p.name, marks=[pytest.mark.slow] if p.slow else []) for p in plays]


def season(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Run]]:
    """Begin all plays of a module's selected tests at once; each test then waits for its own."""
    tests = [item for item in request.session.items if item.parent is request.node]
    plays = [item.callspec.params["play"] for item in tests if hasattr(item, "callspec")]
    for runs in begin_all(stack, plays):
        yield lambda play: runs[play.name]  # noqa: B023 - there is one season
