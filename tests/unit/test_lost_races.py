"""A step that stood still, or whose answered write was never heard of, undoes nothing that others did meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.builders import NOW, caller, order, purchase_of, rules
from tests.fakes import World
from worker.caller import Caps
from worker.errors import StoreUnavailable
from worker.lifecycle.steps import Nothing, Snooze
from worker.order import Acquisition, Order, Settlement, Status
from worker.pause import Pause
from worker.provider.replies import Code, Declined, Quote, Word
from worker.schedule import Lane, Wake
from worker.store import Written

pytestmark = pytest.mark.anyio

Meanwhile = Callable[[], Awaitable[Any]]


def while_saving(world: World, meanwhile: Meanwhile, *, status: Status, first_counts: bool) -> None:
    """Have something happen around the first write of this status: before it, or after it counted unheard of."""
    real = world.store.save
    state = {"armed": True}

    async def save(before: Acquisition, after: Acquisition, **kwargs: Any) -> Written:
        if after.status is not status or not state["armed"]:
            return await real(before, after, **kwargs)
        state["armed"] = False
        if first_counts:
            await real(before, after, **kwargs)
        await meanwhile()
        return await real(before, after, **kwargs)

    world.store.save = save  # type: ignore[method-assign]


async def test_a_put_off_that_counted_unheard_of_does_not_put_off_the_next_purchase(world: World):
    """Its repetition finds the order `buying` again, by somebody else, and leaves it so: one charge."""
    world.provider.answer("buy", Declined(Word.NO_NUMBERS))
    world.accept(order())

    async def next_purchase_is_sent() -> None:
        world.clock.advance(2)
        intended = world.see().intend(NOW + 2)
        assert await world.engine_store().save(world.see(), intended, wake=None) is Written.SAVED

    while_saving(world, next_purchase_is_sent, status=Status.QUEUED, first_counts=True)
    (outcome,) = await world.work(Lane.BUY)
    assert isinstance(outcome, Nothing)
    assert world.see().status is Status.BUYING


async def test_a_rejection_for_a_pause_does_not_end_a_purchase_that_was_sent_meanwhile(world: World):
    """It was decided for a queued order; by now the order is `buying`, and will say itself what came of it."""
    world.accept(order())
    await world.store.pause(Pause.SWITCHED_OFF, {"since": NOW})
    await world.work(Lane.BUY)
    world.clock.advance(rules().buy_budget + 1)

    async def purchase_is_sent() -> None:
        assert await world.engine_store().save(world.see(), world.see().intend(NOW), wake=None) is Written.SAVED

    while_saving(world, purchase_is_sent, status=Status.FAILED, first_counts=False)
    (outcome,) = await world.work(Lane.BUY)
    assert isinstance(outcome, Nothing)
    assert world.see().status is Status.BUYING


async def test_giving_up_on_a_refund_does_not_touch_a_code_that_came_meanwhile(world: World):
    """An order that was received and finished while a step stood still stays finished."""
    world.accept(order())
    await world.work(Lane.BUY)
    bought = world.see()
    world.clock.advance(900)
    world.provider.answer("status", Code("847293"), times=0)

    async def code_comes_and_is_finished() -> None:
        received = world.see().receive("847293", NOW + 900)
        store = world.engine_store()
        assert await store.save(world.see(), received, wake=None) is Written.SAVED
        assert await store.save(received, received.settle(Settlement.FINISHED), wake=None) is Written.SAVED

    while_saving(world, code_comes_and_is_finished, status=Status.EXPIRED, first_counts=False)
    await world.lifecycle.settle(bought.id)
    ended = world.see()
    assert (ended.status, ended.settlement) == (Status.RECEIVED, Settlement.FINISHED)


async def test_an_intent_that_counted_unheard_of_is_followed_by_its_purchase(world: World):
    """The store went away after it had written the intent: it is asked again, and the purchase is sent, once."""
    world.accept(order())
    run, state = world.store._run, {"armed": True}

    async def answer_is_lost(script: str, *arguments: Any) -> Any:
        told = await run(script, *arguments)
        if script == "save" and state.pop("armed", False):
            raise StoreUnavailable("the store does not answer")
        return told

    world.store._run = answer_is_lost  # type: ignore[method-assign, assignment]
    await world.work(Lane.BUY)
    assert world.see().status is Status.WAITING
    assert world.provider.count("buy") == 1


async def test_a_step_that_the_store_held_up_leaves_the_look_to_the_next_claim(world: World):
    """By then somebody else may have looked: two looks a moment apart would break the pace."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.clock.advance(rules().earliest_cancel)
    load = world.store.load

    async def late(order_id: str) -> Order | None:
        world.clock.advance(3)
        return await load(order_id)

    world.store.load = late  # type: ignore[method-assign]
    looks = world.provider.count("status")
    assert isinstance(await world.lifecycle.settle("ord_1"), Nothing)
    assert world.provider.count("status") == looks


