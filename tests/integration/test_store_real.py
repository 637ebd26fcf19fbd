"""The store on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.store_conformance import StoreConformance, Stores
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


class TestStoreOnServer(StoreConformance):
    """What the store promises holds where it counts."""
