"""The console of a whole service: `ringback up` prints its login link, and a test order runs before one's eyes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from worker.local.processes import ends_with_parent, free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HANG = 90.0
"""Seconds after which what does not happen counts as never happening."""
HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def link(tmp_path: Path) -> Iterator[str]:
    """The login link that a `ringback up` of its own has printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")}
    allowed = {"RINGBACK_CALLBACK_ALLOW_HTTP": "true", "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    argv = [str(Path(sys.executable).parent / "ringback"), "up", "--sandbox", "--port", str(free_port())]
    running = subprocess.Popen(
        [*argv, "--sandbox-port", str(free_port())], cwd=tmp_path, env={**environ, **allowed}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
    )  # fmt: skip
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(running.stdout or ()), daemon=True)
    reader.start()
    try:
        yield eventually(lambda: re.search(r"console: +(http://127\.0\.0\.1:\d+/console/login/[\w-]+)", "".join(said)))[
            1
        ]
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(HANG)
        reader.join(HANG)


def eventually(look):
    """What is seen once it is there."""
    deadline = time.monotonic() + HANG
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return found


def test_test_order_runs_before_the_readers_eyes(link: str):
    """From the printed link to an order whose code came: a caller made, a story chosen, and the three answers."""
    with httpx.Client(
        base_url=link.partition("/console")[0], headers=HERE, follow_redirects=True, timeout=20
    ) as reader:
        assert "Log in" in reader.get(link).text
        assert "Overview" in reader.post(link).text
        made = reader.post("/console/callers", data={"name": "shop", "callback_url": "http://127.0.0.1:9/hook"}).text
        caller = re.search(r"cal_[0-9a-f]{20}", made)
        assert caller is not None, made
        placed = reader.post("/console/test-orders", data={"caller": caller[0], "product": "cheap", "story": "otp"})
        assert placed.status_code == 200, placed.text
        page = eventually(lambda: "The code arrived." in (text := reader.get(placed.url).text) and text)
        assert "received" in page
        assert "alive" in reader.get("/console/workers").text
        eventually(lambda: "received <b>1</b>" in reader.get("/console").text)
