"""A small HTTP client that posts one body over many kept-alive connections: to fill up, and for the web."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CONNECTIONS = 16


@dataclass(slots=True)
class Posted:
    """How many requests were answered with which status, and how long it took."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def accepted(self) -> int:
        """Requests answered with 2xx."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """Accepted requests per second."""
        return self.accepted / self.seconds if self.seconds else 0.0


def post(
    url: str,
    body: str,
    headers: dict[str, str],
    *,
    count: int | None = None,
    seconds: float = 60.0,
    connections: int = CONNECTIONS,
) -> Posted:
    """Post `body` to `url` until `count` were sent or `seconds` are over, `connections` at a time."""
    return asyncio.run(_post(url, body, headers, count, seconds, connections))


async def _post(
    url: str, body: str, headers: dict[str, str], count: int | None, seconds: float, connections: int
) -> Posted:
    where = urlsplit(url)
    message = _message(where.path, where.netloc, body, headers)
    posted = Posted()
    left = iter(range(count)) if count is not None else iter(int, 1)
    begun = time.monotonic()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        for _ in left:
            if time.monotonic() - begun > seconds:
                break
            writer.write(message)
            status, closing = await _answer(reader)
            posted.statuses[status] += 1
            if closing:
                writer.close()
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    posted.seconds = time.monotonic() - begun
    return posted


def _message(path: str, host: str, body: str, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [
        f"Content-Length: {len(body.encode())}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, length = head.partition(b"content-length:")
    await reader.readexactly(int(length.partition(b"\r\n")[0]))
    return int(head[9:12]), b"\r\nconnection: close" in head
