"""A receiver of webhooks that verifies each with the official library, and answers as told."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came; `answered` is the status it got."""

    at: float
    path: str
    headers: dict[str, str]
    raw: bytes = field(repr=False)
    answered: int
    verified: bool

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers.get("webhook-id", "")

    @property
    def message(self) -> dict[str, Any]:
        """The body."""
        return dict(json.loads(self.raw))

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.message["type"])


class Receiver:
    """Listens on 127.0.0.1. `answers[path]` holds the statuses for the next requests; after them, 204.

    At the paths of `proves` it answers the challenge in a ping.
    """

    def __init__(self) -> None:
        self.secret = ""
        self.secrets: list[str] = []
        """Those of further callers."""
        self.answers: dict[str, deque[int]] = defaultdict(deque)
        self.proves: dict[str, str] = {}
        """The secret that it answers with, by path."""
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    @property
    def url(self) -> str:
        """The root, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def deliveries(self, path: str | None = None) -> list[Delivery]:
        """Every request so far, oldest first, of one path if asked."""
        with self._lock:
            return [one for one in self._deliveries if path in (None, one.path)]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep a request; returns the status to answer."""
        verified = self._verifies(headers, body)
        with self._lock:
            answers = self.answers[path]
            status = answers.popleft() if answers else 204
            self._deliveries.append(Delivery(time.time(), path, headers, body, status, verified))
            return status

    def _verifies(self, headers: dict[str, str], body: bytes) -> bool:
        return any(_verifies(secret, headers, body) for secret in (self.secret, *self.secrets))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path.split("?")[0]
                status = receiver.take(path, headers, body)
                said = _answer(receiver.proves[path], headers, body) if path in receiver.proves else ""
                self.send_response(200 if said else status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said.encode())

            def do_GET(self) -> None:
                receiver.take(self.path.split("?")[0], {}, b"")
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests print nothing."""

        return Handler


def _answer(secret: str, headers: dict[str, str], body: bytes) -> str:
    """What proves that a receiver holds the secret, if the message asks for it."""
    challenge = json.loads(body)["data"].get("challenge")
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(headers["webhook-id"], at, challenge) if challenge else ""


def _verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except Exception:
        return False
    return True
