"""A store without room: what is new is refused, what is under way goes on, and buying can still be switched off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.builders import order
from worker import doctor
from worker.caller import Caps
from worker.doctor import Level
from worker.errors import StoreFull
from worker.metrics import Report
from worker.order import Status
from worker.schedule import Lane, Wake
from worker.store import AsyncStore, Store, Vault, Written, connect, connect_async

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

KEPT: Any = {"retention": 604_800.0, "otp_ttl": 86_400.0}


class Full:
    """Both clients of a store that holds one order and has no room for another."""

    def __init__(self, url: str) -> None:
        self.raw, self.vault = connect(url), Vault()
        self.web = Store(self.raw, self.vault, **KEPT)
        self.worker = AsyncStore(connect_async(url), self.vault, **KEPT)
        assert self.web.create(order(), Caps()).outcome == "created"
        self.raw.config_set("maxmemory-policy", "noeviction")
        self.raw.config_set("maxmemory", str(int(self.raw.info("memory")["used_memory"]) - 1))

    async def aclose(self) -> None:
        """Give it room again."""
        self.raw.config_set("maxmemory", "0")
        self.raw.close()
        await self.worker.aclose()


@pytest.fixture
async def full(real_store: str) -> AsyncIterator[Full]:
    store = Full(real_store)
    try:
        yield store
    finally:
        await store.aclose()


async def test_a_new_order_is_refused_as_such(full: Full):
    """Nothing of it is kept."""
    with pytest.raises(StoreFull, match="full"):
        full.web.create(order(id="ord_2"), Caps())
    assert full.web.load("ord_2") is None


async def test_buying_can_be_switched_off(full: Full):
    """The kill switch has to work when other things do not."""
    full.web.pause("switched_off", {"reason": "full"})
    assert full.web.pauses() == {"switched_off": {"reason": "full"}}
    full.web.resume("switched_off")
    assert full.web.pauses() == {}


async def test_what_is_under_way_goes_on(full: Full):
    """Claimed, bought, written: a number that is paid for must be polled and cancelled."""
    (claimed,) = (await full.worker.claim(Lane.BUY, 10, 2.0)).entries
    queued = await full.worker.load(claimed[0])
    assert queued is not None
    buying = queued.intend(queued.created_at)
    assert await full.worker.save(queued, buying, wake=Wake(Lane.BUY)) is Written.SAVED
    kept = full.web.load("ord_1")
    assert kept is not None
    assert kept.status is Status.BUYING


async def test_figures_are_still_handed_over(full: Full):
    """By the web and by the workers: what is full has to be seen."""
    full.web.add_report(Report("web", 1, {"throttled": 1}, levels={"http_held": 2}))
    await full.worker.add_report(Report("w1", 1, {"throttled": 1, "mended": 1}))
    assert full.web.counters() == {"throttled": 2, "mended": 1}
    assert full.web.levels() == {"http_held": 2}


async def test_doctor_says_how_full_it_is(full: Full):
    """N of M, and what can be done."""
    memory = next(one for one in doctor.check_persistence(full.web) if "full" in one.meaning)
    assert (memory.level, " MB of " in memory.meaning, bool(memory.advice)) == (Level.FAIL, True, True)


async def test_a_process_starts_all_the_same(full: Full):
    """A store that is full refuses no process that would empty it."""
    full.raw.delete("rb:format")
    full.web.adopt_format()


async def test_a_replica_is_told_from_an_outage(real_store: str):
    """What takes no writes says so, and doctor says what to correct."""
    from worker.errors import StoreReadOnly

    with connect(real_store) as raw:
        store = Store(raw, Vault(), **KEPT)
        raw.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(StoreReadOnly, match="primary"):
                store.create(order(), Caps())
            assert any("replica" in one.meaning for one in doctor.check_persistence(store))
        finally:
            raw.replicaof("no", "one")