async def test_a_step_that_stood_still_sends_no_cancel_after_that_of_another(world: World):
    """The other's cancel set the next look; this one would set it to a moment that is past, and break the pace."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.clock.advance(rules().earliest_cancel)
    store, waiting = world.engine_store(), world.see()
    assert await store.save(waiting, waiting.ask_cancel(world.clock()), wake=Wake(Lane.SETTLE)) is Written.SAVED
    next_look: list[float | None] = []

    async def another_step_cancels() -> None:
        world.clock.advance(20)
        looking, now = world.see(), world.clock()
        counted = looking.try_cancel(now)
        assert await store.save(looking, counted, wake=Wake(Lane.SETTLE, now + 25)) is Written.SAVED
        next_look.append(world.due(Lane.SETTLE))

    while_saving(world, another_step_cancels, status=Status.CANCELLING, first_counts=False)
    assert isinstance(await world.lifecycle.settle("ord_1"), Nothing)
    assert world.provider.count("cancel") == 0
    assert world.see().cancels == 1
    assert world.due(Lane.SETTLE) == next_look[0]


async def test_a_number_belongs_to_its_order_even_when_the_store_forgot_the_intent(world: World):
    """A store that lost its last second shows the order queued again: the answer on its way is recorded, not lost."""
    world.accept(order())
    before = world.see()

    async def store_loses_its_last_second() -> None:
        forgetful = world.raw
        forgetful.hset("rb:order:ord_1", mapping={"v": before.version, "s": "queued"})
        world.clock.advance(0.5)

    while_saving(world, store_loses_its_last_second, status=Status.WAITING, first_counts=False)
    await world.work(Lane.BUY)
    assert world.see().charged
    assert world.provider.count("buy") == 1


async def test_a_number_is_recorded_though_the_spend_cap_has_no_room_for_it_any_more(world: World):
    """The store forgot the intent, and others have spent what it counted: the number is this order's all the same."""
    assert world.blocking.save_caller(None, caller(caps=Caps(max_spend_per_day=Decimal(50)))) is Written.SAVED
    world.provider.price = Quote(Decimal(45), Decimal(45))
    world.accept(order())
    before, kept = world.see(), world.raw.get("rb:order:ord_1:record")

    async def store_loses_its_last_second() -> None:
        world.raw.hset("rb:order:ord_1", mapping={"v": before.version, "s": "queued"})
        world.raw.set("rb:order:ord_1:record", kept)
        assert world.see().status is Status.QUEUED

    while_saving(world, store_loses_its_last_second, status=Status.WAITING, first_counts=False)
    await world.work(Lane.BUY)
    assert purchase_of(world.see()).activation == "act_1"
    assert "purchase_unrecorded" not in world.alerts()


async def test_a_number_for_an_order_that_is_gone_is_written_into_the_journal(world: World):
    """Nothing else can keep it: an operator is told, and finds the provider's id."""
    world.accept(order())

    async def order_is_lost() -> None:
        world.raw.delete("rb:order:ord_1", "rb:order:ord_1:record")

    while_saving(world, order_is_lost, status=Status.WAITING, first_counts=False)
    await world.work(Lane.BUY)
    assert "purchase_unrecorded" in world.alerts()
    assert "unrecorded" in world.journal()


async def test_an_ask_that_comes_long_after_the_budget_is_not_sent(world: World):
    """Its worker was away: the order fails instead of asking once more."""
    world.provider.answer("buy", Declined(Word.NO_NUMBERS))
    world.accept(order())
    await world.work(Lane.BUY)
    world.clock.advance(rules().buy_budget + 10)
    await world.work(Lane.BUY)
    assert (world.see().status, world.provider.count("buy")) == (Status.FAILED, 1)


async def test_a_second_claim_leaves_a_purchase_under_way_alone(world: World):
    """Claimed twice because its first worker was slow to start: `buying` means abandoned only after the deadline."""
    world.accept(order())

    async def claimed_again_meanwhile() -> None:
        outcome = await world.steps().buy("ord_1")
        assert isinstance(outcome, Snooze)

    while_saving(world, claimed_again_meanwhile, status=Status.WAITING, first_counts=False)
    await world.work(Lane.BUY)
    assert (world.see().status, world.see().flags) == (Status.WAITING, ())
