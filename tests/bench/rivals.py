"""The peers' measurements: one function each, every one on a stage of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.bench.figures import Window, cpu_seconds
from tests.bench.peers.bare_loop import CONNECTIONS
from tests.bench.stage import NotReady, Stage, until


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to do the job: its name, what it needs, how its worker starts and how orders get in flight."""

    name: str
    package: str
    module: str
    worker: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """Whether its package is here."""
        return importlib.util.find_spec(self.package) is not None


CELERY = Peer(
    "plain Celery, `self.retry`",
    "celery",
    "tests.bench.peers.celery_retry",
    ("celery", "--app", "tests.bench.peers.celery_retry", "worker", "--loglevel", "WARNING"),
)
DRAMATIQ = Peer(
    "dramatiq, delayed message",
    "dramatiq",
    "tests.bench.peers.dramatiq_delay",
    ("dramatiq", "tests.bench.peers.dramatiq_delay"),
)
SAQ = Peer(
    "SAQ, rescheduled job",
    "saq",
    "tests.bench.peers.saq_reschedule",
    ("tests.bench.peers.saq_reschedule", "work"),
)
PEERS = (CELERY, DRAMATIQ, SAQ)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the provider itself can do: CPU per request, and so requests per second of one core."""

    micros: float
    rate: float

    @property
    def per_core(self) -> float:
        """Requests that one core's worth of provider answers in a second."""
        return 1e6 / self.micros


def ceiling(*, seconds: float) -> Ceiling:
    """Ask the provider as fast as the bare loop on uvloop can."""
    with Stage() as stage:
        provider = stage.started[-1]
        stage.run(bare_command("uvloop", CONNECTIONS * 20, 0), name="bare")
        time.sleep(1)
        stage.ask("/bench/window")
        before, begun = cpu_seconds([provider.pid]), time.monotonic()
        time.sleep(seconds)
        spent, lasted = cpu_seconds([provider.pid]) - before, time.monotonic() - begun
        polls = stage.figures()["polls"]
    return Ceiling(spent / polls * 1e6, polls / lasted)


def bare_command(loop: str, orders: int, interval: float) -> list[str]:
    """The command line of the bare loop."""
    return [sys.executable, "-m", "tests.bench.peers.bare_loop", loop, str(orders), str(interval)]


def bare(loop: str, orders: int, *, seconds: float, warm: float = 6.0) -> Window:
    """The bare loop at `orders` in flight, on `asyncio` or `uvloop`."""
    with Stage() as stage:
        return stage.measure([stage.run(bare_command(loop, orders, 5), name="bare")], seconds=seconds, warm=warm)


def peer(peer: Peer, orders: int, *, seconds: float, warm: float = 8.0) -> Window:
    """One of the peers at `orders` in flight; NotReady when its package is missing or it does not poll."""
    if not peer.installed:
        raise NotReady(f"{peer.package} is not installed (requirements/bench.txt)")
    with Stage() as stage:
        worker = stage.run([sys.executable, "-m", *peer.worker], name="worker")
        seed = stage.run([sys.executable, "-m", peer.module, str(orders)], name="seed")
        try:
            if seed.wait(60):
                raise NotReady(f"seeding failed: {stage.log('seed')}")
            until(lambda: stage.figures()["polls"], "the first poll")
            return stage.measure([worker], seconds=seconds, warm=warm)
        except (NotReady, subprocess.TimeoutExpired) as error:
            raise NotReady(f"{error}; {stage.log('worker')}") from None


def celery_posts(task: str, count: int) -> float:
    """CPU microseconds per webhook that a Celery worker spends: one task each, `post` or `post_kept`."""
    with Stage() as stage:
        worker = stage.run([sys.executable, "-m", *CELERY.worker], name="worker")
        send_posts(stage, task, 20)
        until(lambda: stage.figures()["hooks"] >= 20, "the first webhooks")
        stage.ask("/bench/window")
        before = cpu_seconds([worker.pid])
        send_posts(stage, task, count)
        until(lambda: stage.figures()["hooks"] >= count, "all webhooks", seconds=60)
        return (cpu_seconds([worker.pid]) - before) / count * 1e6


def send_posts(stage: Stage, task: str, count: int) -> None:
    """Enqueue `count` webhooks of the size of an order's."""
    script = (
        f"from tests.bench.peers.celery_retry import {task}; from tests.bench.payload import EVENT;"
        f"[{task}.delay('{stage.provider_url}/hook', EVENT) for _ in range({count})]"
    )
    if stage.run([sys.executable, "-c", script], name="seed").wait(60):
        raise NotReady(f"seeding failed: {stage.log('seed')}")
