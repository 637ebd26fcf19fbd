"""The web's port without a proxy, through the Procfile's own line: who holds it up, what it refuses, how it stops."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import attacks
from tests.e2e.attacks import Attack
from tests.e2e.crowd import Crowd
from tests.e2e.stack import WebAlone, wait_for

pytestmark = pytest.mark.e2e

CHECKS = 10
"""Health checks while an attack lasts."""
LONGEST, TIMES = 1.0, 100
"""A check may take a second, or so many times what it takes in quiet: a slow machine is no attack."""
BEFORE, AFTER = 300, 300
"""Requests answered before a server is told to stop or to reload, and after it has reloaded."""


@pytest.fixture(scope="module")
def web(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebAlone]:
    """The web alone, and one caller."""
    with WebAlone(tmp_path_factory.mktemp("web"), real_server) as web:
        yield web


@pytest.fixture
def own_web(real_server: str, tmp_path: Path) -> Iterator[WebAlone]:
    """The same, for a test that stops it."""
    with WebAlone(tmp_path, real_server) as web:
        yield web


def health(web: WebAlone) -> float:
    """Seconds that `GET /healthz` takes on a connection of its own."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - begun


def holds(web: WebAlone, attack: Attack) -> None:
    """Everybody else is served while an attack lasts."""
    allowed = max(LONGEST, TIMES * max(health(web) for _ in range(CHECKS)))
    with attack.on(web.port):
        taken = [health(web) for _ in range(CHECKS)]
    assert max(taken) < allowed, f"{attack.name}: {max(taken):.2f} s"


@pytest.mark.parametrize("attack", attacks.KEYLESS, ids=lambda attack: attack.__name__)
def test_others_are_served_while_clients_without_a_key_hold_connections(web: WebAlone, attack: Callable) -> None:
    """Dozens that never close, drip a head or never read, and hundreds that say nothing, hold up nobody."""
    holds(web, attack())


@pytest.mark.parametrize("attack", attacks.WITH_KEY, ids=lambda attack: attack.__name__)
def test_others_are_served_while_a_caller_drips_bodies(web: WebAlone, attack: Callable) -> None:
    """More bodies under way than there are threads hold up nobody."""
    holds(web, attack(web.api_key))


def exchange(web: WebAlone, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """What the port answers to bytes, headers in lower case."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method=sent.partition(b" ")[0].decode())
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def post(web: WebAlone, *headers: str) -> bytes:
    """The head of an order."""
    return attacks.request(
        "POST", "/v1/orders", f"Authorization: Bearer {web.api_key}", "Content-Type: application/json", *headers
    )


def test_a_body_that_drips_is_refused_in_the_end(web: WebAlone) -> None:
    """A body that stops in the middle is a 408 that says what was missing."""
    status, headers, body = exchange(web, post(web, "Content-Length: 50") + b'{"server":')
    assert (status, json.loads(body)["code"]) == (408, "too_slow")
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"x" * 8_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
    ids=["no request", "no header", "long line", "long header"],
)
def test_what_is_no_http_is_refused_as_everything_else_is(web: WebAlone, sent: bytes, expected: int) -> None:
    """The server's own refusals are problems with the security headers, and repeat nothing of what was sent."""
    status, headers, body = exchange(web, sent)
    assert status == expected
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == expected
    assert {"x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"} <= set(headers)
    assert b"xxx" not in body


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"2;\x00\r\n{}\r\n0\r\n\r\n"],
)
def test_malformed_chunks_are_a_clients_error(web: WebAlone, chunks: bytes) -> None:
    """A chunk whose size cannot be read or does not hold is a 400."""
    status, _, _ = exchange(web, post(web, "Transfer-Encoding: chunked") + chunks)
    assert status == 400


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_deep_metadata_is_a_clients_error(web: WebAlone, opens: str, closes: str) -> None:
    """However deep metadata goes, it is refused and breaks nothing."""
    for depth in range(200, 1_000, 25):
        text = f'{{"server": "1", "type": "1", "metadata": {{"x": {opens * depth}1{closes * depth}}}}}'.encode()
        status, _, _ = exchange(web, post(web, f"Content-Length: {len(text)}") + text)
        assert status in (400, 422), depth


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix"])
def test_no_header_moves_the_application(web: WebAlone, name: str) -> None:
    """A header that a proxy might set opens no path: not even from this machine."""
    sent = attacks.request("GET", "/elsewhere/healthz", f"{name}: /elsewhere")
    assert exchange(web, sent)[0] == 404


