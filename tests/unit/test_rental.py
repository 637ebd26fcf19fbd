"""Rentals: their steps over the real scripts, and the pure rules of messages, renewals and ends."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.builders import NOW, rental, sms
from tests.fakes import World
from worker.caller import Caps
from worker.order import ErrorCode, Refused, Settlement
from worker.provider.replies import Declined, Missing, Quote, Throttled, Unclear, Word
from worker.rental import HOUR, Renewal, RenewalState, RentalStatus, believed_end
from worker.schedule import Lane, Wake
from worker.store import Written

pytestmark = pytest.mark.anyio

DAY = 24 * HOUR
PRICE = Quote(Decimal("350.00"), Decimal("350.00"), HOUR)
"""What an hour costs."""
KEY = ("key", "body")


def ask_renewal(world: World, hours: int = 1, **changes: object) -> None:
    """The caller asks for a renewal."""
    before = world.see_rental()
    fields: dict[str, object] = {"hours": hours, "asked_at": world.clock(), **changes}
    after = before.ask_renewal(Renewal(**fields), KEY)  # type: ignore[arg-type]
    assert world.blocking.save(before, after, wake=Wake(Lane.POLL)) is Written.SAVED


async def rented(world: World) -> None:
    """A rental that is active and was read once."""
    world.provider.price = PRICE
    world.accept_rental(rental())
    await world.work(Lane.BUY)
    await world.work(Lane.POLL)
    assert world.see_rental().status is RentalStatus.ACTIVE


def said(world: World) -> list[str]:
    """The texts that webhooks told, oldest first."""
    page, _ = world.blocking.events("cal_1", order="rnt_1", status=None, limit=1_000, before=None)
    bodies = [json.loads(event.body) for event in reversed(page)]
    return [body["message"]["text"] for body in bodies if "message" in body]


# Renting.


async def test_rental_is_bought_read_and_ended(world: World):
    """Charged once, read every interval until its end and once after, and told at each step."""
    await rented(world)
    active = world.see_rental()
    assert (active.settlement, active.public()["price"]) == (Settlement.CHARGED, "350.00")
    assert active.public()["ends_at"] == "2026-11-22T11:00:00.000Z"
    await world.pass_time(HOUR + 60)
    ended = world.see_rental()
    assert (ended.status, ended.ended_at) == (RentalStatus.ENDED, NOW + HOUR)
    assert world.events("rnt_1") == ["rental.started", "rental.ended"]
    assert world.lanes("rnt_1") == []
    assert world.journal() == ["intent", "rented"]
    reads = [at for call, _, at in world.provider.calls if call == "messages"]
    assert reads[-1] >= NOW + HOUR
    assert all(later - earlier <= 30 for earlier, later in pairwise(reads))


async def test_unknown_purchase_is_never_sent_again(world: World):
    """Failed as `purchase_unknown`, unconfirmed, one request."""
    world.provider.price = PRICE
    world.provider.answer("buy", Unclear("empty"), done=True)
    world.accept_rental(rental())
    await world.pass_time(300)
    failed = world.see_rental()
    assert (failed.status, failed.error) == (RentalStatus.FAILED, ErrorCode.PURCHASE_UNKNOWN)
    assert (failed.settlement, world.provider.count("buy")) == (Settlement.UNCONFIRMED, 1)
    assert world.events("rnt_1") == ["rental.failed"]


async def test_price_above_max_buys_nothing(world: World):
    """Failed, nothing sent, nothing charged."""
    world.provider.price = PRICE
    world.accept_rental(rental(max_price=Decimal("349.99")))
    await world.work(Lane.BUY)
    assert (world.see_rental().error, world.provider.count("buy")) == (ErrorCode.PRICE_ABOVE_MAX, 0)


async def test_lost_wake_up_of_a_rental_is_mended(world: World):
    """An active rental in no lane is read again."""
    await rented(world)
    world.raw.delete("rb:due:poll")
    walked, lost = await world.store.reconcile("cal_1", 0, 10, "rentals:open")
    assert (walked, lost, world.lanes("rnt_1")) == (1, ["rnt_1"], ["poll"])


# Messages.


async def test_message_is_told_once(world: World):
    """However often it is listed: one webhook, one message."""
    await rented(world)
    world.provider.received = [sms("code 1111")]
    await world.pass_time(200)
    assert said(world) == ["code 1111"]
    assert len(world.see_rental().messages) == 1


async def test_equal_messages_are_counted(world: World):
    """Two of the same sender, date and text are two; a list that shrinks and grows again tells neither anew."""
    await rented(world)
    for listed in ([sms("same")], [sms("same")] * 2, [sms("same")], [sms("same")] * 2, []):
        world.provider.received = listed
        await world.pass_time(31)
    assert said(world) == ["same", "same"]


async def test_earlier_tenant_is_not_told(world: World):
    """What is dated before the purchase is left out, and that it was there is flagged."""
    world.provider.received = [sms("theirs", at=NOW - 3600), sms("ours", at=NOW + 1)]
    await rented(world)
    assert said(world) == ["ours"]
    assert world.see_rental().flags == ("earlier_messages_left_out",)


async def test_undated_message_of_the_first_reading_is_flagged(world: World):
    """It may be an earlier tenant's; one that comes later cannot."""
    world.provider.received = [sms("whose?", at=None)]
    await rented(world)
    assert (said(world), world.see_rental().flags) == (["whose?"], ("undated_messages",))


