"""A ringback of one's own for tests: `ringback up --sandbox` in a temporary folder, on ports that are free."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ringback._async import AsyncClient
from ringback._sync import Client
from ringback.errors import RingbackError

START_SECONDS = 90.0
"""How long the service may take until it is ready: most of it is Python, several times over, on a slow machine."""
STOP_SECONDS = 60.0
"""How long it may take to end in good order before it is killed."""
LOOK_EVERY = 0.2
LAST_LINES = 40
"""Lines of its log that are shown when it does not start."""

FOR_TESTS: Mapping[str, str] = {
    "RINGBACK_POLL_INTERVAL": "1",
    "RINGBACK_CALLBACK_ALLOW_HTTP": "true",
    "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
"""What differs from a service in production: codes are seen sooner, and webhooks may go to this machine."""


class NotInstalled(RingbackError):
    """There is no `ringback` command here."""


class NotStarted(RingbackError):
    """The service did not get ready; the message ends with the last that it logged."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller of the service, with its secrets."""

    id: str
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service and a caller of it. Its money is play money, its numbers and codes are made up."""

    url: str
    caller: Caller
    folder: Path = field(repr=False)
    _ringback: Callable[..., dict[str, Any]] = field(repr=False)

    @property
    def api_key(self) -> str:
        """The caller's API key."""
        return self.caller.api_key

    @property
    def webhook_secret(self) -> str:
        """The secret that signs the caller's webhooks."""
        return self.caller.webhook_secret

    def client(self, **options: Any) -> Client:
        """A client of the caller's, with options of `ringback.Client`."""
        return Client(self.url, self.api_key, **options)

    def async_client(self, **options: Any) -> AsyncClient:
        """The same for code that awaits."""
        return AsyncClient(self.url, self.api_key, **options)

    def new_caller(self, name: str, *options: str) -> Caller:
        """Another caller; `options` are those of `ringback caller create`."""
        return _caller(self._ringback("caller", "create", name, *options))


@contextmanager
def running(*, settings: Mapping[str, str] | None = None, callback_url: str | None = None) -> Iterator[Service]:
    """A service while the block runs; nothing of it is left behind.

    `settings` are environment variables of the service, beside and above `FOR_TESTS`. `callback_url` is where the
    caller's webhooks go. Raises NotInstalled, NotStarted.
    """
    program = find_program()
    with tempfile.TemporaryDirectory(prefix="ringback-test-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        env = _environment({**FOR_TESTS, **(settings or {})})
        up = [program, "up", "--sandbox", "--port", str(port), "--sandbox-port", str(free_port())]
        ringback = _command(program, folder, env)
        with _process(up, folder, env) as process:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url, folder)
            options = ["--callback-url", callback_url] if callback_url else []
            yield Service(url, _caller(ringback("caller", "create", "tests", *options)), folder, ringback)


def find_program() -> str:
    """The `ringback` command: beside this Python, or on the PATH. Raises NotInstalled."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("ringback", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise NotInstalled(
            "ringback.testing starts the service, and there is no `ringback` command here: install the distribution "
            "`ringback` (the service) beside `ringback-client`"
        )
    return found


def free_port() -> int:
    """A port of this machine that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of another ringback: the service is the same wherever the tests run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_") and name != "PORT"}
    return {**kept, **settings}


@contextmanager
def _process(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the tests alone, and they end the service
            preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509 - one system call
        )  # fmt: skip
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it as Ctrl-C does, which ends all that it started; kill it if it does not go."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with(parent: int) -> Callable[[], None] | None:
    """For a child of ours: it is told to end when we do, even if we are killed (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl, parent_death_signal = ctypes.CDLL(None).prctl, 1

    def ask_kernel() -> None:
        prctl(parent_death_signal, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as http:
        while not _is_ready(http, url):
            if process.poll() is not None or time.monotonic() > until:
                said = "\n".join(_log(folder).read_text(errors="replace").splitlines()[-LAST_LINES:])
                raise NotStarted(f"`ringback up --sandbox` did not get ready; the last it said:\n{said}")
            time.sleep(LOOK_EVERY)


def _is_ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(f"{url}/readyz", params={"workers": "true"}).status_code == httpx.codes.OK
    except httpx.RequestError:
        return False


def _command(program: str, folder: Path, env: Mapping[str, str]) -> Callable[..., dict[str, Any]]:
    def ringback(*arguments: str) -> dict[str, Any]:
        """Run the command on the service; gives the JSON that it prints."""
        done = subprocess.run(
            [program, *arguments, "--json"], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RingbackError(f"`ringback {' '.join(arguments[:2])}` left with {done.returncode}: {done.stderr}")
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    return ringback


def _caller(printed: Mapping[str, Any]) -> Caller:
    return Caller(printed["id"], printed["api_key"], printed["webhook_secret"])


def _log(folder: Path) -> Path:
    return folder / "ringback.log"
