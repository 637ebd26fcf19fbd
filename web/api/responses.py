"""Writing answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from worker.compact_json import ascii_json

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Answer(Response):
    """An answer whose bytes and headers are known: none of them has to be worked out when it is sent."""

    def __init__(
        self, body: bytes, status: int, headers: Mapping[str, str], content_type: str = "application/json"
    ) -> None:
        payload = [*headers.items(), ("Content-Length", str(len(body)))]
        super().__init__([body], status, payload, content_type=content_type)

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """The headers as they are: complete, and in ASCII."""
        return self.headers


def answer(data: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Answer(ascii_json(data).encode(), status, {})


def unreadable(ids: Sequence[str]) -> dict[str, list[str]]:
    """What a page leaves out because its record cannot be opened here, named; nothing when that is nothing."""
    return {"unreadable": list(ids)} if ids else {}
