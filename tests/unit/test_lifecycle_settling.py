"""Settling: finish what has its code; look, cancel and look again at what has none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.builders import NOW, bought, order
from tests.fakes import World, drained
from worker.lifecycle.steps import Gone, Snooze
from worker.order import Ending, ErrorCode, Settlement, Status
from worker.provider.replies import (
    Cancelled,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    Missing,
    Throttled,
    Unclear,
    Unreached,
    Word,
)
from worker.schedule import Lane, Wake

pytestmark = pytest.mark.anyio


@pytest.fixture
async def due(world: World) -> World:
    """A world with one order whose time is over: its next step begins to give the number back."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.clock.advance(535)
    await world.work(Lane.POLL)
    world.provider.calls.clear()
    drained(world.counters)
    return world


def cancels(world: World) -> list[float]:
    """When cancels were sent, in seconds after the purchase."""
    return [at - NOW for name, _, at in world.provider.calls if name == "cancel"]


async def test_code_less_order_is_refunded(due: World):
    """Look, cancel, look: expired and refunded, told once."""
    await due.pass_time(30)
    ended = due.see()
    assert (ended.status, ended.settlement) == (Status.EXPIRED, Settlement.REFUNDED)
    assert [name for name, _, _ in due.provider.calls] == ["status", "cancel", "status"]
    assert due.events() == ["order.number_assigned", "order.expired"]
    assert due.journal() == ["intent", "bought", "cancel", "refunded"]
    assert due.lanes() == []


async def test_cancel_begins_at_the_orders_timeout(world: World):
    """Not before it, and not much after."""
    world.accept(order(timeout=300))
    await world.work(Lane.BUY)
    await world.pass_time(310)
    assert 300 <= cancels(world)[0] <= 306


async def test_no_cancel_is_sent_before_the_provider_allows_one(world: World):
    """A short timeout waits for the earliest moment."""
    world.accept(order(timeout=10))
    await world.work(Lane.BUY)
    await world.pass_time(140)
    assert 125 <= cancels(world)[0] <= 131
    assert world.see().settlement is Settlement.REFUNDED


async def test_code_found_by_the_look_before_the_cancel_is_delivered(due: World):
    """It came between the last poll and the cancel."""
    due.provider.arrive("847293")
    await due.pass_time(30)
    assert (due.see().status, due.see().settlement) == (Status.RECEIVED, Settlement.FINISHED)
    assert cancels(due) == []


@pytest.mark.parametrize("word", [Word.BAD_STATUS, Word.OTP_RECEIVED])
async def test_cancel_refused_because_a_code_exists_delivers_and_finishes(due: World, word: Word):
    """The code came in the very moment of the cancel."""
    real = due.provider.cancel

    async def just_then(product: str, activation: str):
        due.provider.arrive("847293")
        due.provider.answer("cancel", CodeExists(word))
        return await real(product, activation)

    due.provider.cancel = just_then  # type: ignore[method-assign]
    await due.pass_time(30)
    got = due.see()
    assert (got.status, got.otp, got.settlement) == (Status.RECEIVED, "847293", Settlement.FINISHED)
    assert due.events() == ["order.number_assigned", "order.otp_received"]


async def test_code_after_a_confirmed_cancel_is_delivered_and_stays_refunded(due: World):
    """ACCESS_CANCEL followed by STATUS_OK: we have the code and the money."""
    await due.pass_time(5)
    assert due.see().settlement is Settlement.REFUNDED
    due.provider.answer("status", Code("847293"))
    await due.pass_time(10)
    assert (due.see().status, due.see().settlement) == (Status.RECEIVED, Settlement.REFUNDED)
    assert due.events() == ["order.number_assigned", "order.otp_received"]
    assert due.lanes() == []


async def test_early_cancel_is_rescheduled(due: World):
    """No failure: the same again a while later."""
    due.provider.answer("cancel", Early(), Early())
    await due.pass_time(80)
    sent = cancels(due)
    assert [round(b - a) for a, b in pairwise(sent)] == [25, 25]
    assert due.see().settlement is Settlement.REFUNDED


