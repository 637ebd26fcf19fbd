"""Reaching the store: its addresses, and what is done while it does not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from redis.exceptions import AuthenticationError, ConnectionError, ReadOnlyError, ResponseError, TimeoutError

from tests.builders import NOW, order
from tests.fakes import ManualClock, World
from worker.caller import Caps
from worker.errors import StoreUnavailable
from worker.schedule import Lane, Wake
from worker.store import Written, broker_options, connect, connect_async
from worker.store.asynchronous import _reached

pytestmark = pytest.mark.anyio
SECRET = "pass-w0rd"
PLAIN = f"redis://:{SECRET}@127.0.0.1:6390/2"
SENTINEL = f"sentinel://:{SECRET}@s1:26380,s2/main/3"


@pytest.mark.parametrize("connector", [connect, connect_async])
@pytest.mark.parametrize("url", [PLAIN, PLAIN.replace("redis", "rediss"), "unix:///run/redis.sock?db=2", SENTINEL])
async def test_every_kind_of_address_makes_a_client(connector: Any, url: str):
    """Nothing is sent yet, and a dead server will be noticed."""
    pool = connector(url).connection_pool
    assert 0 < pool.connection_kwargs["socket_timeout"] <= 5
    assert 0 < pool.connection_kwargs["socket_connect_timeout"] <= 3
    assert pool.connection_kwargs["db"] == (3 if url == SENTINEL else 2)


@pytest.mark.parametrize("connector", [connect, connect_async])
def test_a_private_authority_is_trusted_if_it_is_named(connector: Any):
    """redis-py's own options stand behind the question mark, as docs/configuration.md has it."""
    pool = connector("rediss://store:6379/0?ssl_ca_certs=/etc/ssl/private-ca.pem").connection_pool
    assert pool.connection_kwargs["ssl_ca_certs"] == "/etc/ssl/private-ca.pem"


@pytest.mark.parametrize(
    ("url", "broker", "options"),
    [
        (PLAIN, PLAIN, {}),
        (
            SENTINEL,
            f"sentinel://:{SECRET}@s1:26380/3;sentinel://:{SECRET}@s2:26379/3",
            {"master_name": "main"},
        ),
        ("sentinel://s1:26379", "sentinel://s1:26379/0", {"master_name": "mymaster"}),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock", {}),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2", {}),
    ],
)
def test_celery_reaches_the_same_store(url: str, broker: str, options: dict[str, Any]):
    """In the words that kombu understands."""
    assert broker_options(url) == (broker, options)


class Flaky:
    """A script that fails a few times before it does what it should."""

    def __init__(self, script: Any, *errors: Exception, counts: bool = False) -> None:
        self.script = script
        self.errors = list(errors)
        self.counts = counts

    async def __call__(self, **call: Any) -> Any:
        if not self.errors:
            return await self.script(**call)
        if self.counts:
            await self.script(**call)
        raise self.errors.pop(0)


@pytest.fixture
async def slept(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between two tries, which take no time."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr("worker.store.asynchronous.asyncio.sleep", sleep)
    monkeypatch.setattr("worker.store.asynchronous.time.monotonic", clock)
    return waits


def fail(world: World, *errors: Exception, counts: bool = False) -> None:
    """Let the next writes fail."""
    world.store._scripts["save"] = Flaky(world.store._scripts["save"], *errors, counts=counts)  # type: ignore[assignment]


async def write(world: World, patience: float) -> Written:
    """The intent to buy, written with patience."""
    return await world.store.save(order(), order().intend(NOW), wake=Wake(Lane.BUY, NOW + 25), patience=patience)


@pytest.mark.parametrize("counts", [False, True])
async def test_write_is_repeated_until_the_store_is_back(world: World, slept: list[float], counts: bool):
    """Waits double; a write that had counted already counts once."""
    world.accept(order())
    fail(world, *[ConnectionError("gone")] * 6, counts=counts)
    assert await write(world, 60) is Written.SAVED
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
    assert world.see().version == 2


async def test_patience_ends(world: World, slept: list[float]):
    """What cannot be written in time is given back to the caller."""
    world.accept(order())
    fail(world, *[TimeoutError("slow")] * 1000)
    with pytest.raises(StoreUnavailable):
        await write(world, 5)
    assert sum(slept) <= 5


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("redis://:pass-w0rd@h refused"),
        TimeoutError("pass-w0rd"),
        ReadOnlyError("pass-w0rd"),
        AuthenticationError("pass-w0rd"),
        OSError("pass-w0rd"),
        ResponseError("LOADING pass-w0rd"),
        ResponseError("MISCONF pass-w0rd"),
    ],
)
async def test_store_that_does_not_answer_is_said_without_its_address(world: World, error: Exception):
    """Neither the message nor its causes hold what the client knew."""
    world.accept(order())
    fail(world, error)
    with pytest.raises(StoreUnavailable) as caught:
        await write(world, 0)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_write_to_a_connection_that_has_just_closed_is_an_outage():
    """uvloop raises RuntimeError there, and redis-py hands it on."""

    async def written() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.transport.abort()
        await asyncio.sleep(0)
        try:
            await _reached(command(writer))
        finally:
            server.close()

    async def command(writer: asyncio.StreamWriter) -> None:
        writer.writelines([b"PING"])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(StoreUnavailable):
        runner.run(written())


@pytest.mark.parametrize("error", [RuntimeError("closed"), TypeError("closed"), AttributeError("closed")])
async def test_error_of_our_own_code_is_no_outage(error: Exception):
    """It keeps its class, and its traceback tells where it is."""

    async def mistaken() -> None:
        raise error

    with pytest.raises(type(error)):
        await _reached(mistaken())


async def test_mistake_of_ours_is_no_outage(world: World):
    """A script that is wrong is raised as what it is, at once."""
    world.accept(order())
    fail(world, ResponseError("WRONGTYPE"))
    with pytest.raises(ResponseError):
        await write(world, 60)


async def test_web_says_that_the_store_does_not_answer(world: World):
    """Every call, in one kind of error."""
    world.server.connected = False
    for call in (
        lambda: world.blocking.load("ord_1"),
        lambda: world.blocking.create(order(), Caps()),
        lambda: world.blocking.now(),
        lambda: world.blocking.callers(),
        lambda: list(world.blocking.journal(0)),
    ):
        with pytest.raises(StoreUnavailable):
            call()


async def test_worker_says_that_the_store_does_not_answer(world: World):
    """Reads and claims alike."""
    world.server.connected = False
    for call in (
        world.store.load("ord_1"),
        world.store.claim(Lane.POLL, 1, 5),
        world.store.held(),
        world.store.pauses(),
    ):
        with pytest.raises(StoreUnavailable):
            await call
