"""How an answer is framed: what is whole, what is refused, and which connections carry another call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from worker.provider.transport import BODY_LIMIT, Answer, Misframed
from worker.provider.wire import HEAD_LIMIT, INTERIM_LIMIT, Connection

pytestmark = pytest.mark.anyio

TEXT = b"STATUS_WAIT_CODE"
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 16\r\n\r\n" + TEXT
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CODE = OK + b"Content-Length: 14\r\n\r\nSTATUS_OK:9999"


class Line(asyncio.Transport):
    """A transport that goes nowhere."""

    closed = False

    def write(self, data: object) -> None:
        """Forget it."""

    def abort(self) -> None:
        """Closed from now on."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it is."""
        return self.closed


async def asked(*parts: bytes, end: Exception | bool = False) -> tuple[Answer | str, Connection]:
    """What a connection makes of these reads, and of its end if it ends; a refusal is its reason."""
    connection = Connection()
    connection.connection_made(Line())
    call = asyncio.ensure_future(connection.ask(b"GET"))
    await asyncio.sleep(0)
    for part in parts:
        connection.data_received(part)
    if end:
        connection.connection_lost(end if isinstance(end, Exception) else None)
    await asyncio.sleep(0)
    assert call.done(), "neither an answer nor a refusal"
    try:
        return await call, connection
    except Misframed as refused:
        return str(refused), connection


def bytewise(data: bytes) -> Sequence[bytes]:
    """One byte at a read."""
    return [data[n : n + 1] for n in range(len(data))]


WHOLE = {
    "length": SIZED,
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 16\r\n\r\n" + TEXT,
    "chunks": CHUNKED + b"5;ext=1\r\nSTATU\r\nB\r\nS_WAIT_CODE\r\n0\r\n\r\n",
    "chunks, upper case": CHUNKED.replace(b"chunked", b"Chunked") + b"10\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "after interim answers": b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n" * (INTERIM_LIMIT - 1) + SIZED,
}


@pytest.mark.parametrize("split", [lambda data: [data], bytewise], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
async def test_a_whole_answer_is_read_and_the_connection_carries_another(data: bytes, split):
    """However the network cuts it."""
    answer, connection = await asked(*split(data))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, connection.usable) == (200, TEXT, True)


