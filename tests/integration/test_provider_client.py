"""The provider's client against a raw server that misbehaves in every way a network can."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.provider.client import Provider
from worker.provider.products import load
from worker.provider.protocol import (
    Balance,
    Bought,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    Listing,
    Throttled,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.provider.replies import Choice

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PRODUCTS = load()
ITEM = {"server": "1", "type": "1"}
KEY = "k3y&with=odd /chars"
SOLD = b"ORDER_ID_12345,+923001234567,900"
HANG = 30.0
"""Seconds after which what does not happen counts as never happening."""
Answering = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


def http(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


class Misbehaving:
    """Reads requests, counts connections, and answers with bytes or whatever a script does."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.script: list[bytes | Answering] = []
        self.base_url = ""

    @property
    def queries(self) -> list[dict[str, str]]:
        targets = (request.split(b" ")[1].decode() for request in self.requests)
        return [{k: v[0] for k, v in parse_qs(urlsplit(target).query).items()} for target in targets]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(request)
                await self.answer(writer, request)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, request: bytes) -> None:
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, bytes):
            writer.write(answer)
            await writer.drain()
        else:
            await answer(writer, request)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Misbehaving]:
    server = Misbehaving()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    scheme, port = "https" if tls else "http", listener.sockets[0].getsockname()[1]
    server.base_url = f"{scheme}://127.0.0.1:{port}/stubs"
    try:
        yield server
    finally:
        listener.close()
        for writer in list(server.open):
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def server(anyio_backend):
    async with serving() as server:
        yield server


@pytest.fixture(scope="module")
def trust() -> ssl.SSLContext:
    """The default trust store, loaded once."""
    return ssl.create_default_context()


@pytest.fixture
async def provider(server, trust):
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=HANG, buy_deadline=HANG, tls=trust)
    yield provider
    await provider.aclose()


async def hang(writer: asyncio.StreamWriter, request: bytes) -> None:
    await asyncio.Event().wait()


