"""One delivery attempt against receivers that behave, misbehave and attack."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.flood import flooding
from worker.webhooks import answer_head, client
from worker.webhooks.delivery import ANSWER_BYTES, Outcome, Sender, Verdict
from worker.webhooks.guard import Guard

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

HEADERS = {"webhook-id": "evt_1", "content-type": "application/json"}
BODY = b'{"type":"webhook.ping"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOW = 1795341600.0  # Sun, 22 Nov 2026 10:00:00 GMT

HANG = 30.0
"""Seconds after which what does not happen counts as never happening."""
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A receiver made of bare sockets: `answer` runs after each request has been read."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    def url(self, rest: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{rest}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await self.request(reader))
                await self.answer(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @staticmethod
    async def request(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return head + await reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def receiving(answer: Answer | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(says(answer) if isinstance(answer, bytes) else answer)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(raw: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return answer


def hangs_up_after(raw: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return answer


def answers(*addresses: str):
    """A resolver that knows these addresses for every name."""

    async def resolve(_: str) -> list[str]:
        return list(addresses)

    return resolve


def local_guard(**options: object) -> Guard:
    """A guard that lets the loopback interface through, and resolves every name to it."""
    settings = {"allow_http": True, "allowed_networks": ["127.0.0.0/8"], "resolve": answers("127.0.0.1")}
    return Guard(**{**settings, **options})


@asynccontextmanager
async def sending(
    guard: Guard | None = None, timeout: float = HANG, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Sender]:
    sender = Sender(guard or local_guard(), timeout=timeout, version="1.2.3", tls=tls, clock=lambda: NOW)
    try:
        yield sender
    finally:
        await sender.aclose()


async def outcome_of(answer: Answer | bytes, timeout: float = HANG) -> Outcome:
    """What a sender makes of one answer."""
    async with asyncio.timeout(2 * HANG), receiving(answer) as receiver, sending(timeout=timeout) as sender:
        return await sender.send(receiver.url(), HEADERS, BODY)


async def test_request_carries_exactly_what_was_given():
    """Body, headers and query arrive as they are; nothing is offered that would need decoding."""
    async with receiving(OK) as receiver, sending() as sender:
        outcome = await sender.send(receiver.url("/a%2Fb?t=%20x&u=%C3%BC"), HEADERS, BODY)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().lower().split("\r\n")
    assert (outcome.verdict, outcome.status, outcome.error) == (Verdict.DELIVERED, 200, None)
    assert (outcome.excerpt, body) == ("ok", BODY)
    assert line == "post /a%2fb?t=%20x&u=%c3%bc http/1.1"
    assert {"webhook-id: evt_1", "content-type: application/json", "accept-encoding: identity"} <= set(headers)
    assert {"user-agent: ringback/1.2.3", f"host: 127.0.0.1:{receiver.port}"} <= set(headers)
    assert not any(header.startswith(("cookie", "authorization", "expect")) for header in headers)


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_other_2xx_acknowledge_as_well(status: int):
    """A receiver answers what its framework gives it, with a body or without."""
    outcome = await outcome_of(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert outcome.verdict is Verdict.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_a_failure_and_is_not_followed(status: int):
    """302 → GET → 200 is no acknowledgement, and a redirect is no way around the guard."""
    async with receiving(OK) as elsewhere:
        moved = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        outcome = await outcome_of(moved % (status, elsewhere.url().encode()))
    assert (outcome.verdict, outcome.status) == (Verdict.RETRY, status)
    assert elsewhere.requests == []


async def test_410_ends_the_event():
    """Gone is an answer of its own."""
    outcome = await outcome_of(b"HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nbye")
    assert (outcome.verdict, outcome.excerpt) == (Verdict.GONE, "bye")


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (429, b"7", 7),
        (503, b"Sun, 22 Nov 2026 10:01:00 GMT", 60),
        (500, b"86400", 3600),
        (503, b"soon", None),
        (200, b"7", None),
    ],
)
async def test_retry_after_is_read_from_failing_answers(status: int, value: bytes, seconds: float | None):
    """Seconds or a date, at most an hour; an acknowledgement has nothing to retry."""
    raw = b"HTTP/1.1 %d X\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n"
    assert (await outcome_of(raw % (status, value))).retry_after == seconds


async def test_slow_drip_is_cut_at_the_deadline():
    """A byte now and then keeps no attempt alive: the deadline covers the last byte, whatever the status."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(0.02)

    outcome = await outcome_of(drip, timeout=1)
    assert (outcome.verdict, outcome.status, outcome.error) == (Verdict.RETRY, 200, "timeout")
    assert outcome.excerpt.startswith(".")
    assert outcome.duration >= 0.99


