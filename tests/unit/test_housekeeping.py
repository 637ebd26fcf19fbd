"""Housekeeping: codes erased in time, lost wake-ups mended, old entries trimmed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.builders import order
from tests.fakes import World, drained
from worker.event import Attempt, EventStatus
from worker.housekeeping import ERASED, Housekeeping
from worker.journal import Entry
from worker.order import Settlement, Status
from worker.schedule import Lane, Wake

pytestmark = pytest.mark.anyio


@pytest.fixture
async def housekeeping(world: World) -> Housekeeping:
    return Housekeeping(world.store, world.gate, world.counters, retention=604_800.0)


async def received(world: World, code: str = "847293") -> None:
    """An order whose code arrived, told, and finished at the provider."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.provider.arrive(code)
    await world.pass_time(20)
    assert world.see().settlement is Settlement.FINISHED


async def test_code_is_erased_when_its_time_is_over(world: World, housekeeping: Housekeeping):
    """From the order and from its webhooks; the order says so."""
    await received(world)
    assert await housekeeping.erase() == 0
    assert world.see().otp == "847293"
    world.clock.advance(86_400)
    assert await housekeeping.erase() == 1
    assert (world.see().otp, world.see().flags) == (None, ("otp_erased",))
    page, _ = world.blocking.events("cal_1", order="ord_1", status=None, limit=10, before=None)
    told = json.loads(page[0].body)["data"]
    assert (told["otp"], told["flags"]) == (None, ["otp_erased"])
    assert await housekeeping.erase() == 0


async def test_code_that_a_receiver_echoed_is_erased_too(world: World, housekeeping: Housekeeping):
    """What was answered is kept without it."""
    await received(world)
    claimed = next(one for one in await world.store.claim_events(10, 20, "w1") if b"847293" in one.body)
    attempt = Attempt(world.clock(), 200, None, 0.1, "thanks for 847293!")
    after = claimed.tried(attempt, EventStatus.DELIVERED)
    await world.store.record_attempt(claimed, after, endpoint_is_up=True, host_is_up=True, erase_after=900, patience=0)
    world.clock.advance(900)
    assert await housekeeping.erase() == 1
    kept = world.blocking.load_event(claimed.id)
    assert kept is not None
    assert kept.attempts[0].excerpt == f"thanks for {ERASED}!"
    assert kept.status is EventStatus.DELIVERED


@pytest.mark.parametrize(
    ("code", "echo"),
    [
        ("847-293", "got 847293"),
        ("847293", "got 847 293"),
        ("847293", "got 8 4 7-2 9 3"),
        ("847-293", "code=847%2D293"),
        ("847293", "code=%38%34%37%32%39%33"),
        ("G-847293", "your code: 847293"),
        ("Your code is 847293. Never share it.", "echo 847293"),
        ("Your code is 847-293", "echo 847293"),
        ("a b+c", "a%20b%2bc"),
    ],
)
async def test_code_is_erased_however_a_receiver_spells_it(
    world: World, housekeeping: Housekeeping, code: str, echo: str
):
    """Without separators, with others, URL-encoded, or the digits alone of a whole message."""
    await received(world, code)
    claimed = next(one for one in await world.store.claim_events(10, 20, "w1") if one.type == "order.otp_received")
    after = claimed.tried(Attempt(world.clock(), 200, None, 0.1, echo), EventStatus.DELIVERED)
    await world.store.record_attempt(claimed, after, endpoint_is_up=True, host_is_up=True, erase_after=900, patience=0)
    world.clock.advance(900)
    assert await housekeeping.erase() == 1
    kept = world.blocking.load_event(claimed.id)
    assert kept is not None
    assert kept.attempts[0].excerpt.endswith(ERASED)
    assert not any(one.isdigit() for one in kept.attempts[0].excerpt)


async def test_what_is_no_code_stays_in_what_a_receiver_answered(world: World, housekeeping: Housekeeping):
    """Other numbers are none of ours."""
    await received(world, "847293")
    claimed = next(one for one in await world.store.claim_events(10, 20, "w1") if one.type == "order.otp_received")
    echo = "ref 84729, 184729 and 2026-11-22T10:00:00Z"
    after = claimed.tried(Attempt(world.clock(), 200, None, 0.1, echo), EventStatus.DELIVERED)
    await world.store.record_attempt(claimed, after, endpoint_is_up=True, host_is_up=True, erase_after=900, patience=0)
    world.clock.advance(900)
    await housekeeping.erase()
    kept = world.blocking.load_event(claimed.id)
    assert kept is not None
    assert kept.attempts[0].excerpt == echo


