"""The address guard: no webhook reaches anything that is not public, whatever a name resolves to.

A callback is judged twice. When an order is posted (`judge`), so that a mistake costs nothing; and when connecting
(`resolve`, `allows`), against the very addresses that are connected to, so that a name which answers
differently the second time gains nothing by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network

from worker.settings import Settings
from worker.webhooks import target
from worker.webhooks.addresses import Address, is_public, meant
from worker.webhooks.names import Names, NameServersSilent, NoSuchName
from worker.webhooks.target import CallbackRefused, Refusal, Target

__all__ = ["CallbackRefused", "Guard", "NameServersSilent", "Refusal", "Resolve", "Target", "guard_of"]

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a name. Raises NoSuchName, or OSError when nothing could be found out."""

RESOLVE_TIMEOUT = 3.0
"""Seconds that one look-up may take."""
NOT_PUBLIC = (
    "does not lead to a public address; for local testing the operator can set RINGBACK_CALLBACK_ALLOWED_NETWORKS"
)
"""What callers are told of an address that is not public, and of a name without one: which, would map a network."""


class Guard:
    """Says which callbacks may be called. What looks a name up belongs to one event loop; all else is thread-safe."""

    def __init__(
        self,
        *,
        allow_http: bool = False,
        allowed_networks: Sequence[str] = (),
        allowed_ports: Sequence[int] | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """`allowed_networks` are CIDRs let through although they are not public, on any port.

        `allowed_ports` may be named besides 443, and 80 with `allow_http`. Raises ValueError for a
        malformed CIDR.
        """
        self._allow_http = allow_http
        self._networks = tuple(ip_network(network, strict=False) for network in allowed_networks)
        self._ports = frozenset({443, *((80,) if allow_http else ()), *(allowed_ports or ())})
        self._resolve = resolve or Names()

    async def judge(self, url: str) -> None:
        """Judge the callback of a new order. Raises CallbackRefused and NameServersSilent."""
        where = self.target(url)
        if not where.literal:
            await self.resolve(where.host, where.port)

    def target(self, url: str) -> Target:
        """All of the judgement that needs no look-up. Raises CallbackRefused."""
        where = target.read(url)
        if where.scheme == "http" and not self._allow_http:
            raise CallbackRefused(Refusal.NOT_HTTPS, "must use https")
        if where.literal:
            self._judge([where.host], where.port)
        return where

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name, once every one of them has passed, within `RESOLVE_TIMEOUT`.

        Raises CallbackRefused, and NameServersSilent when nothing could be found out about the name.
        """
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await self._resolve(host)
        except (NoSuchName, UnicodeError):
            raise _unresolvable() from None
        except OSError:
            raise NameServersSilent("no name server answered in time") from None
        return self._judge(found, port)

    def allows(self, address: str | Address) -> bool:
        """Whether an address may be connected to; what is no address may not."""
        try:
            return self._exempt(address) or is_public(address)
        except ValueError:
            return False

    def _judge(self, found: Sequence[str], port: int) -> list[str]:
        if not found:
            raise _unresolvable()
        if not all(map(self.allows, found)):
            raise CallbackRefused(Refusal.BLOCKED_ADDRESS, NOT_PUBLIC)
        if port not in self._ports and not all(map(self._exempt, found)):
            raise CallbackRefused(Refusal.PORT, f"has a port that is not one of {sorted(self._ports)}")
        return list(found)

    def _exempt(self, address: str | Address) -> bool:
        return any(meant(address) in network for network in self._networks)


def _unresolvable() -> CallbackRefused:
    return CallbackRefused(Refusal.UNRESOLVABLE, "has a host that cannot be resolved")


def guard_of(settings: Settings) -> Guard:
    """The address guard as the settings want it."""
    return Guard(
        allow_http=settings.callback_allow_http,
        allowed_networks=settings.callback_allowed_networks,
        allowed_ports=settings.callback_allowed_ports or None,
        resolve=Names(settings.callback_nameservers),
    )
