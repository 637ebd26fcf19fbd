"""The HTTP client webhooks go out through: aiohttp, opened up to let the guard in, and to bound an answer's head.

Names are resolved by the guard and sockets are made under its eyes, so every address is judged at the moment
of connecting, while Host and the certificate's name stay those of the callback. What falls short elsewhere:
`httpx-secure` connects to an address before it judges it, judges only the one that answered, and trusts
`ipaddress.is_global`; httpx, at a hundred attempts at a time, costs seven times the CPU when its pool is split
over as many clients, and far more when it is not.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from types import SimpleNamespace

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.webhooks.answer_head import BoundedHead
from worker.webhooks.guard import Guard

KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: below Node's 5, so that we close first and never write into a close."""
NAME_CACHE = 5
"""Seconds for which a name's judged addresses are reused."""


class Blocked(OSError):
    """The guard forbids the address; an OSError, because that is what a socket factory may raise."""


def open_session(guard: Guard, agent: str, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """A session for the running loop: no proxies, cookies, decoding, or deadline of its own.

    A request's `trace_request_ctx` gets `connected = True` once its headers are out.
    """
    return aiohttp.ClientSession(
        connector=_connector(guard, tls),
        timeout=aiohttp.ClientTimeout(),
        headers={"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        trace_configs=[_tracing()],
    )


def public_trust() -> ssl.SSLContext:
    """TLS that trusts the system's authorities (SSL_CERT_FILE adds one's own) and Mozilla's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _connector(guard: Guard, tls: ssl.SSLContext) -> aiohttp.TCPConnector:
    def judged_socket(place: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = place
        if not guard.allows(str(address[0])):
            raise Blocked("the address is not public")
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=_JudgedNames(guard),
        socket_factory=judged_socket,
        ssl=tls,
        limit=0,
        keepalive_timeout=KEEP_ALIVE,
        ttl_dns_cache=NAME_CACHE,
    )
    # aiohttp has no setting for what reads answers; tests/integration/test_delivery.py notices when this ends.
    connector._factory = partial(BoundedHead, asyncio.get_running_loop())  # type: ignore[assignment]
    return connector


class _JudgedNames(AbstractResolver):
    """aiohttp's resolver: the guard's, so that a name gives either all of its addresses or none."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for address in await self._guard.resolve(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held open."""


def _tracing() -> aiohttp.TraceConfig:
    """Notes when a connection stands, which tells a receiver out of reach from one that does not answer."""

    async def connected(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.connected = True

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(connected)
    return tracing
