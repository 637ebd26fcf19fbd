"""Puts many waiting orders into the store at once: `python -m tests.bench.seed COUNT FIRST CALLER CALLBACK_URL`.

Each order is accepted and then saved as bought through the store's public methods, without a purchase at the
provider and without a number_assigned webhook. Their first polls are spread evenly over one interval. A worker that
is quicker buys an order itself, and the save is refused: it is in flight either way, and once.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.bench.provider import number_of
from tests.bench.stage import INTERVAL
from worker.caller import Caps
from worker.order import Order, Purchase
from worker.schedule import Lane, Wake
from worker.settings import load
from worker.store import Store, Vault, connect

LIFE = 86_400.0
PROCESSES = 2


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
    vault = Vault(settings.vault_keys)
    store = Store(connect(settings.store_url), vault, retention=settings.retention, otp_ttl=settings.otp_ttl)
    for index in range(begin, end):
        order = accepted(index, caller, callback_url, time.time())
        store.create(order, Caps())
        phase = (index - begin) / (end - begin) * INTERVAL
        store.save(order, bought(order, index), wake=Wake(Lane.POLL, time.time() + phase))


def bought(order: Order, index: int) -> Order:
    """The order as the purchase would have left it."""
    activation, now = f"ORDER_ID_{index}", order.created_at
    number = number_of(activation.encode())
    purchase = Purchase(
        activation=activation, number=number, bought_at=now, expires_at=now + LIFE, cancel_at=now + LIFE - 60,
        cancellable_at=now + 125,
    )  # fmt: skip
    return order.intend(now).assign(purchase)


def accepted(index: int, caller: str, callback_url: str, now: float) -> Order:
    """The order as the web would have accepted it."""
    return Order(
        id=f"ord_bench{index:021d}",
        caller=caller,
        item={"server": "1", "type": "1"},
        callback_url=callback_url,
        timeout=LIFE,
        created_at=now,
        metadata={"job": "bench"},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
