"""How much of an answer's head is read: a receiver that never comes to the point is hung up on.

aiohttp waits for the final head however many interim answers (1xx) and bytes come before it, and takes all that have
arrived in one turn of the event loop: one receiver that answers `103` without end would stop everybody's work.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MOST_HEAD_BYTES = 64 * 1024
"""Bytes that are read before the final head has come."""
MOST_INTERIM_ANSWERS = 5
"""Interim answers that are read before the final one; real servers send one or two."""
PIECE = 512
"""Bytes that are parsed between two looks: what is too much is noticed before it has cost anything."""


class EndlessHead(aiohttp.ClientError):
    """The receiver sent more before its final head than is read."""


class BoundedHead(ResponseHandler):
    """aiohttp's reader of answers, with bounds on what comes before the final head."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head_bytes = self._interim = 0
        self._answered = False

    def set_response_params(self, **params: Any) -> None:
        """Begin with the answer to the next request on this connection."""
        self._head_bytes = self._interim = 0
        self._answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take over a head that was parsed."""
        code = data[0].code
        if 100 <= code < 200 and code != 101:
            self._interim += 1
        else:
            self._answered = True
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse what came: in pieces, until the final head is there."""
        start = 0
        while start < len(data) and not self._answered and self._parser is not None:
            piece = data[start : start + PIECE]
            start += len(piece)
            self._head_bytes += len(piece)
            super().data_received(piece)
            endless = self._head_bytes >= MOST_HEAD_BYTES or self._interim > MOST_INTERIM_ANSWERS
            if endless and not self._answered:
                self.set_exception(EndlessHead("the answer's head did not end"))
                if self.transport is not None:
                    self.transport.abort()
                return
        if start < len(data) or not data:
            super().data_received(data[start:])