async def test_cancel_whose_answer_was_lost_is_found_out(due: World):
    """Done all the same: the next look shows it, and it was ours."""
    due.provider.answer("cancel", Unclear("timeout"), done=True)
    await due.pass_time(30)
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.REFUNDED)
    assert len(cancels(due)) == 1


async def test_repeated_cancel_that_says_already_is_a_refund(due: World):
    """Cancel is safe to repeat."""
    due.provider.answer("cancel", Unclear("timeout"), done=True)
    due.provider.answer("status", Unclear("x"), Unclear("x"), Unclear("x"), Unclear("x"))
    due.provider.answer("cancel", Done(Word.ACCESS_CANCEL_ALREADY))
    await due.pass_time(60)
    assert due.see().settlement is Settlement.REFUNDED


async def test_already_cancelled_at_our_first_cancel_proves_no_refund(due: World):
    """Somebody else ended the number between our look and our cancel: whether the money came back is not known."""
    due.provider.answer("cancel", Done(Word.ACCESS_CANCEL_ALREADY))
    await due.pass_time(60)
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.UNCONFIRMED)


@pytest.mark.parametrize("reply", [Unclear("status_500"), Unclear("empty"), Unreached("dns"), Declined(Word.BAD_KEY)])
async def test_cancel_that_never_answers_ends_unconfirmed(due: World, reply: object):
    """Asked again and again until the number is over, then said as it is, with an alert."""
    due.provider.answer("cancel", reply, times=100)
    await due.pass_time(400)
    ended = due.see()
    assert (ended.status, ended.settlement) == (Status.EXPIRED, Settlement.UNCONFIRMED)
    assert 13 <= len(cancels(due)) <= 16
    assert cancels(due)[-1] < 900
    assert "settlement_unconfirmed" in due.alerts()
    assert due.events() == ["order.number_assigned", "order.expired"]


async def test_total_outage_from_the_deadline_on_ends_unconfirmed(due: World):
    """Nothing can be read or cancelled: an end all the same, a little after the number's."""
    due.provider.answer("status", Unclear("status_502"), times=1000)
    due.provider.answer("cancel", Unclear("status_502"), times=1000)
    await due.pass_time(500)
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.UNCONFIRMED)
    assert due.see().ended_at == pytest.approx(NOW + 960, abs=10)
    assert due.lanes() == []


@pytest.mark.parametrize("wait", [None, 3600.0])
async def test_429_for_ever_ends_too(due: World, wait: float | None):
    """However patient the provider asks everyone to be: cancels are tried in the last minute, then it is over."""
    due.provider.answer("status", Throttled(wait), times=10_000)
    due.provider.answer("cancel", Throttled(wait), times=10_000)
    await due.pass_time(600)
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.UNCONFIRMED)
    assert [at for at in cancels(due) if 840 <= at < 900]
    assert due.lanes() == []


async def test_throttled_look_does_not_cost_the_refund(due: World):
    """Only the status call is refused: the cancel goes out while it can."""
    due.provider.answer("status", Throttled(3600), times=10_000)
    await due.pass_time(600)
    assert due.provider.numbers["act_1"].refunded
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.REFUNDED)


async def test_retry_after_is_obeyed_but_not_past_the_last_moments(due: World):
    """A long wait moves the cancel, and leaves it its reserve."""
    due.provider.answer("cancel", Throttled(3600))
    await due.pass_time(360)
    first, second = cancels(due)[:2]
    assert first == pytest.approx(540, abs=6)
    assert second == pytest.approx(840, abs=6)
    assert due.see().settlement is Settlement.REFUNDED


async def test_held_provider_is_not_asked_to_finish(due: World):
    """A finish waits; the caller has its code."""
    due.provider.arrive("847293")
    await due.pass_time(2)
    await due.pass_time(3)
    await due.store.throttle(60, 10)
    due.provider.calls.clear()
    received = due.see().status is Status.RECEIVED and due.see().settlement is Settlement.PENDING
    if received:
        (outcome,) = await due.work(Lane.SETTLE)
        assert isinstance(outcome, Snooze)
    assert due.provider.count("finish") == 0


