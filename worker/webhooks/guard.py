"""The address guard: no webhook reaches anything that is not public, whatever a name resolves to.

A callback is judged twice. When an order is posted (`check`), so that a mistake costs nothing; and when connecting
(`resolve`, `allows`), against the very addresses that are connected to, so that a name which answers
differently the second time gains nothing by it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_network

from worker.settings import Settings
from worker.webhooks import target
from worker.webhooks.addresses import Address, is_public, meant
from worker.webhooks.target import CallbackRefused, Refusal, Target

__all__ = ["CallbackRefused", "Guard", "Refusal", "Resolve", "Target", "guard_of", "system_resolve"]

Resolve = Callable[[str], Sequence[str]]
"""All addresses of a name; blocks; raises OSError when there are none."""

RESOLVE_TIMEOUT = 3.0
"""Seconds that one look-up may take."""
RESOLVER_THREADS = 16
"""Look-ups at a time: a dead name server occupies a thread until the system's resolver gives up."""


def system_resolve(name: str) -> list[str]:
    """All addresses of a name, as the system's resolver knows them."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Says which callbacks may be called. Thread-safe; one per process."""

    def __init__(
        self,
        *,
        allow_http: bool = False,
        allowed_networks: Sequence[str] = (),
        allowed_ports: Sequence[int] | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """`allowed_networks` are CIDRs let through although they are not public, on any port.

        `allowed_ports` may be named besides 443, and 80 with `allow_http`. Raises ValueError for a
        malformed CIDR.
        """
        self._allow_http = allow_http
        self._networks = tuple(ip_network(network, strict=False) for network in allowed_networks)
        self._ports = frozenset({443, *((80,) if allow_http else ()), *(allowed_ports or ())})
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    def check(self, url: str) -> None:
        """Judge the callback of a new order. Blocks for `RESOLVE_TIMEOUT` at most; raises CallbackRefused."""
        where = self.target(url)
        if not where.literal:
            self._judge(self._waited(self._lookup(where.host)), where.port)

    def target(self, url: str) -> Target:
        """All of the judgement that needs no look-up. Raises CallbackRefused."""
        where = target.read(url)
        if where.scheme == "http" and not self._allow_http:
            raise CallbackRefused(Refusal.not_https, "the callback must be https")
        if where.literal:
            self._judge([where.host], where.port)
        return where

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name, once every one of them has passed. Raises CallbackRefused."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await asyncio.wrap_future(self._lookup(host))
        except (OSError, UnicodeError):
            raise _unresolvable() from None
        return self._judge(found, port)

    def allows(self, address: str | Address) -> bool:
        """Whether an address may be connected to; what is no address may not."""
        try:
            return self._exempt(address) or is_public(address)
        except ValueError:
            return False

    def _lookup(self, host: str) -> Future[Sequence[str]]:
        return self._threads.submit(self._resolve, host)

    def _waited(self, lookup: Future[Sequence[str]]) -> Sequence[str]:
        try:
            return lookup.result(RESOLVE_TIMEOUT)
        except (OSError, UnicodeError):
            lookup.cancel()
            raise _unresolvable() from None

    def _judge(self, found: Sequence[str], port: int) -> list[str]:
        if not found:
            raise _unresolvable()
        if not all(map(self.allows, found)):
            raise CallbackRefused(Refusal.blocked_address, "the callback's host has an address that is not public")
        if port not in self._ports and not all(map(self._exempt, found)):
            raise CallbackRefused(Refusal.port, f"the callback's port is not one of {sorted(self._ports)}")
        return list(found)

    def _exempt(self, address: str | Address) -> bool:
        return any(meant(address) in network for network in self._networks)


def _unresolvable() -> CallbackRefused:
    return CallbackRefused(Refusal.unresolvable, "the callback's host does not resolve")


def guard_of(settings: Settings) -> Guard:
    """The address guard as the settings want it."""
    return Guard(
        allow_http=settings.callback_allow_http,
        allowed_networks=settings.callback_allowed_networks,
        allowed_ports=settings.callback_allowed_ports or None,
    )
