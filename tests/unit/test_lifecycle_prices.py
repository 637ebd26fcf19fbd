"""Prices: read right before a purchase, held against the order's and the caller's, and told with what was bought."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.builders import NOW, caller, order, purchase_of
from tests.fakes import World
from worker.caller import Caps
from worker.order import ErrorCode, Order, Settlement, Status
from worker.provider.replies import Bought, Declined, Quote, Throttled, Unclear, Word
from worker.schedule import Lane
from worker.store import Written

pytestmark = pytest.mark.anyio

FORTY_FIVE = Quote(Decimal("45"), Decimal("45"))
DEARER = Quote(Decimal("52.50"), Decimal("52.50"))
CHANGED = Declined(Word.PRICE_CHANGED)


def sms(id: str = "ord_1", **changes: object) -> Order:
    """An order of a product with prices."""
    return replace(order(id=id), product="sms", item={"service": "tg", "country": "33", "type": "4"}, **changes)  # type: ignore[arg-type]


def capped(world: World, most: str) -> None:
    """The caller may spend so much in a day."""
    assert world.blocking.save_caller(None, caller(caps=Caps(max_spend_per_day=Decimal(most)))) is Written.SAVED


def spent(world: World, day: float = NOW) -> Decimal:
    """What counts against the cap, in PKR."""
    return Decimal(int(world.raw.get(f"rb:caller:cal_1:spent:{int(day // 86_400)}") or 0)) / 10_000


async def test_the_price_that_was_read_is_told_with_the_number(world: World):
    """On the order, and in the journal beside the intent and the purchase."""
    world.provider.price = FORTY_FIVE
    world.accept(sms(max_price=Decimal("45.00")))
    await world.work(Lane.BUY)
    assert purchase_of(world.see()).price == Decimal("45")
    assert (world.see().public()["price"], world.see().public()["max_price"]) == ("45", "45.00")
    assert [line.get("price") for _, line in world.blocking.journal(0.0)] == ["45", "45"]


async def test_nothing_is_bought_above_the_order_s_price(world: World):
    """No purchase goes out, and the order says why."""
    world.provider.price = FORTY_FIVE
    world.accept(sms(max_price=Decimal("44.99")))
    await world.work(Lane.BUY)
    assert (world.see().status, world.see().error) == (Status.FAILED, ErrorCode.PRICE_ABOVE_MAX)
    assert world.see().settlement is Settlement.NONE
    assert world.provider.count("buy") == 0


@pytest.mark.parametrize("reply", [Unclear("no_price"), Throttled(1.0), Declined(Word.BAD_COUNTRY)])
async def test_an_unreadable_price_stops_the_order_at_its_budget_s_end(world: World, reply: object):
    """It is asked again until then; a price that comes in time is bought at."""
    world.provider.answer("quote", reply, times=500)
    world.accept(sms(max_price=Decimal("50")))
    await world.pass_time(60)
    assert world.see().status is Status.QUEUED
    await world.pass_time(70)
    assert (world.see().status, world.see().error) == (Status.FAILED, ErrorCode.PRICE_UNKNOWN)
    assert world.provider.count("buy") == 0


async def test_an_unreadable_price_that_nobody_holds_anything_against_stops_nothing(world: World):
    """Neither the order nor its caller has a limit."""
    world.provider.answer("quote", Unclear("http_502"))
    world.accept(sms())
    await world.work(Lane.BUY)
    assert world.see().status is Status.WAITING
    assert purchase_of(world.see()).price is None


async def test_a_changed_price_is_read_again_and_paid(world: World):
    """Not bought, read again, bought once more, and the second price stands."""
    world.provider.answer("quote", FORTY_FIVE, DEARER)
    world.provider.answer("buy", CHANGED)
    world.accept(sms(max_price=Decimal("60")))
    await world.pass_time(3)
    assert world.see().status is Status.WAITING
    assert purchase_of(world.see()).price == Decimal("52.50")
    assert world.provider.count("buy") == 2


async def test_a_changed_price_is_held_against_the_order_s_again(world: World):
    """One purchase, refused; no second."""
    world.provider.answer("quote", FORTY_FIVE, DEARER)
    world.provider.answer("buy", CHANGED)
    world.accept(sms(max_price=Decimal("50")))
    await world.pass_time(3)
    assert world.see().error is ErrorCode.PRICE_ABOVE_MAX
    assert world.provider.count("buy") == 1


async def test_a_price_that_keeps_changing_is_bought_at_most_twice(world: World):
    """Then the order ends; nothing was bought."""
    world.provider.price = FORTY_FIVE
    world.provider.answer("buy", CHANGED, times=10)
    world.accept(sms())
    await world.pass_time(30)
    assert (world.see().status, world.see().error) == (Status.FAILED, ErrorCode.PROVIDER_REJECTED)
    assert world.provider.count("buy") == 2


# What a caller may spend in a day.


async def test_two_orders_that_exceed_the_cap_together_never_both_go_out(world: World):
    """The second waits for a refund until its budget is spent."""
    capped(world, "80")
    world.provider.price = FORTY_FIVE
    for id in ("ord_1", "ord_2"):
        world.accept(sms(id))
    await world.pass_time(130)
    ended = sorted((world.see(id).status, world.see(id).error) for id in ("ord_1", "ord_2"))
    assert ended == [(Status.FAILED, ErrorCode.SPEND_PER_DAY), (Status.WAITING, None)]
    assert world.provider.count("buy") == 1
    assert spent(world) == 45


async def test_a_spend_that_is_exactly_the_cap_goes_out(world: World):
    """The cap is the most, not less."""
    capped(world, "90.00")
    world.provider.price = FORTY_FIVE
    for id in ("ord_1", "ord_2"):
        world.accept(sms(id))
    await world.work(Lane.BUY)
    assert world.provider.count("buy") == 2


@pytest.mark.parametrize("reply", [Declined(Word.NO_NUMBERS), Declined(Word.BAD_SERVICE), Throttled(3.0)])
async def test_a_purchase_that_was_not_made_counts_nothing(world: World, reply: object):
    """It is given back with the answer."""
    capped(world, "50")
    world.provider.price = FORTY_FIVE
    world.provider.answer("buy", reply)
    world.accept(sms())
    await world.work(Lane.BUY)
    assert spent(world) == 0


async def test_an_unknown_purchase_stays_counted(world: World):
    """It may have been charged."""
    capped(world, "50")
    world.provider.price = FORTY_FIVE
    world.provider.answer("buy", Unclear("empty_body"))
    world.accept(sms())
    await world.work(Lane.BUY)
    assert spent(world) == 45


async def test_a_refund_makes_room_for_the_next_order(world: World):
    """Given back to the day of the purchase."""
    capped(world, "50")
    world.provider.price = FORTY_FIVE
    world.accept(sms(timeout=125.0))
    await world.pass_time(140)
    assert world.see().settlement is Settlement.REFUNDED
    assert spent(world) == 0
    world.accept(sms("ord_2"))
    await world.work(Lane.BUY)
    assert world.see("ord_2").status is Status.WAITING


async def test_a_code_that_came_stays_counted_into_the_next_day_alone(world: World):
    """Each day (UTC) has a sum of its own."""
    capped(world, "50")
    world.provider.price = FORTY_FIVE
    world.accept(sms())
    await world.work(Lane.BUY)
    world.provider.arrive("847293")
    await world.pass_time(10)
    assert [spent(world), spent(world, NOW + 86_400)] == [Decimal(45), Decimal(0)]


async def test_a_caller_with_a_cap_buys_nothing_whose_price_is_unknown(world: World):
    """What cannot be counted is not sent."""
    capped(world, "1000")
    world.provider.answer("quote", Unclear("no_price"), times=500)
    world.accept(sms())
    await world.pass_time(130)
    assert world.see().error is ErrorCode.PRICE_UNKNOWN


async def test_what_names_no_price_counts_what_the_setting_says(world: World):
    """RINGBACK_CHEAP_PRICE: it counts, and it is not called the price."""
    capped(world, "25")
    world.provider.price = Quote(counted=Decimal("10"))
    for id in ("ord_1", "ord_2", "ord_3"):
        world.accept(order(id=id))
    await world.work(Lane.BUY)
    assert world.provider.count("buy") == 2
    assert spent(world) == 20
    assert purchase_of(world.see()).price is None


async def test_a_new_order_beyond_the_cap_is_refused_at_once(world: World):
    """When what was spent leaves no room for it, its caller is told."""
    capped(world, "50")
    world.provider.price = FORTY_FIVE
    world.accept(sms())
    await world.work(Lane.BUY)
    refused = world.blocking.create(sms("ord_2"), Caps(max_spend_per_day=Decimal("50")), price=Decimal("45"))
    assert (refused.outcome, refused.reason) == ("capped", "spend_per_day")
    assert 0 < refused.retry_after <= 86_400


async def test_a_part_of_a_unit_counts_as_a_whole_one(world: World):
    """Rounding never makes room."""
    capped(world, "0.0001")
    world.provider.price = Quote(Decimal("0.00011"), Decimal("0.00011"))
    world.accept(sms())
    await world.work(Lane.BUY)
    assert world.provider.count("buy") == 0


async def test_a_cap_that_is_lifted_holds_nobody_back(world: World):
    """The script goes by what is set now."""
    capped(world, "10")
    world.provider.price = FORTY_FIVE
    world.accept(sms())
    await world.work(Lane.BUY)
    before = world.blocking.caller("cal_1")
    assert before is not None
    world.blocking.save_caller(before, before.with_caps(Caps()))
    await world.pass_time(3)
    assert world.see().status is Status.WAITING


# Addresses.


async def test_an_address_is_told_and_erased_like_a_code(world: World):
    """From the order, its webhooks and the store, once its time is over; what is left says so."""
    from worker.housekeeping import Housekeeping

    world.provider.answer("buy", Bought("77", None, 1200.0, address="x7@gmail.com"))
    world.accept(replace(order(), product="email", item={"service": "tg", "domain": "gmail.com"}))
    await world.work(Lane.BUY)
    assert world.see().public()["address"] == "x7@gmail.com"
    assert "x7@gmail.com" not in repr(world.see())
    world.blocking.save(world.see(), world.see().receive("847293", world.clock()), wake=None)
    world.clock.advance(86_401)
    assert await Housekeeping(world.store, world.gate, world.counters, retention=604_800).erase() == 1
    erased = world.see().public()
    assert (erased["address"], erased["otp"], erased["flags"]) == (None, None, ["otp_erased", "address_erased"])
    for event in world.blocking.events("cal_1", order="ord_1", status=None, limit=9, before=None)[0]:
        assert b"x7@gmail.com" not in event.body
        assert b"address_erased" in event.body


async def test_an_address_without_a_code_is_erased_too(world: World):
    """Its time runs from the order's end."""
    from worker.housekeeping import Housekeeping

    world.provider.answer("buy", Bought("act_1", None, 1200.0, address="x7@gmail.com"))
    world.accept(replace(order(timeout=125.0), product="email", item={"service": "tg", "domain": "gmail.com"}))
    await world.pass_time(2000)
    assert world.see().ended
    world.clock.advance(86_400)
    await Housekeeping(world.store, world.gate, world.counters, retention=604_800).erase()
    assert world.see().public()["address"] is None
    assert world.see().flags[-1] == "address_erased"
