"""Buying: queued → buying → waiting, back to queued, or failed; and never twice."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from tests.builders import NOW, event, order, purchase_of, rules
from tests.fakes import World
from worker.lifecycle.steps import Gone, Nothing, Saved, Snooze
from worker.order import ErrorCode, Order, Settlement, Status
from worker.pause import Pause, item_of
from worker.provider.replies import Balance, Bought, Declined, Throttled, Unclear, Unreached, Word
from worker.schedule import Lane, Wake

pytestmark = pytest.mark.anyio


async def test_number_is_bought_and_told(world: World):
    """Waiting, polled after one interval; the caller is told its number."""
    world.accept(order())
    (outcome,) = await world.work(Lane.BUY)
    assert outcome == Saved(world.see(), owes=True)
    bought = world.see()
    purchase = purchase_of(bought)
    assert (bought.status, bought.settlement, purchase.activation) == (Status.WAITING, Settlement.PENDING, "act_1")
    assert (purchase.expires_at, purchase.cancel_at) == (NOW + 900, NOW + 540)
    assert (world.lanes(), world.due("poll")) == (["poll"], NOW + 5)
    assert world.events() == ["order.number_assigned"]
    assert world.journal() == ["intent", "bought"]


async def test_intent_is_stored_before_the_purchase_is_sent(world: World):
    """At the moment of the call the order is already `buying`, due when its deadline is over."""
    seen: list[tuple[Status, float | None]] = []
    real = world.provider.buy

    async def watched(product: str, item: Mapping[str, str]):
        seen.append((world.see().status, world.due("buy")))
        return await real(product, item)

    world.provider.buy = watched  # type: ignore[method-assign]
    world.accept(order())
    await world.work(Lane.BUY)
    assert seen == [(Status.BUYING, NOW + 25)]


async def test_odd_success_is_adopted_and_flagged(world: World):
    """Dropping it would lose the money."""
    world.provider.answer("buy", Bought("x-1", None, 900, ("status_500", "no_number")))
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.see().flags == ("status_500", "no_number")
    assert purchase_of(world.see()).number is None


async def test_no_numbers_is_asked_again_and_charged_once(world: World):
    """Three times nothing, then a number: backing off, one charge."""
    world.provider.answer("buy", Declined(Word.NO_NUMBERS), times=3)
    world.accept(order())
    await world.work(Lane.BUY)
    assert (world.see().status, world.see().attempts, world.due("buy")) == (Status.QUEUED, 1, NOW + 1)
    await world.pass_time(8)
    assert world.see().status is Status.WAITING
    assert [at - NOW for name, _, at in world.provider.calls if name == "buy"] == [0, 1, 3, 7]
    assert len(world.provider.numbers) == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Declined(Word.NO_NUMBERS), ErrorCode.NO_NUMBERS),
        (Declined(Word.CHANNELS_LIMIT), ErrorCode.PROVIDER_REJECTED),
        (Unreached("dns"), ErrorCode.PROVIDER_UNREACHABLE),
    ],
)
async def test_budget_ends_the_asking(world: World, reply: object, code: ErrorCode):
    """Failed with the reason, nothing bought, within the budget."""
    world.provider.answer("buy", reply, times=100)
    world.accept(order())
    await world.work(Lane.BUY)
    await world.pass_time(125)
    ended = world.see()
    assert (ended.status, ended.error, ended.settlement) == (Status.FAILED, code, Settlement.NONE)
    assert ended.ended_at == NOW + 120
    assert world.events() == ["order.failed"]
    assert world.lanes() == []
    assert world.provider.count("buy") < 15


@pytest.mark.parametrize("reason", ["timeout", "empty", "reset", "status_502", "ERROR_SQL"])
@pytest.mark.parametrize("charged", [True, False])
async def test_unknown_outcome_is_never_bought_again(world: World, reason: str, charged: bool):
    """Whatever the provider did: said so, counted, journalled, and exactly one request was sent."""
    world.provider.answer("buy", Unclear(reason), done=charged)
    world.accept(order())
    await world.pass_time(1200)
    ended = world.see()
    assert (ended.status, ended.error) == (Status.FAILED, ErrorCode.PURCHASE_UNKNOWN)
    assert ended.settlement is Settlement.UNCONFIRMED
    assert world.provider.count("buy") == 1
    assert world.events() == ["order.failed"]
    assert world.journal() == ["intent", "purchase_unknown"]
    assert "purchase_unknown" in world.alerts()


async def test_worker_that_died_with_the_answer_leaves_an_unknown_purchase(world: World):
    """The intent is found when its deadline is over; nobody sends a second purchase."""
    intended = order().intend(NOW)
    world.accept(order())
    await world.store.save(order(), intended, wake=Wake(Lane.BUY, NOW + 25))
    await world.pass_time(24)
    assert world.see().status is Status.BUYING
    await world.pass_time(2)
    assert (world.see().status, world.see().error) == (Status.FAILED, ErrorCode.PURCHASE_UNKNOWN)
    assert world.provider.count("buy") == 0


async def test_answer_after_the_order_was_given_up_is_adopted_and_cancelled(world: World):
    """A worker that stood still comes back with a number: it is attached, cancelled and refunded."""
    real = world.provider.buy

    async def slow(product: str, item: Mapping[str, str]):
        reply = await real(product, item)
        world.clock.advance(26)
        await world.work(Lane.BUY)
        return reply

    world.provider.buy = slow  # type: ignore[method-assign]
    world.accept(order())
    await world.work(Lane.BUY)
    adopted = world.see()
    assert (adopted.status, adopted.error, purchase_of(adopted).activation) == (
        Status.FAILED, ErrorCode.PURCHASE_UNKNOWN, "act_1",
    )  # fmt: skip
    assert "adopted_late" in adopted.flags
    assert "adopted_late" in world.alerts()
    await world.pass_time(200)
    assert world.see().settlement is Settlement.REFUNDED
    assert world.provider.numbers["act_1"].refunded
    assert world.events() == ["order.failed"]
    assert world.lanes() == []


async def test_worker_that_stood_still_before_the_call_does_not_send_it(world: World):
    """By the time of an answer somebody else might have given the order up."""
    real = world.store.save

    async def slow(*args, **kwargs):
        written = await real(*args, **kwargs)
        if args[1].status is Status.BUYING:
            world.clock.advance(6)
        return written

    world.store.save = slow  # type: ignore[method-assign]
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.provider.count("buy") == 0
    assert world.see().status is Status.QUEUED


@pytest.mark.parametrize(
    ("word", "code", "pause"),
    [
        (Word.LOW_BALANCE, ErrorCode.INSUFFICIENT_BALANCE, Pause.INSUFFICIENT_BALANCE),
        (Word.NO_BALANCE, ErrorCode.INSUFFICIENT_BALANCE, Pause.INSUFFICIENT_BALANCE),
        (Word.BAD_KEY, ErrorCode.PROVIDER_AUTH, Pause.PROVIDER_AUTH),
    ],
)
async def test_trouble_with_the_account_ends_this_order_and_pauses_the_others(
    world: World, word: Word, code: ErrorCode, pause: Pause
):
    """One order finds out; the next is not even asked for."""
    world.provider.answer("buy", Declined(word))
    world.accept(order())
    await world.work(Lane.BUY)
    world.accept(order(id="ord_2"))
    await world.work(Lane.BUY)
    world.clock.advance(2)
    (held,) = await world.work(Lane.BUY)
    assert (world.see().status, world.see().error) == (Status.FAILED, code)
    assert world.see("ord_2").status is Status.QUEUED
    assert isinstance(held, Snooze)
    assert world.provider.count("buy") == 1
    assert await world.gate.closed(item_of(order())) is pause
    assert "buying_paused" in world.alerts()


async def test_order_fails_with_the_pauses_reason_when_its_budget_ends(world: World):
    """It waited as long as it was allowed to."""
    await world.gate.pause(Pause.PROVIDER_AUTH)
    world.accept(order())
    await world.pass_time(125)
    assert (world.see().status, world.see().error) == (Status.FAILED, ErrorCode.PROVIDER_AUTH)
    assert world.see().ended_at == NOW + 121, "the budget counts from its first turn"
    assert world.provider.count("buy") == 0


async def test_order_whose_turn_comes_late_has_its_whole_budget(world: World):
    """However long it waited for its turn, a pause that then meets it costs it nothing at once."""
    world.accept(order())
    world.clock.advance(1000)
    await world.gate.pause(Pause.PROVIDER_AUTH)
    await world.work(Lane.BUY)
    assert (world.see().status, world.see().first_attempt_at) == (Status.QUEUED, NOW + 1000)
    await world.pass_time(119)
    assert world.see().status is Status.QUEUED
    await world.pass_time(2)
    assert world.see().error is ErrorCode.PROVIDER_AUTH


async def test_low_balance_stops_the_item_that_was_refused_and_no_other(world: World):
    """Another server is bought from as ever; so is the same server of the other type."""
    world.provider.answer("buy", Declined(Word.LOW_BALANCE))
    world.accept(order())
    await world.work(Lane.BUY)
    for place, changes in enumerate(({}, {"server": "2"}, {"type": "2"})):
        world.accept(order(id=f"ord_x{place}", **changes))
    await world.work(Lane.BUY)
    assert [world.see(f"ord_x{place}").status for place in range(3)] == [Status.QUEUED, Status.WAITING, Status.WAITING]


async def test_one_order_of_an_item_tries_after_its_pause(world: World):
    """When it is refused again the others go on waiting, unasked; when it is sold one, all are bought."""
    world.provider.answer("buy", Declined(Word.LOW_BALANCE), times=2)
    world.accept(order())
    await world.work(Lane.BUY)
    for n in range(4):
        world.accept(order(id=f"ord_x{n}"))
    await world.pass_time(70)
    assert world.provider.count("buy") == 2, "one tried, and was refused"
    await world.pass_time(45)
    assert world.provider.count("buy") == 2
    await world.pass_time(20)
    assert world.provider.count("buy") >= 3
    ended = [world.see(f"ord_x{n}").status for n in range(4)]
    assert ended.count(Status.FAILED) == 1
    assert await world.gate.closed(item_of(order())) is None


async def test_short_ban_is_waited_out(world: World):
    """A date within the budget: back in the queue until then."""
    world.provider.answer("buy", Declined(Word.BANNED, until=NOW + 30))
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.see().status is Status.QUEUED
    assert world.due("buy") == NOW + 30
    assert await world.gate.closed() is Pause.PROVIDER_BANNED


@pytest.mark.parametrize("until", [NOW + 3600, None])
async def test_long_ban_ends_the_order(world: World, until: float | None):
    """Nobody waits past the budget."""
    world.provider.answer("buy", Declined(Word.BANNED, until=until))
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.see().error is ErrorCode.PROVIDER_BANNED


@pytest.mark.parametrize("word", [Word.BAD_SERVER, Word.BAD_TYPE, Word.BAD_SERVICE, Word.BAD_ACTION])
async def test_rejected_order_ends_alone(world: World, word: Word):
    """A wrong server is this order's trouble and nobody else's."""
    world.provider.answer("buy", Declined(word))
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.see().error is ErrorCode.PROVIDER_REJECTED
    assert await world.gate.closed() is None
    assert world.raw.get(f"rb:caller:{world.see().caller}:refusals") == b"1"


async def test_429_slows_everyone_down_and_is_asked_again(world: World):
    """Not bought; obeyed to the second, by all orders."""
    world.provider.answer("buy", Throttled(30.0))
    world.accept(order())
    await world.work(Lane.BUY)
    world.accept(order(id="ord_2"))
    assert world.see().status is Status.QUEUED
    await world.pass_time(29)
    assert world.provider.count("buy") == 1
    await world.pass_time(10)
    assert world.see().status is world.see("ord_2").status is Status.WAITING
    assert len(world.provider.numbers) == 2


async def test_number_that_belongs_to_another_order_is_held_and_alerted(world: World):
    """No code ever reaches two callers."""
    world.accept(order())
    await world.work(Lane.BUY)
    world.provider.answer("buy", Bought("act_1", "+923000000002", 900))
    world.accept(order(id="ord_2"))
    await world.work(Lane.BUY)
    second = world.see("ord_2")
    assert (second.status, second.error) == (Status.FAILED, ErrorCode.PURCHASE_UNKNOWN)
    assert second.flags == ("duplicate_activation",)
    assert not second.charged
    assert "duplicate_activation" in world.alerts()


async def test_cancel_before_the_purchase_never_buys(world: World):
    """Whoever comes first: the order is ended, its wake-up finds nothing to do."""
    world.accept(order(cancel_requested=True))
    await world.work(Lane.BUY)
    assert world.see().status is Status.CANCELLED
    assert world.provider.count("buy") == 0
    assert world.events() == ["order.cancelled"]


async def cancel_during_the_purchase(world: World) -> Order:
    """The caller cancels while the provider is being asked."""
    real = world.provider.buy

    async def meanwhile(product: str, item: Mapping[str, str]):
        buying = world.see()
        world.blocking.save(buying, buying.ask_cancel(world.clock()), wake=Wake(Lane.BUY, world.clock() + 25))
        return await real(product, item)

    world.provider.buy = meanwhile  # type: ignore[method-assign]
    world.accept(order())
    await world.work(Lane.BUY)
    return world.see()


async def test_cancel_during_the_purchase_cancels_as_soon_as_it_is_allowed(world: World):
    """The number is recorded first, and given back at the earliest moment."""
    bought = await cancel_during_the_purchase(world)
    assert (bought.status, bought.cancel_requested, purchase_of(bought).cancel_at) == (Status.WAITING, True, NOW + 125)
    await world.pass_time(150)
    ended = world.see()
    assert (ended.status, ended.settlement) == (Status.CANCELLED, Settlement.REFUNDED)
    assert world.events() == ["order.number_assigned", "order.cancelled"]


async def test_cancel_during_a_purchase_that_sold_nothing_ends_it(world: World):
    """No second try for an order that nobody wants."""
    world.provider.answer("buy", Declined(Word.NO_NUMBERS))
    ended = await cancel_during_the_purchase(world)
    assert (ended.status, ended.settlement) == (Status.CANCELLED, Settlement.NONE)
    assert world.events() == ["order.cancelled"]


@pytest.mark.parametrize(("money", "status"), [("99.99", Status.QUEUED), ("100", Status.WAITING)])
async def test_floor_is_kept(world: World, money: str, status: Status):
    """With a floor set, money is spent only on a balance that was read just now."""
    world.lifecycle = world.steps(rules(min_balance=Decimal(100)))
    world.provider.money = Decimal(money)
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.see().status is status
    assert world.provider.count("buy") == (status is Status.WAITING)


async def test_unknown_balance_with_a_floor_buys_nothing(world: World):
    """Unknown is not enough."""
    world.lifecycle = world.steps(rules(min_balance=Decimal(100)))
    world.provider.answer("balance", Unclear("NaN"), Balance(Decimal(100)))
    world.accept(order())
    await world.work(Lane.BUY)
    assert world.provider.count("buy") == 0
    assert await world.gate.closed() is Pause.BELOW_MIN_BALANCE


async def test_vanished_order_is_gone(world: World):
    """Its wake-up goes too."""
    assert await world.lifecycle.buy("ord_0") == Gone()


async def test_order_that_somebody_else_bought_is_left_alone(world: World):
    """A late wake-up buys nothing."""
    world.accept(order())
    await world.work(Lane.BUY)
    assert await world.lifecycle.buy("ord_1") == Nothing("already waiting")
    assert world.provider.count("buy") == 1


async def test_lost_race_for_the_intent_sends_nothing(world: World):
    """Two workers, one purchase."""
    world.accept(order())
    real = world.gate.closed

    async def beaten(item: str | None = None):
        if world.see().status is Status.QUEUED:
            await world.store.save(world.see(), world.see().intend(NOW), wake=Wake(Lane.BUY, NOW + 25))
        return await real()

    world.gate.closed = beaten  # type: ignore[method-assign]
    assert await world.lifecycle.buy("ord_1") == Nothing("somebody else has it")
    assert world.provider.count("buy") == 0


async def test_short_lived_number_is_cancelled_in_its_life(world: World):
    """An order's timeout gives way to the number's life."""
    world.provider.answer("buy", Bought("act_9", "+923000000009", 300))
    world.accept(order(timeout=10_000))
    await world.work(Lane.BUY)
    assert purchase_of(world.see()).cancel_at == NOW + 270


async def test_webhook_shows_the_order_as_it_was_saved(world: World):
    """What is told is what is stored."""
    world.accept(order(metadata={"user": 7}))
    await world.work(Lane.BUY)
    (owed,) = await world.store.claim_events(10, 20, "w1")
    assert owed.url == event().url
    assert b'"metadata":{"user":7}' in owed.body
    assert b'"status":"waiting"' in owed.body
