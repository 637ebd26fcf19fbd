"""Polling: a code is delivered once and to the letter, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.invariants import codes_shown, gaps
from tests.e2e.plays import Play, Run, alerted, finish_and_judge, rows, season
from tests.e2e.provider import Script, finish, poll
from tests.e2e.stack import POLL_INTERVAL, Stack

pytestmark = pytest.mark.e2e

SMS = "Acme: your code is 12:34:56, or use https://acme.example/v?c=991827&x=1. Don't share: it's \"yours\", OK?"
CUT = "STATUS_OK:999999"
LONG = "Z9" * 10_240
ODD = "77\x0021\x1b[31m\x7f<script>alert('881')</script>\u202e \U0001f512\u20ac"


def got(name: str, code: str, *faults: Script, after: float = 0.6, **kwargs: Any) -> Play:
    """A code that is delivered to the letter, once, and then finished."""
    expected: dict[str, Any] = {
        "settlement": "finished",
        "finishes": 1,
        "cancels": 0,
        "otp": code,
        "also": told_once,
        **kwargs,
    }
    return Play(name=name, faults=faults, sms=(code, after), status="received", **expected)


def given_back(name: str, *faults: Script, timeout: float = 3.0) -> Play:
    """What was shown is no code: the number runs into its timeout and is given back."""
    return Play(name=name, faults=faults, timeout=timeout, status="expired", settlement="refunded", finishes=0)


def told_once(run: Run) -> None:
    """One event with the code, and no poll after it."""
    assert run.events().count("order.otp_received") == 1
    assert len(codes_shown(run.seen("poll"))) == 1, "polled again after the code"


def stayed_waiting(run: Run) -> None:
    """Trouble was no reason to end the order or to give the number back."""
    assert run.events() == ["order.number_assigned", "order.otp_received"]
    told_once(run)


def lost(run: Run) -> None:
    """The grace was kept, a cancel was tried, an operator was told."""
    (bought,) = run.charged
    first_try = run.seen("cancel")[0].at
    assert first_try - bought.charged_at >= 30, "NO_ACTIVATION in the first 30 s can be replication lag"
    alerted("number_missing")(run)


def asked_slowly(run: Run) -> None:
    """The key was refused once: an alert, and one slow retry instead of a storm."""
    refused = next(n for n, row in enumerate(run.seen("poll")) if row.answer == "BAD_KEY")
    assert gaps(run.seen("poll"))[refused] > 5 * POLL_INTERVAL
    alerted("status_declined")(run)


PLAYS = [
    got("wait, then the code", "847293", after=2.2),
    got("leading zeros", "001234"),
    got("a dash", "873-319"),
    got("letters", "G-269986"),
    got("one character", "7"),
    got("spaces inside", "12 34 56"),
    got("a leading space", " 4711x"),
    got("a word of the protocol", "STATUS_CANCEL"),
    got("colons only", "::1::"),
    got("quotes inside", 'say "4242" now'),
    got("a whole SMS", SMS),
    got("several lines", "Code:\r\n5566\nbye"),
    got("control characters, script, emoji", ODD),
    got("20 KB", LONG, otp=LONG[:4096], flags=("code_capped",)),
    got("BOM and CRLF", "603311", poll("bom_crlf", times=-1)),
    got("quoted", "603322", poll("quoted", times=-1)),
    got("under 500", "603333", poll("as_is", status=500, times=-1, charged=True), flags=("odd_http_status",)),
    got("empty code first", "603344", poll("text", body="STATUS_OK:", times=3)),
    got("white space for a code first", "603355", poll("text", body="STATUS_OK: \r\n", times=3)),
    got("old code first", "603366", poll("stale_code", body="111111", times=3)),
    got("wait to resend first", "603377", poll("word", body="STATUS_WAIT_RESEND", times=2)),
    got("wait to retry first", "603378", poll("word", body="STATUS_WAIT_RETRY", times=2)),
    got("502 for a long time", "603388", poll("http_error", times=8), also=stayed_waiting),
    got("timeouts for a long time", "603399", poll("silent", delay=3, times=5), also=stayed_waiting),
    got("resets for a long time", "604400", poll("reset", times=8), also=stayed_waiting),
    got("nothing and garbage first", "604411", poll("empty"), poll("garbage"), poll("json_error")),
    got("cut codes first", "604412", poll("cut", size=12, body=CUT), poll("chunked_cut", size=12, body=CUT)),
    got("error page with a code in it", "604422", poll("text", body="<p>STATUS_OK:999997</p>", times=2)),
    got("a code in lower case", "604423", poll("text", body="status_ok:999996", times=2)),
    got("too big an answer first", "604433", poll("huge", size=70_000)),
    got("redirects first", "604444", poll("redirect", times=3)),
    got("drips first", "604455", poll("slow_drip", pace=0.3, times=2)),
    got("NO_ACTIVATION at first", "604466", poll("no_activation", times=5)),
    got("an unknown word first", "604477", poll("word", body="STATUS_SOMETHING", times=3)),
    got("ERROR_SQL first", "604478", poll("word", body="ERROR_SQL", times=3)),
    got("2 s before the deadline", "604488", after=3.0, timeout=5.0),
    got("just before the deadline", "604499", after=2.9, timeout=3.0),
    got("again on every later look", "605511", finish("word", body="BAD_STATUS", times=3), finishes=4),
    given_back("only an old code", poll("stale_code", body="222222", times=-1)),
    given_back("only empty codes", poll("text", body="STATUS_OK:", times=-1)),
    Play(
        name="STATUS_CANCEL unasked, without a refund", faults=(poll("status_cancel", times=-1),), status="failed",
        error="order_lost", settlement="refunded", cancels=(1, 2), also=alerted("cancelled_by_provider"),
    ),
    Play(
        name="STATUS_CANCEL unasked, for real", cues=lambda stack, _: {"poll": stack.provider.withdraw},
        status="failed", error="order_lost", settlement="unconfirmed", also=alerted("cancelled_by_provider"),
    ),
    Play(
        name="NO_ACTIVATION for ever", faults=(poll("no_activation", times=-1),), timeout=100, status="failed",
        error="order_lost", settlement="refunded", cancels=(1, 3), also=lost, slow=True,
    ),
    Play(
        name="BAD_KEY in the middle", faults=(poll("word", body="BAD_KEY", skip=1),), sms=("318204", 2.0), timeout=100,
        status="received", settlement="finished", otp="318204", also=asked_slowly, slow=True,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(playhouse: Stack, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Run]]:
    """All plays, begun at once."""
    yield from season(playhouse, request)


@pytest.mark.parametrize("play", rows(PLAYS))
def test_polling(play: Play, begun: Callable[[Play], Run]) -> None:
    """Whatever the provider answers to polls, a code is delivered once and to the letter."""
    finish_and_judge(begun(play))