async def close(writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.close()


async def reset(writer: asyncio.StreamWriter, request: bytes) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then_close(sent: bytes) -> Answering:
    async def answer(writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(sent)
        writer.close()

    return answer


def then_reset(sent: bytes) -> Answering:
    async def answer(writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(sent)
        await writer.drain()
        await reset(writer, request)

    return answer


def dripping(sent: bytes) -> Answering:
    async def answer(writer: asyncio.StreamWriter, request: bytes) -> None:
        for byte in sent:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)

    return answer


async def flood(writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65_536)
        await writer.drain()


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    framed = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + end


# What goes out.


async def test_each_call_is_one_get_with_the_documented_query(server, provider):
    """Actions, parameters and the key travel in the query, encoded, and no two queries are alike."""
    server.script = [
        http(SOLD),
        http(b"STATUS_OK:0012"),
        http(b"ACCESS_CANCEL"),
        http(b"ACCESS_FINISH"),
        http(b"ACCESS_BALANCE:500.00"),
        http(b'{"1":[{"id":"1","name":"Pakistan Server 1"}]}'),
    ]
    assert [
        await provider.buy("cheap", {"server": "1", "type": "2"}),
        await provider.status("cheap", "a/b c&d"),
        await provider.cancel("cheap", "x"),
        await provider.finish("cheap", "x"),
        await provider.balance(),
        await provider.listing("cheap", "servers", {"type": "1"}),
    ] == [
        Bought("ORDER_ID_12345", "+923001234567", 900.0),
        Code("0012"),
        Done(Word.ACCESS_CANCEL),
        Done(Word.ACCESS_FINISH),
        Balance(Decimal("500.00")),
        Listing((Choice("1", "Pakistan Server 1"),)),
    ]
    nonces = {query.pop("_") for query in server.queries}
    sent = [{k: v for k, v in query.items() if k != "_"} for query in server.queries]
    assert len(nonces) == 6
    assert sent == [
        {"api_key": KEY, "action": "buyNumber", "server": "1", "type": "2"},
        {"api_key": KEY, "action": "getStatus", "id": "a/b c&d"},
        {"api_key": KEY, "action": "setStatus", "id": "x", "status": "8"},
        {"api_key": KEY, "action": "setStatus", "id": "x", "status": "3"},
        {"api_key": KEY, "action": "getBalance"},
        {"api_key": KEY, "action": "getServers", "type": "1"},
    ]


async def test_requests_are_lean_and_uncached(server, provider):
    """GET of the one path, no caching, no compression, no cookies even after one was offered."""
    server.script = [http(b"STATUS_WAIT_CODE", "200 OK", "Set-Cookie: a=b")]
    for call in (
        provider.buy("cheap", ITEM),
        provider.status("cheap", "x"),
        provider.status("cheap", "x"),
        provider.buy("cheap", ITEM),
    ):
        await call
    for request in server.requests:
        lines = request.decode().lower().split("\r\n")
        assert lines[0].startswith("get /stubs/cheap_handler.php?api_key=")
        assert {"cache-control: no-cache", "accept-encoding: identity"} <= set(lines)
        assert not any(line.startswith("cookie") for line in lines)
        assert sum(line.startswith("host: 127.0.0.1:") for line in lines) == 1


# What goes wrong, for the two calls that stand for both transports.

CUT = http(SOLD)[:-4]
TROUBLE: dict[str, tuple[bytes | Answering, str | None]] = {
    "hang": (hang, "timeout"),
    "close": (close, None),
    "reset": (reset, None),
    "no bytes of the body": (then_close(CUT[: CUT.index(b"ORDER")]), None),
    "cut body": (then_close(CUT), None),
    "cut by reset": (then_reset(CUT), None),
    "cut chunk": (then_close(chunked(SOLD, end=b"")[:-9]), None),
    "chunks never ended": (then_close(chunked(SOLD, end=b"")), None),
    "cut head": (then_close(b"HTTP/1.1 200 OK\r\nContent-Le"), None),
    "chunk of nonsense": (chunked(SOLD, end=b"zz\r\n\r\n"), None),
    "body that hangs": (CUT, "timeout"),
    "drip past the deadline": (dripping(http(SOLD, "200 OK", *["X: padding"] * 100)), "timeout"),
    "no http": (b"hello\r\n\r\n", None),
    "bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3a\r\n\r\nabc", None),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", None),
    "flood": (flood, "too_big"),
    "huge length": (http(b"x" * 65_537), "too_big"),
    "huge chunks": (chunked(*[b"x" * 8192] * 9), "too_big"),
    "huge head": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, None),
    "html": (http(b"<html>ORDER_ID_12345</html>", "502 Bad Gateway"), "http_502"),
    "empty": (http(b""), "empty_body"),
    "gzip": (http(b"\x1f\x8b\x08\x00", "200 OK", "Content-Encoding: gzip"), "unknown_body"),
}


@pytest.mark.parametrize("call", ["buy", "status"])
@pytest.mark.parametrize("trouble", TROUBLE)
async def test_trouble_after_sending_is_unclear_and_never_repeated(server, trust, call, trouble):
    """Whatever happens to the answer: one request, one reply, in time, and a reason that tells no secret."""
    answer, reason = TROUBLE[trouble]
    deadline = 1 if reason == "timeout" else HANG
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=deadline, buy_deadline=deadline, tls=trust)
    server.script = [answer]
    async with asyncio.timeout(deadline + HANG):
        reply = await (provider.buy("cheap", ITEM) if call == "buy" else provider.status("cheap", "x"))
    assert isinstance(reply, Unclear)
    assert reason in (None, reply.reason)
    assert "k3y" not in reply.reason
    assert len(server.requests) == 1
    await provider.aclose()