async def test_undated_message_that_comes_later_is_not_flagged(world: World):
    """It was not there before."""
    await rented(world)
    world.provider.received = [sms("ours", at=None)]
    await world.pass_time(31)
    assert (said(world), world.see_rental().flags) == (["ours"], ())


async def test_many_messages_at_once_are_all_told(world: World):
    """More than one write tells: the others follow at once."""
    await rented(world)
    world.provider.received = [sms(f"code {n}") for n in range(120)]
    await world.pass_time(31)
    await world.pass_time(1)
    assert sorted(said(world)) == sorted(f"code {n}" for n in range(120))
    assert len(world.see_rental().messages) == 120


@pytest.mark.parametrize("reply", [Unclear("empty"), Missing(), Throttled(3.0), Declined(Word.BAD_KEY)])
async def test_unreadable_answers_lose_nothing(world: World, reply: object):
    """The rental stays active, and what came meanwhile is told when it can be read."""
    await rented(world)
    world.provider.received = [sms("code 1111")]
    world.provider.answer("messages", reply)
    await world.pass_time(300)
    assert said(world) == ["code 1111"]


async def test_last_message_is_told_before_the_end(world: World):
    """What arrives in the last moments is in the reading after the end, and its webhook comes first."""
    await rented(world)
    await world.pass_time(HOUR - 10)
    world.provider.received = [sms("last", at=NOW + HOUR - 1)]
    await world.pass_time(60)
    assert world.events("rnt_1") == ["rental.started", "rental.message_received", "rental.ended"]


async def test_rental_that_cannot_be_read_ends_all_the_same(world: World):
    """A provider that is away at the end is asked for a minute."""
    await rented(world)
    world.provider.answer("messages", Unclear("reset"), times=10_000)
    await world.pass_time(HOUR + 90)
    assert world.see_rental().status is RentalStatus.ENDED


# Renewing.


async def test_renewal_moves_the_end(world: World):
    """Charged once, told once, journalled as a purchase of its own."""
    await rented(world)
    ask_renewal(world, max_price=Decimal("350.00"))
    await world.work(Lane.POLL)
    renewed = world.see_rental()
    assert renewed.public()["ends_at"] == "2026-11-22T12:00:00.000Z"
    assert (renewed.error, world.provider.count("renew")) == (None, 1)
    assert world.events("rnt_1") == ["rental.started", "rental.renewed"]
    lines = [(line["kind"], line["order"]) for _, line in world.blocking.journal(0.0)]
    assert lines == [("intent", "rnt_1"), ("rented", "rnt_1"), ("intent", "rnt_1/1"), ("rented", "rnt_1/1")]


@pytest.mark.parametrize("charged", [True, False])
async def test_unknown_renewal_is_never_sent_again(world: World, charged: bool):
    """The rental goes on to its end with `renewal_unknown`, whatever the provider did."""
    await rented(world)
    world.provider.answer("renew", Unclear("empty"), done=charged)
    ask_renewal(world)
    await world.pass_time(600)
    seen = world.see_rental()
    assert (seen.status, seen.error, seen.settlement) == (
        RentalStatus.ACTIVE, ErrorCode.RENEWAL_UNKNOWN, Settlement.UNCONFIRMED,
    )  # fmt: skip
    assert (world.provider.count("renew"), seen.public()["ends_at"]) == (1, "2026-11-22T11:00:00.000Z")


async def test_worker_that_died_amid_a_renewal_leaves_it_unknown(world: World):
    """The intent is found when its deadline is over, and nobody sends a second one."""
    await rented(world)
    ask_renewal(world)
    before = world.see_rental()
    assert await world.store.save(before, before.intend(NOW), wake=Wake(Lane.POLL, NOW + 25)) is Written.SAVED
    await world.pass_time(120)
    assert (world.see_rental().error, world.provider.count("renew")) == (ErrorCode.RENEWAL_UNKNOWN, 0)


