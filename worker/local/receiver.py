"""The demo's receiver of webhooks, as a customer would write one: verify with the official library, answer 204."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook as it came in, and whether the official library accepts its signature."""

    type: str
    data: Mapping[str, Any] = field(repr=False)
    verified: bool


class Receiver:
    """Listens on this machine while used as a context manager; what came in lies in `events`."""

    def __init__(self) -> None:
        self.events: SimpleQueue[Received] = SimpleQueue()
        self.secret = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                verified = receiver.take(dict(self.headers.items()), body)
                self.send_response(204 if verified else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the demo tells its own story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/ringback"

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """Check a webhook with the official library and put it into the queue."""
        event = json_object(body)
        try:
            Webhook(self.secret).verify(body, headers)
            verified = True
        except Exception:  # whatever the library objects to, it is not verified
            verified = False
        self.events.put(Received(str(event.get("type")), event.get("data") or {}, verified))
        return verified

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object that the text is in JSON; empty if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
