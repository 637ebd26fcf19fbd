"""Whether the client that a request came from is still there: WSGI has no word for it, so `web/server/` hands it in.

Under another server nobody does, and every client is taken to be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Future
from typing import Any

DEPARTURE = "ringback.departure"
"""Where a request's `Departure` stands in its environ."""

Message = MutableMapping[str, Any]


class Departure:
    """Learns from the server that a client has hung up; for a thread, which asks, while the loop serves the client.

    Nothing is listened to before the first question: few requests ever ask.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Callable[[], Awaitable[Message]]) -> None:
        """`receive` is ASGI's, of a request that was read to its end: all that can come is the disconnect."""
        self._loop = loop
        self._receive = receive
        self._told: Future[Message] | None = None

    def __call__(self) -> bool:
        """Whether the client has left, as far as is known by now."""
        if self._told is None:
            self._told = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        return self._told.done()

    def forget(self) -> None:
        """Listen no longer: the request has been answered."""
        if self._told is not None:
            self._told.cancel()

    async def _listen(self) -> Message:
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        return message


def has_left(environ: Mapping[str, Any]) -> bool:
    """Whether the client has closed its connection: it will never read an answer."""
    departure: Callable[[], bool] | None = environ.get(DEPARTURE)
    return departure is not None and departure()
