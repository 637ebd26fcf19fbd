"""The gate: why buying is paused, how it lifts itself, how everyone slows down."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.builders import NOW, order
from tests.fakes import World, drained
from worker import gate as gates
from worker.gate import Gate
from worker.order import ErrorCode
from worker.pause import Pause, item_of
from worker.provider.replies import Declined, Throttled, Word

pytestmark = pytest.mark.anyio
ITEM = item_of(order())


async def probe_at(world: World, reason: Pause) -> float:
    """When a pause is probed next, in seconds from the start of the test."""
    return float((await world.store.pauses())[reason]["probe_at"]) - NOW


async def test_open_gate_names_no_reason(world: World):
    """Buying goes on."""
    assert await world.gate.closed() is None


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (Word.BAD_KEY, Pause.PROVIDER_AUTH),
        (Word.LOW_BALANCE, Pause.INSUFFICIENT_BALANCE),
        (Word.NO_BALANCE, Pause.INSUFFICIENT_BALANCE),
        (Word.BANNED, Pause.PROVIDER_BANNED),
    ],
)
async def test_word_about_the_account_pauses_everyone(world: World, word: Word, reason: Pause):
    """Alerted once, seen by the web and by every worker."""
    assert await world.gate.refused(Declined(word)) is reason
    assert await world.gate.refused(Declined(word)) is reason
    assert await Gate(world.engine_store(), world.counters).closed() is reason
    assert list(world.blocking.pauses()) == [reason]
    assert drained(world.counters) == {'alerts{kind="buying_paused"}': 1}


@pytest.mark.parametrize("word", [Word.NO_NUMBERS, Word.BAD_SERVER, Word.BAD_ACTION, Word.CHANNELS_LIMIT])
async def test_word_about_one_order_pauses_nobody(world: World, word: Word):
    """A single order's odd answer never opens a breaker."""
    assert await world.gate.refused(Declined(word)) is None
    assert await world.gate.closed() is None


async def test_pause_is_probed_less_and_less_often(world: World):
    """From five seconds to a minute, while it is renewed."""
    waits = []
    for _ in range(6):
        await world.gate.pause(Pause.PROVIDER_AUTH)
        waits.append(await probe_at(world, Pause.PROVIDER_AUTH))
    assert waits == [5, 10, 20, 40, 60, 60]


async def test_bad_key_lifts_after_a_readable_balance(world: World):
    """Not before its time: a reading that was under way proves nothing."""
    await world.gate.pause(Pause.PROVIDER_AUTH)
    await world.gate.observe_balance(Decimal(1), None)
    assert await world.gate.closed() is Pause.PROVIDER_AUTH
    world.clock.advance(5)
    await world.gate.observe_balance(None, None)
    assert await world.gate.closed() is Pause.PROVIDER_AUTH
    await world.gate.observe_balance(Decimal(1), None)
    assert await world.gate.closed() is None


@pytest.mark.parametrize(
    ("until", "wait"), [(NOW + 600, 600), (None, gates.UNDATED_BAN), (NOW + 1e7, gates.LONGEST_BAN), (NOW - 9, 5)]
)
async def test_ban_lasts_until_its_date(world: World, until: float | None, wait: float):
    """Or as long as the longest ban seen; never for ever."""
    await world.gate.refused(Declined(Word.BANNED, until))
    assert await probe_at(world, Pause.PROVIDER_BANNED) == wait
    world.clock.advance(wait - 1)
    await world.gate.observe_balance(Decimal(1), None)
    assert await world.gate.closed() is Pause.PROVIDER_BANNED
    world.clock.advance(1)
    await world.gate.observe_balance(Decimal(1), None)
    assert await world.gate.closed() is None


