"""Looking names up: asynchronous, so that a zone whose servers never answer costs others nothing (docs/adr/0013).

The hosts file comes first, then the system's name servers, as /etc/resolv.conf has them.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import aiodns
from aiodns.error import ARES_ENODATA, ARES_ENOTFOUND, DNSError

TRY_WITHIN = 1.0
"""Seconds for which a name server's answer is waited for at first; c-ares takes less where answers came fast."""
TRIES = 4
"""Questions sent to each name server, each waited for twice as long as the one before (0.25 s at least)."""


class NoSuchName(Exception):
    """The name servers say that the name does not exist or has no address."""


class NameServersSilent(OSError):
    """Nobody said anything about the name in time: nothing is known of it, and asking later may help."""


class Names:
    """Looks names up on one running event loop, for its lifetime."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        """`servers` (`host` or `host:port`) are asked instead of the system's."""
        self._servers = list(servers)
        self._resolver: aiodns.DNSResolver | None = None

    async def __call__(self, name: str) -> list[str]:
        """All addresses of a name. Raises NoSuchName and NameServersSilent."""
        try:
            found = await self._opened().getaddrinfo(name, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except DNSError as error:
            if error.args[0] in (ARES_ENOTFOUND, ARES_ENODATA):
                raise NoSuchName from None
            raise NameServersSilent(f"the look-up failed with c-ares code {error.args[0]}") from None
        addresses = (node.addr[0] for node in found.nodes)
        return list(dict.fromkeys(one.decode() if isinstance(one, bytes) else one for one in addresses))

    def _opened(self) -> aiodns.DNSResolver:
        """The resolver, made on the loop that uses it."""
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(nameservers=self._servers or None, timeout=TRY_WITHIN, tries=TRIES)
        return self._resolver
