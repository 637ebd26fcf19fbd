"""After a full run nothing secret stands where it does not belong: logs, store, messages, metrics, titles."""

from __future__ import annotations

import re
import threading
import time
from base64 import b64decode
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

from tests.e2e.invariants import JITTER, Leeway, check_order, check_stack, checked_stack, gaps, leaked, secrets_of
from tests.e2e.provider import buy, cancel, finish, poll
from tests.e2e.stack import POLL_INTERVAL, Stack

pytestmark = pytest.mark.e2e

TOKEN = "tkn-5b1f0c77e2"
CAP = 20
"""Calls to the provider a second."""
UNDER_A_CAP = Leeway(pace=POLL_INTERVAL)
"""What the pace of polls is here has a test of its own."""
SMS = "Acme: 55-81-09 is your code, for +92 300 7654321 only"


class Listener:
    """Everything that anybody sends to the store while it listens: records, claims and Celery's messages."""

    def __init__(self, url: str) -> None:
        self.said: deque[str] = deque()
        self._client = redis.Redis.from_url(url)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> str:
        """Stop listening; returns all that was said."""
        self._monitor.connection.disconnect()
        self._thread.join(5)
        self._client.close()
        return "\n".join(self.said)

    def _listen(self) -> None:
        try:
            for heard in self._monitor.listen():
                self.said.append(str(heard["command"]))
        except (redis.RedisError, OSError, ValueError, AttributeError):
            return


@pytest.fixture(scope="module")
def vault(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Records sealed, the provider's rate capped."""
    settings = {"RINGBACK_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    yield from checked_stack(
        tmp_path_factory.mktemp("vault"), workers=2, settings=settings,
        worker_settings={"RINGBACK_OTPGET_MAX_RPS": str(CAP)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def heard(vault: Stack) -> str:
    """A full run, good and bad; returns all that was sent to the store during it."""
    listener = Listener(vault.store.url)
    vault.api.get("/v1/orders", headers={"Authorization": "Bearer rbk_" + "y" * 43})
    orders = [_ordinary(vault, n) for n in range(6)]
    orders += [
        vault.play(sms=(SMS, 0.5)),
        vault.play(sms=("829154", 0.5), timeout=2),
        vault.play(timeout=2),
        vault.play(buy("reset", charged=True)),
        vault.play(buy("silent", charged=True, delay=10)),
        vault.play(poll("http_error", times=2), poll("reset", times=2), poll("redirect"), cancel("reset"), timeout=3),
        vault.play(finish("silent", delay=10), poll("as_is", status=500, times=-1, charged=True), sms=("918273", 0.5)),
    ]  # fmt: skip
    ends = ["finished"] * 8 + ["refunded", "unconfirmed", "unconfirmed", "refunded", "finished"]
    for order, settlement in zip(orders, ends, strict=True):
        vault.until_settled(order["id"], settlement, 60)
    read_everything(vault, orders)
    time.sleep(1.5)  # the counters are handed over every second
    return listener.stop()


def _ordinary(stack: Stack, n: int) -> dict[str, Any]:
    """An order with its code, whose callback has a secret in its query; the first answers fail."""
    server = stack.new_server()
    stack.receiver.answers[f"/hook/{server}"].extend([500] * (n % 3))
    stack.provider.stage(server, sms=(f"64{n}179", 0.4 * n))
    return stack.post(server, callback_url=f"{stack.hook(server)}?token={TOKEN}", metadata={"n": n})


def read_everything(stack: Stack, orders: list[dict[str, Any]]) -> None:
    """Ask the web for all that it shows."""
    for order in orders:
        stack.order(order["id"])
        stack.events(order["id"])
    for path in ("/v1/orders", "/v1/events", "/v1/balance?refresh=true", "/v1/servers", "/metrics", "/openapi.json"):
        assert stack.api.get(path).status_code == 200


def stored(stack: Stack) -> str:
    """All keys of the store with their values."""
    with redis.Redis.from_url(stack.store.url) as client:
        return "\n".join(f"{key!r} {_value(client, key)!r}" for key in client.scan_iter(count=1000))


def _value(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"stream":
            return client.xrange(key)
        case other:
            return other


def unpacked(heard: str) -> str:
    """The bodies of Celery's messages, which travel in base64."""
    bodies = re.findall(r"""body\\*": ?\\*"([A-Za-z0-9+/=]+)""", heard)
    return "\n".join(b64decode(body).decode("utf-8", "replace") for body in bodies)


def secret(stack: Stack) -> dict[str, str]:
    """What must stand nowhere, besides what every stack keeps secret."""
    key = stack.settings["RINGBACK_ENCRYPTION_KEYS"]
    return {"encryption_key": key.rstrip("="), "callback_token": TOKEN, "wrong_key": "rbk_" + "y" * 43}


def test_the_run_is_as_it_should_be(vault: Stack, heard: str) -> None:
    """Every order of the run keeps the invariants, and there was something to find."""
    for order_id in vault.posted:
        check_order(vault, order_id, UNDER_A_CAP)
    assert len([name for name in secrets_of(vault) if name.startswith("code")]) == 9
    assert all(f'"{lane}"' in unpacked(heard) for lane in ("buy", "poll", "settle", "deliver"))


def test_no_log_line_shows_a_secret(vault: Stack, heard: str) -> None:
    """No code, key, secret, full number or callback's query stands in any process's log."""
    check_stack(vault)
    assert not list(leaked(vault, vault.logs().items(), **secret(vault)))


def test_the_store_holds_no_secret_in_clear(vault: Stack, heard: str) -> None:
    """Neither names nor values: what is secret is sealed, keys are hashed."""
    assert not list(leaked(vault, [("the store", stored(vault))], **secret(vault)))


def test_no_message_carries_a_secret(vault: Stack, heard: str) -> None:
    """Nothing that was ever sent to the store or through the broker shows one: no task argument, no event."""
    assert not list(leaked(vault, [("what was sent", heard), ("a message", unpacked(heard))], **secret(vault)))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="titles are read from /proc")
def test_neither_metrics_nor_titles_show_a_secret(vault: Stack, heard: str) -> None:
    """Nor do the metrics, the command lines and the titles of the processes."""
    titles = [(f"/proc/{pid}", Path(f"/proc/{pid}/cmdline").read_text()) for pid in vault.children()]
    assert len(titles) >= 4
    assert not list(leaked(vault, [("the metrics", vault.api.get("/metrics").text), *titles], **secret(vault)))


def test_a_configured_rate_cap_holds(vault: Stack, heard: str) -> None:
    """Over both workers never more calls a second than RINGBACK_OTPGET_MAX_RPS allows."""
    times = sorted(row.arrived for row in vault.provider.requests())
    most = max(sum(1 for at in times[n : n + 200] if at < first + 1) for n, first in enumerate(times))
    assert most <= CAP + 3, f"{most} calls in one second"


def test_polls_keep_their_distance_under_a_cap(vault: Stack, heard: str) -> None:
    """A poll that the cap held back does not bring the next one of the same order closer than the interval."""
    found = gaps(vault.provider.requests("getStatus"))
    early = [gap for gap in found if gap < 0.8 * POLL_INTERVAL]
    assert median(found) >= POLL_INTERVAL - JITTER
    assert len(early) <= len(found) / 10, f"{len(early)} of {len(found)} polls came early: {sorted(early)[:10]}"
