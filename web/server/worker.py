"""The process that serves: an event loop that accepts, and leaves when asked without dropping anybody."""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio import Server
from typing import TYPE_CHECKING

from gunicorn.workers.gasgi import ASGIWorker

from web.server.listener import HANDSHAKE, is_held_by, let_nobody_new_in

if TYPE_CHECKING:
    from web.server.connection import Connection

TICK = 0.1
"""Seconds between two looks: at the process above us, and, when leaving, at who is still here."""
LAST_REQUEST = 2.0
"""Seconds that an idle connection stays open when we leave: its client may be sending a request already."""
LETS_GO = 1.0
"""Seconds in which the process above us closes its listening sockets if it ends, and does not reload."""


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's event loop, serving the application in threads."""

    leaving = False

    def load_wsgi(self) -> None:
        """Make the application; what it is made of is imported here, so that a reload reads it anew."""
        from web.server.bridge import Bridge

        self.asgi = Bridge(self.app.wsgi(), int(os.environ.get("WEB_THREADS") or 32))

    def handle_exit_signal(self) -> None:
        """TERM: serve whoever is here, then end."""
        self.leaving = True

    async def _serve(self) -> None:
        from web.server.connection import Connection

        connections: set[Connection] = set()

        def connection() -> Connection:
            connections.add(made := Connection(self, connections.discard))
            return made

        listeners: list[socket.socket] = [one.sock for one in self.sockets]
        servers = [await self.loop.create_server(connection, sock=one) for one in listeners]
        while self._goes_on() and not self.leaving:  # noqa: ASYNC110 - the process above us is looked at as well
            await asyncio.sleep(TICK)
        await self._leave(listeners, servers, connections)

    def _goes_on(self) -> bool:
        self.notify()
        return bool(self.alive and self.ppid == os.getppid())

    async def _leave(self, listeners: list[socket.socket], servers: list[Server], here: set[Connection]) -> None:
        """Let the last ones in, close the listener, and stay until they have been served."""
        self.leaving = True
        if self.alive and await self._listener_closes(listeners):
            for listener in listeners:
                let_nobody_new_in(listener)
            await asyncio.sleep(HANDSHAKE)
        for server in servers:
            server.close()
        closed = self.loop.time()
        while here and self._goes_on() and self.loop.time() < closed + self.cfg.graceful_timeout:
            await asyncio.sleep(TICK)
            if self.loop.time() > closed + LAST_REQUEST:
                for one in list(here):
                    one.end_if_idle()

    async def _listener_closes(self, listeners: list[socket.socket]) -> bool:
        """Whether nobody accepts after us. At a reload the process above keeps the sockets, and other workers go on."""
        told = self.loop.time()
        while is_held_by(self.ppid, listeners[0]):
            if self.loop.time() > told + LETS_GO or not self._goes_on():
                return False
            await asyncio.sleep(TICK)
        return True
