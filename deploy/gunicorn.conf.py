"""gunicorn for the web: a thread per request, and limits that a slow or hostile client runs into first.

Set from outside: PORT (8000), RINGBACK_BIND (0.0.0.0), WEB_CONCURRENCY (processes, 1), WEB_THREADS (32).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from worker.logs import configure

SILENCE = 5
"""Seconds a client may be silent in the middle of a request."""
HEADERS_WITHIN = 10
"""Seconds in which all of a request's headers have to arrive, however steadily they drip in."""


class PromptThreads(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's threads, which a client cannot hold by sending its request slowly or not at all."""

    def init_process(self) -> None:
        """Start the thread that hangs up, then serve."""
        self._reading: dict[Any, float] = {}
        threading.Thread(target=self._hang_up_on_the_slow, name="hang-up", daemon=True).start()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Read a request's headers, watched."""
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENCE, 0))
        self._reading[conn] = time.monotonic() + HEADERS_WITHIN
        try:
            return super().handle(conn)
        finally:
            self._reading.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The headers are in: from here on it is the app's time."""
        self._reading.pop(conn, None)
        return super().handle_request(req, conn)

    def _hang_up_on_the_slow(self) -> None:
        while True:
            time.sleep(1)
            now = time.monotonic()
            for conn in [conn for conn, until in list(self._reading.items()) if until < now]:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RDWR)


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's lines go where all others go."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's own handlers away, so that its lines reach the root's."""
        super().setup(cfg)
        configure("web", cfg.loglevel)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """A client that fell silent is no error of ours, and no traceback."""
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("Hung up on a client that fell silent.")
        else:
            super().exception(msg, *args, **kwargs)


bind = f"{os.environ.get('RINGBACK_BIND', '0.0.0.0')}:{os.environ.get('PORT') or 8000}"  # noqa: S104 - behind a proxy
proc_name = "ringback-web"
control_socket_disable = True  # nothing here is steered at run time
logger_class = JsonLogger
accesslog = None  # the web writes one line per request itself

# A waiting reader (`?wait=`) occupies a thread, so there are many; processes cost memory and share nothing.
worker_class = PromptThreads
workers = int(os.environ.get("WEB_CONCURRENCY") or 1)
threads = int(os.environ.get("WEB_THREADS") or 32)
worker_connections = 1000  # open connections per process; a slow client holds one of them, and no thread
backlog = 2048

# Longer than the longest `?wait=` (60 s); a process whose loop has hung is replaced after it.
timeout = 90
graceful_timeout = 25  # requests in progress may end; under the 30 s after which supervisors kill
keepalive = 15

# No request of ours is longer; bodies are capped by the app (64 KiB, 413).
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# A request is only as trustworthy as the proxy in front: no forwarded header is believed unless one is named.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")

# Heartbeat files on a disk that may stall make gunicorn kill healthy processes.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a heartbeat holds no data
