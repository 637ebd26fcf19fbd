"""The account as the workers read it, by free calls."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.builders import CHEAP, NOW, PRODUCTS
from tests.fakes import World
from worker.account import Account
from worker.pause import Pause
from worker.provider.replies import Balance, BalanceReply, Choice, Declined, Listing, Throttled, Unclear, Word
from worker.reading import Reading

pytestmark = pytest.mark.anyio
EVERYTHING = ["balance", "servers:1", "servers:2"]


@pytest.fixture
async def account(world: World) -> Account:
    return Account(world.store, world.provider, world.gate, {"cheap": CHEAP}, min_balance=None)


async def test_everything_is_read_at_first(world: World, account: Account):
    """Balance and both kinds of servers, stored with the time for the web."""
    assert await account.refresh() == EVERYTHING
    balance, servers = world.blocking.reading("balance"), world.blocking.reading("servers:2")
    assert balance.value == "500.00"
    assert json.loads(servers.value or "") == [{"id": "1", "name": "One of servers of 2"}]
    assert balance.at == servers.at == NOW


async def test_nothing_is_read_before_it_is_old(world: World, account: Account):
    """A minute for the balance, ten for the servers."""
    await account.refresh()
    world.clock.advance(59)
    assert await account.refresh() == []
    world.clock.advance(1)
    assert await account.refresh() == ["balance"]
    world.clock.advance(540)
    assert await account.refresh() == EVERYTHING


@pytest.mark.parametrize("what", EVERYTHING)
async def test_refresh_request_is_served_once(world: World, account: Account, what: str):
    """`?refresh=true` asks a worker."""
    await account.refresh()
    world.clock.advance(5)
    world.blocking.request_refresh(what)
    assert await account.refresh() == [what]
    assert await account.refresh() == []


async def test_unreadable_answer_keeps_the_last_good_one(world: World, account: Account):
    """Stale, not gone: asked for later than it was read."""
    await account.refresh()
    world.clock.advance(600)
    world.provider.answer("balance", Unclear("NaN"))
    world.provider.answer("servers", Unclear("html"), times=2)
    await account.refresh()
    assert world.blocking.reading("balance") == Reading("balance", "500.00", NOW, NOW + 600, "unreadable (NaN)")
    assert json.loads(world.blocking.reading("servers:1").value or "")[0]["id"] == "1"


async def test_balances_are_written_into_the_journal_when_they_change(world: World, account: Account):
    """`ringback reconcile` compares with them."""
    for money in ("500.00", "500.00", "450.00"):
        world.provider.money = Decimal(money)
        await account.refresh()
        world.clock.advance(60)
    assert [line for _, line in world.blocking.journal(0)] == [
        {"kind": "balance", "balance": "500.00", "took": "0.000"},
        {"kind": "balance", "balance": "450.00", "took": "0.000"},
    ]


async def test_the_lowest_price_of_a_price_list_is_kept(world: World):
    """Until the list is read again and names none, or cannot be read."""
    account = Account(world.store, world.provider, world.gate, {"email": PRODUCTS["email"]}, min_balance=None)
    await account.refresh()
    assert await world.store.lowest_prices() == {"email": Decimal(45)}
    world.clock.advance(600)
    world.provider.answer("services", Listing((Choice("tg", "Telegram", Decimal("31.50")), Choice("ab", "AirBnb"))))
    world.provider.answer("services", Unclear("html"))
    await account.refresh()
    assert await world.store.lowest_prices() == {"email": Decimal("31.50")}
    world.clock.advance(600)
    world.provider.answer("services", Listing(()), Unclear("html"))
    await account.refresh()
    assert await world.store.lowest_prices() == {}


async def test_the_journal_says_how_long_a_balance_was_on_its_way(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch
):
    """What was written down meanwhile may not be in it."""
    read = world.provider.balance

    async def slow() -> BalanceReply:
        world.clock.advance(1.5)
        return await read()

    monkeypatch.setattr(world.provider, "balance", slow)
    await account.refresh()
    assert [line["took"] for _, line in world.blocking.journal(0)] == ["1.500"]


async def test_bad_key_pauses_buying_before_any_order_finds_out(world: World, account: Account):
    """And a good answer lifts the pause when its probe is due."""
    world.provider.answer("balance", Declined(Word.BAD_KEY))
    await account.refresh()
    assert await world.gate.closed() is Pause.PROVIDER_AUTH
    world.clock.advance(4)
    assert await account.refresh() == []
    world.clock.advance(1)
    assert await account.refresh() == ["balance"]
    assert await world.gate.closed() is None


async def test_throttled_reading_holds_everyone(world: World, account: Account):
    """Free calls count too."""
    world.provider.answer("balance", Throttled(30))
    await account.refresh()
    assert await world.gate.held() == 30


async def test_unknown_balance_with_a_floor_closes_the_gate(world: World):
    """And the next good one opens it."""
    account = Account(world.store, world.provider, world.gate, {"cheap": CHEAP}, min_balance=Decimal(100))
    world.provider.answer("balance", Unclear("empty"), Balance(Decimal("100.00")))
    await account.refresh()
    assert await world.gate.closed() is Pause.BELOW_MIN_BALANCE
    world.clock.advance(5)
    await account.refresh()
    assert await world.gate.closed() is None
