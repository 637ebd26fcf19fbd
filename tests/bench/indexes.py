"""What the indexes cost by which the console asks: the scripts that write, with them and without, in one run.

`python -m tests.bench.indexes` prints it; `make bench` has it in its table. A poll that still waits writes nothing at
all, so it has nothing to lose: what remains is what a process's report, once a second, takes for the figures by the
minute.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import redis
from cryptography.fernet import Fernet

from tests.bench.console import silence
from web.app import create_app
from worker.announce import announce
from worker.caller import Caps
from worker.callers import Callers
from worker.journal import Entry, line
from worker.local.embedded import EmbeddedStore
from worker.metrics import Report
from worker.order import EventType, Order, Purchase, Settlement
from worker.schedule import Lane, Wake
from worker.settings import load
from worker.store import Store, Vault, connect, figures
from worker.store.connection import Script
from worker.store.scripts import source

ROUNDS, LIVES, POSTS, REPORTS = 40, 60, 60, 60
"""How often both are measured by turns, and how much of each is done in one round."""
WRITES = {
    "create": ('redis.call("ZADD", KEYS[7], now, id)\n',),
    "save": (
        """if KEYS[15] ~= KEYS[16] then
  local created = redis.call("ZSCORE", KEYS[15], id)
  if created then redis.call("ZREM", KEYS[15], id) end
  redis.call("ZADD", KEYS[16], created or now, id)
end
if KEYS[17] ~= "" then
  if ARGV[15] == "1" then redis.call("ZADD", KEYS[17], now, id) else redis.call("ZREM", KEYS[17], id) end
end
""",
        """  redis.call("HSET", KEYS[1], "j:" .. written, told.kind)
  local day, sum = "rb:money:" .. math.floor(now / 86400000), told.kind .. "|" .. caller .. "|" .. told.product
  redis.call("HINCRBY", day, sum, 1)
  if told.price then redis.call("HINCRBYFLOAT", day, sum .. "|pkr", told.price) end
  redis.call("EXPIRE", day, ARGV[16])
""",
    ),
}
"""What the scripts write for questions alone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds with the indexes and without: the medians of all rounds, and the median of the rounds' ratios."""

    indexed: float
    plain: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Costs:
    """The scripts of one order's life in Redis; a whole POST, web and Redis together; a report, once a second."""

    life: Cost
    post: Cost
    report: Cost


def measure(rounds: int = ROUNDS) -> Costs:
    """Measure all three, each with the indexes and without in every round, the one and the other first by turns."""
    silence()
    key = Fernet.generate_key().decode()
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder)) as embedded:
        environ = {"RINGBACK_REDIS_URL": embedded.url, "RINGBACK_ENCRYPTION_KEYS": key}
        client: Any = redis.Redis.from_url(embedded.url)
        sides = [Side(embedded.url, key, environ, client, indexed=indexed) for indexed in (True, False)]
        life, post, report = (compared(sides, work, rounds) for work in (Side.life, Side.post, Side.report))
        client.close()
    return Costs(life, post, report)


class Side:
    """A store and a web whose scripts write the indexes, or do not."""

    def __init__(self, url: str, key: str, environ: dict[str, str], client: Any, *, indexed: bool) -> None:
        self.store = Store(connect(url), Vault([key]), retention=604_800, otp_ttl=86_400)
        self.redis = client
        if not indexed:
            self.store._create = Script(connect(url), without("create"))
            self.store._save = Script(connect(url), without("save"))
        self.kept = figures.COUNTED if indexed else ()
        self.caller, api_key, _ = Callers(self.store).create(f"Caller {indexed}", self.store.now())
        self.web = create_app(load("web", environ), store=self.store).test_client()
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.made = 0

    def life(self) -> float:
        """Orders from their acceptance to their good end: microseconds in Redis for one."""
        return self._in_redis(self._live, LIVES)

    def post(self) -> float:
        """`POST /v1/orders`: microseconds for one, of this process and in Redis."""
        begun = time.process_time()
        in_redis = self._in_redis(self._post, POSTS)
        return (time.process_time() - begun) / POSTS * 1e6 + in_redis

    def report(self) -> float:
        """A worker's report of a second: microseconds in Redis for one."""
        with mock.patch.object(figures, "COUNTED", self.kept):
            return self._in_redis(self._report, REPORTS)

    def _in_redis(self, work: Callable[[], None], times: int) -> float:
        self.redis.config_resetstat()
        for _ in range(times):
            work()
        return float(self.redis.info("commandstats")["cmdstat_evalsha"]["usec"]) / times

    def _live(self) -> None:
        self.made += 1
        now = self.store.now()
        queued = Order(
            id=f"ord_{self.caller.id[-4:]}{self.made:020x}", caller=self.caller.id, item={"server": "1", "type": "1"},
            created_at=now, callback_url="https://shop.example/hook", timeout=540,
        )  # fmt: skip
        bought = Purchase(
            activation=f"{self.caller.id}{self.made}", number="+923001234567", bought_at=now, expires_at=now + 900,
            cancel_at=now + 540, cancellable_at=now + 125,
        )  # fmt: skip
        buying = queued.intend(now)
        waiting = buying.assign(bought)
        received = waiting.receive("482913", now)
        finished = replace(received, settlement=Settlement.FINISHED, version=received.version + 1)
        number, code = (
            announce(kind, one, now)
            for kind, one in ((EventType.NUMBER_ASSIGNED, waiting), (EventType.OTP_RECEIVED, received))
        )
        self.store.create(queued, Caps())
        self.store.save(queued, buying, wake=Wake(Lane.BUY), journal=line(Entry.INTENT))
        self.store.save(buying, waiting, wake=Wake(Lane.POLL), events=[number], journal=line(Entry.BOUGHT))
        self.store.save(waiting, received, wake=Wake(Lane.SETTLE), events=[code], journal=line(Entry.RECEIVED))
        self.store.save(received, finished, wake=None, journal=line(Entry.FINISHED))

    def _post(self) -> None:
        answer = self.web.post("/v1/orders", json={"server": "1", "type": "1"}, headers=self.headers)
        assert answer.status_code == 202, answer.text

    def _report(self) -> None:
        self.made += 1
        counts = {f'{name}{{of="{place}"}}': 1.0 for name in (*figures.COUNTED, "polls") for place in range(3)}
        self.store.add_report(Report(self.caller.id, self.made, counts))


def without(name: str) -> str:
    """A script without what it writes for questions alone."""
    text = source(name)
    for written in WRITES[name]:
        assert text.count(written) == 1, f"{name}.lua has changed: name what it writes here anew"
        text = text.replace(written, "")
    return text


def compared(sides: list[Side], work: Callable[[Side], float], rounds: int) -> Cost:
    """Both sides' work in every round, by turns the one and the other first."""
    pairs = []
    for place in range(rounds + 1):
        order = sides if place % 2 else sides[::-1]
        taken = {id(side): work(side) for side in order}
        pairs.append((taken[id(sides[0])], taken[id(sides[1])]))
    indexed, plain = zip(*pairs[1:], strict=True)  # the first round warms up
    return Cost(median(indexed), median(plain), median(one / other for one, other in pairs[1:]))


if __name__ == "__main__":
    costs = measure()
    for name, cost in (("an order's life", costs.life), ("a POST", costs.post), ("a report", costs.report)):
        sys.stdout.write(
            f"{name}: {cost.indexed:.0f} µs with indexes, {cost.plain:.0f} µs without: {cost.ratio:.3f} times\n"
        )