FRAMINGS: dict[str, Callable[[bytes], bytes | Answering]] = {
    "length": http,
    "chunked": lambda body: chunked(body[:5], body[5:], end=b"0\r\nTrailer: x\r\n\r\n"),
    "until close": lambda body: then_close(b"HTTP/1.0 200 OK\r\n\r\n" + body),
    "byte by byte": lambda body: dripping(http(body)),
    "chunks byte by byte": lambda body: dripping(chunked(body)),
    "interim answer first": lambda body: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(body),
    "whole, then reset": lambda body: then_reset(http(body)),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_whole_answer_is_read_however_it_is_framed(server, provider, framing):
    """A complete body counts over either transport, also when the connection dies right after it."""
    server.script = [FRAMINGS[framing](SOLD), FRAMINGS[framing](b"STATUS_OK:001234")]
    assert await provider.buy("cheap", ITEM) == Bought("ORDER_ID_12345", "+923001234567", 900.0)
    assert await provider.status("cheap", "x") == Code("001234")


async def test_a_length_said_twice_is_read_for_a_purchase_and_refused_for_a_poll(server, provider):
    """RFC 9110 (8.6) allows both. A purchase cannot be asked again; a poll can, and never guesses."""
    twice = "Content-Length: {}".format
    server.script = [http(SOLD, "200 OK", twice(len(SOLD))), http(b"STATUS_OK:001234", "200 OK", twice(16))]
    assert await provider.buy("cheap", ITEM) == Bought("ORDER_ID_12345", "+923001234567", 900.0)
    assert await provider.status("cheap", "x") == Unclear("malformed")


@pytest.mark.parametrize("call", ["buy", "status"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent"])
async def test_redirects_are_not_followed(server, provider, call, status):
    """Above all not with the key: the other host never hears of us."""
    async with serving() as elsewhere:
        elsewhere.script = [http(SOLD)]
        server.script = [http(b"", status, f"Location: {elsewhere.base_url}/cheap_handler.php")]
        reply = await (provider.buy("cheap", ITEM) if call == "buy" else provider.status("cheap", "x"))
        assert reply == Unclear(f"http_{status[:3]}")
        assert elsewhere.connections == 0


async def test_proxies_of_the_environment_are_ignored(server, provider, monkeypatch):
    """A proxy would see the key."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.script = [http(b"ACCESS_CANCEL"), http(b"STATUS_WAIT_CODE")]
    assert await provider.cancel("cheap", "x") == Done(Word.ACCESS_CANCEL)
    assert await provider.status("cheap", "x") == Waiting()


async def test_headers_reach_the_reader(server, provider):
    """`Retry-After` slows us down, over either transport."""
    server.script = [http(b"slow down", "429 Too Many Requests", "retry-after: 30")]
    assert await provider.buy("cheap", ITEM) == Throttled(30.0)
    assert await provider.status("cheap", "x") == Throttled(30.0)


async def test_refusals_are_replies(server, provider):
    """A word is a word over either transport."""
    words = [http(b"NO_NUMBERS"), http(b"EARLY_CANCEL_DENIED"), http(b"BAD_STATUS")]
    server.script = [*words, http(b"BAD_KEY", "401 No")]
    assert [
        await provider.buy("cheap", ITEM),
        await provider.cancel("cheap", "x"),
        await provider.cancel("cheap", "x"),
        await provider.status("cheap", "x"),
    ] == [Declined(Word.NO_NUMBERS), Early(), CodeExists(Word.BAD_STATUS), Declined(Word.BAD_KEY)]


# Never reached.


@pytest.mark.parametrize("call", ["buy", "status"])
@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "http://no-such-host.invalid"])
async def test_without_a_connection_nothing_was_sent(trust, call, host):
    """Refused or not found: a buy that never left is no unknown purchase."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = host.format(port=unheard.getsockname()[1])
        provider = Provider(url, KEY, PRODUCTS, poll_deadline=2, buy_deadline=2, tls=trust)
        reply = await (provider.buy("cheap", ITEM) if call == "buy" else provider.status("cheap", "x"))
    assert isinstance(reply, Unreached)


@pytest.mark.parametrize("call", ["cancel", "status"])
async def test_waiting_for_a_connection_counts_and_sends_nothing(server, trust, call):
    """With every connection taken, the deadline ends the wait."""
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=1, buy_deadline=1, connections=1, tls=trust)
    server.script = [hang]
    ask = provider.cancel if call == "cancel" else provider.status
    first, second = await asyncio.gather(ask("cheap", "1"), ask("cheap", "2"))
    assert first == Unclear("timeout")
    assert second == Unreached("timeout")
    await provider.aclose()


# Connections.


async def test_polls_share_connections_and_buys_do_not(server, provider):
    """A kept-alive connection may be dead, and a buy must not find that out by being sent twice."""
    server.script = [http(b"STATUS_WAIT_CODE")]
    for _ in range(5):
        assert await provider.status("cheap", "x") == Waiting()
    assert server.connections == 1
    for _ in range(3):
        await provider.buy("cheap", ITEM)
    assert server.connections == 4


@pytest.mark.parametrize(
    "answer",
    [
        http(b"STATUS_WAIT_CODE") + b"STATUS_OK:9999",
        http(b"STATUS_WAIT_CODE") * 2,
        http(b"STATUS_WAIT_CODE", "200 OK", "Connection: close"),
        http(b"STATUS_WAIT_CODE").replace(b"1.1", b"1.0"),
        chunked(b"STATUS_WAIT_CODE").replace(b"chunked\r\n", b"chunked\r\nContent-Length: 16\r\n"),
    ],
)
async def test_a_connection_in_doubt_is_not_used_again(server, provider, answer):
    """Bytes left over from one order's answer must never be read as another's."""
    server.script = [answer]
    for _ in range(3):
        assert await provider.status("cheap", "x") == Waiting()
    assert server.connections == 3


async def test_bytes_that_come_unasked_spoil_a_connection(server, provider):
    """Late bytes on an idle connection belong to nobody."""
    server.script = [http(b"STATUS_WAIT_CODE")]
    await provider.status("cheap", "1")
    for writer in server.open:
        writer.write(http(b"STATUS_OK:9999"))
    await asyncio.sleep(0.05)
    assert await provider.status("cheap", "2") == Waiting()
    assert server.connections == 2


async def test_an_answer_after_its_deadline_reaches_no_other_order(server, trust):
    """A poll that timed out takes its connection with it."""
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=0.2, buy_deadline=1, connections=1, tls=trust)

    async def late(writer: asyncio.StreamWriter, request: bytes) -> None:
        await asyncio.sleep(0.3)
        writer.write(http(b"STATUS_OK:1111"))

    server.script = [late, http(b"STATUS_WAIT_CODE")]
    assert await provider.status("cheap", "1") == Unclear("timeout")
    await asyncio.sleep(0.2)
    assert await provider.status("cheap", "2") == Waiting()
    await provider.aclose()


async def test_concurrent_polls_get_their_own_answers(server, trust):
    """Two hundred orders over ten connections, each with its own code."""
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=HANG, buy_deadline=1, connections=10, tls=trust)

    async def echo(writer: asyncio.StreamWriter, request: bytes) -> None:
        id = parse_qs(urlsplit(request.split(b" ")[1].decode()).query)["id"][0]
        writer.write(http(f"STATUS_OK:{id}".encode()))

    server.script = [echo]
    replies = await asyncio.gather(*(provider.status("cheap", str(n)) for n in range(200)))
    assert replies == [Code(str(n)) for n in range(200)]
    assert server.connections <= 10
    await provider.aclose()


