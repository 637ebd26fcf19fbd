"""A world that stands still, for tests without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache

import flask_openapi3.utils
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


@pytest.fixture(scope="session", autouse=True)
def schemas_worked_out_once() -> Iterator[None]:
    """Five hundred tests build the application, and half of that is pydantic working out the same schemas."""
    once = lru_cache(maxsize=None)(flask_openapi3.utils.get_model_schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flask_openapi3.utils, "get_model_schema", lambda *model, **mode: deepcopy(once(*model, **mode)))
        yield