async def test_unasked_cancel_seen_by_the_look_is_not_called_a_refund(due: World):
    """No cancel of ours was on its way."""
    due.provider.numbers["act_1"].cancelled = True
    await due.pass_time(60)
    ended = due.see()
    assert (ended.status, ended.settlement) == (Status.FAILED, Settlement.UNCONFIRMED)
    assert ended.error is ErrorCode.ORDER_LOST


async def test_unasked_cancel_of_a_number_that_the_caller_gave_back_is_not_called_a_refund(world: World):
    """The caller's cancel waits for the earliest moment; the provider was faster."""
    world.accept(order())
    await world.work(Lane.BUY)
    bought = world.see()
    world.blocking.save(bought, bought.ask_cancel(NOW + 5), wake=Wake(Lane.SETTLE, NOW + 125, after_poll=True))
    world.provider.numbers["act_1"].cancelled = True
    await world.pass_time(130)
    assert (world.see().status, world.see().settlement) == (Status.CANCELLED, Settlement.UNCONFIRMED)


async def test_callers_cancel_is_sent_as_soon_as_it_is_allowed(world: World):
    """One call to the provider, one terminal state."""
    world.accept(order())
    await world.work(Lane.BUY)
    await world.pass_time(30)
    bought = world.see()
    asked = bought.ask_cancel(world.clock())
    world.blocking.save(bought, asked, wake=Wake(Lane.SETTLE, NOW + 125, after_poll=True))
    assert asked.ask_cancel(world.clock()) is asked
    await world.pass_time(120)
    assert (world.see().status, world.see().settlement) == (Status.CANCELLED, Settlement.REFUNDED)
    assert len(cancels(world)) == 1
    assert world.events() == ["order.number_assigned", "order.cancelled"]


async def test_code_that_comes_while_the_caller_cancels_is_delivered(world: World):
    """Exactly one terminal state: received."""
    world.accept(order())
    await world.work(Lane.BUY)
    bought = world.see()
    world.blocking.save(bought, bought.ask_cancel(NOW + 1), wake=Wake(Lane.SETTLE, NOW + 125, after_poll=True))
    world.provider.arrive("847293")
    await world.pass_time(140)
    assert (world.see().status, world.see().settlement) == (Status.RECEIVED, Settlement.FINISHED)
    assert cancels(world) == []
    assert world.events() == ["order.number_assigned", "order.otp_received"]


async def test_number_unknown_to_status_and_cancel_ends_unconfirmed(due: World):
    """NO_ACTIVATION proves nothing about the money."""
    del due.provider.numbers["act_1"]
    await due.pass_time(120)
    ended = due.see()
    assert (ended.status, ended.settlement) == (Status.EXPIRED, Settlement.UNCONFIRMED)
    assert "settlement_unconfirmed" in due.alerts()


async def test_refused_cancel_is_looked_at_again(due: World):
    """BAD_STATUS without a code: read the status again, then try once more."""
    due.provider.answer("cancel", CodeExists(Word.BAD_STATUS))
    await due.pass_time(60)
    assert len(cancels(due)) == 2
    assert due.see().settlement is Settlement.REFUNDED


async def test_unreadable_look_after_the_refund_is_not_asked_for_ever(due: World):
    """A few looks, then it ends refunded."""
    await due.pass_time(5)
    due.provider.answer("status", Unclear("status_502"), times=1000)
    await due.pass_time(40)
    assert (due.see().status, due.see().settlement) == (Status.EXPIRED, Settlement.REFUNDED)


async def test_worker_that_died_before_the_cancel_sends_it_later(due: World):
    """Counted before it goes out; what was not sent is sent with the next."""
    before = due.see()
    cancelling = before.begin_cancel(Ending.TIMEOUT).try_cancel(due.clock())
    await due.store.save(before, cancelling, wake=Wake(Lane.SETTLE, due.clock() + 25))
    await due.pass_time(40)
    assert due.see().settlement is Settlement.REFUNDED


