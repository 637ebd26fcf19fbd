"""One HTTP GET, from its connection to the last byte of its answer, and a plain word for whatever went wrong.

`Fresh` opens a connection for each call and never repeats anything, which is what buying needs. It drives
httpx's transport without the client around it: no redirects, cookies, proxies from the environment, retries,
decompression or log lines with URLs, because the code for them is not there.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

from worker.provider.replies import Unclear, Unreached

BODY_LIMIT: Final = 65_536
"""Bytes read of an answer's body; the longest sensible answer, a whole SMS, has a few thousand."""

LAST_LOOK: Final = 0.2
"""Seconds past a deadline in which what has come in is still read: a purchase's answer cannot be asked for again."""

HEADERS: Final[Mapping[str, str]] = {
    "User-Agent": "ringback",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-cache",
}


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# Their lines carry headers and could carry URLs, and the key is in every URL. The filter holds even
# where somebody turns the level down again.
for _name in ("httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).setLevel(logging.WARNING)
    logging.getLogger(_name).addFilter(_is_warning)


class Misframed(Exception):
    """The answer broke a rule of HTTP or a limit of ours; the message is the reason, in our own words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, fully received."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """What the client sends its queries through. Raises nothing but cancellation."""

    async def fetch(self, query: str, deadline: float) -> Answer | Unreached | Unclear:
        """GET the endpoint with this query string, within `deadline` seconds from now to the last byte.

        `Fresh` then takes one last look: see `travel`.
        """

    async def aclose(self) -> None:
        """Close what is open."""


@dataclass(slots=True)
class Trip:
    """How far one call has come, so that whatever stops it can be judged."""

    sent: bool = False
    answer: Answer | None = None


async def travel(
    deadline: float, go: Callable[[Trip], Awaitable[None]], *, last_look: float = 0.0
) -> Answer | Unreached | Unclear:
    """Run `go` under a deadline in seconds. A complete answer stands, whatever happens after it.

    What was sent by the deadline has `last_look` seconds more, in which an answer that has come in is still read: in a
    process that stood still, the deadline passes before the loop has looked at the socket. Nothing is sent in them.
    """
    trip = Trip()
    reason = "no_answer"
    try:
        async with asyncio.timeout(deadline) if not last_look else _patiently(trip, deadline, last_look):
            await go(trip)
    except TimeoutError:
        reason = "timeout"
    except Misframed as error:
        reason = str(error)
    except Exception as error:
        # Whatever it is, only its class goes on: its text may hold the URL.
        reason = type(error).__name__
    return trip.answer or (Unclear(reason) if trip.sent else Unreached(reason))


@asynccontextmanager
async def _patiently(trip: Trip, deadline: float, last_look: float) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        reached = loop.call_later(deadline, lambda: limit.reschedule(loop.time() + (last_look if trip.sent else 0.0)))
        try:
            yield
        finally:
            reached.cancel()


class Fresh:
    """A new connection for every call; calls share the trust store and the bound on their number."""

    def __init__(self, endpoint: httpx.URL, tls: ssl.SSLContext, connections: int) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._slots = asyncio.Semaphore(connections)

    async def fetch(self, query: str, deadline: float) -> Answer | Unreached | Unclear:
        """See `Transport`."""
        url = self._endpoint.copy_with(query=query.encode("ascii"))
        return await travel(deadline, lambda trip: self._exchange(trip, url), last_look=LAST_LOOK)

    async def aclose(self) -> None:
        """Nothing stays open between calls."""

    async def _exchange(self, trip: Trip, url: httpx.URL) -> None:
        request = httpx.Request("GET", url, headers=HEADERS, extensions={"trace": _watch(trip)})
        async with self._slots, httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > BODY_LIMIT:
                        raise Misframed("too_big")
                trip.answer = Answer(response.status_code, response.headers, bytes(body))
            finally:
                await response.aclose()


def _watch(trip: Trip) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """Notes the moment from which the provider may have seen the request."""

    async def on_event(name: str, _info: Mapping[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            trip.sent = True

    return on_event
