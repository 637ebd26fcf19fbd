"""The floor: nothing but a loop over kept-alive connections, no store, no queue, no state.

`python -m tests.bench.peers.bare_loop asyncio|uvloop ORDERS [INTERVAL]` polls every order once per interval
over `CONNECTIONS` asyncio streams. Each connection asks for its share of the orders one after the other and
then sleeps until the next round, so even the timers are almost free. With an interval of 0 it asks as fast as
it can, which is how the provider's own ceiling is found.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlencode, urlsplit

import uvloop

from tests.bench.peers import settings

CONNECTIONS = 50


def request(host: str, activation: str) -> bytes:
    """A status call, ready for the wire."""
    target = f"{settings.PATH}?{urlencode(settings.query(activation))}"
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    """One request and its answer's body."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length:")
    return await reader.readexactly(int(length.partition(b"\r\n")[0]))


async def rounds(share: range, interval: float, phase: float) -> None:
    """Poll one connection's share of the orders for ever, one round per interval, first after `phase`."""
    where = urlsplit(settings.PROVIDER_URL)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    messages = [request(where.netloc, f"peer_{index}") for index in share]
    loop = asyncio.get_running_loop()
    due = loop.time() + phase
    while True:
        await asyncio.sleep(due - loop.time())
        for message in messages:
            if await ask(reader, writer, message) != settings.WAITING.encode():
                raise RuntimeError("the bench's provider answered something else")
        due = max(due + interval, loop.time())


async def work(orders: int, interval: float) -> None:
    """Poll `orders` over all connections, each starting at its own moment of the interval."""
    shares = [range(first, orders, CONNECTIONS) for first in range(CONNECTIONS)]
    phases = [index * interval / CONNECTIONS for index in range(CONNECTIONS)]
    await asyncio.gather(*(rounds(share, interval, phase) for share, phase in zip(shares, phases, strict=True)))


if __name__ == "__main__":
    run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
    run(work(int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else settings.INTERVAL))
