"""The console's pages at 50,000 orders: `python -m tests.bench.console [--orders N]`; `make bench` has them, too.

Each page's time stands beside that of `/healthz` on the same server, one request at a time.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx
import structlog
from cryptography.fernet import Fernet
from werkzeug.serving import WSGIRequestHandler, make_server

from web.app import create_app
from worker.announce import announce
from worker.callers import Callers
from worker.journal import Entry, line
from worker.local.embedded import EmbeddedStore
from worker.operator import Role
from worker.operators import Operators
from worker.order import ErrorCode, EventType, Order, Purchase, Settlement
from worker.schedule import Lane, Wake
from worker.settings import load
from worker.store import Store, Vault, connect

ORDERS = 50_000
ROUNDS = 15
MOST = 100.0
"""Times that a page may take what `/healthz` takes."""
PATHS = (
    "/console", "/console/orders", "/console/orders?status=failed", "/console/orders?status=received&digits=77",
    "/console/orders?digits=4321", "/console/rentals", "/console/webhooks", "/console/webhooks?status=pending",
    "/console/webhooks?host=host7.example:443", "/console/callers", "/console/money", "/console/provider",
    "/console/workers", "/console/audit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """The median time of a page in seconds, and that of `/healthz` right before it."""

    taken: float
    health: float

    @property
    def ratio(self) -> float:
        """How many times as long the page takes."""
        return self.taken / self.health


class Quiet(WSGIRequestHandler):
    """Says nothing of each request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def seed(store: Store, orders: int) -> str:
    """Orders of ten callers in all states, with their webhooks and journal; returns the id of one."""
    callers = [Callers(store).create(f"Caller {number}", store.now())[0] for number in range(10)]
    now = store.now()
    for number in range(orders):
        caller = callers[number % len(callers)]
        queued = Order(
            id=f"ord_{number:024x}", caller=caller.id, item={"server": "1", "type": "1"}, created_at=now,
            callback_url=f"https://host{number % 50}.example/hook", timeout=540, purpose=f"purpose {number % 7}",
        )  # fmt: skip
        store.create(queued, caller.caps)
        if number % 10 == 0:
            failed = queued.reject(ErrorCode.NO_NUMBERS, "the provider had no numbers", now)
            events = [announce(EventType.FAILED, failed, now)]
            store.save(queued, failed, wake=None, events=events, journal=line(Entry.NOT_BOUGHT))
        elif number % 50:
            purchase = Purchase(
                activation=f"act_{number}", number=f"+92300{number:07}", bought_at=now, expires_at=now + 900,
                cancel_at=now + 540, cancellable_at=now + 125, price=Decimal("7.50"),
            )  # fmt: skip
            waiting = queued.intend(now).assign(purchase)
            received = replace(waiting.receive("482913", now), settlement=Settlement.FINISHED)
            events = [
                announce(EventType.NUMBER_ASSIGNED, waiting, now),
                announce(EventType.OTP_RECEIVED, received, now),
            ]
            store.save(queued, received, wake=Wake(Lane.SETTLE), events=events, journal=line(Entry.BOUGHT))
    return f"ord_{orders - 1:024x}"


@contextmanager
def served(folder: Path, orders: int) -> Iterator[tuple[httpx.Client, str]]:
    """A web on a real store that holds so many orders, and a viewer's client."""
    key = Fernet.generate_key().decode()
    with EmbeddedStore(folder) as embedded:
        settings = load("web", {"RINGBACK_REDIS_URL": embedded.url, "RINGBACK_ENCRYPTION_KEYS": key})
        store = Store(connect(embedded.url), Vault([key]), retention=604_800, otp_ttl=86_400)
        order = seed(store, orders)
        server = make_server("127.0.0.1", 0, create_app(settings, store=store), threaded=True, request_handler=Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        operators = Operators(store)
        link = operators.link(operators.create("bench", Role.VIEWER, store.now()).id)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
            client.post(f"/console/login/{link}")
            yield client, order
        server.shutdown()


def seconds_of(client: httpx.Client, path: str) -> float:
    """The median time of a page."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        answer = client.get(path)
        times.append(time.perf_counter() - begun)
        if answer.status_code != 200:
            raise SystemExit(f"{path} answered {answer.status_code}")
    return statistics.median(times)


def silence() -> None:
    """Have the web that runs in this process log errors alone."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def measure(orders: int) -> dict[str, Page]:
    """Every page by its path, with so many orders in the store."""
    silence()
    found = {}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), orders) as (client, order):
        for name, path in {**{one: one for one in PATHS}, "/console/orders/{id}": f"/console/orders/{order}"}.items():
            health = seconds_of(client, "/healthz")
            found[name] = Page(seconds_of(client, path), health)
    return found


def main() -> int:
    """Measure every page; 1 when one is too slow."""
    parser = argparse.ArgumentParser(description="The console's pages beside /healthz.")
    parser.add_argument("--orders", type=int, default=ORDERS)
    pages = measure(parser.parse_args().orders)
    for path, page in pages.items():
        times = f"{page.ratio:6.1f} times /healthz ({page.health * 1000:.2f} ms)"
        sys.stdout.write(f"{path:45} {page.taken * 1000:7.1f} ms  {times}\n")
    return int(any(page.ratio > MOST for page in pages.values()))


if __name__ == "__main__":
    sys.exit(main())
