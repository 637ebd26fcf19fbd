"""Whether the client that a request came from is still there.

WSGI has no word for it: gunicorn hands its socket on. Under a server that does not, every client is taken to be there.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

SOCKET = "gunicorn.socket"
"""Where gunicorn puts a request's connection."""


def has_left(environ: Mapping[str, Any]) -> bool:
    """Whether the client has closed its connection: it will never read an answer."""
    connection = environ.get(SOCKET)
    if connection is None:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):  # a closed or TLS socket cannot be peeked at
        return True
