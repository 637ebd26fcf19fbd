"""The store on fakeredis: the real scripts, a clock that is moved by hand, no socket."""

from __future__ import annotations

import pytest

from tests.builders import order
from tests.fakes import ManualClock, World
from tests.store_conformance import StoreConformance, Stores
from worker.caller import Caps

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stores(clock: ManualClock) -> Stores:
    world = World(clock)

    async def pass_time(seconds: float) -> None:
        clock.advance(seconds)

    return Stores(world.blocking, world.store, world.raw, pass_time, world.engine_store(max_rps=10))


class TestStoreOnFake(StoreConformance):
    """What the store promises holds on the fake that the unit tests stand on."""

    @pytest.mark.parametrize("caps", [Caps(orders_per_minute=2), Caps(orders_per_day=2)])
    async def test_capped_caller_has_room_when_it_was_told(self, stores: Stores, clock: ManualClock, caps: Caps):
        """Retry-After is neither too short nor too long by more than a second."""
        clock.advance(17.5)
        made = [stores.blocking.create(order(id=f"ord_{n}"), caps) for n in range(3)]
        clock.advance(made[2].retry_after - 1)
        assert stores.blocking.create(order(id="ord_3"), caps).outcome == "capped"
        clock.advance(1)
        assert stores.blocking.create(order(id="ord_3"), caps).outcome == "created"
