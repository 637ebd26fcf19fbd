"""Whether the provider can be reached: told once when it ends, and once when it begins again."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.builders import CHEAP, order
from tests.fakes import World, drained
from tests.unit.cli_stage import Stage
from worker import doctor, reachability
from worker.account import Account
from worker.doctor import Level
from worker.logs import get_logger
from worker.provider.replies import Unclear, Unreached
from worker.reachability import IN_A_ROW, Reachability

pytestmark = pytest.mark.anyio


def told(logs: list[Any]) -> list[str]:
    """The warnings, in order."""
    return [one["event"] for one in logs if one["log_level"] == "warning"]


async def rounds(workers: list[Reachability], reply: str, count: int = IN_A_ROW) -> None:
    """Each worker's calls end so, a call a second."""
    for _ in range(count):
        for worker in workers:
            worker.heard("status", reply, "ConnectError")
            await worker.tell()


@pytest.fixture
async def workers(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Reachability]:
    monkeypatch.setattr(reachability, "log", get_logger("reachability"))
    return [Reachability(world.store), Reachability(world.store)]


async def test_it_is_warned_of_once_when_it_begins_and_once_when_it_ends(world: World, workers: list[Reachability]):
    """However many workers, and however long it lasts; the first line names the reason."""
    with capture_logs() as logs:
        await rounds(workers, "waiting")
        assert told(logs) == []
        await rounds(workers, "unreached", 50)
        assert told(logs) == ["provider_unreachable"]
        assert logs[-1]["why"] == "ConnectError"
        world.clock.advance(60)
        await rounds(workers, "waiting")
    assert told(logs) == ["provider_unreachable", "provider_reachable"]
    assert logs[-1]["away"] == 60.0


async def test_a_call_that_is_lost_now_and_then_is_no_outage(workers: list[Reachability]):
    """Two in a row are not enough."""
    with capture_logs() as logs:
        for _ in range(20):
            await rounds(workers, "unreached", IN_A_ROW - 1)
            await rounds(workers, "waiting", 1)
    assert told(logs) == []


async def test_a_worker_that_was_not_there_when_it_began_says_when_it_ends(world: World, workers: list[Reachability]):
    """The state lies in the store."""
    with capture_logs() as logs:
        await rounds(workers[:1], "unclear")
        await rounds([Reachability(world.store)], "balance", 1)
    assert told(logs) == ["provider_unreachable", "provider_reachable"]


async def test_one_worker_without_a_way_out_does_not_flap(workers: list[Reachability]):
    """It says so once; the other's word that the provider answers stands."""
    with capture_logs() as logs:
        for _ in range(20):
            await rounds(workers[:1], "unreached")
            await rounds(workers[1:], "waiting", 1)
    assert told(logs) == ["provider_unreachable", "provider_reachable"]


async def test_doctor_says_since_when_and_why(world: World, workers: list[Reachability]):
    """And that the last reading of the balance failed, before and after."""
    account = Account(world.store, world.provider, world.gate, {"cheap": CHEAP}, min_balance=None)
    await account.refresh()
    assert doctor.check_account(world.blocking).level is Level.OK
    world.clock.advance(60)
    world.provider.answer("balance", Unreached("ConnectError"))
    await account.refresh()
    stale = doctor.check_account(world.blocking)
    assert (stale.level, "ConnectError" in stale.meaning, "60 s old" in stale.meaning) == (Level.WARN, True, True)
    await rounds(workers, "unreached")
    away = doctor.check_account(world.blocking)
    assert (away.level, "ConnectError" in away.meaning) == (Level.FAIL, True)


async def test_polls_that_found_nothing_are_counted(world: World):
    """Or their share of failures could not be told."""
    world.accept(order())
    await world.work()
    world.clock.advance(5)
    await world.work()
    assert drained(world.counters)['polls{reply="Waiting"}'] == 1


@pytest.mark.parametrize("reply", [Unreached("dns"), Unclear("http_502")])
def test_commands_say_it(monkeypatch: pytest.MonkeyPatch, reply: Unreached | Unclear):
    """`ringback balance` shows that the reading is stale and why."""
    stage = Stage(monkeypatch)
    stage.redis.hset("rb:account", mapping={"balance": "5", "balance:at": "1", "balance:asked": "2",
                                            "balance:why": f"provider_unreachable ({reply.reason})"})  # fmt: skip
    shown = stage.json("balance")
    assert (shown["stale"], shown["reason"]) == (True, f"provider_unreachable ({reply.reason})")
