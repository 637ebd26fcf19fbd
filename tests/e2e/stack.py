"""The whole service as it runs in production: a real store, the lines of `Procfile` and nothing but the environment.

The provider is the sandbox, in this process, so that its ledger and its log can be read; callers and receivers
are ours too. Logs are kept in a folder and shown when a test fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.e2e.provider import STAGES, Script, Theatre
from tests.e2e.receiver import Delivery, Receiver
from worker.local.embedded import EmbeddedStore, Fsync
from worker.local.processes import ends_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TERMINAL = ("received", "expired", "cancelled", "failed")

POLL_INTERVAL, EARLIEST_CANCEL, CANCEL_RETRY, BUY_BUDGET, BUY_DEADLINE = 0.5, 1.5, 1.0, 4.0, 3.0
FAST: Mapping[str, str] = {
    "RINGBACK_POLL_INTERVAL": str(POLL_INTERVAL),
    "RINGBACK_EARLIEST_CANCEL": str(EARLIEST_CANCEL),
    "RINGBACK_CANCEL_RETRY": str(CANCEL_RETRY),
    "RINGBACK_BUY_BUDGET": str(BUY_BUDGET),
    "RINGBACK_BUY_DEADLINE": str(BUY_DEADLINE),
    "RINGBACK_PRODUCTS": "cheap,sms,email",
    "RINGBACK_WEBHOOK_SCHEDULE": "0.3,0.5,1",
    "RINGBACK_WEBHOOKS_PER_MINUTE": "1000",
    "RINGBACK_REFRESHES_PER_MINUTE": "1000",
    "RINGBACK_CALLBACK_ALLOW_HTTP": "true",
    "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
PLACES: Mapping[str, Callable[[str], dict[str, str]]] = {
    "cheap": lambda server: {"server": server, "type": "1"},
    "sms": lambda server: {"service": "tg", "country": server, "type": "4"},
    "email": lambda server: {"service": "tg", "domain": server},
}
"""What an order of each product names, so that it plays on a stage of its own."""
LIFE = 120.0
"""Seconds a number lives here unless a scenario says otherwise."""

RUNNING: list[Stack] = []
"""The stacks whose logs are of interest when a test fails."""

T = TypeVar("T")


class NotInTime(AssertionError):
    """What a test waited for did not happen."""


def wait_for(look: Callable[[], T | None], seconds: float = 30.0, what: str = "it") -> T:
    """Look until what is seen is true, and give it. Raises NotInTime."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotInTime(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.05)
    return found


@dataclass(slots=True)
class Process:
    """A line of the Procfile as it runs; killed and started again, it keeps its name and its log."""

    name: str
    line: str
    env: Mapping[str, str] = field(repr=False)
    log: Path
    popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        assert self.popen is not None, f"{self.name} was never started"
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> None:
        """Run the line as it stands."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self.line}"],
                cwd=ROOT, env=dict(self.env), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
            )  # fmt: skip

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it and its children; waits for the end if the signal is one that ends."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, how)
        if how in (signal.SIGKILL, signal.SIGTERM) and self.popen is not None:
            self.popen.wait(60)

    def signal(self, number: int) -> None:
        """Send a signal to it alone, as a supervisor does."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End it in good order, else at once."""
        if not self.alive:
            return
        try:
            self.kill(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.kill()


def procfile() -> dict[str, str]:
    """The lines of the Procfile by name."""
    lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if line.strip())
    return {name: line.strip() for name, _, line in lines}


