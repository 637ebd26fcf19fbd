"""Polling: a code once, to the letter; everything else keeps the order alive or ends it for a reason."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.builders import NOW, order
from tests.fakes import World, drained
from worker.lifecycle.steps import STILL_WAITING, Gone, Nothing, Snooze
from worker.order import Ending, ErrorCode, Settlement, Status
from worker.provider.replies import Cancelled, Code, Declined, Missing, Throttled, Unclear, Unreached, Word
from worker.schedule import Lane, Wake

pytestmark = pytest.mark.anyio


@pytest.fixture
async def waiting(world: World) -> World:
    """A world with one order that waits for its code."""
    world.accept(order())
    await world.work(Lane.BUY)
    drained(world.counters)
    return world


async def test_still_waiting_writes_nothing(waiting: World):
    """The claim has already set the next poll, one interval later."""
    before = waiting.see()
    waiting.clock.advance(5)
    assert await waiting.work(Lane.POLL) == [STILL_WAITING]
    assert waiting.see() == before
    assert waiting.due("poll") == NOW + 10


async def test_polls_are_an_interval_apart(waiting: World):
    """Never closer, however often the worker looks."""
    await waiting.pass_time(60)
    times = [at for name, _, at in waiting.provider.calls if name == "status"]
    assert len(times) == 12
    assert all(b - a >= 5 for a, b in pairwise(times))


async def test_code_is_stored_told_and_finished(waiting: World):
    """One webhook, then the purchase is finished at the provider."""
    await waiting.pass_time(20)
    waiting.provider.arrive("847293")
    await waiting.pass_time(10)
    got = waiting.see()
    assert (got.status, got.otp, got.settlement) == (Status.RECEIVED, "847293", Settlement.FINISHED)
    assert waiting.provider.numbers["act_1"].finished
    assert waiting.events() == ["order.number_assigned", "order.otp_received"]
    assert waiting.journal() == ["intent", "bought", "received", "finished"]
    assert waiting.lanes() == []


@pytest.mark.parametrize("code", ["001234", "873-319", "G-269986", "Your code: 12:34:56 👋", "x" * 4096])
async def test_code_is_kept_to_the_letter(waiting: World, code: str):
    """Leading zeros, dashes, letters, colons, a whole SMS."""
    waiting.provider.arrive(code)
    await waiting.pass_time(6)
    assert waiting.see().otp == code


async def test_same_code_again_is_nothing_new(waiting: World):
    """Polls that were under way meanwhile bring it once more: one webhook."""
    waiting.provider.arrive("847293")
    await waiting.pass_time(6)
    assert await waiting.lifecycle.poll("ord_1", "cheap:act_1") == Nothing("the code is known")
    assert waiting.events().count("order.otp_received") == 1


async def test_flags_of_an_odd_code_are_kept(waiting: World):
    """What was cut is said."""
    waiting.provider.answer("status", Code("847293", ("truncated",)))
    await waiting.pass_time(6)
    assert waiting.see().flags == ("truncated",)


@pytest.mark.parametrize("reply", [Unclear("status_502"), Unreached("refused")])
async def test_bad_minutes_keep_the_order_waiting(waiting: World, reply: object):
    """Three minutes of errors, then the code: delivered."""
    waiting.provider.answer("status", reply, times=36)
    await waiting.pass_time(180)
    assert waiting.see().status is Status.WAITING
    waiting.provider.arrive("847293")
    await waiting.pass_time(6)
    assert waiting.see().status is Status.RECEIVED


async def test_missing_at_first_is_replication_lag(waiting: World):
    """Half a minute of it does no harm."""
    waiting.provider.answer("status", Missing(), times=6)
    await waiting.pass_time(40)
    assert waiting.see().status is Status.WAITING


async def test_missing_now_and_then_is_no_loss(waiting: World):
    """Only several in a row count."""
    await waiting.pass_time(130)
    for _ in range(10):
        waiting.provider.answer("status", Missing(), Missing(), Unclear("status_500"), Unclear("status_500"))
    await waiting.pass_time(200)
    assert waiting.see().status is Status.WAITING


async def test_number_that_stays_missing_is_lost(waiting: World):
    """After the grace: a cancel is tried, then failed `order_lost`, unconfirmed, alerted."""
    del waiting.provider.numbers["act_1"]
    await waiting.pass_time(200)
    ended = waiting.see()
    assert (ended.status, ended.error) == (Status.FAILED, ErrorCode.ORDER_LOST)
    assert ended.settlement is Settlement.UNCONFIRMED
    assert ended.ending is Ending.LOST
    assert waiting.provider.count("cancel") >= 1
    assert "number_missing" in waiting.alerts()
    assert waiting.events() == ["order.number_assigned", "order.failed"]


async def test_lost_number_that_comes_back_with_a_code_is_delivered(waiting: World):
    """Giving up begins with a look."""
    await waiting.pass_time(120)
    waiting.provider.answer("status", Missing(), times=3)
    waiting.provider.arrive("847293")
    await waiting.pass_time(25)
    assert (waiting.see().status, waiting.see().otp) == (Status.RECEIVED, "847293")


async def test_number_cancelled_by_the_provider_ends_unconfirmed(waiting: World):
    """The caller is told at once; the money is still asked for, and nothing is called refunded without proof."""
    waiting.provider.numbers["act_1"].cancelled = True
    await waiting.pass_time(6)
    ended = waiting.see()
    assert (ended.status, ended.error) == (Status.FAILED, ErrorCode.ORDER_LOST)
    await waiting.pass_time(200)
    assert waiting.see().settlement is Settlement.UNCONFIRMED
    assert waiting.provider.count("cancel") == 1
    assert waiting.lanes() == []
    assert waiting.events() == ["order.number_assigned", "order.failed"]


async def test_lost_answer_to_that_cancel_proves_no_refund_either(waiting: World):
    """STATUS_CANCEL was there before our cancel."""
    waiting.provider.numbers["act_1"].cancelled = True
    waiting.provider.answer("cancel", Unclear("timeout"))
    await waiting.pass_time(300)
    assert waiting.see().settlement is Settlement.UNCONFIRMED


async def test_refund_that_the_provider_does_confirm_is_said(waiting: World):
    """ACCESS_CANCEL after an unasked STATUS_CANCEL is the provider's word."""
    waiting.provider.answer("status", Cancelled())
    await waiting.pass_time(200)
    assert waiting.see().settlement is Settlement.REFUNDED
    assert waiting.provider.numbers["act_1"].refunded


