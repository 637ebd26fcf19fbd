"""HTTP/1.1 on asyncio streams, close enough to the socket to cut, drip, reset and hang.

One event loop serves every connection, so hundreds of them, and answers that hang, cost no thread each.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from web.sandbox.answers import Answer, Manner

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024


class BadRequest(ValueError):
    """What came is no HTTP request that we take."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are lower case; of a repeated parameter the last counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    keep_alive: bool
    body: bytes = b""


class Reader(asyncio.StreamReader):
    """A stream reader that tells, without reading, that the client has left."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self._gone = asyncio.Event()

    def feed_eof(self) -> None:
        """The client has closed its end."""
        super().feed_eof()
        self._gone.set()

    def set_exception(self, exc: Exception) -> None:
        """The connection broke."""
        super().set_exception(exc)
        self._gone.set()

    async def leaves_within(self, seconds: float | None) -> bool:
        """Wait for the client to leave, at most `seconds` (`None`: for ever); whether it did."""
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def read_request(reader: Reader) -> Request | None:
    """The next request, or `None` when the client is done; raises BadRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest("the head is too long") from None
    line, *header_lines = head.decode("latin-1").split("\r\n")
    headers = dict(_header(header) for header in header_lines if header)
    return _request(line, headers, await _body(reader, headers))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest("a header without a colon")
    return name.strip().lower(), value.strip()


def _request(line: str, headers: Mapping[str, str], body: bytes) -> Request:
    try:
        method, target, version = line.split(" ")
        parts = urlsplit(target)
    except ValueError:
        raise BadRequest("not a request line") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    closes = method == "HEAD" or version != "HTTP/1.1" or headers.get("connection", "").lower() == "close"
    return Request(method, parts.path, query, headers, not closes, body)


async def _body(reader: Reader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        raise BadRequest("a body needs a Content-Length")
    if int(length) > MAX_BODY:
        raise BadRequest("the body is too long")
    return await reader.readexactly(int(length))


async def send(answer: Answer, keep_alive: bool, reader: Reader, writer: asyncio.StreamWriter) -> bool:
    """Put an answer on the wire in its manner; whether the connection goes on."""
    if answer.manner is Manner.HANG:
        await reader.leaves_within(answer.delay or None)
        return False
    if answer.delay and await reader.leaves_within(answer.delay):
        return False
    if answer.manner is Manner.RESET:
        _reset(writer)
    if answer.says_nothing:
        return False
    if answer.manner is Manner.DRIP:
        return await _drip(answer, keep_alive, reader, writer)
    goes_on = keep_alive and answer.manner is Manner.WHOLE
    body = answer.sent_body()
    if body and answer.manner is Manner.CHUNKED_CUT:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    writer.write(answer.head(goes_on) + body)
    await writer.drain()
    return goes_on


async def _drip(answer: Answer, keep_alive: bool, reader: Reader, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer.head(keep_alive))
    for position in range(len(answer.body)):
        if await reader.leaves_within(answer.pace):
            return False
        writer.write(answer.body[position : position + 1])
        await writer.drain()
    return keep_alive


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a linger of zero seconds: the kernel sends RST in place of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
