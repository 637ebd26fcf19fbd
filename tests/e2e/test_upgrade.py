"""Two versions of the code on one store under load: the way there, and the way back (docs/upgrading.md)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.invariants import checked_stack
from tests.e2e.provider import buy
from tests.e2e.stack import ROOT, Process, Stack, procfile
from worker.store import FORMAT, Place, Vault, connect

pytestmark = pytest.mark.e2e

TOMORROW = str(Path(__file__).parent / "tomorrow")
FATES = ("used", "returned", "none")


@pytest.fixture(scope="module")
def rolling(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers of today."""
    yield from checked_stack(tmp_path_factory.mktemp("rolling"), workers=2)


def place(stack: Stack, count: int) -> list[tuple[str, str]]:
    """Orders that get a code, get none, or find no number; (id, fate)."""
    placed = []
    for number in range(count):
        fate = FATES[number % 3]
        if fate == "used":
            order = stack.play(sms=("141421", 0.5))
        elif fate == "returned":
            order = stack.play(timeout=2)
        else:
            order = stack.play(buy("word", body="NO_NUMBERS", times=-1))
        placed.append((order["id"], fate))
    return placed


def replace(worker: Process, **version: str) -> None:
    """Replace a worker by another version, as a rolling restart does: it ends what it has begun."""
    worker.stop()
    worker.env = {name: value for name, value in worker.env.items() if name != "PYTHONPATH"} | version
    worker.start()


def settle(stack: Stack, placed: list[tuple[str, str]]) -> None:
    """Wait until each has ended as its fate has it."""
    for order_id, fate in placed:
        stack.until_settled(order_id, {"used": "finished", "returned": "refunded", "none": "none"}[fate], 60)


def lines(process: Process) -> list[dict[str, Any]]:
    """What a process has logged."""
    return [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]


def records(stack: Stack, kind: str) -> dict[str, dict[str, Any]]:
    """All records of a kind by id, as JSON; the store of a stack is not sealed."""
    found = {}
    with connect(stack.store.url) as raw:
        for key in raw.scan_iter(f"rb:{kind}:*:record"):
            name = key.decode().split(":")[2]
            found[name] = json.loads(Vault().open(raw.get(key) or b"", Place(kind, name, "")))
    return found


def test_two_versions_share_a_store_and_lose_nothing_of_each_other(rolling: Stack) -> None:
    """Every order and webhook that the newer one wrote still holds what the older one does not know."""
    today, newer = rolling.workers
    replace(newer, PYTHONPATH=TOMORROW)
    placed = place(rolling, 24)
    settle(rolling, placed)
    written = {line["order"] for line in lines(newer) if line.get("event") == "order"}
    also = {line["order"] for line in lines(today) if line.get("event") == "order"}
    orders, events = records(rolling, "order"), records(rolling, "event")
    assert written & also, "one order was written by both"
    assert [one for one in written if "revision" not in orders[one]] == []
    sent = {line["event_id"] for line in lines(newer) if line.get("event") == "webhook"}
    assert sent
    assert [one for one in sent if all("via" not in attempt for attempt in events[one]["attempts"])] == []

    named = {rolling.order(order_id)["error"]["code"] for order_id, fate in placed if fate == "none"}
    assert named <= {"no_numbers", "no_stock"}
    assert rolling.api.get("/v1/orders", params={"limit": 50}).status_code == 200
    assert not [line for process in rolling.workers for line in lines(process) if line.get("event") == "step_failed"]

    # The way back: what tomorrow left under way is ended by today, and keeps what tomorrow wrote.
    under_way = place(rolling, 12)
    replace(newer)
    settle(rolling, [*under_way, *place(rolling, 6)])
    kept = records(rolling, "order")
    assert [one for one in written if "revision" not in kept[one]] == []


def test_an_older_process_does_not_start_where_a_newer_format_was_written(rolling: Stack) -> None:
    """Worker, web and commands say so in one sentence; the one that runs goes on."""
    with connect(rolling.store.url) as raw:
        raw.set("rb:format", FORMAT + 1)
    try:
        for name in ("web", "worker"):
            process = rolling.web if name == "web" else rolling.workers[0]
            env = {**process.env, "PORT": "0"}
            done = subprocess.run(
                ["/bin/sh", "-c", f"exec {procfile()[name]}"],
                cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode != 0
            assert "newer version" in done.stdout + done.stderr
            assert "Traceback" not in done.stdout + done.stderr
        for command in (("caller", "list"), ("doctor",)):
            told = rolling.command(*command)
            assert (told.returncode, "newer version" in told.stdout + told.stderr) == (1, True)
    finally:
        with connect(rolling.store.url) as raw:
            raw.set("rb:format", FORMAT)
    settle(rolling, place(rolling, 3))
