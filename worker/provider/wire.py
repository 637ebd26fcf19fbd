"""Kept-alive HTTP/1.1 for the status poll, by far the most frequent call; the fastest that was measured.

Small because it does only what a poll needs: GET, one answer at a time, no retries, redirects, cookies,
proxies or decompression. Strict because connections are shared between orders: a connection is used again
only if the answer before it ended exactly where its framing said and not one byte came after it, so that no
order reads the answer of another.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

import httpx

from worker.provider.framing import Head, Misframed, read_chunk_size, read_head
from worker.provider.replies import Unclear, Unreached
from worker.provider.transport import BODY_LIMIT, HEADERS, Answer, Trip, travel

HEAD_LIMIT: Final = 16_384
"""Bytes of status line and headers, and of a chunked body's trailers."""

IDLE_LIMIT: Final = 3.0
"""Seconds after which an unused connection is not used again: common servers close theirs after five."""

INTERIM_LIMIT: Final = 5
"""1xx answers put up with before the real one."""


class Connection(asyncio.Protocol):
    """One connection, read by one caller at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._broken = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer += data
        if len(self._buffer) > HEAD_LIMIT + BODY_LIMIT:
            self.abort()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self._ended = True
        self._broken = self._broken or error is not None
        self._wake()

    @property
    def usable(self) -> bool:
        """Open, and nothing came unasked."""
        return not (self._ended or self._buffer or self._transport.is_closing())

    def send(self, request: bytes) -> None:
        """Hand the whole request to the loop."""
        self._transport.write(request)

    def abort(self) -> None:
        """Close at once; whoever reads learns of it."""
        self._ended = self._broken = True
        self._transport.abort()

    async def until(self, mark: bytes, limit: int) -> bytes:
        """Bytes up to and with `mark`."""
        start = 0
        while (end := self._buffer.find(mark, start)) < 0:
            start = max(0, len(self._buffer) - len(mark) + 1)
            await self._more(limit)
        return self._take(end + len(mark))

    async def exactly(self, size: int) -> bytes:
        """This many bytes."""
        while len(self._buffer) < size:
            await self._more(size)
        return self._take(size)

    async def rest(self) -> bytes:
        """Everything until the server closes in good order."""
        while not self._ended:
            await self._more(BODY_LIMIT)
        if len(self._buffer) > BODY_LIMIT:
            raise Misframed("too_big")
        if self._broken:
            raise Misframed("cut")
        return self._take(len(self._buffer))

    async def _more(self, limit: int) -> None:
        if len(self._buffer) > limit:
            raise Misframed("too_big")
        if self._ended:
            raise Misframed("cut")
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


async def receive(connection: Connection) -> tuple[Answer, bool]:
    """Read one whole answer. The second value: may the connection be used again."""
    for _ in range(INTERIM_LIMIT):
        head = read_head(await connection.until(b"\r\n\r\n", HEAD_LIMIT))
        if head.status >= 200:
            body = await _receive_body(connection, head)
            return Answer(head.status, head.headers, body), head.keep
    raise Misframed("too_many_interim_answers")


async def _receive_body(connection: Connection, head: Head) -> bytes:
    if head.chunked:
        return await _receive_chunks(connection)
    if head.length is None:
        return await connection.rest()
    if head.length > BODY_LIMIT:
        raise Misframed("too_big")
    return await connection.exactly(head.length)


async def _receive_chunks(connection: Connection) -> bytes:
    body = bytearray()
    while size := read_chunk_size(await connection.until(b"\r\n", HEAD_LIMIT)):
        if len(body) + size > BODY_LIMIT:
            raise Misframed("too_big")
        chunk = await connection.exactly(size + 2)
        if not chunk.endswith(b"\r\n"):
            raise Misframed("bad_chunk")
        body += chunk[:-2]
    await _skip_trailers(connection)
    return bytes(body)


async def _skip_trailers(connection: Connection) -> None:
    left = HEAD_LIMIT
    while (line := await connection.until(b"\r\n", HEAD_LIMIT)) != b"\r\n":
        left -= len(line)
        if left < 0:
            raise Misframed("too_big")


class Wire:
    """A pool of kept-alive connections to one endpoint. Belongs to the loop that first uses it."""

    def __init__(self, endpoint: httpx.URL, tls: ssl.SSLContext, connections: int) -> None:
        self._host = endpoint.raw_host.decode("ascii")
        self._port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        self._tls = tls if endpoint.scheme == "https" else None
        self._before = b"GET " + endpoint.raw_path + b"?"
        headers = {"Host": endpoint.netloc.decode("ascii"), **HEADERS}
        lines = [" HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._after = "\r\n".join(lines).encode("ascii")
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._closed = False

    async def fetch(self, query: str, deadline: float) -> Answer | Unreached | Unclear:
        """See `Transport`. Waiting for a free connection counts."""
        request = self._before + query.encode("ascii") + self._after
        return await travel(deadline, lambda trip: self._exchange(trip, request))

    async def aclose(self) -> None:
        """Close the idle connections; those in use close when their call ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _exchange(self, trip: Trip, request: bytes) -> None:
        async with self._slots:
            connection = self._reused() or await self._opened()
            try:
                trip.sent = True
                connection.send(request)
                trip.answer, keep = await receive(connection)
            except BaseException:
                connection.abort()
                raise
            self._give_back(connection, keep)

    def _reused(self) -> Connection | None:
        """The connection used last, so that those that a quiet time leaves over grow old and go."""
        oldest = asyncio.get_running_loop().time() - IDLE_LIMIT
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _opened(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        return connection

    def _give_back(self, connection: Connection, keep: bool) -> None:
        if keep and connection.usable and not self._closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()