async def test_endless_interim_answers_are_cut_off():
    """103 for ever is no answer; hung up on long before the deadline."""

    async def interim(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(0.002)

    outcome = await outcome_of(interim, timeout=60)
    assert (outcome.verdict, outcome.status, outcome.error) == (Verdict.RETRY, None, "endless_head")


async def test_a_few_interim_answers_are_read_past():
    """What real servers send, on every request of a kept connection, and whatever comes with it in one piece."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * answer_head.MOST_INTERIM_ANSWERS
    async with receiving(hints + OK) as receiver, sending() as sender:
        outcomes = [await sender.send(receiver.url(), HEADERS, BODY) for _ in range(3)]
    assert [(one.verdict, one.excerpt) for one in outcomes] == [(Verdict.DELIVERED, "ok")] * 3
    assert receiver.connections == 1


async def test_large_answer_in_one_piece_is_read():
    """Only what comes before the final head is bounded by it."""
    body = b"x" * (ANSWER_BYTES - 10)
    outcome = await outcome_of(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert (outcome.verdict, outcome.excerpt) == (Verdict.DELIVERED, "x" * 1024)


async def test_head_without_end_is_cut_off():
    """Header after header, each of them small."""

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n" + b"x" * 100)
        while not writer.is_closing():
            writer.write(b"x: " + b"y" * 4000 + b"\r\n")
            await asyncio.sleep(0.002)

    outcome = await outcome_of(endless, timeout=60)
    assert outcome.verdict is Verdict.RETRY
    assert outcome.error in ("endless_head", "protocol")


async def test_flood_of_interim_answers_does_not_stop_the_loop():
    """Whoever else works on the loop waits no longer than while receivers answer as they should."""
    with flooding() as port:
        async with receiving(OK) as receiver, sending(timeout=60) as sender:
            quiet = await longest_turn(sender, receiver.url())
            flooded = await longest_turn(sender, f"http://127.0.0.1:{port}/hook")
    assert flooded < MOST_TIMES_QUIET * quiet, f"{flooded:.3f} s, and {quiet:.3f} s while it is quiet"


MOST_TIMES_QUIET = 20
"""How much longer a turn of the loop may take: it took some hundred times as long before heads were bounded."""
ATTEMPTS = 32


async def longest_turn(sender: Sender, url: str) -> float:
    """The longest time, in seconds, that the loop let somebody else wait during many attempts at once."""
    longest, last, ended = 0.0, time.perf_counter(), False

    async def look() -> None:
        nonlocal longest, last
        while not ended:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    looking = asyncio.ensure_future(look())
    outcomes = await asyncio.gather(*(sender.send(url, HEADERS, BODY) for _ in range(ATTEMPTS)))
    ended = True
    await looking
    assert {one.error for one in outcomes} <= {None, "endless_head"}
    return longest


async def test_silent_receiver_is_a_timeout():
    """A receiver that takes the request and says nothing was reached, so it is no connect timeout."""

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    assert (await outcome_of(silence, timeout=1)).error == "timeout"


@pytest.mark.filterwarnings("ignore:Sending a large body directly")
async def test_receiver_that_does_not_read_is_a_timeout():
    """A body that nobody takes off the socket ends at the deadline like everything else."""

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with asyncio.timeout(HANG), sending(timeout=1) as sender:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.send(f"http://127.0.0.1:{port}/", HEADERS, b"x" * 16_000_000)
    server.close()
    for writer in writers:
        writer.transport.abort()
    assert outcome.error == "timeout"


async def test_look_up_counts_inside_the_deadline():
    """A slow name server costs an attempt its deadline: the attempt ends while the name is still looked up."""
    never = asyncio.Event()

    async def slow(_: str) -> list[str]:
        await never.wait()
        return ["127.0.0.1"]

    async with receiving(OK) as receiver, sending(local_guard(resolve=slow), timeout=0.1) as sender:
        async with asyncio.timeout(HANG / 2):
            outcome = await sender.send(receiver.url(host="hooks.test"), HEADERS, BODY)
    assert (outcome.error, outcome.status) == ("connect_timeout", None)


async def test_compressed_answer_is_not_decoded():
    """A gzip bomb is a few kilobytes that nobody unpacks."""
    bomb = gzip.compress(b"\0" * 20_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    outcome = await outcome_of(head % len(bomb) + bomb)
    assert outcome.verdict is Verdict.DELIVERED
    assert len(outcome.excerpt) <= 1024


async def test_huge_answer_is_read_to_the_cap_only():
    """An endless body with a good status is an acknowledgement; the rest of it is hung up on."""

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"%x\r\n" % ANSWER_BYTES + b"x" * ANSWER_BYTES + b"\r\n")
            await writer.drain()

    async with receiving(pour) as receiver, sending() as sender:
        outcomes = [await sender.send(receiver.url(), HEADERS, BODY) for _ in range(2)]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED] * 2
    assert outcomes[0].excerpt == "x" * 1024
    assert receiver.connections == 2


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "protocol"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "protocol"),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", "protocol"),
    ],
)
async def test_broken_answer_is_told_in_our_words(raw: bytes, error: str):
    """Whatever comes over the wire is an outcome with a word, and worth another try."""
    outcome = await outcome_of(hangs_up_after(raw))
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, error)


async def test_reset_connection_is_a_reset():
    """A receiver that dies in the middle of a request."""

    async def abort(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    assert (await outcome_of(abort)).error == "reset"


async def test_refused_connection_says_so():
    """Nobody listens there."""
    async with receiving(OK) as receiver:
        url = receiver.url()
    async with sending() as sender:
        outcome = await sender.send(url, HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "connect_refused")


async def test_name_that_does_not_resolve_is_dns():
    """The receiver's name server is down: worth another try."""

    def nowhere(_: str) -> list[str]:
        raise OSError("no such name")

    async with sending(local_guard(resolve=nowhere)) as sender:
        outcome = await sender.send("http://hooks.test/", HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "dns")


async def test_next_address_is_tried_when_one_is_dead():
    """A name with two addresses is reachable while one of them is."""
    guard = local_guard(resolve=answers("127.0.0.2", "127.0.0.1"))
    async with receiving(OK) as receiver, sending(guard) as sender:
        outcome = await sender.send(receiver.url(host="hooks.test"), HEADERS, BODY)
    assert outcome.verdict is Verdict.DELIVERED


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]]
)
async def test_closed_address_is_not_connected_to(found: list[str]):
    """A name that leads inside gets no connection, even if another of its addresses is public."""
    async with receiving(OK) as receiver:
        guard = Guard(allow_http=True, allowed_ports=[receiver.port], resolve=answers(*found))
        async with sending(guard) as sender:
            outcome = await sender.send(receiver.url(host="hooks.test"), HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.REFUSED, "blocked_address")
    assert receiver.connections == 0