@pytest.mark.parametrize(
    "reply", [CodeExists(Word.BAD_STATUS), Unclear("timeout"), Missing(), Unreached("dns"), Declined(Word.BAD_KEY)]
)
async def test_finish_is_best_effort(due: World, reply: Any):
    """A few tries; the order is received all the same."""
    due.provider.answer("finish", reply, times=100)
    due.provider.arrive("847293")
    await due.pass_time(60)
    ended = due.see()
    assert (ended.status, ended.settlement) == (Status.RECEIVED, Settlement.UNCONFIRMED)
    assert due.provider.count("finish") == 5
    assert due.events() == ["order.number_assigned", "order.otp_received"]
    assert due.lanes() == []


async def test_finish_that_succeeds_late_is_finished(due: World):
    """The third time counts as the first."""
    due.provider.answer("finish", Unclear("timeout"), Unclear("timeout"))
    due.provider.arrive("847293")
    await due.pass_time(30)
    assert due.see().settlement is Settlement.FINISHED


async def test_throttled_finish_holds_everyone(due: World):
    """And is tried again afterwards."""
    due.provider.answer("finish", Throttled(20))
    due.provider.arrive("847293")
    await due.pass_time(15)
    assert due.provider.count("finish") == 1
    await due.pass_time(30)
    assert due.see().settlement is Settlement.FINISHED


async def test_nothing_to_settle_is_gone(world: World):
    """An order without a number, or none at all, leaves the lane."""
    world.accept(order())
    assert await world.lifecycle.settle("ord_1") == Gone()
    assert await world.lifecycle.settle("ord_0") == Gone()


async def test_settled_order_leaves_the_lane(due: World):
    """A late wake-up calls nobody."""
    await due.pass_time(30)
    due.provider.calls.clear()
    assert await due.lifecycle.settle("ord_1") == Gone()
    assert due.provider.calls == []


async def adopted_late(world: World) -> None:
    """An order given up as unknown, whose number then turned up."""
    world.accept(order())
    lost = order().intend(NOW).lose_purchase("no answer", NOW)
    await world.provider.buy("cheap", {"server": "1", "type": "1"})
    adopted = lost.adopt_late(bought())
    await world.store.save(order(), adopted, wake=Wake(Lane.SETTLE, NOW + 125))


async def test_late_number_is_refunded(world: World):
    """The order stays failed; only its settlement changes."""
    await adopted_late(world)
    await world.pass_time(140)
    assert (world.see().status, world.see().settlement) == (Status.FAILED, Settlement.REFUNDED)
    assert world.events() == []
    assert world.lanes() == []


async def test_late_number_that_the_provider_cancelled_itself_stays_unconfirmed(world: World):
    """STATUS_CANCEL was there before any cancel of ours."""
    await adopted_late(world)
    world.provider.numbers["act_1"].cancelled = True
    await world.pass_time(300)
    assert world.see().settlement is Settlement.UNCONFIRMED
    assert world.lanes() == []


async def test_code_for_a_late_number_is_kept_and_not_delivered(world: World):
    """The terminal event has been sent."""
    await adopted_late(world)
    world.provider.arrive("847293")
    await world.pass_time(140)
    late = world.see()
    assert (late.status, late.otp, late.settlement) == (Status.FAILED, "847293", Settlement.UNCONFIRMED)
    assert world.lanes() == []
    assert world.provider.count("cancel") == 0


async def test_late_number_that_cannot_be_cancelled_ends_unconfirmed(world: World):
    """Until it has run out, then no more."""
    await adopted_late(world)
    world.provider.answer("cancel", Unclear("status_500"), times=100)
    world.provider.answer("status", Cancelled(), times=0)
    await world.pass_time(1000)
    assert world.see().settlement is Settlement.UNCONFIRMED
    assert world.lanes() == []
