"""The sandbox provider on a port: the vendor's paths, and the control face beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from web.sandbox.answers import Answer, json_answer
from web.sandbox.control import direct
from web.sandbox.handlers import HANDLERS
from web.sandbox.stage import Stage
from web.sandbox.wire import MAX_HEAD, BadRequest, Reader, read_request, send

BACKLOG = 1024
"""Connections that may wait to be taken: a worker opens hundreds at once."""

SETTLING = 0.01
"""Seconds from the last accept to the close: asyncio leaks a socket that is still being set up by then."""


class Sandbox(Stage):
    """The provider look-alike, served from a thread of its own.

    with Sandbox(code_after=None) as sandbox:
        sandbox.script({"action": "buyNumber", "kind": "reset", "charged": True})
        ... point a client at sandbox.base_url ...
        assert sandbox.ledger.balance == 490

    `port=0` takes a free one and keeps it over a stop and a start. `hosts` are names by which the control face may
    be asked for, besides addresses and the names of loopback. Everything else is said at `Stage`.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, hosts: Collection[str] = (), **stage: Any) -> None:
        super().__init__(**stage)
        self._hosts = frozenset(name.lower() for name in hosts)
        self.host = host
        self.port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    @property
    def url(self) -> str:
        """The server's root, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What the provider's base URL is to a client; the handlers lie under it."""
        return f"{self.url}/stubs"

    def start(self) -> Self:
        """Listen and serve; raises OSError when the port is taken, RuntimeError when already started."""
        if self._thread is not None:
            raise RuntimeError("the sandbox is running")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        self.port = listener.getsockname()[1]
        self._stopped = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        serving = (listener, self._loop)
        self._thread = threading.Thread(target=self._run, args=serving, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Drop every connection and stop listening; what the books hold stays."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        """Take connections until told to stop. The runner then cancels their tasks, which closes them."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._protocol(loop), sock=listener, backlog=BACKLOG)
        await self._stopped.wait()
        loop.remove_reader(listener)
        await asyncio.sleep(SETTLING)
        server.close()

    def _protocol(self, loop: asyncio.AbstractEventLoop) -> asyncio.StreamReaderProtocol:
        """One connection, request after request."""
        reader = Reader(MAX_HEAD, loop)

        async def converse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                try:
                    while await self._exchange(reader, writer):
                        pass
                finally:
                    writer.close()

        return asyncio.StreamReaderProtocol(reader, converse, loop)

    async def _exchange(self, reader: Reader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        try:
            request = await read_request(reader)
        except BadRequest as problem:
            return await send(json_answer({"error": str(problem)}, 400), False, reader, writer)
        if request is None:
            return False
        handler = request.path.rpartition("/")[2]
        if handler not in HANDLERS:
            return await send(direct(self, request, self._hosts), request.keep_alive, reader, writer)
        with self.in_flight():
            allowed = request.method == "GET"
            answer = self.answer(request.query, handler) if allowed else Answer(b"", 405, {"Allow": "GET"})
            return await send(answer, request.keep_alive, reader, writer)
