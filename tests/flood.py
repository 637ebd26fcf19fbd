"""A receiver that answers 103 as fast as it can, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = """
import socket, threading

def answer(connection):
    try:
        connection.recv(65536)
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\\r\\n\\r\\n" * 10_000)
    except OSError:
        connection.close()

server = socket.create_server(("127.0.0.1", 0), backlog=128)
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


@contextmanager
def flooding() -> Iterator[int]:
    """Its port, until the block ends."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()
