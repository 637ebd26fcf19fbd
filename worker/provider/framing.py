"""How an HTTP/1.1 answer is framed: where it ends, and whether its connection may serve another. Pure.

Strict: what could be read two ways is refused, because the next answer on the connection belongs to another
order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType


class Misframed(Exception):
    """The answer broke a rule of HTTP or a limit of ours; the message is the reason, in our own words."""


_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Head:
    """Status, headers and framing. `length` None and not `chunked`: the body ends with the connection."""

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunked: bool
    keep: bool


@lru_cache(maxsize=64)
def read_head(head: bytes) -> Head:
    """Parse status line and headers. Polls answered within one second mostly share theirs, hence the cache.

    Raises `Misframed` for anything whose framing could be read two ways.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    line = _STATUS_LINE.fullmatch(first)
    if not line:
        raise Misframed("bad_status_line")
    headers = _read_headers(lines)
    status, length = int(line[2]), _read_length(headers)
    chunked = _is_chunked(headers)
    if status in (204, 304) or status < 200:
        length, chunked = 0, False
    lasting = line[1] == b"1" and "close" not in headers.get("connection", "").lower()
    ambiguous = chunked and length is not None
    keep = lasting and not ambiguous and (chunked or length is not None)
    return Head(status, MappingProxyType(headers), length, chunked, keep)


def _read_headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        field = _HEADER_LINE.fullmatch(line)
        if not field:
            raise Misframed("bad_header")
        name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _read_length(headers: Mapping[str, str]) -> int | None:
    """The body's length; a length repeated with the same value is the same length."""
    values = {value.strip() for value in headers.get("content-length", "").split(",")} - {""}
    if not values:
        return None
    length = values.pop()
    if values or not re.fullmatch(r"[0-9]{1,15}", length):
        raise Misframed("bad_length")
    return int(length)


def _is_chunked(headers: Mapping[str, str]) -> bool:
    coding = headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise Misframed("bad_transfer_encoding")
    return coding == "chunked"


def read_chunk_size(line: bytes) -> int:
    """The size that a chunk announces; 0 is the last."""
    size = _CHUNK_LINE.fullmatch(line)
    if not size:
        raise Misframed("bad_chunk")
    return int(size[1], 16)
