"""The examples of docs/webhooks.md, run as they stand there and sent to by our own sender."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from worker.local.processes import free_port
from worker.webhooks.delivery import Sender, Verdict
from worker.webhooks.guard import Guard
from worker.webhooks.message import headers, render
from worker.webhooks.signing import new_secret, sign

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
SECRET, OTHER_SECRET = new_secret(), new_secret()
BODY = render("order.otp_received", 1_795_341_600.0, {"id": "ord_1", "otp": "001234"})
PATIENCE = 60.0
NPM_PACKAGES = ("express@5", "standardwebhooks@1")


def example(name: str) -> str:
    """The code block of that name on the page."""
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"docs/webhooks.md has no example {name}"
    return found[1]


@contextmanager
def running(command: Sequence[str], folder: Path, port: int) -> Iterator[Path]:
    """The receiver as a process; returns the file with what it printed."""
    printed = folder / "printed"
    env = {**os.environ, "RINGBACK_WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    with printed.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_answers(port, process, printed)
            yield printed
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], printed: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the receiver did not start: {printed.read_text()}")


@pytest.fixture(params=["flask", "fastapi", "express"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """One example after the other: its address, and the file with what it printed."""
    port = free_port()
    with running(COMMANDS[request.param](tmp_path, port), tmp_path, port) as printed:
        yield f"http://127.0.0.1:{port}/ringback", printed


def _flask(folder: Path, port: int) -> list[str]:
    (folder / "receiver.py").write_text(example("receiver.py"))
    return [sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", str(port)]


def _fastapi(folder: Path, port: int) -> list[str]:
    (folder / "receiver_fastapi.py").write_text(example("receiver_fastapi.py"))
    return [sys.executable, "-m", "uvicorn", "receiver_fastapi:app", "--port", str(port)]


def _express(folder: Path, _port: int) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node here to run the JavaScript example with")
    (folder / "receiver.mjs").write_text(example("receiver.mjs"))
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error", *NPM_PACKAGES]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm could not fetch the example's packages")
    return [node, "receiver.mjs"]


COMMANDS = {"flask": _flask, "fastapi": _fastapi, "express": _express}
"""What starts each receiver of the page; Express takes its port from the environment."""


def deliver(url: str, event_id: str, secrets: Sequence[str], *, body: bytes = BODY, sent: bytes | None = None) -> int:
    """Send a webhook with our own sender; returns the status it was answered with."""

    async def attempt() -> int:
        sender = Sender(Guard(allow_http=True, allowed_networks=["127.0.0.0/8"]), timeout=PATIENCE, version="test")
        timestamp = int(time.time())
        signed = headers(event_id, timestamp, sign(secrets, event_id, timestamp, body))
        outcome = await sender.send(url, signed, body if sent is None else sent)
        await sender.aclose()
        assert outcome.status is not None, outcome.error
        assert (outcome.verdict is Verdict.DELIVERED) == (200 <= outcome.status < 300)
        return outcome.status

    return asyncio.run(attempt())


@pytest.mark.slow
def test_example_receivers_believe_the_right_signature_only(receiver: tuple[str, Path]) -> None:
    """Each receiver on the page accepts our webhooks, new secret or old, once, and refuses everything else."""
    url, printed = receiver
    assert deliver(url, "evt_1", [SECRET]) == 204
    assert deliver(url, "evt_1", [SECRET]) == 204
    assert deliver(url, "evt_2", [OTHER_SECRET, SECRET]) == 204
    assert deliver(url, "evt_3", [OTHER_SECRET]) == 400
    assert deliver(url, "evt_4", [SECRET], sent=BODY.replace(b"001234", b"999999")) == 400
    told = [line for line in printed.read_text().splitlines() if line.startswith("order.otp_received")]
    assert told == ["order.otp_received 001234"] * 2


@pytest.mark.parametrize(("secret", "answer"), [(SECRET, "204"), (OTHER_SECRET, "400")])
def test_curl_example_signs_as_ringback_does(tmp_path: Path, secret: str, answer: str) -> None:
    """The page's shell script makes signatures that the official library accepts with the right secret alone."""
    if not (shutil.which("curl") and shutil.which("openssl")):
        pytest.skip("there is no curl or openssl here to run the shell example with")
    port = free_port()
    (tmp_path / "send.sh").write_text(example("send.sh"))
    with running(_flask(tmp_path, port), tmp_path, port):
        sent = subprocess.run(
            ["/bin/sh", "send.sh", f"http://127.0.0.1:{port}/ringback"],
            cwd=tmp_path, env={**os.environ, "RINGBACK_WEBHOOK_SECRET": secret, "no_proxy": "*"},
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
    assert sent.stdout.strip() == answer


def test_header_on_the_page_fits_the_specification() -> None:
    """The page shows the three headers by the names that are sent."""
    shown = PAGE.read_text()
    assert all(f"{name}: " in shown for name in headers("evt_1", 1, "v1,x"))
