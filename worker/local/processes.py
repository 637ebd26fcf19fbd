"""Small facts about processes on this machine: who ends with whom, which port is free, who holds a folder."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.errors import RingbackError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class FolderBusy(RingbackError):
    """Another ringback runs on this data folder; `details` is what it wrote about itself (pid, addresses)."""

    def __init__(self, folder: Path, details: Mapping[str, Any]) -> None:
        told = ", ".join(f"{name} {value}" for name, value in details.items()) or "nothing known about it"
        super().__init__(f"{folder} is in use by a running ringback: {told}")
        self.folder = folder
        self.details = dict(details)


class FolderLock:
    """A folder that one process at a time may use; the kernel lets go of it when that process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def acquire(self) -> None:
        """Make the folder, readable by its owner only, and hold it. Raises FolderBusy."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = try_lock(self.folder / "lock")
        if file is None:
            raise FolderBusy(self.folder, read_json(self.folder / "up.json"))
        self._file = file
        self.describe()

    def describe(self, **details: Any) -> None:
        """What a second comer is told besides our pid: written to `up.json`, so no secrets."""
        write_private(self.folder / "up.json", json.dumps({"pid": os.getpid(), **details}, indent=2))

    def release(self) -> None:
        """Let go, and forget what was told."""
        if self._file is not None:
            (self.folder / "up.json").unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def try_lock(path: Path) -> int | None:
    """An open file that holds the lock until every process that has it closes it; None if it is held."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def write_private(path: Path, text: str) -> None:
    """Replace the file's text in one step, readable by its owner only."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; empty if there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_alive(pid: object) -> bool:
    """Whether a process of this id runs here; False for what is no process id."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def free_port() -> int:
    """A TCP port on the loopback interface that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ends_with_parent() -> Callable[[], None] | None:
    """For Popen's `preexec_fn`: the child gets SIGTERM when the thread that started it ends (Linux only)."""
    if _LIBC is None:
        return None
    prctl, parent = _LIBC.prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
