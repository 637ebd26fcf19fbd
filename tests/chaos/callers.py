"""Callers that do what the documentation tells them: an answer that was lost is asked for again, with the same key."""

from __future__ import annotations

import itertools
import random
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.fates import Fate
from tests.e2e.provider import buy
from tests.e2e.stack import PLACES, Stack
from tests.flood import flooding

PATIENCE = 60.0
"""Seconds for which a caller repeats a request."""
PAUSE = 0.3
"""Seconds between two repetitions."""
SHARES = (60, 20, 12, 6, 2)
"""How much of the orders each of five callers places."""
SPEND_CAP = "100000"
"""PKR a day for one of the callers: more than all orders cost together, so that it only has every price counted."""
HOSTILE_EVERY, MOST_HOSTILE = 0.05, 1_000
"""Seconds between two orders of the hostile caller, and how many it places at most."""
LIFE = 200.0
"""Seconds a number lives: longer than its order's timeout, the outage and two leases of a killed step together."""


@dataclass(slots=True)
class Placed:
    """An order that a caller has placed, or is about to."""

    fate: Fate
    product: str
    server: str
    client: httpx.Client
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    id: str = ""


class Callers:
    """Place orders over a span of time, and cancel those whose fate it is, from threads of their own."""

    def __init__(
        self, stack: Stack, fates: Sequence[Fate], *, span: float, short_life: float, chance: random.Random
    ) -> None:
        """`span` is over how many seconds orders are placed, `short_life` how long numbers live that run out."""
        self._stack = stack
        self._short_life = short_life
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="caller")
        self._going = threading.Event()
        self._acts: list[Future[None]] = []
        self._moments = sorted(chance.uniform(0, span) for _ in fates)
        self.capped = stack.add_caller("caller-1", "--max-spend-per-day", SPEND_CAP)
        stack.others += [self.capped, *(stack.add_caller(f"caller-{n}") for n in range(2, len(SHARES)))]
        owners = chance.choices([stack.api, *stack.others], SHARES, k=len(fates))
        self.placed = [
            self._staged(fate, chance.choice(fate.products), owner) for fate, owner in zip(fates, owners, strict=True)
        ]
        self._hostile = stack.add_caller("hostile")
        self._over = threading.Event()
        self.repeated = 0

    def start(self) -> None:
        """Begin to place orders."""
        begun = time.monotonic()
        self._acts = [
            self._pool.submit(self._act, begun + at, order)
            for at, order in zip(self._moments, self.placed, strict=True)
        ]
        self._acts.append(self._pool.submit(self._annoy))

    def finish(self) -> None:
        """Wait for the last one. Raises what went wrong for any of them."""
        *placing, annoying = self._acts
        for act in placing:
            act.result(timeout=2 * PATIENCE)
        self._over.set()
        annoying.result(timeout=2 * PATIENCE)
        self._pool.shutdown()

    def place(self, order: Placed) -> None:
        """POST an order until it is accepted."""
        limit = {} if order.fate.max_price is None else {"max_price": order.fate.max_price}
        told = self._insist(order.client, "/v1/orders", order.key, {
            "product": order.product, **PLACES[order.product](order.server), **limit, "timeout": order.fate.timeout,
            "metadata": {"fate": order.fate.name}, "callback_url": self._stack.hook(order.server),
        })  # fmt: skip
        order.id = told["id"]
        self._stack.posted[order.id] = order.server
        self._stack.owners[order.id] = order.client

    def _staged(self, fate: Fate, product: str, client: httpx.Client) -> Placed:
        server, stack = self._stack.new_server(), self._stack
        text = None if fate.sms is None else (f"QX-{secrets.token_hex(5)}", fate.sms)
        life = self._short_life if fate.runs_out else LIFE
        lives = dict.fromkeys(("life", "sms_life", "email_life"), life)
        rules = {"cancel_after": stack.settings["RINGBACK_EARLIEST_CANCEL"], **lives, **fate.rules}
        stack.provider.stage(server, *fate.faults, rules=rules, sms=text, product=product)
        stack.receiver.answers[f"/hook/{server}"].extend(fate.receiver_answers)
        return Placed(fate, product, server, client)

    def _act(self, at: float, order: Placed) -> None:
        time.sleep(max(0.0, at - time.monotonic()))
        self.place(order)
        if order.fate.cancelled_after is not None:
            time.sleep(order.fate.cancelled_after)
            self._insist(order.client, f"/v1/orders/{order.id}/cancel")

    def _annoy(self) -> None:
        """The hostile caller: free orders without end, half of whose receivers flood while the others never answer."""
        server = self._stack.new_server()
        self._stack.provider.stage(server, buy("word", body="BAD_SERVER", times=-1))
        with flooding() as port, socket.create_server(("127.0.0.1", 0)) as silent:
            hooks = itertools.cycle([port, silent.getsockname()[1]])
            for n in range(MOST_HOSTILE):
                hook = f"http://127.0.0.1:{next(hooks)}/{n}"
                self._post(self._hostile, "/v1/orders", None, {"server": server, "type": "1", "callback_url": hook})
                if self._over.wait(HOSTILE_EVERY):
                    break
            self._over.wait(2 * PATIENCE)

    def _insist(
        self, client: httpx.Client, path: str, key: str | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """POST until there is an answer; a web process that is gone or cannot reach its store is asked again."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._post(client, path, key, body)
            if answer.status_code == 202:
                return dict(answer.json())
            assert answer.status_code in (409, 503), f"{path}: {answer.status_code} {answer.text}"
            assert time.monotonic() < until, f"{path}: no answer in {PATIENCE:g} s, at last {answer.text}"
            self.repeated += 1
            time.sleep(PAUSE)

    def _post(self, client: httpx.Client, path: str, key: str | None, body: dict[str, Any] | None) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            return client.post(path, json=body, headers=headers, timeout=10)
        except httpx.TransportError:
            return httpx.Response(503, text="no answer")