async def test_renewal_above_max_is_not_sent(world: World):
    """Two hours cost twice what an hour costs; the rental goes on, and its messages are read."""
    await rented(world)
    ask_renewal(world, 2, max_price=Decimal("699.99"))
    world.provider.received = [sms("code 1111")]
    await world.pass_time(31)
    seen = world.see_rental()
    assert (seen.status, seen.error, world.provider.count("renew")) == (
        RentalStatus.ACTIVE, ErrorCode.PRICE_ABOVE_MAX, 0,
    )  # fmt: skip
    assert said(world) == ["code 1111"]


async def test_messages_are_read_while_a_renewal_waits(world: World):
    """A renewal without an answer that can be trusted is asked again, and keeps no message."""
    await rented(world)
    world.provider.answer("renew", Declined(Word.NO_NUMBERS), times=3)
    ask_renewal(world)
    world.provider.received = [sms("code 1111")]
    await world.pass_time(60)
    assert (world.provider.count("renew"), world.see_rental().error) == (4, None)
    assert said(world) == ["code 1111"]


async def test_spend_cap_counts_a_rental_and_its_renewals(world: World):
    """A renewal that is not bought gives its share back; the rental's own stays."""
    world.provider.price = PRICE
    world.accept_rental(rental(), Caps(max_spend_per_day=Decimal("1000")))
    await world.work(Lane.BUY)
    await world.work(Lane.POLL)
    world.provider.answer("renew", Declined(Word.LOW_BALANCE))
    ask_renewal(world)
    await world.work(Lane.POLL)
    (spent,) = world.raw.keys("rb:caller:cal_1:spent:*")
    assert (world.see_rental().error, int(world.raw.get(spent))) == (ErrorCode.INSUFFICIENT_BALANCE, 3_500_000)


def test_renewals_come_one_after_the_other():
    """A second one while the first is under way is refused; after its end another may be asked for."""
    active = rental(status=RentalStatus.ACTIVE).ask_renewal(Renewal(24, NOW), KEY)
    with pytest.raises(Refused):
        active.ask_renewal(Renewal(24, NOW), KEY)
    over = active.reject(ErrorCode.PROVIDER_REJECTED, "no", NOW)
    assert over.ask_renewal(Renewal(1, NOW), ("other", "body")).renewals == 2


async def test_late_answer_to_a_renewal_counts(world: World):
    """A renewal that was given up as unknown is done on the provider's word."""
    await rented(world)
    ask_renewal(world)
    before = world.see_rental().intend(NOW)
    assert before.renewal is not None
    lost = before.lose_purchase("timeout", NOW)
    done = lost.renew(NOW + 2 * HOUR)
    assert (done.error, done.settlement) == (None, Settlement.CHARGED)
    assert done.renewal == replace(before.renewal, state=RenewalState.DONE)


# The end.


@pytest.mark.parametrize(
    ("told", "lasting", "ends"),
    [
        (None, DAY, DAY),
        (DAY + 0.4, DAY, DAY),
        (DAY - 5 * HOUR, DAY, DAY),
        (DAY + 5.5 * HOUR, DAY, DAY),
        (20.0, DAY, 20.0),
        (20.0, HOUR, 20.0),
        (-HOUR, DAY, DAY),
        (400 * DAY, DAY, DAY),
        (3 * DAY, None, 3 * DAY),
        (None, None, 30 * DAY),
    ],
)
def test_end_is_believed_within_reason(told: float | None, lasting: float | None, ends: float):
    """The offer's span wins over another time zone's end; a shorter one is believed, nonsense is not."""
    moment = None if told is None else NOW + told
    assert believed_end(moment, (NOW - 0.2, NOW), lasting, 30 * DAY) == NOW + ends


# Erasing.


async def test_erased_message_is_not_told_again(world: World):
    """Its key stays: the next reading knows it."""
    await rented(world)
    world.provider.received = [sms("code 1111")]
    await world.pass_time(31)
    before = world.see_rental()
    after = before.erase([before.messages[0].key])
    assert await world.store.save(before, after, wake=Wake(Lane.POLL)) is Written.SAVED
    await world.pass_time(100)
    seen = world.see_rental()
    assert (len(seen.messages), seen.messages[0].text, seen.flags) == (1, None, ("messages_erased",))
    assert world.raw.zscore("rb:erase", "rnt_1") is None


async def test_record_survives_the_store(world: World):
    """What is written is read again, to the last field."""
    full = replace(
        rental(max_price=Decimal("1.10")), lasting=DAY, renewals=2, renewal_keys=(KEY, ("a", "b")), first_read_at=NOW,
        renewal=Renewal(24, NOW, Decimal("9.90"), RenewalState.ASKED, Decimal("3.30")),
    )  # fmt: skip
    world.accept_rental(full)
    assert world.see_rental() == full
