"""The store on fakeredis: the real scripts, a clock that is moved by hand, no socket."""

from __future__ import annotations

import pytest

from tests.fakes import ManualClock, World
from tests.store_conformance import StoreConformance, Stores

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stores(clock: ManualClock) -> Stores:
    world = World(clock)

    async def pass_time(seconds: float) -> None:
        clock.advance(seconds)

    return Stores(world.door, world.store, world.raw, pass_time, world.engine_store(max_rps=10))


class TestStoreOnFake(StoreConformance):
    """What the store promises holds on the fake that the unit tests stand on."""