async def test_a_record_that_cannot_be_opened_stops_no_other_erasure(world: World, housekeeping: Housekeeping):
    """It is told, and put off."""
    await received(world)
    world.accept(order(id="ord_2"))
    world.raw.set("rb:order:ord_2:record", b"\x02garbage")
    world.raw.zadd("rb:erase", {"ord_2": 1})
    world.clock.advance(86_400)
    assert await housekeeping.erase() == 1
    assert world.alerts() == ["record_unreadable"]
    assert world.raw.zscore("rb:erase", "ord_2") > world.clock() * 1000


async def test_the_journal_is_kept_as_long_as_asked(world: World):
    """RINGBACK_JOURNAL_RETENTION, and no longer."""
    kept = Housekeeping(world.store, world.gate, world.counters, retention=604_800, journal_retention=3600)
    await world.store.journal(Entry.BALANCE, balance="1")
    world.clock.advance(3599)
    await kept.trim()
    assert len(list(world.blocking.journal(0))) == 1
    world.clock.advance(2)
    await kept.trim()
    assert list(world.blocking.journal(0)) == []


async def test_nothing_in_the_store_holds_an_erased_code(world: World, housekeeping: Housekeeping):
    """No key, no value."""
    await received(world, "code-91827364")
    world.clock.advance(86_400)
    await housekeeping.erase()
    for key in world.raw.scan_iter():
        assert b"91827364" not in world.raw.dump(key)


async def test_lost_race_is_taken_up_again(world: World, housekeeping: Housekeeping):
    """Somebody wrote in between: the code goes with the next round."""
    await received(world)
    world.clock.advance(86_400)
    real = world.store.save

    async def beaten(before, after, **kwargs):
        world.store.save = real  # type: ignore[method-assign]
        await real(before, before.settle(Settlement.UNCONFIRMED), wake=None)
        return await real(before, after, **kwargs)

    world.store.save = beaten  # type: ignore[method-assign]
    assert await housekeeping.erase() == 0
    assert await housekeeping.erase() == 1
    assert world.see().otp is None


async def test_erasing_keeps_what_is_still_owed_to_the_provider(world: World, housekeeping: Housekeeping):
    """A purchase that is not finished yet stays in its lane."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.provider.arrive("847293")
    got = world.see().receive("847293", world.clock())
    await world.store.save(world.see(), got, wake=Wake(Lane.SETTLE, world.clock() + 1e6))
    world.clock.advance(86_400)
    assert await housekeeping.erase() == 1
    assert world.lanes() == ["settle"]
    await world.pass_time(10)
    assert world.see().settlement is Settlement.FINISHED


async def test_erased_order_is_kept_for_its_retention(world: World, housekeeping: Housekeeping):
    """It is gone when that is over, with all that belongs to it."""
    await received(world)
    world.clock.advance(86_400)
    await housekeeping.erase()
    assert world.raw.ttl("rb:order:ord_1") > 0
    world.clock.advance(604_801)
    assert world.blocking.load("ord_1") is None
    await housekeeping.erase()
    assert world.raw.zcard("rb:erase") == 0


async def test_vanished_order_leaves_the_list(world: World, housekeeping: Housekeeping):
    """There is nothing left to erase."""
    world.raw.zadd("rb:erase", {"ord_0": 1})
    assert await housekeeping.erase() == 0
    assert world.raw.zcard("rb:erase") == 0


async def test_lost_wake_ups_are_mended_and_alerted(world: World, housekeeping: Housekeeping):
    """Belt and braces: counted, expected to stay at none."""
    world.raw.sadd("rb:callers", "cal_1", "cal_2")
    for n in range(5):
        world.accept(order(id=f"ord_{n}"))
    world.accept(order(id="ord_x", caller="cal_2"))
    assert await housekeeping.mend(batch=2) == 0
    world.raw.zrem("rb:turns", "ord_1", "ord_4", "ord_x")
    assert await housekeeping.mend(batch=2) == 3
    assert world.lanes("ord_4") == ["buy"]
    assert drained(world.counters) == {"mended": 3, 'alerts{kind="wake_up_lost"}': 3}


async def test_old_entries_are_trimmed(world: World, housekeeping: Housekeeping):
    """A day after their orders are gone."""
    world.raw.sadd("rb:callers", "cal_1")
    world.accept(order())
    await world.store.journal(Entry.BALANCE, balance="1")
    world.clock.advance(604_800 + 86_401)
    await housekeeping.trim()
    assert world.raw.zcard("rb:caller:cal_1:orders") == 0
    assert len(list(world.blocking.journal(0))) == 1


async def test_open_order_is_not_erased(world: World, housekeeping: Housekeeping):
    """Only what has ended has a code."""
    world.accept(order())
    world.raw.zadd("rb:erase", {"ord_1": 1})
    before = world.see()
    assert await housekeeping.erase() == 0
    assert world.see() == replace(before, status=Status.QUEUED)
