"""What turns between callers cost: a claim of purchases with them and without, in one run on one server.

`python -m tests.bench.turns` prints it; `make bench` has it in its table.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import redis

from worker.local.embedded import EmbeddedStore
from worker.store import keys
from worker.store.scripts import source

CALLERS, ORDERS, MOST = 1_000, 50_000, 200
"""Callers with so many orders queued between them, and how many of those a claim takes."""
CLAIMS, ROUNDS = 50, 5
LEASE = 600_000
"""Milliseconds: nothing that was claimed comes back meanwhile."""
KEYS = [keys.due("buy"), keys.due("settle"), keys.hints("buy"), keys.LIMIT, keys.due("poll"), keys.TURNS]
WITHOUT_TURNS = """
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(redis.call("GET", KEYS[3]) or "0") > 0 then redis.call("DECR", KEYS[3]) end
redis.call("HMGET", KEYS[4], "hold", "rate", "since", "next")
local claimed = { now, "0", 0 }
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "LIMIT", 0, ARGV[2])) do
  redis.call("ZADD", KEYS[1], now + tonumber(ARGV[3]), id)
  claimed[#claimed + 1] = id
end
return claimed
"""
"""The claim as it was when the oldest due order was the next one, whoever's it was."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds in Redis for a claim of `MOST` orders, with turns and without: the medians of all rounds."""

    turns: float
    without: float

    @property
    def ratio(self) -> float:
        """How many times as much a claim costs with turns."""
        return self.turns / self.without


def measure() -> Cost:
    """Measure both by turns, so that whatever else the machine does meets both."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder)) as store:
        client: Any = redis.Redis.from_url(store.url)
        fair, plain = [], []
        for _ in range(ROUNDS):
            plain.append(_claims(client, WITHOUT_TURNS, KEYS[0]))
            fair.append(_claims(client, source("claim"), keys.TURNS))
        client.close()
    return Cost(turns=median(fair), without=median(plain))


def _claims(client: Any, script: str, queue: str) -> float:
    """Queue all orders, and claim some of them again and again; returns microseconds for one claim."""
    client.flushall()
    now = int(time.time() * 1000)
    pipe = client.pipeline(transaction=False)
    for n in range(ORDERS):
        order = f"ord_{n:024}"
        pipe.hset(keys.order(order), mapping={"v": 1, "s": "queued", "c": f"cal_{n % CALLERS:020}", "w": order})
        pipe.zadd(queue, {order: n // CALLERS if queue == keys.TURNS else now - ORDERS + n})
    pipe.execute()
    digest = client.script_load(script)
    client.config_resetstat()
    for _ in range(CLAIMS):
        reply = client.evalsha(digest, len(KEYS), *KEYS, "buy", MOST, LEASE, "")
        assert len(reply) == 3 + MOST
    return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


if __name__ == "__main__":
    cost = measure()
    sys.stdout.write(f"{cost.turns:.0f} µs with turns, {cost.without:.0f} µs without: {cost.ratio:.2f} times\n")