async def test_rebinding_name_is_not_connected_to():
    """Public when an order is posted and loopback at the connect: the second answer is judged too."""
    replies = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def fickle(_: str) -> list[str]:
        return next(replies)

    async with receiving(OK) as receiver:
        guard = Guard(allow_http=True, allowed_ports=[receiver.port], resolve=fickle)
        url = receiver.url(host="hooks.test")
        await guard.judge(url)
        async with sending(guard) as sender:
            outcome = await sender.send(url, HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.REFUSED, "blocked_address")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1/", "blocked_address"),
        ("http://[::1]/", "blocked_address"),
        ("http://2130706433/", "bad_host"),
        ("http://user:pass@hooks.test/", "credentials"),
        ("http://hooks.test:22/", "port"),
    ],
)
async def test_what_the_api_would_refuse_is_refused_when_sending(url: str, error: str):
    """An order taken under other settings is judged by those of today."""
    guard = Guard(allow_http=True, resolve=answers("93.184.216.34"))
    async with sending(guard) as sender:
        outcome = await sender.send(url, HEADERS, BODY)
    assert (outcome.verdict, outcome.status, outcome.error) == (Verdict.REFUSED, None, error)


async def test_socket_itself_is_behind_the_guard(monkeypatch: pytest.MonkeyPatch):
    """Even if names were not judged, no socket to a closed address is made."""

    async def unjudged(self: Guard, host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(Guard, "resolve", unjudged)
    async with receiving(OK) as receiver, sending(Guard(allow_http=True)) as sender:
        outcome = await sender.send(receiver.url(host="hooks.test"), HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.REFUSED, "blocked_address")
    assert receiver.connections == 0


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch):
    """A proxy would connect for us, past the guard."""
    async with receiving(OK) as proxy, receiving(OK) as receiver, sending() as sender:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert (await sender.send(receiver.url(), HEADERS, BODY)).verdict is Verdict.DELIVERED
    assert proxy.connections == 0


