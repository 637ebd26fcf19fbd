"""Both clients before a service that answers as scripted, by a clock that moves when somebody sleeps or is held."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import ringback
from tests.fakes import ManualClock

ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: how fast they are is no part of them."""
TEXT = st.text(st.characters(codec=None), max_size=20)
"""Any text, halves of surrogate pairs among it."""
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=8,
)

URL, KEY = "https://ringback.example", "rbk_key"
CREATED = "2026-11-22T10:00:00.000Z"


def order(**fields: Any) -> dict[str, Any]:
    """An order as the API shows it."""
    return {"id": "ord_1", "status": "queued", "created_at": CREATED, **fields}


def event(number: int, otp: str | None = None) -> dict[str, Any]:
    """An event of the feed, with its payload."""
    data = order(status="received", otp=otp or f"{number:06}")
    message = {"type": "order.otp_received", "timestamp": CREATED, "data": data}
    return {
        "id": f"evt_{number}", "type": "order.otp_received", "order": "ord_1", "status": "recorded",
        "created_at": CREATED, "payload": json.dumps(message), "attempts": [],
    }  # fmt: skip


def page(*items: Any, cursor: str | None = None) -> dict[str, Any]:
    """A page of a list."""
    return {"data": list(items), "next_cursor": cursor}


def problem(status: int, code: str, **more: Any) -> dict[str, Any]:
    """The body of a problem."""
    return {"type": "about:blank", "title": "Title", "status": status, "code": code, "detail": "Why.", **more}


class Stage:
    """A client (`kind` sync or async) and what it is answered with, in order; the last answer stays."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.clock = ManualClock()
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self._script: deque[Callable[[httpx.Request], httpx.Response]] = deque()
        make: Any = ringback.Client if kind == "sync" else ringback.AsyncClient
        self.client: Any = make(
            URL, KEY, transport=httpx.MockTransport(self._handle), clock=self.clock, chance=lambda: 0.0,
            sleep=self._sleep if kind == "sync" else self._sleep_async, **options,
        )  # fmt: skip

    # The service.

    def answer(self, status: int, body: Any = None, *, takes: float = 0.0, times: int = 1, **headers: str) -> Stage:
        """Script an answer; `takes` seconds go by before it."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}

        def reply(_: httpx.Request) -> httpx.Response:
            self.clock.advance(takes)
            return httpx.Response(status, headers=told, content=content)

        self._script.extend([reply] * times)
        return self

    def drip(self, *chunks: bytes, every: float) -> Stage:
        """Script an answer whose pieces come so many seconds apart."""
        self._script.append(lambda _: httpx.Response(200, stream=_Drip(self.clock, chunks, every)))
        return self

    def fail(
        self, error: type[httpx.TransportError] = httpx.ReadTimeout, *, takes: float = 0.0, times: int = 1
    ) -> Stage:
        """Script a connection that breaks after `takes` seconds."""

        def broken(request: httpx.Request) -> httpx.Response:
            self.clock.advance(takes)
            raise error("it broke", request=request)

        self._script.extend([broken] * times)
        return self

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return (self._script.popleft() if len(self._script) > 1 else self._script[0])(request)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def _sleep_async(self, seconds: float) -> None:
        self._sleep(seconds)

    # The client.

    def do(self, call: Callable[[Any], Any]) -> Any:
        """What a call gives, awaited where that is needed."""
        given = call(self.client)
        return asyncio.run(_awaited(given)) if inspect.isawaitable(given) else given

    def items(self, iterate: Callable[[Any], Any], most: int | None = None) -> list[Any]:
        """The first `most` items of an iterator, or all."""
        given = iterate(self.client)
        if isinstance(given, Iterator):
            return list(itertools.islice(given, most))
        return asyncio.run(_taken(given, most))

    # What was asked.

    def asked(self) -> list[tuple[str, str]]:
        """Method and path with query of each request."""
        return [(one.method, one.url.raw_path.decode()) for one in self.requests]

    def queries(self) -> list[dict[str, str]]:
        """The query of each request."""
        return [dict(one.url.params) for one in self.requests]

    def timeouts(self) -> list[float]:
        """The read time-out of each request, in seconds."""
        return [one.extensions["timeout"]["read"] for one in self.requests]


class _Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, clock: ManualClock, chunks: Sequence[bytes], every: float) -> None:
        self._clock, self._chunks, self._every = clock, chunks, every

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._clock.advance(self._every)
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


async def _awaited(given: Any) -> Any:
    return await given


async def _taken(given: Any, most: int | None) -> list[Any]:
    items: list[Any] = []
    async for item in given:
        items.append(item)
        if len(items) == most:
            break
    await given.aclose()
    return items
