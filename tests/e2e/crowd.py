"""Callers who keep asking while the server stops: what became of every request that a connection was taken for."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

AFTER_CLOSED = 3
"""Connections in a row that are refused before a caller goes home."""


class Crowd:
    """`fresh` callers open a connection for each request, `kept` ones keep theirs as long as the server lets them.

    Read `answers` (how many requests got which status), `dropped` (requests whose connection was taken, and which got
    no answer) and `refused` (connections that were not taken, as it should be once the server has stopped).
    """

    def __init__(self, port: int, *, fresh: int = 8, kept: int = 8, headers: Mapping[str, str] | None = None) -> None:
        self.answers: Counter[int] = Counter()
        self.dropped: list[str] = []
        self.refused = 0
        self._port = port
        self._headers = dict(headers or {})
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(kind == "kept",), name=f"{kind}-{number}", daemon=True)
            for kind, count in (("fresh", fresh), ("kept", kept))
            for number in range(count)
        ]

    @contextmanager
    def asking(self) -> Iterator[Crowd]:
        """The crowd asks until the context ends, and each caller until the web is closed to it."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(60)

    def wait_until_answered(self, count: int) -> None:
        """Wait until so many requests have been answered."""
        while sum(self.answers.values()) < count and not self._over.wait(0.01):
            pass

    def wait_until_gone(self, seconds: float = 60) -> None:
        """Wait until every caller has been refused."""
        for thread in self._threads:
            thread.join(seconds)

    def _ask(self, keep: bool) -> None:
        refused, connection = 0, None
        while not self._over.is_set() and refused < AFTER_CLOSED:
            try:
                connection = connection or self._connected()
            except ConnectionRefusedError:
                refused += 1
                with self._lock:
                    self.refused += 1
                self._over.wait(0.05)
                continue
            refused = 0
            if not self._asked(connection, keep):
                connection.close()
                connection = None

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.auto_open = 0  # a lost connection is seen, and not opened again
        connection.connect()
        return connection

    def _asked(self, connection: http.client.HTTPConnection, keep: bool) -> bool:
        """One request; gives whether the connection can take another."""
        try:
            headers = self._headers if keep else {**self._headers, "Connection": "close"}
            connection.request("GET", "/openapi.json", headers=headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.dropped.append(f"{threading.current_thread().name}: {type(error).__name__}")
            return False
        with self._lock:
            self.answers[answer.status] += 1
        return keep and not answer.will_close