async def test_low_balance_pauses_the_item_alone(world: World):
    """Alerted once, seen by every worker; another item is bought."""
    for _ in range(2):
        assert await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM) is Pause.INSUFFICIENT_BALANCE
    other = Gate(world.engine_store(), world.counters)
    assert await other.closed(ITEM) is Pause.INSUFFICIENT_BALANCE
    assert await other.closed("cheap/2/1") is None
    assert (world.blocking.pauses(), list(world.blocking.item_pauses())) == ({}, [ITEM])
    assert drained(world.counters) == {'alerts{kind="buying_paused"}': 1}


async def test_one_order_tries_when_the_balance_has_risen(world: World):
    """The first reading is what it has to rise above; the others wait for what becomes of the one."""
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    for seen in ("12.00", "12.00", "11.99"):
        world.clock.advance(5)
        await world.gate.observe_balance(Decimal(seen), None)
        assert await world.gate.closed(ITEM) is Pause.INSUFFICIENT_BALANCE
    await world.gate.observe_balance(Decimal("12.01"), None)
    asked = [await world.gate.closed(ITEM) for _ in range(3)]
    assert asked == [None, Pause.INSUFFICIENT_BALANCE, Pause.INSUFFICIENT_BALANCE]
    await world.gate.sold(ITEM)
    assert [await world.gate.closed(ITEM) for _ in range(3)] == [None] * 3


async def test_one_order_tries_after_a_minute(world: World):
    """Prices change; and when the one that tried is never heard of again, another one tries."""
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    await world.gate.observe_balance(Decimal(12), None)
    for wait in (gates.SLOWEST_TRIAL, gates.TRIAL + 1):
        assert await world.gate.closed(ITEM) is Pause.INSUFFICIENT_BALANCE
        world.clock.advance(wait)
        assert await world.gate.closed(ITEM) is None
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    world.clock.advance(gates.TRIAL + 1)
    assert await world.gate.closed(ITEM) is Pause.INSUFFICIENT_BALANCE


async def test_sale_of_an_item_that_was_not_on_trial_lifts_nothing(world: World):
    """A purchase that was under way before the refusal says nothing of the balance after it."""
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    await world.gate.sold(ITEM)
    assert await world.gate.closed(ITEM) is Pause.INSUFFICIENT_BALANCE


async def test_balance_below_the_cheapest_price_pauses_everything(world: World):
    """Only after a refusal, and until there is money for something again."""
    gate = Gate(world.store, world.counters, on_sale={"cheap": Decimal(10)})
    await gate.observe_balance(Decimal(5), None)
    assert await gate.closed() is None
    await gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    await gate.observe_balance(Decimal(15), None)
    assert (await gate.closed(), await gate.closed(ITEM)) == (None, Pause.INSUFFICIENT_BALANCE)
    await gate.observe_balance(Decimal(5), None)
    assert await gate.closed("cheap/2/1") is Pause.INSUFFICIENT_BALANCE
    await gate.observe_balance(Decimal(10), None)
    assert await gate.closed("cheap/2/1") is None


async def test_cheapest_price_is_that_of_all_products_on_sale(world: World):
    """As it was last read, or as the setting says: as long as one of them can be bought, nothing stops them all."""
    gate = Gate(world.store, world.counters, on_sale={"cheap": Decimal(50), "sms": None})
    await world.store.note_lowest_price("sms", "services:sms:33:4", Decimal("19.75"))
    await world.store.note_lowest_price("sms", "services:sms:1:1", Decimal(45))
    await gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    for balance, closed in (("19.75", None), ("19.74", Pause.INSUFFICIENT_BALANCE), ("49.99", None)):
        await gate.observe_balance(Decimal(balance), None)
        assert await gate.closed("sms/33/tg/4") is closed


