"""A call's deadline in a process that stood still: what was sent is still read, what was not is not sent any more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from worker.provider.replies import Unclear, Unreached
from worker.provider.transport import LAST_LOOK, Answer, Trip, travel

pytestmark = pytest.mark.anyio

DEADLINE = 20.0
Stand = Callable[[float], None]


@pytest.fixture
async def stand_still(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Lets the loop's time jump, as it does for a process that was stopped."""
    loop = asyncio.get_running_loop()
    real, jumped = loop.time, 0.0

    def jump(seconds: float) -> None:
        nonlocal jumped
        jumped += seconds

    monkeypatch.setattr(loop, "time", lambda: real() + jumped)
    return jump


async def turns() -> None:
    """Let the loop turn a few times, for what is due to happen."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a connection, and the provider's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


@pytest.mark.parametrize(("last_look", "read"), [(LAST_LOOK, True), (0.0, False)])
async def test_an_answer_that_came_while_the_process_stood_still_is_read(
    stand_still: Stand, wire: tuple[socket.socket, socket.socket], last_look: float, read: bool
):
    """With a last look it is found in the socket; without one the deadline is quicker."""
    ours, theirs = wire
    reader, writer = await asyncio.open_connection(sock=ours)

    async def go(trip: Trip) -> None:
        trip.sent = True
        theirs.sendall(b"bought\n")
        stand_still(10 * DEADLINE)
        trip.answer = Answer(200, {}, await reader.readline())

    told = await travel(DEADLINE, go, last_look=last_look)
    writer.close()
    assert (isinstance(told, Answer) and told.body == b"bought\n") if read else told == Unclear("timeout")


async def test_nothing_is_sent_after_the_deadline(stand_still: Stand):
    """A process that stood still while it connected leaves the request unsent, last look or not."""

    async def go(trip: Trip) -> None:
        stand_still(10 * DEADLINE)
        await turns()
        trip.sent = True

    assert await travel(DEADLINE, go, last_look=LAST_LOOK) == Unreached("timeout")


async def test_the_last_look_ends(stand_still: Stand):
    """An answer that has not come is not waited for."""

    async def go(trip: Trip) -> None:
        trip.sent = True
        stand_still(DEADLINE + 1)
        await turns()
        stand_still(LAST_LOOK)
        await asyncio.Event().wait()

    assert await travel(DEADLINE, go, last_look=LAST_LOOK) == Unclear("timeout")
