"""One delivery attempt: guard → post → read → classify, all of it inside one deadline."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from worker import retry_after
from worker.webhooks.answer_head import EndlessHead
from worker.webhooks.client import Blocked, open_session, public_trust
from worker.webhooks.guard import CallbackRefused, Guard, Refusal, Target
from worker.webhooks.outcome import EXCERPT_BYTES, Outcome, Verdict, excerpt, verdict

__all__ = ["Outcome", "Sender", "Verdict"]

ANSWER_BYTES = 64 * 1024
"""Most that is read of an answer's body; what lies beyond it decides nothing."""


class Sender:
    """Posts webhooks. One per process, used on one running event loop, for its lifetime."""

    def __init__(
        self,
        guard: Guard,
        *,
        timeout: float,
        version: str,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`timeout` is in seconds, for a whole attempt; `tls` replaces the default trust in public CAs."""
        self._guard = guard
        self._timeout = timeout
        self._agent = f"ringback/{version}"
        self._tls = tls or public_trust()
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """One attempt. Trouble on the way is an outcome, never an exception; only cancellation propagates."""
        seen = _Seen()
        started = time.monotonic()
        error = await self._attempt(url, headers, body, seen)
        took = time.monotonic() - started
        if error is None and seen.status is not None and 300 <= seen.status <= 399:
            error = "redirect"
        decision = verdict(seen.status, error)
        wait = None if decision is Verdict.DELIVERED else retry_after.read(seen.retry_after, self._clock())
        return Outcome(decision, seen.status, error, took, excerpt(bytes(seen.answer)), wait)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _attempt(self, url: str, headers: Mapping[str, str], body: bytes, seen: _Seen) -> str | None:
        """What went wrong, in a word; None when an answer came."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(self._guard.target(url), headers, body, seen)
        except TimeoutError:
            return "timeout" if seen.connected else "connect_timeout"
        except CallbackRefused as refusal:
            return "dns" if refusal.code is Refusal.UNRESOLVABLE else refusal.code.value
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _word(error)
        return None

    async def _exchange(self, where: Target, headers: Mapping[str, str], body: bytes, seen: _Seen) -> None:
        post = self._opened().post(
            _url(where), data=body, headers=headers, allow_redirects=False, trace_request_ctx=seen
        )
        async with post as answer:
            seen.status = answer.status
            seen.retry_after = answer.headers.get("Retry-After")
            await _read(answer, seen)

    def _opened(self) -> aiohttp.ClientSession:
        """The session, made on the loop that uses it."""
        if self._session is None:
            self._session = open_session(self._guard, self._agent, self._tls)
        return self._session


@dataclass(slots=True)
class _Seen:
    """What an attempt has seen so far: filled as it goes, so that one cut short still tells."""

    connected: bool = False
    status: int | None = None
    retry_after: str | None = None
    answer: bytearray = field(default_factory=bytearray)


def _url(where: Target) -> URL:
    """The callback as the guard read it, so that no second parser has a say in where it goes."""
    host = f"[{where.host}]" if ":" in where.host else where.host
    return URL(f"{where.scheme}://{host}:{where.port}{where.resource}", encoded=True)


async def _read(answer: aiohttp.ClientResponse, seen: _Seen) -> None:
    """Read the answer to its end, or to `ANSWER_BYTES` and hang up: a half-read line is not used again."""
    total = 0
    async for chunk in answer.content.iter_any():
        total += len(chunk)
        seen.answer += chunk[: EXCERPT_BYTES - len(seen.answer)]
        if total > ANSWER_BYTES:
            answer.close()
            return


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (Blocked, Refusal.BLOCKED_ADDRESS.value),
    (EndlessHead, "endless_head"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientSSLError, "tls"),
    (ssl.SSLError, "tls"),
    (ConnectionRefusedError, "connect_refused"),
    (aiohttp.ClientConnectorError, "unreachable"),
    (aiohttp.ServerDisconnectedError, "reset"),
    (aiohttp.ClientPayloadError, "reset"),
    (OSError, "reset"),
)
"""The first that fits the error or what it wraps; all else is `protocol`."""


def _word(error: BaseException) -> str:
    causes = (error, error.__cause__)
    fitting = (word for kind, word in _WORDS if any(isinstance(cause, kind) for cause in causes))
    return next(fitting, "protocol")
