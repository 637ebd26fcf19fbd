"""Clients that mean ill by holding connections: each kind opens a bounded number, and holds them until `stop()`.

Python, because what they do is slow by nature: one thread drips on all of an attack's connections.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DRIP = 0.25
"""Seconds between two bytes of a connection that drips."""
PIPELINED = 100
"""Requests that a client who never reads sends at once; the answers are more than the buffers between us hold."""


@dataclass(frozen=True, slots=True)
class Attack:
    """`count` connections that each send `opening`, then a byte of `drip` again and again (nothing if it is empty)."""

    name: str
    count: int
    opening: bytes = b""
    drip: bytes = b""
    receive_buffer: int | None = None
    takes_hold: float = 0.5
    """Seconds that it is given to fill whatever buffers there are; an attack that needs longer only looks harmless."""

    @contextlib.contextmanager
    def on(self, port: int) -> Iterator[Attackers]:
        """Attack while the context lasts."""
        attackers = Attackers(self, port)
        try:
            attackers.start()
            yield attackers
        finally:
            attackers.stop()


class Attackers:
    """One attack under way."""

    def __init__(self, attack: Attack, port: int) -> None:
        self._attack = attack
        self._port = port
        self._sockets: list[socket.socket] = []
        self._stopped = threading.Event()
        self._dripping = threading.Thread(target=self._drip, name=attack.name, daemon=True)

    def start(self) -> None:
        """Open every connection and send what each of them begins with."""
        for _ in range(self._attack.count):
            self._sockets.append(self._connected())
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.send(self._attack.opening)
        if self._attack.drip:
            self._dripping.start()
        self._stopped.wait(self._attack.takes_hold)

    def stop(self) -> None:
        """Close every connection."""
        self._stopped.set()
        if self._dripping.is_alive():
            self._dripping.join()
        for one in self._sockets:
            one.close()

    def _connected(self) -> socket.socket:
        one = socket.socket()
        if self._attack.receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._attack.receive_buffer)
        one.settimeout(30)
        one.connect(("127.0.0.1", self._port))
        one.setblocking(False)
        return one

    def _drip(self) -> None:
        while not self._stopped.wait(DRIP):
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.send(self._attack.drip)


def request(method: str, path: str, *headers: str) -> bytes:
    """The head of a request, complete."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def silent(count: int = 400) -> Attack:
    """Connects, and says nothing."""
    return Attack("says nothing", count)


def never_closing(count: int = 60) -> Attack:
    """Asks for the connection's close, and does not close it."""
    return Attack("never closes", count, request("GET", "/healthz", "Connection: close"))


def dripping_headers(count: int = 40) -> Attack:
    """Sends a head, a byte at a time, without end."""
    return Attack("drips headers", count, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x")


def dripping_body(key: str, count: int = 40) -> Attack:
    """Sends an order's body, a byte at a time, with a caller's key."""
    head = request(
        "POST", "/v1/orders", f"Authorization: Bearer {key}", "Content-Type: application/json", "Content-Length: 60000"
    )
    return Attack("drips a body", count, head + b"{", b" ")


def dripping_chunks(key: str, count: int = 40) -> Attack:
    """The same in chunks of one byte."""
    head = request(
        "POST", "/v1/orders", f"Authorization: Bearer {key}", "Content-Type: application/json",
        "Transfer-Encoding: chunked",
    )  # fmt: skip
    return Attack("drips chunks", count, head + b"1\r\n{\r\n", b"1\r\n \r\n")


def never_reading(count: int = 40) -> Attack:
    """Asks for many large pages at once, and reads none of them."""
    return Attack("never reads", count, request("GET", "/openapi.json") * PIPELINED, receive_buffer=4096, takes_hold=5)


KEYLESS: tuple[Callable[[], Attack], ...] = (silent, never_closing, dripping_headers, never_reading)
"""The attacks that need no key."""
WITH_KEY: tuple[Callable[[str], Attack], ...] = (dripping_body, dripping_chunks)
"""The attacks of a caller."""
