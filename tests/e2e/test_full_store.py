"""A store that fills up under the running service: said by its name, survived, and no storm in the logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.invariants import checked_stack
from tests.e2e.stack import Stack, wait_for
from worker.store import connect

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def filling(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker."""
    yield from checked_stack(tmp_path_factory.mktemp("filling"))


def test_a_full_store_is_said_and_survived(filling: Stack) -> None:
    """New orders are 503 with a code of their own, buying can be switched off, and what was accepted ends."""
    waiting = filling.play()
    filling.until(waiting["id"], "waiting")
    with connect(filling.store.url) as raw:
        raw.config_set("maxmemory", str(int(raw.info("memory")["used_memory"]) // 2))
        refused = filling.api.post("/v1/orders", json={"server": filling.new_server(), "type": "1"})
        assert (refused.status_code, refused.json()["code"]) == (503, "store_full")
        assert filling.command("buying", "off", "--reason", "full").returncode == 0
        told = filling.command("doctor")
        assert "full: " in told.stdout
        assert filling.api.get("/readyz").status_code == 200
        asked = len(filling.provider.seen(waiting["server"], "poll"))
        wait_for(lambda: len(filling.provider.seen(waiting["server"], "poll")) > asked + 2, 30, "polls going on")
        filling.provider.arrive(filling.provider.bought(waiting["server"])[0].id, "141421")
        filling.until_settled(waiting["id"], "finished")
        raw.config_set("maxmemory", "0")
    assert filling.command("buying", "on").returncode == 0
    (worker,) = filling.workers
    assert worker.alive
    for name, log in filling.logs().items():
        assert "Traceback" not in log, name