async def test_cookies_are_not_kept():
    """One receiver's cookie is nobody's business at the next webhook."""
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with receiving(raw) as receiver, sending() as sender:
        for _ in range(2):
            await sender.send(receiver.url(host="hooks.test"), HEADERS, BODY)
    assert b"cookie" not in receiver.requests[1].lower()


async def test_connection_is_reused_after_a_whole_answer():
    """Webhooks to one receiver share a connection while it is fresh."""
    async with receiving(OK) as receiver, sending() as sender:
        for _ in range(3):
            await sender.send(receiver.url(), HEADERS, BODY)
    assert receiver.connections == 1


async def test_connection_closed_while_idle_is_not_written_to():
    """A receiver that closes its side between two webhooks costs neither of them a try."""
    async with receiving(hangs_up_after(OK)) as receiver, sending() as sender:
        outcomes = []
        for _ in range(2):
            outcomes.append(await sender.send(receiver.url(), HEADERS, BODY))
            await asyncio.sleep(0.05)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED] * 2


async def test_cancelled_attempt_leaves_no_connection():
    """Only cancellation passes through, and it hangs up."""

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        arrived.set()
        gone.set() if await reader.read() == b"" else None

    arrived, gone = asyncio.Event(), asyncio.Event()
    async with receiving(silence) as receiver, sending() as sender:
        attempt = asyncio.ensure_future(sender.send(receiver.url(), HEADERS, BODY))
        await arrived.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        async with asyncio.timeout(HANG):
            await gone.wait()


async def test_url_and_body_are_in_no_log_record(caplog: pytest.LogCaptureFixture):
    """A callback's query may hold a secret and the body holds the code: no logger gets either."""
    caplog.set_level(logging.DEBUG)
    async with receiving(hangs_up_after(b"junk")) as receiver, sending() as sender:
        outcome = await sender.send(receiver.url("/?token=s3cret", "hooks.test"), HEADERS, b'{"otp":"493221"}')
    told = caplog.text + repr(outcome)
    assert "s3cret" not in told
    assert "493221" not in told


# --- TLS ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hooks.test, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "hooks.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_self_signed_certificate_is_refused(server_tls: ssl.SSLContext):
    """TLS is verified: no request reaches a receiver that cannot prove its name."""
    async with receiving(OK, server_tls) as receiver, sending() as sender:
        outcome = await sender.send(receiver.url(host="hooks.test", scheme="https"), HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "tls")
    assert receiver.requests == []


async def test_name_is_kept_while_the_judged_address_is_connected_to(server_tls: ssl.SSLContext, certificate: Path):
    """Certificate, SNI and Host are for the callback's name, the connection is to the judged address."""
    names: list[str | None] = []
    server_tls.sni_callback = lambda _, name, __: names.append(name)
    trust = ssl.create_default_context(cafile=str(certificate))
    async with receiving(OK, server_tls) as receiver, sending(tls=trust) as sender:
        outcome = await sender.send(receiver.url(host="hooks.test", scheme="https"), HEADERS, BODY)
    assert (outcome.verdict, names) == (Verdict.DELIVERED, ["hooks.test"])
    assert f"host: hooks.test:{receiver.port}".encode() in receiver.requests[0].lower()


async def test_certificate_for_another_name_is_refused(server_tls: ssl.SSLContext, certificate: Path):
    """A trusted certificate is not enough: it must be for the callback's host."""
    trust = ssl.create_default_context(cafile=str(certificate))
    async with receiving(OK, server_tls) as receiver, sending(tls=trust) as sender:
        outcome = await sender.send(receiver.url(host="other.test", scheme="https"), HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "tls")


async def test_tls_to_a_plain_port_is_told():
    """A receiver that speaks no TLS is a TLS failure, not a riddle."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, sending() as sender:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.send(f"https://hooks.test:{port}/", HEADERS, BODY)
    assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "tls")


def test_default_trust_verifies():
    """The default context checks chains and names."""
    context = client.public_trust()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 50