async def test_cancellation_is_raised_and_frees_the_connection(server, trust):
    """Only cancellation goes through, and it leaves nothing behind."""
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=5, buy_deadline=5, connections=1, tls=trust)
    server.script = [hang, http(b"STATUS_WAIT_CODE")]
    task = asyncio.create_task(provider.status("cheap", "1"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await provider.status("cheap", "2") == Waiting()
    await provider.aclose()


async def test_closing_leaves_no_connection_open(server, trust):
    """Idle connections close at once."""
    provider = Provider(server.base_url, KEY, PRODUCTS, poll_deadline=2, buy_deadline=2, tls=trust)
    server.script = [http(b"STATUS_WAIT_CODE")]
    await provider.status("cheap", "1")
    await provider.aclose()
    await asyncio.sleep(0.05)
    assert server.open == set()


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> str:
    """A self-signed certificate for 127.0.0.1, with its key, as a PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.fixture
async def secure(anyio_backend, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with serving(context) as server:
        server.script = [http(b"STATUS_WAIT_CODE")]
        yield server


@pytest.mark.parametrize("call", ["buy", "status"])
async def test_a_certificate_nobody_vouches_for_is_refused(secure, trust, call):
    """Verification is always on, and what fails it has sent nothing."""
    provider = Provider(secure.base_url, KEY, PRODUCTS, poll_deadline=2, buy_deadline=2, tls=trust)
    reply = await (provider.buy("cheap", ITEM) if call == "buy" else provider.status("cheap", "x"))
    assert isinstance(reply, Unreached)
    assert secure.requests == []


async def test_a_trusted_certificate_is_talked_to_over_both_transports(secure, certificate):
    """The same trust store serves polls, kept alive, and everything else."""
    trusting = ssl.create_default_context(cafile=certificate)
    provider = Provider(secure.base_url, KEY, PRODUCTS, poll_deadline=2, buy_deadline=2, tls=trusting)
    assert [await provider.status("cheap", "x") for _ in range(3)] == [Waiting()] * 3
    assert secure.connections == 1
    assert isinstance(await provider.buy("cheap", ITEM), Unclear)
    assert secure.connections == 2
    await provider.aclose()


# Secrets and figures.


async def test_the_key_is_in_no_log_line_reply_or_repr(server, trust, caplog):
    """Not even at DEBUG, with every logger on, and with a server that sends it back."""
    for name in ["", *logging.Logger.manager.loggerDict]:
        caplog.set_level(logging.DEBUG, logger=name)
    provider = Provider(server.base_url, "SECRETKEY", PRODUCTS, poll_deadline=0.2, buy_deadline=0.2, tls=trust)
    echo = http(b"bad key SECRETKEY", "302 SECRETKEY", "Location: /?api_key=SECRETKEY", "X: SECRETKEY")
    said = [repr(provider)]
    for answer in (echo, hang, reset, b"SECRETKEY\r\n\r\n", b"HTTP/1.1 200 OK\r\nSECRETKEY\r\n\r\n"):
        server.script = [answer]
        said += [
            str(await provider.buy("cheap", ITEM)),
            str(await provider.status("cheap", "x")),
            str(await provider.balance()),
        ]
    assert "SECRETKEY" not in caplog.text + "".join(said)
    await provider.aclose()


def test_http_libraries_are_silenced():
    """Loading the client is enough: httpx would log URLs at INFO and headers at DEBUG."""
    for name in ("httpx", "httpcore.http11", "httpcore.connection"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


async def test_every_call_is_observed(server, trust):
    """Action, class of the reply, seconds."""
    seen: list[tuple[str, str, str, float]] = []
    observe = lambda *call: seen.append(call)  # noqa: E731 - one line, one use
    provider = Provider(
        server.base_url, KEY, PRODUCTS, poll_deadline=HANG, buy_deadline=HANG, observe=observe, tls=trust
    )
    server.script = [http(b"NO_NUMBERS"), http(b"STATUS_WAIT_CODE"), http(b"?")]
    begun = time.perf_counter()
    await provider.buy("cheap", ITEM)
    await provider.status("cheap", "x")
    await provider.balance()
    assert [call[:3] for call in seen] == [
        ("cheap", "buy", "declined"),
        ("cheap", "status", "waiting"),
        ("cheap", "balance", "unclear"),
    ]
    assert all(call[3] > 0 for call in seen)
    assert sum(call[3] for call in seen) < time.perf_counter() - begun
    await provider.aclose()


@pytest.mark.parametrize(
    "url",
    ["", "otpget", "ftp://x/", "http://", "https://u:p@x/stubs", "https://x/?api_key=SECRET", "http://x:y"],
)
async def test_a_base_url_that_is_none_is_refused_without_showing_it(trust, url):
    """At start, in words that tell nothing."""
    with pytest.raises(ValueError, match="base URL") as refused:
        Provider(url, KEY, PRODUCTS, poll_deadline=1, buy_deadline=1, tls=trust)
    assert "SECRET" not in str(refused.value)
