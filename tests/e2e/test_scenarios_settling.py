"""Settling: every number without a code is given back, and nobody says `refunded` without the provider's word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from tests.e2e.invariants import JITTER, gaps
from tests.e2e.plays import Play, Run, alerted, finish_and_judge, rows, season
from tests.e2e.provider import Cue, Script, buy, cancel, finish, poll
from tests.e2e.stack import BUY_DEADLINE, CANCEL_RETRY, EARLIEST_CANCEL, POLL_INTERVAL, Stack

pytestmark = pytest.mark.e2e

SHORT_LIFE = {"life": 7}
"""A number that runs out within the test; half of its life is kept for its cancel."""


def refunded(name: str, *faults: Script, cancels: int | tuple[int, int] = 1, **kwargs: Any) -> Play:
    """A number without a code, given back."""
    return Play(
        name=name, faults=faults, timeout=2.0, status="expired", settlement="refunded", cancels=cancels, finishes=0,
        **kwargs,
    )  # fmt: skip


def lost_money(name: str, *faults: Script, **kwargs: Any) -> Play:
    """A number whose refund could not be confirmed by its end: said so, and alerted."""
    expected: dict[str, Any] = {"cancels": (2, 12), "rules": SHORT_LIFE, **kwargs}
    return Play(
        name=name, faults=faults, timeout=2.0, status="expired", settlement="unconfirmed", finishes=0,
        also=alerted("settlement_unconfirmed"), **expected,
    )  # fmt: skip


def by_caller(name: str, *faults: Script, then: Callable[[Run], object], **kwargs: Any) -> Play:
    """A number given back at its caller's word."""
    expected: dict[str, Any] = {"settlement": "refunded", "cancels": 1, **kwargs}
    return Play(name=name, faults=faults, status="cancelled", then=then, **expected)


def code_on_cancel(code: str) -> Callable[[Stack, str], Mapping[str, Cue]]:
    """The code arrives between the look and the cancel that follows it."""

    def cues(stack: Stack, server: str) -> Mapping[str, Cue]:
        return {"cancel": lambda order_id: stack.provider.arrive(order_id, code)}

    return cues


def code_after_cancel(code: str) -> Callable[[Stack, str], Mapping[str, Cue]]:
    """The provider confirms the cancel, and shows a code afterwards."""

    def cues(stack: Stack, server: str) -> Mapping[str, Cue]:
        shown = poll("text", body=f"STATUS_OK:{code}", times=-1)
        return {"cancel": lambda _: stack.provider.disturb(server, shown)}

    return cues


def cancel_when(*statuses: str, times: int = 1) -> Callable[[Run], None]:
    """The caller cancels as soon as the order has one of these statuses."""

    def then(run: Run) -> None:
        run.stack.until(run.id, statuses)
        for _ in range(times):
            run.stack.cancel(run.id)

    return then


def cancel_as_the_code_arrives(run: Run) -> None:
    """The caller's cancel and the code cross."""
    run.stack.until(run.id, "waiting")
    (bought,) = run.charged
    run.stack.provider.arrive(bought.id, "719204")
    run.stack.cancel(run.id)


def cancel_after_the_end(run: Run) -> None:
    """A cancel that comes too late changes nothing."""
    before = run.stack.until(run.id, "received")
    answer = run.stack.api.post(f"/v1/orders/{run.id}/cancel")
    assert answer.status_code in (202, 409), answer.text
    assert run.order["status"] == before["status"]


def spaced(run: Run) -> None:
    """Cancels are repeated at the retry's pace, not faster."""
    times = [row.arrived for row in run.seen("cancel")]
    assert all(b - a >= CANCEL_RETRY / 2 for a, b in pairwise(times)), times


def given_back_at_once(run: Run) -> None:
    """Bought after its cancel was asked for: cancelled when the provider allows it, long before its own deadline."""
    (bought,) = run.charged
    assert run.seen("cancel")[0].at - bought.charged_at < (EARLIEST_CANCEL + run.play.timeout) / 3


def looked_around(run: Run) -> None:
    """Right before the cancel it looked for a code, and after it again."""
    (sent,) = run.seen("cancel")
    looks = [row.arrived for row in run.seen("poll")]
    due = sent.arrived - (sent.at - run.charged[0].charged_at) + run.play.timeout
    assert any(due - JITTER <= at < sent.arrived for at in looks), "no look between the deadline and the cancel"
    assert looks[-1] > sent.arrived, "no look after the cancel"


