"""The bench's provider and webhook receiver: a raw asyncio protocol on uvloop, nobody's bottleneck.

`python -m tests.bench.provider PORT` speaks the provider's text protocol under any path that ends in
`cheap_handler.php`, takes webhooks on `POST /hook`, and is asked for what it saw under `/bench/`:

    /bench/window                    start a new window
    /bench/figures?late_after=6      the window so far, as JSON
    /bench/codes?count=500&spread=8  let so many waiting orders get a code within the next seconds
    /bench/mode?delay=0&silent=0     answer polls after `delay` seconds, and a share of `silent` never

It answers every purchase at once with a number that lives a day, and every poll with "still waiting". There
is no ledger and there are no rules: `web.sandbox` is the provider to be correct against.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import cast
from urllib.parse import parse_qsl

import uvloop

from tests.bench.arrivals import Arrivals, Codes


def answer(body: bytes, kind: bytes = b"text/plain") -> bytes:
    """A whole HTTP/1.1 answer that keeps the connection."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


WAITING = answer(b"STATUS_WAIT_CODE")
THANKS = answer(b"ok")
FIXED = {
    b"getBalance": answer(b"ACCESS_BALANCE:99999999.00"),
    b"getServers": answer(b'{"1":[{"id":"1","name":"Bench Server"}],"2":[]}', b"application/json"),
}


def number_of(activation: bytes) -> str:
    """The phone number that belongs to an activation this provider sold."""
    return f"+92300{int(activation.rpartition(b'_')[2]):07d}"


class Context:
    """Everything the provider knows; one for all connections."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.codes = Codes()
        self.sold = 0
        self.cancels: list[int] = []
        self.delay = 0.0
        self.silent = 0.0

    def buy(self) -> bytes:
        """Sell the next number."""
        self.sold += 1
        activation = b"ORDER_ID_%d" % self.sold
        self.arrivals.expect(activation, time.monotonic())
        return answer(b"%b,%b,86400" % (activation, number_of(activation).encode()))

    def status(self, activation: bytes) -> bytes:
        """Answer one poll."""
        now = time.monotonic()
        self.arrivals.note(activation, now)
        if not self.codes.ready(activation, now):
            return WAITING
        self.codes.tell(number_of(activation), now)
        self.arrivals.forget(activation)
        return answer(b"STATUS_OK:%06d" % (hash(activation) % 1_000_000))

    def settle(self, activation: bytes, status: bytes) -> bytes:
        """Finish or cancel. A cancel is noted by the polls of this window that came before it."""
        self.arrivals.forget(activation)
        if status == b"8":
            self.cancels.append(self.arrivals.polls)
        return answer(b"ACCESS_CANCEL" if status == b"8" else b"ACCESS_FINISH")

    def hook(self, body: bytes, now: float) -> bytes:
        """Take a webhook whose first byte came at `now`."""
        event = json.loads(body)
        data = event.get("data") or {}
        self.codes.hook(str(event.get("type")), data.get("number"), now)
        return THANKS

    def control(self, target: bytes) -> bytes:
        """The bench's own questions; see the module's text."""
        path, _, query = target.decode().partition("?")
        asked = dict(parse_qsl(query))
        now = time.monotonic()
        if path == "/bench/window":
            self.arrivals.window(now)
            self.codes.waits, self.codes.hooks, self.cancels = [], 0, []
        elif path == "/bench/codes":
            waiting = [key for key in self.arrivals.last if key.startswith(b"ORDER_ID_")]
            chosen = random.sample(waiting, min(int(asked["count"]), len(waiting)))
            self.codes.plan(chosen, now, float(asked["spread"]))
        elif path == "/bench/mode":
            self.delay, self.silent = float(asked.get("delay", 0)), float(asked.get("silent", 0))
        figures = self.arrivals.figures(now, late_after=float(asked.get("late_after", 6)))
        figures |= {"sold": self.sold, "hooks": self.codes.hooks, "waits": self.codes.waits, "cancels": self.cancels}
        return answer(json.dumps(figures).encode(), b"application/json")


class Connection(asyncio.Protocol):
    """One kept-alive connection: requests come whole or in pieces, answers go out in order."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.rest = b""
        self.begun = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: delayed answers have nowhere to go."""
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole by now."""
        if not self.rest:
            self.begun = time.monotonic()
        data = self.rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + (0 if data.startswith(b"GET ") else length_of(data[:end]))
            if len(data) < whole:
                break
            self.take(data, end, whole)
            data = data[whole:]
        self.rest = data

    def take(self, data: bytes, end: int, whole: int) -> None:
        """Answer one request: its head lies before `end`, its body between there and `whole`."""
        target = data[: data.find(b"\r\n")].split(b" ", 2)[1]
        at = target.find(b"action=")
        if at >= 0:
            self.provide(target, target[at + 7 :].partition(b"&")[0])
        elif target.startswith(b"/hook"):
            self.send(self.context.hook(data[end + 4 : whole], self.begun))
        else:
            self.send(self.context.control(target))

    def provide(self, target: bytes, action: bytes) -> None:
        """Answer one call of the provider's protocol."""
        if action == b"getStatus":
            self.poll(self.context.status(value_of(target, b"id=")))
        elif action == b"buyNumber":
            self.send(self.context.buy())
        elif action == b"setStatus":
            self.send(self.context.settle(value_of(target, b"id="), value_of(target, b"status=")))
        else:
            self.send(FIXED.get(action) or answer(b"BAD_ACTION"))

    def poll(self, body: bytes) -> None:
        """Send a poll's answer in the current mode: at once, late or never."""
        context = self.context
        if not context.delay and not context.silent:
            self.send(body)
        elif random.random() >= context.silent:
            asyncio.get_running_loop().call_later(context.delay, self.send, body)

    def send(self, body: bytes) -> None:
        """Write, unless the client has gone."""
        if self.transport is not None:
            self.transport.write(body)


def value_of(target: bytes, name: bytes) -> bytes:
    """The value of a query parameter, given as `name=`, in a request target."""
    for mark in (b"?" + name, b"&" + name):
        at = target.find(mark)
        if at >= 0:
            return target[at + len(mark) :].partition(b"&")[0]
    return b""


def length_of(head: bytes) -> int:
    """The Content-Length that a request's head declares; 0 without one."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve(port: int) -> None:
    """Serve on the loopback until the process is ended."""
    context = Context()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(context), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
