"""A name server on the loopback interface: one zone leads here, another never answers, the rest does not exist."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

FINE, FICKLE, SILENT = ".fine.test", ".fickle.test", ".silent.test"
HEADER = 12
A, NO_SUCH_NAME = 1, 3


class NameServer:
    """Answers over UDP. Names under `FICKLE` are answered like those under `FINE` until `fickle_is_silent` is set."""

    def __init__(self) -> None:
        self.fickle_is_silent = False
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="name-server", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens, as `RINGBACK_CALLBACK_NAMESERVERS` has it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # an empty question ends it
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            name, kind, end = _read(question)
            self.asked.append(name)
            if not (name.endswith(SILENT) or (name.endswith(FICKLE) and self.fickle_is_silent)):
                self._socket.sendto(_answer(question[:end], name, kind), client)


def _read(question: bytes) -> tuple[str, int, int]:
    """The name and the type that are asked for, and where the question ends."""
    labels, place = [], HEADER
    while length := question[place]:
        labels.append(question[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    return ".".join(labels), struct.unpack_from("!H", question, place + 1)[0], place + 5


def _answer(question: bytes, name: str, kind: int) -> bytes:
    """127.0.0.1 for an A of a name that exists, nothing for other types of it, else no such name."""
    exists = name.endswith((FINE, FICKLE))
    record = struct.pack("!HHHIH4s", 0xC000 | HEADER, A, 1, 60, 4, socket.inet_aton("127.0.0.1"))
    answers = record if exists and kind == A else b""
    flags = 0x8180 | (0 if exists else NO_SUCH_NAME)
    return question[:2] + struct.pack("!HHHHH", flags, 1, bool(answers), 0, 0) + question[HEADER:] + answers