PLAYS = [
    refunded("no code in time", also=looked_around),
    refunded("a timeout before the earliest cancel", rules={"cancel_after": 1.4}),
    refunded("too early for the provider", rules={"cancel_after": 3.5}, cancels=(2, 4), also=spaced),
    refunded("cancel times out, was done", cancel("silent", charged=True, delay=10)),
    refunded("cancel is reset, was done", cancel("reset", charged=True)),
    refunded("cancel answers 502, was done", cancel("http_error", charged=True)),
    refunded("cancel answers nothing, was done", cancel("empty", charged=True)),
    refunded("cancel times out, was not done", cancel("silent", delay=10), cancels=2),
    refunded("cancel answers 502 twice", cancel("http_error", times=2), cancels=3, also=spaced),
    refunded("cancel under 500", cancel("as_is", status=500, charged=True)),
    refunded("cancel with BOM, quoted", cancel("quoted", charged=True)),
    refunded("cancel says STATUS_CANCEL", cancel("word", body="STATUS_CANCEL", charged=True)),
    refunded(
        "cancel was done, looks fail, then already", cancel("reset", charged=True), poll("http_error", skip=4, times=4),
        cancels=(1, 2), rules={"cancel_after": 1.4},
    ),
    refunded("BAD_KEY on the cancel", cancel("word", body="BAD_KEY"), cancels=2),
    refunded("BAD_STATUS without a code", cancel("word", body="BAD_STATUS"), cancels=2),
    refunded("NO_ACTIVATION on the first cancel", cancel("no_activation"), cancels=2),
    lost_money("cancel answers 500 until expiry", cancel("http_error", status=500, times=-1)),
    lost_money("cancel answers HTML until expiry", cancel("html", times=-1)),
    lost_money("cancel answers nothing until expiry", cancel("empty", times=-1)),
    lost_money("cancel answers NO_ACTIVATION for ever", cancel("no_activation", times=-1)),
    lost_money("cancel answers BAD_STATUS for ever", cancel("word", body="BAD_STATUS", times=-1)),
    lost_money("never allowed to cancel", rules={"life": 7, "cancel_after": 100}),
    Play(
        name="code with the cancel, OTP_RECEIVED", cues=code_on_cancel("440011"), timeout=2.0, status="received",
        otp="440011", settlement="finished", cancels=1, finishes=1,
    ),
    Play(
        name="code with the cancel, BAD_STATUS", cues=code_on_cancel("440022"), rules={"late_cancel": "BAD_STATUS"},
        timeout=2.0, status="received", otp="440022", settlement="finished", cancels=1, finishes=1,
    ),
    Play(
        name="code after a confirmed cancel", cues=code_after_cancel("440033"), timeout=2.0, status="received",
        otp="440033", settlement="refunded", cancels=1,
    ),
    Play(
        name="finish answers BAD_STATUS for ever", faults=(finish("word", body="BAD_STATUS", times=-1),),
        sms=("440044", 0.5), status="received", otp="440044", settlement="unconfirmed", finishes=(3, 5), cancels=0,
    ),
    Play(
        name="finish times out once", faults=(finish("silent", delay=10),), sms=("440055", 0.5), status="received",
        otp="440055", settlement="finished", finishes=2, cancels=0,
    ),
    Play(
        name="finish answers 500 twice", faults=(finish("http_error", times=2),), sms=("440066", 0.5),
        status="received", otp="440066", settlement="finished", finishes=3, cancels=0,
    ),
    Play(
        name="finish says ACCESS_ACTIVATION", faults=(finish("word", body="ACCESS_ACTIVATION", charged=True),),
        sms=("440077", 0.5), status="received", otp="440077", settlement="finished", finishes=1, cancels=0,
    ),
    by_caller("caller cancels", then=cancel_when("waiting")),
    by_caller("caller cancels twice", then=cancel_when("waiting", times=2)),
    by_caller("caller cancels ten times", then=cancel_when("waiting", "cancelling", times=10)),
    by_caller(
        "caller cancels before the purchase", buy("word", body="NO_NUMBERS", times=-1),
        then=lambda run: run.stack.cancel(run.id), settlement="none", charged=0, buys=(0, 2), cancels=0,
    ),
    by_caller(
        "caller cancels during the purchase", buy("as_is", delay=BUY_DEADLINE / 2, charged=True),
        then=cancel_when("buying"), also=given_back_at_once,
    ),
    Play(
        name="caller cancels as the code arrives", then=cancel_as_the_code_arrives, status="received", otp="719204",
        settlement="finished", cancels=(0, 1), finishes=1,
    ),
    Play(
        name="caller cancels after the end", then=cancel_after_the_end, sms=("440088", 0.5), status="received",
        otp="440088", settlement="finished", cancels=0, finishes=1,
    ),
    Play(
        name="caller cancels, code during the cancel", then=cancel_when("waiting"), cues=code_on_cancel("440099"),
        status="received", otp="440099", settlement="finished", cancels=1, finishes=1,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(playhouse: Stack, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Run]]:
    """All plays, begun at once."""
    yield from season(playhouse, request)


@pytest.mark.parametrize("play", rows(PLAYS))
def test_settling(play: Play, begun: Callable[[Play], Run]) -> None:
    """Whatever the provider does to a cancel or a finish, the order's end is the ledger's, or says unconfirmed."""
    finish_and_judge(begun(play))


def test_polls_keep_their_distance(playhouse: Stack) -> None:
    """Over all scenarios so far, polls of one order come no closer than the interval, but for what the machine owes."""
    found = gaps(playhouse.provider.requests("getStatus"))
    early = [gap for gap in found if gap < 0.8 * POLL_INTERVAL]
    assert median(found) >= POLL_INTERVAL - JITTER
    assert len(early) <= len(found) / 20, f"{len(early)} of {len(found)} polls came early: {sorted(early)[:10]}"