async def test_bad_key_in_the_middle_keeps_the_order(waiting: World):
    """Alerted at once, asked again slowly, and the balance is read to see whether the key is good."""
    waiting.provider.answer("status", Declined(Word.BAD_KEY))
    waiting.clock.advance(5)
    (outcome,) = await waiting.work(Lane.POLL)
    assert isinstance(outcome, Snooze)
    assert waiting.due("poll") == NOW + 35
    assert waiting.alerts() == ["status_declined"]
    assert await waiting.store.take_refresh_requests() == ["balance"]
    waiting.provider.arrive("847293")
    await waiting.pass_time(31)
    assert waiting.see().status is Status.RECEIVED


async def test_slow_retry_does_not_pass_the_deadline(waiting: World):
    """An order whose polls are refused is cancelled in time all the same."""
    waiting.provider.answer("status", Declined(Word.BAD_KEY), times=1000)
    await waiting.pass_time(580)
    assert waiting.provider.numbers["act_1"].refunded


async def test_429_while_polling_holds_everybody(waiting: World):
    """For as long as was asked."""
    waiting.provider.answer("status", Throttled(30))
    await waiting.pass_time(34)
    assert waiting.provider.count("status") == 1
    await waiting.pass_time(5)
    assert waiting.provider.count("status") > 1


async def test_long_hold_keeps_no_order_from_its_cancel(waiting: World):
    """An hour's Retry-After runs past the number's life: looked at and cancelled in time."""
    waiting.provider.answer("status", Throttled(3600))
    await waiting.pass_time(900)
    assert waiting.provider.numbers["act_1"].refunded
    assert (waiting.see().status, waiting.see().settlement) == (Status.EXPIRED, Settlement.REFUNDED)


async def test_code_just_before_the_deadline_is_delivered(waiting: World):
    """Two seconds are enough."""
    await waiting.pass_time(538)
    waiting.provider.arrive("847293")
    await waiting.pass_time(10)
    assert waiting.see().status is Status.RECEIVED
    assert waiting.provider.count("cancel") == 0


@pytest.mark.parametrize("reply", [Code("1"), Cancelled(), Missing()])
async def test_poll_of_a_vanished_order_is_gone(world: World, reply: object):
    """Nothing is written for it."""
    world.provider.answer("status", reply)
    assert await world.lifecycle.poll("ord_0", "act_0") == Gone()


@pytest.mark.parametrize("reply", [Cancelled(), Missing()])
async def test_late_poll_of_an_order_that_is_being_cancelled_changes_nothing(waiting: World, reply: object):
    """What it saw is `settle`'s to judge."""
    before = waiting.see()
    cancelling = before.begin_cancel(Ending.TIMEOUT)
    await waiting.store.save(before, cancelling, wake=Wake(Lane.SETTLE))
    waiting.provider.answer("status", reply)
    assert await waiting.lifecycle.poll("ord_1", "cheap:act_1") == Nothing("already cancelling")
    assert waiting.see() == cancelling


async def test_code_seen_after_the_end_is_kept_and_not_delivered(waiting: World):
    """There is one terminal event, and it has been sent."""
    ended = waiting.see().begin_cancel(Ending.TIMEOUT).try_cancel(NOW).note_refund(NOW).conclude(NOW)
    await waiting.store.save(waiting.see(), ended, wake=None)
    waiting.provider.answer("status", Code("847293"))
    await waiting.lifecycle.poll("ord_1", "cheap:act_1")
    late = waiting.see()
    assert (late.status, late.otp, late.flags) == (Status.EXPIRED, "847293", ("late_code",))
    assert "order.otp_received" not in waiting.events()


async def test_code_wins_the_race_against_the_callers_cancel(waiting: World):
    """The caller's cancel was written while the poll was on its way: delivered all the same, one terminal state."""
    before = waiting.see()
    real = waiting.store.load

    async def raced(order_id: str):
        found = await real(order_id)
        if waiting.see().version == before.version:
            waiting.blocking.save(before, before.ask_cancel(NOW), wake=Wake(Lane.SETTLE, NOW + 125))
        return found

    waiting.store.load = raced  # type: ignore[method-assign]
    waiting.provider.answer("status", Code("847293"))
    await waiting.lifecycle.poll("ord_1", "cheap:act_1")
    assert waiting.see().status is Status.RECEIVED
    assert waiting.events() == ["order.number_assigned", "order.otp_received"]
    assert waiting.lanes() == ["settle"]
