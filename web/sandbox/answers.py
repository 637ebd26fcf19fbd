"""What goes back over the wire: a status, headers, a body, and the manner in which they are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any


class Manner(Enum):
    """How an answer is put on the wire."""

    WHOLE = "whole"
    CUT = "cut"
    """Fewer bytes than Content-Length promises, then the connection ends."""
    CHUNKED_CUT = "chunked_cut"
    """A chunked body whose last chunk never comes."""
    DRIP = "drip"
    """The body byte by byte."""
    RESET = "reset"
    """A TCP reset instead of an answer."""
    SILENT = "silent"
    """Not one byte, then the connection ends."""
    HANG = "hang"
    """Not one byte until the client leaves, or for `delay` seconds when that is set."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `delay` and `pace` (between two dripped bytes) in seconds, `size` in bytes."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Manner = Manner.WHOLE
    delay: float = 0.0
    pace: float = 1.0
    size: int | None = None
    """For a cut: how many bytes of the body are sent; half of them unless set."""

    @property
    def says_nothing(self) -> bool:
        """Whether the client gets not even a status line."""
        return self.manner in (Manner.RESET, Manner.SILENT, Manner.HANG)

    def sent_body(self) -> bytes:
        """The part of the body that is sent."""
        if self.manner not in (Manner.CUT, Manner.CHUNKED_CUT):
            return self.body
        return self.body[: len(self.body) // 2 if self.size is None else self.size]

    def head(self, keep_alive: bool) -> bytes:
        """The status line and the headers, up to and with the empty line."""
        lines = {"Content-Type": "text/plain; charset=utf-8", **self.headers, **self._framing()}
        lines["Connection"] = "keep-alive" if keep_alive else "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} {_reason(self.status)}\r\n{head}\r\n".encode("latin-1", "replace")

    def _framing(self) -> dict[str, str]:
        if self.manner is Manner.CHUNKED_CUT:
            return {"Transfer-Encoding": "chunked"}
        promised = len(self.body)
        if self.manner is Manner.CUT and len(self.sent_body()) >= promised:
            promised += 64
        return {"Content-Length": str(promised)}


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer of the control face."""
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which JSON lets through, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