async def test_trailers_are_no_headers():
    """What comes after the body changes nothing of what was said before it."""
    answer, _ = await asked(CHUNKED + b"10\r\n" + TEXT + b"\r\n0\r\nRetry-After: 9\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(answer, Answer)
    assert (answer.headers, answer.body) == ({"transfer-encoding": "chunked"}, TEXT)


async def test_repeated_headers_are_one_list():
    """By lower-case name, in the order in which they came."""
    answer, _ = await asked(SIZED.replace(b"\r\n\r\n", b"\r\nVary: a\r\nVARY: b\r\n\r\n", 1))
    assert isinstance(answer, Answer)
    assert answer.headers["vary"] == "a, b"


UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + TEXT


async def test_without_a_length_the_body_ends_with_the_connection():
    """In good order, that is."""
    answer, _ = await asked(UNTIL_CLOSE, end=True)
    assert isinstance(answer, Answer)
    assert answer.body == TEXT


CUT = {
    "no byte": b"",
    "head": SIZED[:30],
    "body": SIZED[:-1],
    "chunk": CHUNKED + b"10\r\nSTATUS",
    "last chunk": CHUNKED + b"10\r\n" + TEXT + b"\r\n",
    "after an interim answer": b"HTTP/1.1 103 Early\r\n\r\n",
}


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
async def test_a_cut_answer_is_refused(data: bytes):
    """A connection that ends too early leaves no part of an answer."""
    assert (await asked(data, end=True))[0] == "cut"


async def test_a_body_without_a_length_that_a_reset_ends_is_refused():
    """Nobody can tell whether it was whole."""
    assert (await asked(UNTIL_CLOSE, end=ConnectionResetError()))[0] == "cut"


def headed(*lines: bytes, body: bytes = TEXT) -> bytes:
    """An answer with these header lines."""
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


REFUSED = {
    "no HTTP": b"hello\r\n\r\n",
    "bare line feeds": SIZED.replace(b"\r\n", b"\n"),
    "status of two digits": SIZED.replace(b"200", b"20"),
    "status of four digits": SIZED.replace(b"200", b"2000"),
    "header without a colon": headed(b"Content-Length"),
    "header without a name": headed(b": x"),
    "space before the colon": headed(b"Content-Length : 16"),
    "folded header": headed(b"Content-Length: 1", b" 6"),
    "NUL in a header": headed(b"X: a\0b"),
    "CR in a header": headed(b"X: a\rb"),
    "no length": headed(b"Content-Length:"),
    "length with a letter": headed(b"Content-Length: 1a"),
    "length with a sign": headed(b"Content-Length: +16"),
    "negative length": headed(b"Content-Length: -16"),
    "length beyond all numbers": headed(b"Content-Length: 99999999999999999999999"),
    "two lengths": headed(b"Content-Length: 16", b"Content-Length: 15"),
    "the same length twice": headed(b"Content-Length: 16", b"Content-Length: 16"),
    "list of lengths": headed(b"Content-Length: 16, 16"),
    "compressed transfer": headed(b"Transfer-Encoding: gzip"),
    "compressed chunks": headed(b"Transfer-Encoding: gzip, chunked", body=b"10\r\n" + TEXT + b"\r\n0\r\n\r\n"),
    "chunks of chunks": headed(b"Transfer-Encoding: chunked, chunked", body=b"10\r\n" + TEXT + b"\r\n0\r\n\r\n"),
    "chunk of nonsense": CHUNKED + b"zz\r\n",
    "chunk in C's notation": CHUNKED + b"0x10\r\n" + TEXT,
    "negative chunk": CHUNKED + b"-10\r\n" + TEXT,
    "chunk shorter than its body": CHUNKED + b"f\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "chunk without an end": CHUNKED + b"10\r\n" + TEXT + b"0\r\n\r\n",
    "chunk with a bare line feed": CHUNKED + b"10\n" + TEXT,
    "switch of protocols": b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + CODE,
    "interim answers without end": b"HTTP/1.1 103 Early\r\n\r\n" * INTERIM_LIMIT + SIZED,
    "head too big": OK + b"X: " + b"x" * HEAD_LIMIT,
    "body too big": headed(b"Content-Length: 65537", body=b"x" * (BODY_LIMIT + 1)),
    "chunks too big": CHUNKED + b"2000\r\n%b\r\n" % (b"x" * 0x2000) * 9,
    "trailers without end": CHUNKED + b"0\r\nX: " + b"x" * (HEAD_LIMIT + BODY_LIMIT),
    "body without a length too big": OK + b"\r\n" + b"x" * (BODY_LIMIT + 1),
}  # fmt: skip


@pytest.mark.parametrize("split", [lambda data: [data], bytewise], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_what_breaks_the_rules_is_refused(data: bytes, split):
    """Whole and in pieces: no answer, a reason in our own words, and no further call on the connection."""
    reason, connection = await asked(*split(data))
    assert reason in {"malformed", "bad_transfer_encoding", "too_big", "too_many_interim_answers"}
    assert not connection.usable


IN_DOUBT = {
    "another answer": SIZED + CODE,
    "the beginning of one": SIZED + CODE[:3],
    "rubbish": SIZED + b"STATUS_OK:9999",
    "told to close": SIZED.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive, close\r\n\r\n", 1),
    "HTTP/1.0": SIZED.replace(b"1.1", b"1.0"),
    "a length and chunks": headed(
        b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"10\r\n" + TEXT + b"\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("split", [lambda data: [data], bytewise], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("data", IN_DOUBT.values(), ids=IN_DOUBT)
async def test_a_connection_in_doubt_carries_no_other_call(data: bytes, split):
    """The answer itself is whole and stands."""
    answer, connection = await asked(*split(data))
    assert isinstance(answer, Answer)
    assert (answer.body, connection.usable) == (TEXT, False)


@pytest.mark.parametrize("early", [CODE, CODE[:5], b"x"])
async def test_bytes_that_nobody_asked_for_are_nobody_s_answer(early: bytes):
    """Between two calls or before the first, they spoil the connection."""
    _, connection = await asked(SIZED)
    connection.data_received(early)
    assert not connection.usable
    with pytest.raises(Misframed):
        await connection.ask(b"GET")
