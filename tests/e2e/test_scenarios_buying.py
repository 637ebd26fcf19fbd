"""Buying, as the provider can spoil it: what is charged, what is asked again, what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.invariants import check_order
from tests.e2e.plays import Play, Run, alerted, finish_and_judge, rows, season
from tests.e2e.provider import Script, buy
from tests.e2e.stack import BUY_BUDGET, BUY_DEADLINE, Stack, wait_for

pytestmark = pytest.mark.e2e

CODE = "640913"
NO_NUMBER = "<html><body>Error: <b>NO_NUMBERS</b></body></html>"


def sold(
    name: str, *faults: Script, flags: tuple[str, ...] = (), buys: int | tuple[int, int] = 1, **kwargs: Any
) -> Play:
    """A purchase that is adopted, and gets its code."""
    return Play(
        name=name, faults=faults, sms=(CODE, 0.6), status="received", settlement="finished", otp=CODE, finishes=1,
        cancels=0, flags=flags, buys=buys, also=number_told_first, **kwargs,
    )  # fmt: skip


def unknown(name: str, *faults: Script, charged: int = 1) -> Play:
    """A purchase whose outcome nobody can know: one request, never a second, and the caller is told."""
    return Play(
        name=name, faults=faults, status="failed", settlement="unconfirmed", error="purchase_unknown",
        charged=charged, buys=1, cancels=0, also=alerted("purchase_unknown"),
    )  # fmt: skip


def rejected(
    name: str, *faults: Script, error: str, buys: int | tuple[int, int] = 1, also: Callable[[Run], None] | None = None
) -> Play:
    """A purchase that was surely not made, for good."""
    return Play(
        name=name, faults=faults, status="failed", settlement="none", error=error, charged=0, buys=buys, cancels=0,
        also=also,
    )  # fmt: skip


def number_told_first(run: Run) -> None:
    """The number as sold, with a plus, is told before the code, and was written down before anything else was asked."""
    (bought,) = run.charged
    assert run.order["number"] == bought.number
    assert run.events() == ["order.number_assigned", "order.otp_received"]
    assert run.seen("poll")[0].at > bought.charged_at


def budget_spent(run: Run) -> None:
    """It asked until the budget was spent, with waits that grow; not past it is I2."""
    times = [row.arrived for row in run.seen("buy")]
    assert times[-1] - times[0] >= BUY_BUDGET / 2
    assert times[1] - times[0] >= 0.9


PLAYS = [
    sold("success line"),
    sold("BOM and CRLF", buy("bom_crlf")),
    sold("number without plus", buy("no_plus")),
    sold("quoted", buy("quoted")),
    sold("late, within the deadline", buy("as_is", delay=BUY_DEADLINE / 2, charged=True)),
    sold("success under 500", buy("as_is", status=500, charged=True), flags=("odd_http_status",)),
    sold("success under 404", buy("as_is", status=404, charged=True), flags=("odd_http_status",)),
    sold("success under 429", buy("as_is", status=429, charged=True), flags=("odd_http_status",)),
    sold("sibling text", buy("sibling_text"), flags=("sibling_format",)),
    sold("sibling JSON", buy("sibling_json"), flags=("sibling_format",)),
    sold("bad seconds", buy("bad_seconds"), flags=("bad_seconds",)),
    sold("extra fields", buy("extra_fields"), flags=("extra_fields",)),
    sold("no numbers three times", buy("word", body="NO_NUMBERS", times=3), buys=4),
    sold("no numbers under 500", buy("word", body="NO_NUMBERS", status=500), buys=2),
    sold("no numbers, quoted with a BOM", buy("text", body='\ufeff"NO_NUMBERS"\r\n'), buys=2),
    sold("channels limit", buy("word", body="CHANNELS_LIMIT"), buys=2),
    rejected(
        "no numbers for ever", buy("word", body="NO_NUMBERS", times=-1), error="no_numbers", buys=(3, 6),
        also=budget_spent,
    ),
    rejected("bad server", buy("word", body="BAD_SERVER"), error="provider_rejected"),
    rejected("bad type", buy("word", body="BAD_TYPE"), error="provider_rejected"),
    rejected("bad service", buy("word", body="BAD_SERVICE"), error="provider_rejected"),
    rejected("bad action", buy("word", body="BAD_ACTION"), error="provider_rejected"),
    rejected("bad server under 500", buy("word", body="BAD_SERVER", status=500), error="provider_rejected"),
    unknown("bought, then silence", buy("silent", charged=True, delay=10)),
    unknown("bought, then a connection held open", buy("hang", charged=True, delay=10)),
    unknown("bought, then reset", buy("reset", charged=True)),
    unknown("bought, then empty", buy("empty", charged=True)),
    unknown("bought, then 502", buy("http_error", charged=True)),
    unknown("bought, then ERROR_SQL", buy("word", body="ERROR_SQL", charged=True)),
    unknown("bought, then HTML under 200", buy("html", charged=True)),
    unknown("bought, then a JSON error", buy("json_error", charged=True)),
    unknown("bought, then garbage", buy("garbage", charged=True)),
    unknown("bought, then a cut answer", buy("cut", size=10)),
    unknown("bought, then a cut chunked answer", buy("chunked_cut", size=10)),
    unknown("bought, then an answer that drips", buy("slow_drip", pace=0.5)),
    unknown("bought, then a redirect", buy("redirect", charged=True)),
    unknown("bought, then too late", buy("as_is", delay=BUY_DEADLINE + 1)),
    unknown("bought, without an id", buy("missing_id")),
    unknown("bought, then a page with a word in it", buy("text", body=NO_NUMBER, charged=True)),
    unknown("bought, then a word in lower case", buy("text", body="no_numbers", charged=True)),
    unknown("bought, then two words", buy("text", body="NO_NUMBERS NO_NUMBERS", charged=True)),
    unknown("bought, then an answer that is too big", buy("huge", size=70_000, charged=True)),
    unknown("bought, then 403 without an edge", buy("http_error", status=403, charged=True)),
    unknown("503 that cannot be told apart", buy("http_error", status=503), charged=0),
    unknown("ERROR_SQL that cannot be told apart", buy("word", body="ERROR_SQL"), charged=0),
    unknown("reset before anything was done", buy("reset"), charged=0),
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(playhouse: Stack, request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Run]]:
    """All plays, begun at once."""
    yield from season(playhouse, request)


@pytest.mark.parametrize("play", rows(PLAYS))
def test_buying(play: Play, begun: Callable[[Play], Run]) -> None:
    """Whatever the provider does to a purchase, it is charged at most once and told as it is."""
    finish_and_judge(begun(play))


def test_a_number_of_another_order_is_held_back(playhouse: Stack) -> None:
    """An order id that already belongs to another order is adopted by neither, and its code reaches one caller only."""
    first = playhouse.play(timeout=60)
    bought = wait_for(lambda: playhouse.provider.bought(first["server"]), what="the first purchase")[0]
    playhouse.until(first["id"], "waiting")
    body = f"{bought.id},{bought.number},900"
    second = playhouse.play(buy("as_is", body=body, charged=True), timeout=60)
    ended = playhouse.until_settled(second["id"], "unconfirmed")
    assert (ended["error"]["code"], ended["otp"]) == ("purchase_unknown", None)
    assert "duplicate_activation" in ended["flags"]
    playhouse.provider.arrive(bought.id, "553311")
    got = playhouse.until_settled(first["id"], "finished")
    assert got["otp"] == "553311"
    for order in (first, second):
        check_order(playhouse, order["id"])


def test_one_order_s_odd_answer_stops_nobody_else(playhouse: Stack) -> None:
    """After a purchase of unknown outcome the next order is bought at once."""
    spoiled = playhouse.play(buy("empty", charged=True))
    playhouse.until(spoiled["id"], "failed")
    assert playhouse.api.get("/v1/balance").json()["buying"]["reasons"] == []
    order = playhouse.play(sms=(CODE, 0.5))
    assert playhouse.until(order["id"], "received")["otp"] == CODE
    assert playhouse.order(spoiled["id"])["status"] == "failed"
