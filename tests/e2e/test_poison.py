"""The broker poisoned: whatever somebody writes into the queues, the workers go on, and start again."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.invariants import checked_stack
from tests.e2e.stack import Stack, wait_for
from worker.store import connect

pytestmark = pytest.mark.e2e

QUEUES = ("buy", "poll", "settle", "deliver")


def envelope(body: bytes, headers: Any, content_type: str = "application/json", **properties: Any) -> bytes:
    """A message as Celery's transport keeps it in Redis."""
    told = {
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": "poll"},
        "delivery_mode": 2,
        "priority": 0,
        **properties,
    }
    encoded = base64.b64encode(body).decode()
    message = {"body": encoded, "content-encoding": "utf-8", "content-type": content_type, "headers": headers}
    return json.dumps({**message, "properties": told}).encode()


def task(name: str = "ringback.lane", **headers: Any) -> dict[str, Any]:
    """The headers of a task."""
    return {"task": name, "id": str(uuid.uuid4()), "lang": "py", "argsrepr": "", "kwargsrepr": "", **headers}


def poison() -> list[bytes]:
    """One of each kind; a worker of before died of some, at every start."""
    good, call = json.dumps([["poll"], {}, {}]).encode(), task()
    return [
        envelope(good, call, "application/data"),
        envelope(b"\x80\x04garbage", call, "application/x-python-serialize"),
        envelope(b"{", call),
        envelope(b"null", call),
        envelope(b'{"a": 1}', call),
        envelope(json.dumps([["poll", "x"], {}, {}]).encode(), call),
        envelope(json.dumps([[{"a": []}], {}, {}]).encode(), call),
        envelope(json.dumps([["nowhere"], {}, {}]).encode(), call),
        envelope(json.dumps([["nothing"], {}, {}]).encode(), task("ringback.chore")),
        envelope(good, task("os.system")),
        envelope(good, {**call, "task": ["ringback.lane"]}),
        envelope(good, task(eta="never", expires="soon", timelimit="x", id=None)),
        envelope(good, None),
        envelope(good, "headers"),
        envelope(good, call, body_encoding="rot13"),
        envelope(good, call, "application/json; charset=\x00"),
        b"garbage \xff\xfe",
        b"",
        b"[]",
        b"null",
        b'{"body": 1}',
        b'{"properties": {}}',
    ]


@pytest.fixture(scope="module")
def poisoned(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker."""
    yield from checked_stack(tmp_path_factory.mktemp("poisoned"))


def test_no_message_stops_a_worker(poisoned: Stack) -> None:
    """Each is acknowledged, told and dropped; the same process goes on, and one that starts anew finds nothing."""
    (worker,) = poisoned.workers
    before = worker.popen
    messages = poison()
    with connect(poisoned.store.url) as raw:
        for place, message in enumerate(messages):
            raw.lpush(QUEUES[place % len(QUEUES)], message)
        wait_for(lambda: not sum(raw.llen(queue) for queue in QUEUES), 20, "the queues being empty")
        order = poisoned.play(sms=("141421", 0.3))
        poisoned.until_settled(order["id"], "finished")
        assert worker.popen is before
        assert worker.alive
        wait_for(lambda: raw.hlen("unacked") == 0, 10, "every message being acknowledged")
    dropped = worker.log.read_text().count('"message_dropped"')
    assert len(messages) - 4 <= dropped <= len(messages)
    assert "Traceback" not in worker.log.read_text()

    worker.stop()
    with connect(poisoned.store.url) as raw:
        raw.lpush("poll", *messages)
    worker.start()
    order = poisoned.play(sms=("173205", 0.3))
    poisoned.until_settled(order["id"], "finished")
    assert worker.alive
