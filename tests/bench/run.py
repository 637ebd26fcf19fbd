"""The one command: `python -m tests.bench.run [--quick] [--no-docs]`.

Measures the provider's ceiling, the floor, the peers and ringback one after the other on this machine, prints
the table and writes `docs/performance.md` with its pictures. Under ten minutes; `--quick` takes a fraction of
the loads to see that everything works, and writes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import redis
from rich.console import Console

from tests.bench import console as pages
from tests.bench import engine, indexes, report, rivals, scaling, second, turns
from tests.bench.figures import Meter
from tests.bench.plan import FULL, QUICK, Plan
from tests.bench.record import Record
from tests.bench.results import ASYNCIO, UVLOOP, Results, table
from tests.bench.stage import NotReady, Stage, end_on_terminate

console = Console(soft_wrap=False, width=max(Console().width, 140))
BUDGET = 480.0
"""Seconds after which no further part of ringback's begins, so that a busy machine ends in ten minutes, too."""


class Bench:
    """One run: its plan, what it measured so far, and how it tells what it is doing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = Results(plan)
        self.begun = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what is measured now; a step that fails is noted and the run goes on."""
        console.print(f"[dim]{time.monotonic() - self.begun:4.0f} s[/dim]  {name}")
        try:
            yield
        except (NotReady, OSError, redis.RedisError, httpx.HTTPError) as error:
            self.results.failures[name] = str(error)
            console.print(f"        [red]failed:[/red] {error}", markup=True, highlight=False)

    def run(self) -> Results:
        """Everything, in the order of the page."""
        self.floor()
        self.peers()
        self.api()
        self.turns()
        self.ringback()
        self.pages()
        return self.results

    def floor(self) -> None:
        """The provider's ceiling, then the bare loop on both event loops."""
        with self.step("the provider's own ceiling"):
            self.results.provider_micros = rivals.ceiling(seconds=4).micros
        for loop, name in (("asyncio", ASYNCIO), ("uvloop", UVLOOP)):
            with self.step(f"{name} at {self.plan.bare_orders:,} orders"):
                self.results.peers[name] = rivals.bare(loop, self.plan.bare_orders, seconds=self.plan.window)

    def peers(self) -> None:
        """The other ways to do the job, at a load that they carry."""
        for peer in rivals.PEERS:
            with self.step(f"{peer.name} at {self.plan.peer_orders:,} orders"):
                self.results.peers[peer.name] = rivals.peer(peer, self.plan.peer_orders, seconds=self.plan.window)
        with self.step("webhooks, a Celery task and httpx.post each"):
            self.results.post_micros = rivals.celery_posts("post", self.plan.posts)
        with self.step("webhooks, a Celery task each and a kept client"):
            self.results.kept_micros = rivals.celery_posts("post_kept", self.plan.posts)

    def api(self) -> None:
        """Bare Flask under ringback's gunicorn line."""
        with self.step("a bare Flask endpoint"), Stage() as stage:
            self.results.bare_api = engine.bare_flask(stage, seconds=self.plan.post_seconds).rate

    def turns(self) -> None:
        """What it costs that callers take turns."""
        with self.step("a claim among a thousand callers"):
            self.results.turns = turns.measure()

    def pages(self) -> None:
        """What the console's indexes cost those who write them, and how long its pages take."""
        with self.step("what the console's indexes cost"):
            self.results.indexes = indexes.measure(self.plan.index_rounds)
        if time.monotonic() - self.begun < BUDGET:
            with self.step(f"the console's pages at {self.plan.console_orders:,} orders"):
                self.results.pages = pages.measure(self.plan.console_orders)

    def ringback(self) -> None:
        """Ringback from idle to the largest load, on one stage."""
        with self.step("ringback starts"), Stage() as stage:
            ours = engine.Engine(stage)
            ours.start()
            for part in (self.idle, self.accepting, self.loads, self.second_worker, self.webhooks):
                if time.monotonic() - self.begun < BUDGET:
                    part(ours)
                else:
                    self.results.failures[part.__name__] = "the time was over: others keep this machine busy"

    def idle(self, ours: engine.Engine) -> None:
        """A worker with nothing to do."""
        with self.step("ringback idle"):
            time.sleep(3)
            self.results.idle = ours.idle_share(seconds=self.plan.window)

    def accepting(self, ours: engine.Engine) -> None:
        """The web alone: no worker runs, so that only what a POST costs is seen."""
        with self.step("ringback accepts orders"):
            ours.stop_workers()
            self.results.api = ours.accept(seconds=self.plan.post_seconds).rate
            ours.reset()

    def loads(self, ours: engine.Engine) -> None:
        """Each load in turn, and the codes on the way up."""
        ours.add_worker()
        empty, _ = ours.memory()
        for orders in self.plan.loads:
            with self.step(f"ringback at {orders:,} orders"):
                put = ours.fill if orders <= self.plan.codes_at else ours.seed
                put(orders)
                self.results.loads[orders] = ours.window(seconds=self.plan.window)
            if orders == self.plan.small:
                self.codes(ours, empty)

    def codes(self, ours: engine.Engine, empty: int) -> None:
        """What a waiting order takes in the store with all that belongs to it, and how soon its code is passed on."""
        with self.step(f"ringback passes codes on at {self.plan.codes_at:,} orders"):
            self.buying(ours)
            self.results.order_bytes = (ours.memory()[0] - empty) / self.plan.codes_at
            self.results.waits = ours.code_waits(codes=self.plan.codes, spread=self.plan.codes_spread)

    def buying(self, ours: engine.Engine) -> None:
        """Fill up, and note what it takes to accept and buy an order and to tell its number."""
        pids = [worker.pid for worker in ours.workers]
        before = Meter.read(pids, ours.stage.store)
        bought = ours.fill(self.plan.codes_at)
        spent = Meter.read(pids, ours.stage.store).since(before)
        self.results.bought_micros = spent.worker / bought * 1e6
        self.results.bought_redis_micros = spent.redis / bought * 1e6

    def second_worker(self, ours: engine.Engine) -> None:
        """One worker with more than it can do, then two; bounded by three things in turn (`second.py`)."""
        with self.step("a second worker, with a slow provider"):
            self.results.by_calls = second.by_calls(ours, seconds=self.plan.pair_window)
        with self.step("a second worker, half a core each"):
            self.results.by_share = second.by_share(ours, seconds=self.plan.pair_window)
        with self.step("a second worker, saturated machine"):
            self.results.by_machine = second.by_machine(ours, seconds=self.plan.pair_window)

    def webhooks(self, ours: engine.Engine) -> None:
        """What a delivery costs by itself."""
        with self.step("ringback delivers webhooks"):
            self.results.ping_micros = ours.deliver(self.plan.pings)


def main(argv: list[str] | None = None, *, show: Callable[..., None] = console.print) -> int:
    """Run, print, write; 0 unless ringback could not be measured at all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small loads and short windows; writes no page")
    parser.add_argument("--no-docs", action="store_true", help="print only")
    asked = parser.parse_args(argv)
    end_on_terminate()
    bench = Bench(QUICK if asked.quick else FULL)
    results = bench.run()
    figures = table(results)
    show(report.screen(figures))
    show(report.windows_screen(results))
    if not (asked.quick or asked.no_docs):
        show(f"written: {report.write(results, figures, seconds=time.monotonic() - bench.begun)}")
        show(f"written: {keep(results)}")
    return 0 if results.loads else 1


def keep(results: Results) -> str:
    """Keep the figures for the model and write the page that follows from them; says where, or why not.

    A run in which a load could not be measured keeps the figures of the one before.
    """
    try:
        record = Record.of(results)
    except TypeError as error:
        return f"no docs/scaling.md ({error})"
    record.write()
    return scaling.write(record)


if __name__ == "__main__":
    raise SystemExit(main())
