"""From the loop to the threads: a request is read to its end (ASGI) before the application (WSGI) gets a thread for it.

Sources: the ASGI specification's "HTTP & WebSocket ASGI Message Format", 2.4; PEP 3333.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from web.api.problems import CODES, Problem
from web.api.requests import MOST_BODY
from web.client import DEPARTURE, Departure
from web.middleware import security_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[str, str]]

BODY_WITHIN = 10.0
"""Seconds in which a request's body has to arrive, however steadily it drips in."""
MOST_READ = 1 << 20
"""Bytes of a body that is too long that are read all the same: whoever is still sending might not see the answer."""


class ClientLeft(Exception):
    """The connection ended before the request did."""


class Bridge:
    """The WSGI application as an ASGI one; at most `threads` requests are in the application at a time."""

    def __init__(self, app: WSGIApplication, threads: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; what is no HTTP request is left alone."""
        if scope["type"] != "http":
            return
        try:
            async with asyncio.timeout(BODY_WITHIN):
                body = await _body(scope, receive)
        except ClientLeft:
            return
        except TimeoutError:
            slow = Problem(408, "too_slow", CODES["too_slow"]).response()
            await _send(send, slow.status_code, [*slow.headers.items(), *security_headers()], slow.get_data())
            return
        loop = asyncio.get_running_loop()
        departure = Departure(loop, receive)
        environ = _environ(scope, body)
        environ[DEPARTURE] = departure
        try:
            status, headers, answer = await loop.run_in_executor(self._threads, self._run, environ)
            await _send(send, status, headers, answer)
        finally:
            departure.forget()

    def _run(self, environ: WSGIEnvironment) -> tuple[int, Headers, bytes]:
        """The application's answer, whole: none of ours is long."""
        begun: tuple[str, Headers] = ("500", [])

        def start(line: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
            nonlocal begun
            begun = line, headers
            return written.append

        written: list[bytes] = []
        parts: Iterable[bytes] = self._app(environ, start)
        try:
            written.extend(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        line, headers = begun
        return int(line[:3]), headers, b"".join(written)


async def _body(scope: Message, receive: Receive) -> bytes:
    """The body, cut off where it is seen to be too long. Raises ClientLeft."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(declared) > MOST_READ:
        return b""  # the application refuses it by what it declares
    body, length, more = bytearray(), 0, True
    while more and length <= MOST_READ:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        body += part[: MOST_BODY + 1 - len(body)]
        length += len(part)
        more = message.get("more_body", False)
    return bytes(body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _environ(scope: Message, body: bytes) -> WSGIEnvironment:
    host, port = scope.get("server") or ("", 0)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(_path(scope["raw_path"])).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        key = _variable(name)
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    if environ.pop("HTTP_TRANSFER_ENCODING", None):
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _path(target: bytes) -> bytes:
    """The path of a request's target, which may be a whole URL (RFC 9112, 3.2.2)."""
    return target if target.startswith(b"/") else urlsplit(target).path or b"/"


def _variable(header: bytes) -> str:
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
