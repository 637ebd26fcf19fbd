"""Small facts about processes on this machine: who ends with whom, which port is free, who holds a folder."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import secrets
import signal
import socket
import stat
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
        told = ", ".join(f"{name} {value}" for name, value in details.items()) or "nothing is known about it"
        super().__init__(f"{folder} is in use by a running ringback: {told}")
        self.folder = folder
        self.details = dict(details)


class NotOurs(RingbackError):
    """A data folder, or a file in it, that somebody else made or can write: nothing in it is believed."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} {why}, so nothing in it can be trusted: run ringback in a folder of your own, or remove it"
        )


def check_ours(path: Path) -> None:
    """Raises NotOurs for a folder that is none of this user's, or that others can write in."""
    _judge(path, os.lstat(path), stat.S_ISDIR)


def _judge(path: Path, found: os.stat_result, fits: Callable[[int], bool]) -> None:
    if not fits(found.st_mode):
        raise NotOurs(path, "is a link, or not what it should be")
    if found.st_uid != os.geteuid():
        raise NotOurs(path, "belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOurs(path, "is writable by others")


def read_private(path: Path) -> str:
    """The text of a file that only this user can write. Raises OSError when there is none, and NotOurs."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOurs(path, "is a link") from None
        raise
    with open(file) as opened:
        _judge(path, os.fstat(file), stat.S_ISREG)
        return opened.read(MOST_READ)


MOST_READ = 65_536
"""Bytes read of a file in a data folder: each holds a few lines."""


class FolderLock:
    """A folder that one process at a time may use; the kernel lets go of it when that process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def acquire(self) -> None:
        """Make the folder, readable by its owner only, and hold it. Raises FolderBusy and NotOurs."""
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700, parents=True)
        check_ours(self.folder)
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
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def write_private(path: Path, text: str) -> None:
    """Replace the file's text in one step, readable by its owner only."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; empty if there is none that can be read. Raises NotOurs."""
    try:
        found = json.loads(read_private(path))
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