@pytest.mark.parametrize(
    "sent",
    [
        attacks.request("GET", "http://localhost/healthz"),
        attacks.request("GET", "/%68ealthz"),
        attacks.request("HEAD", "/healthz"),
        b"GET /healthz HTTP/1.0\r\n\r\n",
    ],
    ids=["whole URL", "escaped", "HEAD", "HTTP/1.0"],
)
def test_every_way_to_ask_is_understood(web: WebAlone, sent: bytes) -> None:
    """What HTTP allows a client to send is answered."""
    assert exchange(web, sent)[0] == 200


def test_a_body_in_chunks_is_an_order(web: WebAlone) -> None:
    """A body without a length is read to its end."""
    sent = post(web, "Transfer-Encoding: chunked") + b'5\r\n{"ser\r\n14\r\nver":"1","type":"1"}\r\n0\r\n\r\n'
    assert exchange(web, sent)[0] == 202


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 70000", b" " * 70_000),
        ("Content-Length: 900000", b" " * 900_000),
        ("Content-Length: 3000000", b""),
        ("Transfer-Encoding: chunked", b"dbba0\r\n" + b" " * 900_000 + b"\r\n0\r\n\r\n"),
    ],
    ids=["a little", "much", "declared only", "in chunks"],
)
def test_a_body_that_is_too_long_is_refused(web: WebAlone, head: str, body: bytes) -> None:
    """Over 64 KiB is a 413, and its sender sees the answer."""
    status, _, told = exchange(web, post(web, head) + body)
    assert (status, json.loads(told)["code"]) == (413, "too_large")


@pytest.mark.parametrize("whole_group", [False, True], ids=["the process", "its group"])
def test_a_stop_drops_nobody(own_web: WebAlone, whole_group: bool) -> None:
    """Whoever was let in is answered, on new connections and on kept ones; then the web is closed."""
    crowd = Crowd(own_web.port)
    with crowd.asking():
        crowd.wait_until_answered(BEFORE)
        (os.killpg if whole_group else os.kill)(own_web.web.pid, signal.SIGTERM)
        crowd.wait_until_gone()
    assert crowd.dropped == []
    assert set(crowd.answers) == {200}
    assert crowd.refused
    assert wait_for(lambda: not own_web.web.alive)


def test_an_idle_connection_has_its_last_request_answered(own_web: WebAlone) -> None:
    """A stopping server answers what comes on a connection that it has kept, and says that it is the last."""
    connection = http.client.HTTPConnection("127.0.0.1", own_web.port, timeout=30)
    connection.request("GET", "/healthz")
    assert not _closes(connection.getresponse())
    own_web.web.signal(signal.SIGTERM)
    wait_for(lambda: _is_closed(own_web.port), what="the closing of the web")
    connection.request("GET", "/healthz")
    assert _closes(connection.getresponse())


def _closes(answer: http.client.HTTPResponse) -> bool:
    answer.read()
    return answer.status == 200 and answer.will_close


def _is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_reload_drops_nobody(own_web: WebAlone) -> None:
    """HUP puts new processes in the place of the old ones, and nobody outside notices."""
    before = own_web.children()
    crowd = Crowd(own_web.port)
    with crowd.asking():
        crowd.wait_until_answered(BEFORE)
        own_web.web.signal(signal.SIGHUP)
        wait_for(lambda: not before & own_web.children(), 60, "the end of the old process")
        crowd.wait_until_answered(sum(crowd.answers.values()) + AFTER)
    assert crowd.dropped == []
    assert crowd.refused == 0
    assert own_web.web.alive
