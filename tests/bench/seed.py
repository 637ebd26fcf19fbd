"""Puts many waiting orders into the store at once: `python -m tests.bench.seed COUNT FIRST CALLER CALLBACK_URL`.

Each order takes the same steps as a bought one (accepted, intended, assigned) through the store's public methods,
without a purchase at the provider and without a number_assigned webhook. Their first polls are spread evenly over
one interval.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.bench.provider import number_of
from tests.bench.stage import INTERVAL
from worker.order import Order
from worker.settings import load
from worker.store import Caps, DoorStore, Vault, Wake, connect

LIFE = 86_400.0
PROCESSES = 2
AHEAD = 10.0
"""Orders are dated so many seconds ahead: none is due for a purchase before it is waiting."""


def main(count: int, first: int, caller: str, callback_url: str) -> None:
    """Seed `count` orders whose activations are numbered from `first` on."""
    middle = first + count // PROCESSES
    with ProcessPoolExecutor(PROCESSES) as pool:
        halves = [(first, middle), (middle, first + count)]
        for done in [pool.submit(seed, begin, end, caller, callback_url) for begin, end in halves]:
            done.result()


def seed(begin: int, end: int, caller: str, callback_url: str) -> None:
    """Seed the orders numbered `begin` to `end`."""
    settings = load("tool")
    vault = Vault([key.get_secret_value() for key in settings.encryption_keys])
    store = DoorStore(connect(settings.store_url), vault, retention=settings.retention, otp_ttl=settings.otp_ttl)
    for index in range(begin, end):
        steps = list(moments(accepted(index, caller, callback_url, time.time() + AHEAD), index))
        store.create(steps[0], Caps())
        store.save(steps[0], steps[1], wake=None)
        phase = (index - begin) / (end - begin) * INTERVAL
        store.save(steps[1], steps[2], wake=Wake("poll", time.time() + phase))


def moments(order: Order, index: int) -> Iterator[Order]:
    """An order accepted, about to be bought, and waiting."""
    now = order.created_at
    yield order
    yield (order := order.intend(now))
    activation = f"ORDER_ID_{index}"
    number = number_of(activation.encode())
    yield order.assign(activation, number, now, life=LIFE, cancel_after=LIFE - 60)


def accepted(index: int, caller: str, callback_url: str, now: float) -> Order:
    """The order as the door would have accepted it."""
    return Order(
        id=f"ord_bench{index:021d}",
        caller=caller,
        server="1",
        type="1",
        callback_url=callback_url,
        timeout=LIFE,
        created_at=now,
        metadata={"job": "bench"},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
