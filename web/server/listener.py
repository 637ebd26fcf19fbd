"""Closing a listening socket without losing whom the kernel has already let in."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress

HANDSHAKE = 0.05
"""Seconds for handshakes that are under way to come to their end, and be accepted."""

_SO_ATTACH_FILTER = 26
_BPF = struct.Struct("HBBI")
_DROP_SYN = b"".join(
    (
        _BPF.pack(0x30, 0, 0, 13),  # load the byte of TCP flags
        _BPF.pack(0x45, 0, 1, 0x02),  # SYN? else skip one
        _BPF.pack(0x06, 0, 0, 0),  # drop
        _BPF.pack(0x06, 0, 0, 0xFFFFFFFF),  # pass
    )
)
"""A classic BPF program, as linux/filter.h has it."""


def let_nobody_new_in(listener: socket.socket) -> None:
    """Let the kernel begin no handshake any more, and complete those that it has begun. Linux only.

    A connection that the kernel takes between the last `accept` and `close` is reset, after its client may have sent
    a request. A SYN that is dropped is repeated after a second, and finds the next process, or a closed port.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    argument = struct.pack("HP", len(_DROP_SYN) // _BPF.size, ctypes.addressof(program))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)


def is_held_by(pid: int, listener: socket.socket) -> bool:
    """Whether another process has the same socket open; False where it cannot be known."""
    name = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    held = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                held.add(os.readlink(entry.path))
    return name in held
