"""The store on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from tests.builders import event
from tests.store_conformance import StoreConformance, Stores
from worker.event import Event
from worker.store import AsyncStore, Store, Vault, connect, connect_async

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
async def stores(real_store: str) -> AsyncIterator[Stores]:
    vault = Vault()
    kept: Any = {"retention": 604_800.0, "otp_ttl": 86_400.0}
    raw, shared = connect(real_store), connect_async(real_store)
    engine, capped = AsyncStore(shared, vault, **kept), AsyncStore(shared, vault, **kept, max_rps=10)
    yield Stores(Store(raw, vault, **kept), engine, raw, anyio.sleep, capped)
    raw.close()
    await engine.aclose()


WRITERS, EACH = 4, 100


def test_reader_of_the_feed_misses_nothing_while_others_write(real_store: str) -> None:
    """Whoever goes on from the last event it has read gets every event once, in order, however many write meanwhile."""

    def write(writer: int) -> None:
        with connect(real_store) as raw:
            store = Store(raw, Vault(), retention=3600, otp_ttl=3600)
            for n in range(EACH):
                store.add_event(event(id=f"evt_{writer}_{n}", order=None, url="https://caller.example/hook"))

    read: list[Event] = []
    with connect(real_store) as raw, ThreadPoolExecutor(WRITERS) as writers:
        reader = Store(raw, Vault(), retention=3600, otp_ttl=3600)
        written = [writers.submit(write, n) for n in range(WRITERS)]
        done = False
        while not done:
            done = all(one.done() for one in written)  # looked at first: what is read next then is everything
            while page := reader.events_after("cal_1", read[-1].sequence if read else 0, 7)[0]:
                read += page
        for one in written:
            one.result()
    assert [one.sequence for one in read] == list(range(1, WRITERS * EACH + 1))
    assert {one.id for one in read} == {f"evt_{writer}_{n}" for writer in range(WRITERS) for n in range(EACH)}


class TestStoreOnServer(StoreConformance):
    """What the store promises holds where it counts."""
