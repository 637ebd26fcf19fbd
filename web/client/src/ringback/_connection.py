"""What both clients have in common with the wire: where the service is, the key, and how httpx is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from ringback._flows import Failed, Send
from ringback._operations import Reply
from ringback.errors import UnexpectedAnswer

LONGEST_CONNECT = 10.0
"""Seconds for connecting, writing and getting a connection: none of them is held back by the service."""
MOST_BYTES = 16_777_216
"""What an answer may have: a page of events with their payloads stays far below."""


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def address(given: str | None) -> str:
    """Where the service is; `RINGBACK_URL` unless given. Raises ValueError."""
    url = given or os.environ.get("RINGBACK_URL") or ""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError("give the service's address, like https://ringback.example, or set RINGBACK_URL")
    return url.rstrip("/")


def settings(base_url: str, api_key: str | None) -> dict[str, Any]:
    """How httpx is set up: the key (`RINGBACK_API_KEY` unless given), no redirects, JSON. Raises ValueError.

    The environment's proxies are used, but not on the way to this machine.
    """
    key = api_key or os.environ.get("RINGBACK_API_KEY") or ""
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("give the caller's API key, like rbk_…, or set RINGBACK_API_KEY")
    agent = f"ringback-client/{_version()}"
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "User-Agent": agent}
    return {"headers": headers, "follow_redirects": False, "trust_env": httpx.URL(base_url).host not in LOOPBACK}


def sent(base_url: str, step: Send) -> Mapping[str, Any]:
    """The request as httpx takes it."""
    request = step.request
    return {
        "method": request.method,
        "url": base_url + request.path,
        "params": dict(request.query) or None,
        "headers": dict(request.headers),
        "content": request.body,
        "timeout": httpx.Timeout(min(step.timeout, LONGEST_CONNECT), read=step.timeout),
    }


class Incoming:
    """An answer on its way: it has to be whole when its time is over, however steadily it drips."""

    def __init__(self, step: Send, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + step.timeout
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        """The next bytes. Raises httpx.ReadTimeout when they come too late, UnexpectedAnswer when they are too many."""
        self._body += chunk
        if self._clock() > self._until:
            raise httpx.ReadTimeout("the response was not complete in time")
        if len(self._body) > MOST_BYTES:
            raise UnexpectedAnswer("the response is larger than any from ringback")

    def whole(self, answer: httpx.Response) -> Reply:
        """The answer as the flows take it."""
        return Reply(answer.status_code, dict(answer.headers), bytes(self._body))


def failed(error: httpx.RequestError) -> Failed:
    """No answer, as the flows take it."""
    return Failed(error, sent=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout))


def _version() -> str:
    try:
        return version("ringback-client")
    except PackageNotFoundError:  # run from its sources
        return "0"