@pytest.mark.parametrize("forgotten", ["never read", "read long ago", "cannot be read any more"])
async def test_product_without_a_known_price_keeps_the_others_open(world: World, forgotten: str):
    """Nobody knows what it costs: one that is cheap enough may be bought."""
    gate = Gate(world.store, world.counters, on_sale={"cheap": Decimal(50), "sms": None})
    if forgotten != "never read":
        await world.store.note_lowest_price("sms", "services:sms:33:4", Decimal(45))
    if forgotten == "read long ago":
        world.clock.advance(3 * 600 + 1)
    if forgotten == "cannot be read any more":
        await world.store.note_lowest_price("sms", "services:sms:33:4", None)
    await gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    await gate.observe_balance(Decimal(5), None)
    assert await gate.closed("sms/33/tg/4") is None


async def test_pause_of_an_item_that_nobody_orders_any_more_is_dropped(world: World):
    """What names servers without end leaves nothing behind."""
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    world.clock.advance(gates.SLOWEST_TRIAL + gates.FORGOTTEN + 1)
    await world.gate.observe_balance(Decimal(5), None)
    assert world.blocking.item_pauses() == {}


async def test_floor_closes_and_opens_with_the_balance(world: World):
    """Below it, or unknown: closed. At it: open."""
    for balance, closed in ((Decimal("99.99"), True), (Decimal(100), False), (None, True), (Decimal(101), False)):
        await world.gate.observe_balance(balance, Decimal(100))
        assert (await world.gate.closed() is Pause.BELOW_MIN_BALANCE) is closed


async def test_kill_switch_is_lifted_by_nobody_but_its_owner(world: World):
    """A good balance changes nothing about `ringback buying off`."""
    world.blocking.pause(Pause.SWITCHED_OFF, {"since": NOW})
    world.clock.advance(3600)
    await world.gate.observe_balance(Decimal(1000), Decimal(100))
    assert await world.gate.closed() is Pause.SWITCHED_OFF


async def test_every_pause_has_the_error_of_the_orders_that_it_ends(world: World):
    """And only codes of the contract."""
    assert {pause: pause.error for pause in Pause} == {
        Pause.PROVIDER_AUTH: ErrorCode.PROVIDER_AUTH,
        Pause.INSUFFICIENT_BALANCE: ErrorCode.INSUFFICIENT_BALANCE,
        Pause.PROVIDER_BANNED: ErrorCode.PROVIDER_BANNED,
        Pause.BELOW_MIN_BALANCE: ErrorCode.INSUFFICIENT_BALANCE,
        Pause.SWITCHED_OFF: ErrorCode.PROVIDER_REJECTED,
    }


@pytest.mark.parametrize(("asked", "held"), [(30.0, 30), (0.0, 0), (None, gates.DEFAULT_HOLD)])
async def test_throttled_holds_everyone_as_long_as_was_asked(world: World, asked: float | None, held: float):
    """A 429 that names no time holds for the default."""
    assert await world.gate.throttled(Throttled(asked)) == held
    assert await Gate(world.engine_store(), world.counters).held() == held


async def test_rate_after_a_hold_is_half_of_what_was_called_lately(world: World):
    """Calls of the last ten seconds count."""
    world.gate.called(1000)
    world.clock.advance(11)
    for _ in range(4):
        world.gate.called(50)
    await world.gate.throttled(Throttled(1.0))
    assert float(world.raw.hget("rb:limit", "rate")) == 10


async def test_slot_without_a_limit_is_at_once(world: World):
    """Nothing waits while nothing is limited."""
    await world.gate.slot()


async def test_wished_reading_is_passed_on(world: World):
    """A free call that shows whether the key is still good."""
    await world.gate.request_balance()
    assert await world.store.take_refresh_requests() == ["balance"]


async def test_buying_goes_on_by_itself_after_a_pause(world: World):
    """LOW_BALANCE, topped up, and the order that waited is bought."""
    await world.gate.refused(Declined(Word.LOW_BALANCE), ITEM)
    await world.gate.observe_balance(Decimal(12), None)
    world.accept(order())
    await world.pass_time(30)
    assert world.provider.count("buy") == 0
    await world.gate.observe_balance(Decimal(500), None)
    await world.pass_time(5)
    assert world.provider.count("buy") == 1
