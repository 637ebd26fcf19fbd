"""Ringback on a stage: the lines of the Procfile, filled over HTTP like any caller would."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet

from tests.bench.figures import Window, cpu_seconds, redis_bytes, resident_bytes
from tests.bench.payload import ORDER
from tests.bench.poster import Posted, post
from tests.bench.stage import ROOT, NotReady, Stage, free_port, until

FILL_CONNECTIONS = 32
SEEDED_FROM = 1_000_000
"""Seeded activations are numbered from here on, clear of those that the provider sells."""
SETTLE = 2.0
"""Seconds without a new webhook after which the number_assigned webhooks count as delivered."""


def procfile(role: str) -> list[str]:
    """A Procfile line's command, run with this interpreter."""
    lines = dict(line.split(":", 1) for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line)
    program, *options = shlex.split(lines[role])
    return [sys.executable, "-m", program, *options]


@dataclass(slots=True)
class Engine:
    """Ringback's processes on a stage, and the one caller whose orders they carry."""

    stage: Stage
    port: int = field(default_factory=free_port)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    caller: str = ""
    key: str = ""
    seeded: int = 0
    env: dict[str, str] = field(default_factory=dict)

    def start(self, **settings: str) -> None:
        """Start the web and one worker, and make the caller; `settings` go into the environment."""
        self.env = self.settings() | settings
        self.stage.run(procfile("web"), name="web", **self.env)
        self.add_worker()
        try:
            until(self.healthy, "the web and a worker", seconds=30)
        except NotReady as error:
            raise NotReady(f"{error}; {self.stage.log('web', 1)}; {self.stage.log('worker', 1)}") from None
        self.make_caller()

    def settings(self) -> dict[str, str]:
        """The environment of ringback's processes: the bench's provider, orders that outlive the bench."""
        return {
            "PORT": str(self.port),
            "RINGBACK_BIND": "127.0.0.1",
            "RINGBACK_REDIS_URL": self.stage.redis_url,
            "RINGBACK_OTPGET_BASE_URL": f"{self.stage.provider_url}/stubs",
            "RINGBACK_OTPGET_API_KEY": "bench",
            "RINGBACK_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "RINGBACK_CALLBACK_ALLOW_HTTP": "true",
            "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "RINGBACK_ORDER_TIMEOUT": "7200",
            "RINGBACK_CALLER_STORAGE": str(10**12),  # one caller stands for all
            "RINGBACK_WEBHOOKS_PER_MINUTE": str(10**9),
        }

    def add_worker(self, *, queues: str = "", **settings: str) -> subprocess.Popen[bytes]:
        """Start one more worker, on all queues or on the named ones only."""
        argv = procfile("worker")
        if queues:
            argv[argv.index("--queues") + 1] = queues
        name = ["--hostname", f"bench{len(self.workers)}-{time.monotonic_ns()}@localhost"]
        worker = self.stage.run([*argv, *name], name="worker", **self.env | settings)
        self.workers.append(worker)
        return worker

    def reset(self) -> None:
        """Empty the store and make the caller anew; for when no worker runs."""
        self.stage.store.flushall()
        self.make_caller()

    def stop_workers(self) -> None:
        """End all workers; the orders stay."""
        for worker in self.workers:
            self.stage.stop(worker)
        self.workers.clear()

    def healthy(self) -> bool:
        """Whether the web says that it and a worker are ready."""
        return bool(self.get("/readyz?workers=true"))

    def get(self, path: str) -> dict[str, Any]:
        """A JSON answer of the web; raises httpx.HTTPError on anything but 2xx."""
        reply = self.stage.http.get(self.url(path), headers=self.headers()).raise_for_status()
        answer: dict[str, Any] = reply.json()
        return answer

    def url(self, path: str) -> str:
        """An address of the web."""
        return f"http://127.0.0.1:{self.port}{path}"

    def headers(self) -> dict[str, str]:
        """The caller's credentials."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def callback_url(self) -> str:
        """The bench's receiver of webhooks."""
        return f"{self.stage.provider_url}/hook"

    def make_caller(self) -> None:
        """Make the one caller, with its webhooks going to the bench's receiver."""
        command = [sys.executable, "-c", "from worker.cli import main; main()", "caller", "create", "bench"]
        command += ["--callback-url", self.callback_url, "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | self.env, capture_output=True, timeout=60, check=False
        )
        if done.returncode:
            raise NotReady(f"no caller: {done.stderr.decode(errors='replace')[-300:]}")
        made = json.loads(done.stdout)
        self.caller, self.key = made["id"], made["api_key"]

    def seed(self, orders: int) -> None:
        """Put orders straight into the store until `orders` are in flight; see `seed.py`."""
        missing = orders - int(self.stage.figures()["orders"])
        words = [str(missing), str(SEEDED_FROM + self.seeded), self.caller, self.callback_url]
        if self.stage.run([sys.executable, "-m", "tests.bench.seed", *words], name="seed", **self.env).wait(200):
            raise NotReady(f"seeding failed: {self.stage.log('seed')}")
        self.seeded += missing
        until(lambda: self.stage.figures()["orders"] >= orders, f"{orders} polled orders", seconds=30)

    def fill(self, orders: int) -> int:
        """Post orders until `orders` are in flight, bought, and their number_assigned webhooks delivered.

        Returns how many were posted.
        """
        missing = orders - int(self.stage.figures()["orders"])
        posted = post(
            self.url("/v1/orders"),
            ORDER,
            self.headers(),
            count=missing,
            seconds=200,
            connections=FILL_CONNECTIONS,
        )
        if posted.accepted < missing:
            raise NotReady(f"{missing} orders posted, answers by status: {dict(posted.statuses)}")
        until(lambda: self.stage.figures()["orders"] >= orders, f"{orders} purchases", seconds=90)
        self.quiet()
        return missing

    def quiet(self, *, seconds: float = 90.0) -> None:
        """Wait until no webhook has come for a while."""
        seen, since, deadline = -1, time.monotonic(), time.monotonic() + seconds
        while time.monotonic() - since < SETTLE and time.monotonic() < deadline:
            if (hooks := int(self.stage.figures()["hooks"])) != seen:
                seen, since = hooks, time.monotonic()
            time.sleep(0.25)

    def window(self, *, seconds: float, warm: float = 6.0) -> Window:
        """Measure polling as it is now."""
        return self.stage.measure(self.workers, seconds=seconds, warm=warm)

    def idle_share(self, *, seconds: float) -> float:
        """The share of one core that a worker with nothing to do takes."""
        pids = [worker.pid for worker in self.workers]
        before, begun = cpu_seconds(pids), time.monotonic()
        time.sleep(seconds)
        return (cpu_seconds(pids) - before) / (time.monotonic() - begun)

    def memory(self) -> tuple[int, int]:
        """Bytes that the store's data and the workers take."""
        return redis_bytes(self.stage.store), resident_bytes(worker.pid for worker in self.workers)

    def accept(self, *, seconds: float) -> Posted:
        """Post orders for `seconds` as fast as the web takes them."""
        return post(self.url("/v1/orders"), ORDER, self.headers(), seconds=seconds)

    def code_waits(self, *, codes: int, spread: float) -> list[float]:
        """Let `codes` orders get a code within `spread` seconds.

        Returns the seconds from each answer with the code to the first byte of its webhook.
        """
        self.stage.ask("/bench/window")
        self.stage.ask(f"/bench/codes?count={codes}&spread={spread}")
        until(lambda: len(self.stage.figures()["waits"]) >= codes, "all codes' webhooks", seconds=spread + 30)
        return [float(wait) for wait in self.stage.figures()["waits"]]

    def deliver(self, count: int) -> float:
        """CPU microseconds per webhook: a worker of the deliver queue alone, and `count` pings for it."""
        self.stop_workers()
        worker = self.add_worker(queues="deliver")
        time.sleep(4)
        self.stage.ask("/bench/window")
        before = cpu_seconds([worker.pid])
        posted = post(self.url("/v1/events/ping"), "{}", self.headers(), count=count)
        if posted.accepted < count:
            raise NotReady(f"{count} pings posted, answers by status: {dict(posted.statuses)}")
        until(lambda: self.stage.figures()["hooks"] >= count, "all pings", seconds=60)
        return (cpu_seconds([worker.pid]) - before) / count * 1e6


def bare_flask(stage: Stage, *, seconds: float) -> Posted:
    """Post orders to a Flask endpoint that does nothing, under the very command line that serves ringback."""
    port = free_port()
    argv = ["tests.bench.peers.bare_flask:create_app()" if "create_app" in word else word for word in procfile("web")]
    process = stage.run(argv, name="flask", PORT=str(port), RINGBACK_BIND="127.0.0.1")
    url = f"http://127.0.0.1:{port}/v1/orders"
    until(lambda: post(url, ORDER, {}, count=1, connections=1).accepted, "bare Flask")
    posted = post(url, ORDER, {"Authorization": "Bearer bench"}, seconds=seconds)
    stage.stop(process)
    return posted
