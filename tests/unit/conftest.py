"""A world that stands still, for tests without sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import ManualClock, World, fakeredis_follows


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """A clock that fakeredis goes by too."""
    clock = ManualClock()
    with fakeredis_follows(clock):
        yield clock


@pytest.fixture
async def world(clock: ManualClock) -> World:
    """The store, the gate and the steps, with nothing in them."""
    return World(clock)
