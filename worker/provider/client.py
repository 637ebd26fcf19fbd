"""The provider's calls. Network and HTTP trouble is a reply like any other: only cancellation is ever raised.

The key is in every URL (the protocol has no other place for it), so no URL, and no text of an exception that
may hold one, leaves this package: a reply's reason is our own word or the name of an exception's class.
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import httpx

from worker.provider.protocol import (
    BalanceReply,
    BuyReply,
    CancelReply,
    FinishReply,
    ServersReply,
    StatusReply,
    read_balance,
    read_buy,
    read_cancel,
    read_finish,
    read_servers,
    read_status,
)
from worker.provider.replies import Unclear, Unreached
from worker.provider.transport import Answer, Fresh, Transport
from worker.provider.wire import Wire

Heard = Callable[[str, str, str], None]
"""Told of every call: the action, the class of its reply in lower case, and the reason of one without an answer."""
Observe = Callable[[str, str, float], None]
"""Told of every call: the action, the class of its reply in lower case, and the seconds it took."""

R_co = TypeVar("R_co", covariant=True)


class Reader(Protocol[R_co]):
    """One of the `protocol` module's readers."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> R_co:
        """Bytes to a reply."""


def _ignore(_action: str, _reply: str, _seconds: float) -> None:
    """Observes nothing."""


class Provider:
    """OTPGet's Cheap Numbers API. One for a process, for its lifetime; belongs to the loop that first uses it.

    Deadlines are in seconds and cover a whole call, from waiting for a free connection to the last byte (but for the
    last look of `travel`). `poll_deadline` is for `status`, `buy_deadline` for everything else. `connections` bounds
    the polls in flight, and by itself the other calls. `tls` replaces the trust store, which otherwise is certifi's or
    `SSL_CERT_FILE`'s.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        poll_deadline: float,
        buy_deadline: float,
        connections: int = 1000,
        observe: Observe | None = None,
        heard: Heard = lambda _action, _reply, _why: None,
        clock: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        endpoint = _endpoint(base_url)
        tls = tls or httpx.create_ssl_context()
        self._rare: Transport = Fresh(endpoint, tls, connections)
        self._frequent: Transport = Wire(endpoint, tls, connections)
        self._credentials = urlencode({"api_key": api_key})
        self._status_query = f"{self._credentials}&action=getStatus&id="
        self._poll_deadline, self._deadline = poll_deadline, buy_deadline
        self._observe, self._heard, self._clock = observe or _ignore, heard, clock
        # Answers may be cached on the way, so no two queries are alike, not even across restarts.
        self._nonces = itertools.count(time.time_ns())

    async def buy(self, server: str, type: str) -> BuyReply:
        """Buy a number. Sent at most once; `Declined`, `Throttled`, `Unreached`: nothing was bought."""
        return await self._call("buy", "buyNumber", read_buy, server=server, type=type)

    async def status(self, activation: str) -> StatusReply:
        """Ask for the code."""
        query = f"{self._status_query}{quote(activation, safe='')}"
        return await self._ask("status", query, read_status, self._frequent, self._poll_deadline)

    async def cancel(self, activation: str) -> CancelReply:
        """Cancel and get the money back; safe to repeat."""
        return await self._call("cancel", "setStatus", read_cancel, id=activation, status="8")

    async def finish(self, activation: str) -> FinishReply:
        """Say that the code has arrived. 3 finishes here; elsewhere in the family it does not."""
        return await self._call("finish", "setStatus", read_finish, id=activation, status="3")

    async def balance(self) -> BalanceReply:
        """Ask for the money left."""
        return await self._call("balance", "getBalance", read_balance)

    async def servers(self, type: str) -> ServersReply:
        """Ask for the servers of this type."""
        return await self._call("servers", "getServers", partial(read_servers, type), type=type)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._frequent.aclose()
        await self._rare.aclose()

    async def _call(self, name: str, action: str, read: Reader[R_co], **parameters: str) -> R_co | Unreached | Unclear:
        query = f"{self._credentials}&{urlencode({'action': action, **parameters})}"
        return await self._ask(name, query, read, self._rare, self._deadline)

    async def _ask(
        self, name: str, query: str, read: Reader[R_co], transport: Transport, deadline: float
    ) -> R_co | Unreached | Unclear:
        started = time.perf_counter()
        answer = await transport.fetch(f"{query}&_={next(self._nonces)}", deadline)
        reply = self._read(answer, read) if isinstance(answer, Answer) else answer
        kind = type(reply).__name__.lower()
        self._observe(name, kind, time.perf_counter() - started)
        self._heard(name, kind, reply.reason if isinstance(reply, (Unreached, Unclear)) else "")
        return reply

    def _read(self, answer: Answer, read: Reader[R_co]) -> R_co:
        return read(answer.status, answer.headers, answer.body, now=self._clock())


def _endpoint(base_url: str) -> httpx.URL:
    """The one URL that all calls go to. Raises ValueError, without showing the URL, if it is none."""
    try:
        base = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ValueError("the provider's base URL is no URL") from None
    extra = base.userinfo or base.query or base.fragment
    if base.scheme not in ("http", "https") or not base.host or extra:
        raise ValueError("the provider's base URL must be http(s)://host[:port][/path] and nothing else")
    return base.copy_with(path=f"{base.path.rstrip('/')}/cheap_handler.php")
