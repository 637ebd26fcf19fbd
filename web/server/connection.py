"""One connection: how long a client may take over it, and what the server itself answers on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol

from web.api.problems import of_status
from web.middleware import security_headers

READ_WITHIN = 10.0
"""Seconds in which a client has to read on, once the buffers between us are full."""


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's connection, with an end for clients that send no head or read no answer."""

    _reads_by: asyncio.TimerHandle | None = None

    def __init__(self, worker: Any, when_lost: Callable[[Connection], None]) -> None:
        super().__init__(worker)
        self._when_lost = when_lost

    def connection_lost(self, error: Exception | None) -> None:
        """It has ended."""
        super().connection_lost(error)
        self._when_lost(self)

    def connection_made(self, transport: Any) -> None:
        """Begin; the first head has as long as each later one, which gunicorn's own timer sees to."""
        super().connection_made(transport)
        self._arm_keepalive_timer()
        if self.worker.nr_conns > self.cfg.worker_connections:
            transport.abort()

    def pause_writing(self) -> None:
        """The client does not read: it has a while to begin again."""
        super().pause_writing()
        self._reads_by = self.worker.loop.call_later(READ_WITHIN, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        if self._reads_by:
            self._reads_by.cancel()

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        """Whether this answer is the last, and says so: each one is, once the process is leaving."""
        return bool(self.worker.leaving or super()._will_close(request, response_requires_close))

    def end_if_idle(self) -> None:
        """Hang up if the client is in no request."""
        if self._awaiting_request:
            self._keepalive_timeout()

    def _close_transport(self) -> None:
        """Close once everything is written, or the client has not read it in its time."""
        super()._close_transport()
        self.worker.loop.call_later(READ_WITHIN, self.transport.abort)

    def _send_error_response(self, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()) -> None:
        """Refuse what is no HTTP as the application refuses; the message may quote the request, and is left out."""
        body = of_status(status).response().get_data()
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *security_headers(),
            *extra_headers,
        ]
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
        self._safe_write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
