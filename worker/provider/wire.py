"""Kept-alive HTTP/1.1 for the status poll, by far the most frequent call.

llhttp, the parser of Node.js, reads the answers. Around it is only what a poll needs: GET, one answer at a time, no
retries, redirects, cookies, proxies or decompression. Strict because connections are shared between orders: a
connection is used again only if the answer before it ended exactly where its framing said and nothing that could be
an answer came after it, so that no order reads the answer of another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from worker.provider.replies import Unclear, Unreached
from worker.provider.transport import BODY_LIMIT, HEADERS, Answer, Misframed, Trip, travel

HEAD_LIMIT: Final = 16_384
"""Bytes of an answer beside its body: status line, headers, sizes of chunks, trailers."""

IDLE_LIMIT: Final = 3.0
"""Seconds after which an unused connection is not used again: common servers close theirs after five."""

INTERIM_LIMIT: Final = 5
"""1xx answers put up with before the real one."""


@lru_cache(maxsize=64)
def _named(fields: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    """Headers by lower-case name. Polls answered within one second mostly share theirs, hence the cache."""
    headers: dict[str, str] = {}
    for field, content in fields:
        name, value = field.decode("ascii").lower(), content.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return MappingProxyType(headers)


class Connection(asyncio.Protocol):
    """One connection. It carries one call at a time: what comes while none is under way spoils it."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        # An answer with a length and chunks is read by its chunks, as RFC 9112 (6.3) defines; see on_headers_complete.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)
        self._waiter: asyncio.Future[Answer] | None = None
        self._headers: Mapping[str, str] | None = None
        self._received = self._interim = 0
        self._spoiled = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer to the last byte. Raises Misframed."""
        if not self.usable:
            raise Misframed("cut")
        self._received = self._interim = 0
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._received += len(data)
        if self._waiter is None or self._received > HEAD_LIMIT + BODY_LIMIT:
            self._fail("too_big")
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail("malformed")
        if self._headers is None and self._received > HEAD_LIMIT:
            self._fail("too_big")

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop. An answer without a length ends here, unless the end is none in good order."""
        headers = self._headers
        if headers is not None and error is None and not headers.keys() & {"content-length", "transfer-encoding"}:
            self._succeed()
        self._fail("cut")

    @property
    def usable(self) -> bool:
        """Open, and nothing came unasked."""
        return not (self._spoiled or self._transport.is_closing())

    def abort(self) -> None:
        """Close at once; whoever reads learns of it."""
        self._transport.abort()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._headers = None
        if self._waiter is None or self._waiter.done():
            self._spoiled = True  # an answer that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers too."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by the parser, which puts up with codings that we do not ask for."""
        self._headers = headers = _named(tuple(self._fields))
        if (coding := headers.get("transfer-encoding")) is None:
            return
        if coding.lower() != "chunked":
            self._fail("bad_transfer_encoding")
        if "content-length" in headers:
            self._spoiled = True

    def on_body(self, part: bytes) -> None:
        """Called by the parser."""
        self._body += part
        if len(self._body) > BODY_LIMIT:
            self._fail("too_big")

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if 100 <= self._parser.get_status_code() < 200:
            self._headers = None
            self._interim += 1
            if self._interim >= INTERIM_LIMIT:
                self._fail("too_many_interim_answers")
            return
        if not self._parser.should_keep_alive():
            self._spoiled = True
        self._succeed()

    def _succeed(self) -> None:
        if self._waiter and not self._waiter.done():
            answer = Answer(self._parser.get_status_code(), self._headers or {}, bytes(self._body))
            self._waiter.set_result(answer)

    def _fail(self, reason: str) -> None:
        self._spoiled = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(Misframed(reason))


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
                trip.answer = await connection.ask(request)
            except BaseException:
                connection.abort()
                raise
            self._give_back(connection)

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

    def _give_back(self, connection: Connection) -> None:
        if connection.usable and not self._closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()