class WebAlone:
    """The web alone, on a store that others may use, and the key of one caller."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.port = free_port()
        self.web = Process(
            "web",
            procfile()["web"],
            {
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(folder),
                "RINGBACK_REDIS_URL": store_url,
                "PORT": str(self.port),
                "RINGBACK_BIND": "127.0.0.1",
                **FAST,
            },
            folder / "web.log",
        )
        self.api_key = ""

    def __enter__(self) -> WebAlone:
        created = subprocess.run(
            [BIN / "ringback", "caller", "create", "e2e", "--callback-url", "http://127.0.0.1:9/hook", "--json"],
            env=dict(self.web.env), cwd=self.web.log.parent, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        self.api_key = json.loads(created.stdout)["api_key"]
        self.web.start()
        try:
            wait_for(self._answers, 40, "GET /healthz answering 200")
        except NotInTime:
            self.web.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.web.stop()

    def children(self) -> set[int]:
        """The ids of the processes that serve."""
        return {pid for pid in _processes() if pid != self.web.pid and _group(pid) == self.web.pid}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Stack:
    """The service, its provider, a receiver and a caller. Everything listens on 127.0.0.1 and ends with `stop()`."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        fsync: Fsync = "everysec",
        settings: Mapping[str, str] | None = None,
        worker_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.settings = {**FAST, **(settings or {})}
        self.provider_key = "pk-" + secrets.token_hex(16)
        self.store = EmbeddedStore(folder / "store", fsync=fsync)
        self.receiver = Receiver()
        self.provider = Theatre(
            api_key=self.provider_key, balance="1000000", price="10", code_after=None,
            cancel_after=EARLIEST_CANCEL, life=LIFE,
        )  # fmt: skip
        self.caller: dict[str, str] = {}
        self.posted: dict[str, str] = {}
        self.others: list[httpx.Client] = []
        """Further callers of the same web."""
        self.owners: dict[str, httpx.Client] = {}
        """Whose an order is, if not the first caller's."""
        self.web: Process
        self.workers: list[Process] = []
        self._count = workers
        self._worker_settings = worker_settings or {}
        self._servers = iter(STAGES)

    def __enter__(self) -> Stack:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Its processes.

    def start(self) -> None:
        """Start everything; returns when the web says that it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.receiver.start()
        self.provider.start()
        self.store.start()
        self.port = free_port()
        lines = procfile()
        self.web = self._process("web", lines["web"], {"PORT": str(self.port), "RINGBACK_BIND": "127.0.0.1"})
        provider = {
            "RINGBACK_OTPGET_BASE_URL": self.provider.base_url,
            "RINGBACK_OTPGET_API_KEY": self.provider_key,
            **self._worker_settings,
        }
        self.workers = [self._process(f"worker-{n + 1}", lines["worker"], provider) for n in range(self._count)]
        for process in self.processes:
            process.start()
        self.caller = self.ringback("caller", "create", "e2e", "--callback-url", self.receiver.url + "/hook")
        self.receiver.secret = self.caller["webhook_secret"]
        self.api = self.client(self.caller)
        self.wait_until_ready()

    def add_caller(self, name: str, *options: str) -> httpx.Client:
        """A further caller, whose webhooks the receiver verifies too."""
        made = self.ringback("caller", "create", name, "--callback-url", f"{self.receiver.url}/hook", *options)
        self.receiver.secrets.append(made["webhook_secret"])
        return self.client(made)

    def client(self, caller: Mapping[str, str]) -> httpx.Client:
        """The web, with a caller's key."""
        headers = {"Authorization": f"Bearer {caller['api_key']}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=70)

    @property
    def processes(self) -> list[Process]:
        """Web and workers."""
        return [self.web, *self.workers]

    def stop(self) -> None:
        """End everything that was started."""
        for process in [*self.workers, *([self.web] if hasattr(self, "web") else [])]:
            process.stop()
        for client in [*self.others, *([self.api] if hasattr(self, "api") else [])]:
            client.close()
        self.provider.stop()
        self.receiver.stop()
        self.store.stop()

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Wait until the web answers, reaches the store and has seen a worker's clock tick."""
        wait_for(
            lambda: self._get("/readyz?workers=true").status_code == 200, seconds, "/readyz?workers=true being 200"
        )

    def restart(self, process: Process, **settings: str) -> None:
        """Kill a process outright and start it again, with other settings if given (an empty one unsets)."""
        process.kill()
        process.env = {name: value for name, value in {**process.env, **settings}.items() if value}
        process.start()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `ringback` as an operator would."""
        return subprocess.run(
            [BIN / "ringback", *arguments],
            cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def ringback(self, *arguments: str) -> dict[str, Any]:
        """Run the command with `--json`; returns what it printed."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def logs(self) -> dict[str, str]:
        """What every process has logged so far."""
        files = sorted((self.folder / "logs").glob("*.log"))
        return {file.stem: file.read_text(errors="replace") for file in files}

    def _process(self, name: str, line: str, settings: Mapping[str, str]) -> Process:
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        return Process(name, line, self._environment(settings), logs / f"{name}.log")

    def _environment(self, kwargs: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RINGBACK_REDIS_URL": self.store.url,
            **self.settings,
            **(kwargs or {}),
        }

    # What a caller does.

    def new_server(self) -> str:
        """A server that nobody has bought from."""
        return str(next(self._servers))

    def post(self, server: str | None = None, /, **fields: Any) -> dict[str, Any]:
        """Post an order; its webhooks come to `/hook/<server>`. Returns the order."""
        server = server or self.new_server()
        body = {**PLACES[fields.get("product", "cheap")](server), "callback_url": self.hook(server), **fields}
        answer = self.api.post("/v1/orders", json=body)
        assert answer.status_code == 202, answer.text
        order: dict[str, Any] = answer.json()
        self.posted[order["id"]] = server
        return order

    def play(
        self,
        *faults: Script,
        rules: Mapping[str, Any] | None = None,
        sms: tuple[str, float] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Set a stage and post an order that plays on it."""
        server = self.new_server()
        self.provider.stage(server, *faults, rules=rules, sms=sms)
        return self.post(server, **fields)

    def hook(self, server: str) -> str:
        """Where the webhooks of an order from this server go."""
        return f"{self.receiver.url}/hook/{server}"

    def order(self, order_id: str) -> dict[str, Any]:
        """The order as the web shows it."""
        answer = self._get(f"/v1/orders/{order_id}", self.owners.get(order_id))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def events(self, order_id: str) -> list[dict[str, Any]]:
        """The order's events, oldest first."""
        answer = self._get("/v1/events", self.owners.get(order_id), params={"order": order_id, "limit": 50})
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["data"]))

    def cancel(self, order_id: str) -> dict[str, Any]:
        """Ask for the order's cancel."""
        answer = self.api.post(f"/v1/orders/{order_id}/cancel")
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def deliveries(self, order_id: str, type: str | None = None) -> list[Delivery]:
        """The webhooks received for an order, of one type if asked."""
        came = self.receiver.deliveries(f"/hook/{self.posted[order_id]}")
        return [one for one in came if type in (None, one.type)]

    def children(self) -> list[int]:
        """The ids of all processes of web and workers, their children included."""
        groups = {process.pid for process in self.processes if process.alive}
        return [pid for pid in _processes() if _group(pid) in groups]

    def until(self, order_id: str, status: str | tuple[str, ...], seconds: float = 40.0) -> dict[str, Any]:
        """Wait until the order has a status; returns the order."""
        wanted = (status,) if isinstance(status, str) else status

        def look() -> dict[str, Any] | None:
            order = self.order(order_id)
            return order if order["status"] in wanted else None

        return wait_for(look, seconds, f"order {order_id} becoming {' or '.join(wanted)}")

    def until_settled(self, order_id: str, settlement: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the order has ended, its money is settled and its terminal event has been delivered."""

        def look() -> dict[str, Any] | None:
            order = self.order(order_id)
            ended = order["status"] in TERMINAL and order["settlement"] == settlement
            return order if ended and self._told(order_id) else None

        try:
            return wait_for(look, seconds)
        except NotInTime:
            raise NotInTime(f"after {seconds:g} s: {self.order(order_id)} {self.events(order_id)}") from None

    def _told(self, order_id: str) -> bool:
        return all(event["status"] != "pending" for event in self.events(order_id))

    def _get(self, path: str, client: httpx.Client | None = None, **kwargs: Any) -> httpx.Response:
        """GET; a web process that is not there is a 503."""
        try:
            return (client or self.api).get(path, **kwargs)
        except httpx.TransportError:
            return httpx.Response(503)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _group(pid: int) -> int:
    """A process's group; 0 when it has gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def running_stack(folder: Path, **options: Any) -> Iterator[Stack]:
    """A stack for a fixture: stopped in the end, and its logs are shown where a test fails meanwhile."""
    stack = Stack(folder, **options)
    RUNNING.append(stack)
    try:
        with stack:
            yield stack
    finally:
        RUNNING.remove(stack)
