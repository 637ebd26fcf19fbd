"""The client against the real service, started as others start it in their tests: with `ringback.testing`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import ringback
from ringback import testing
from tests.conftest import must_be_real
from worker.local.processes import is_alive, port_is_free
from worker.local.receiver import Receiver

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

README = Path(__file__).parents[2] / "README.md"
PAGE = Path(__file__).parents[2] / "docs" / "client.md"
QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"
PATIENCE = 60.0
"""Seconds for what takes a few: a bound, not a measure."""


class Inbox(Receiver):
    """A receiver that keeps what came in as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[dict[str, str], bytes]] = []

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        """Keep it, and acknowledge it."""
        self.received.append((headers, body))
        return True


@pytest.fixture(scope="session")
def inbox() -> Iterator[Inbox]:
    """The receiver of the caller's webhooks."""
    receiver = Inbox()
    with receiver:
        yield receiver


@pytest.fixture(scope="session")
def ringback_callback_url(inbox: Inbox) -> str:
    """Where the caller's webhooks go."""
    return inbox.url


def example(page: Path, name: str) -> str:
    """The code block of that name on a page."""
    found = re.search(rf"^```python {re.escape(name)}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{page.name} has no example {name}"
    return found[1]


def environment(service: testing.Service) -> dict[str, str]:
    """What the examples read."""
    return {**os.environ, "RINGBACK_URL": service.url, "RINGBACK_API_KEY": service.api_key}


@pytest.mark.parametrize(
    ("page", "name"), [(README, "order.py"), (PAGE, "order_async.py"), (QUICKSTART, "quickstart.py")]
)
def test_the_lines_on_the_pages_print_a_code(ringback_service, ringback_client, page, name):
    """The README's five lines, and the same ones that await, place an order and print its code."""
    done = subprocess.run(
        [sys.executable, "-c", example(page, name)],
        env=environment(ringback_service), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (latest,) = ringback_client.orders.list(limit=1)
    assert done.stdout.strip() == latest.otp


@pytest.mark.parametrize(("name", "program"), [("quickstart.sh", "sh"), ("quickstart.mjs", "node")])
def test_quick_starts_print_a_code(ringback_service, ringback_client, tmp_path, name, program):
    """In a shell and in JavaScript, as they stand on the page: an order, and the code that it came to."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if must_be_real() else pytest.skip)(f"install {program}")
    block = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", QUICKSTART.read_text(), re.DOTALL | re.MULTILINE)
    assert block
    (tmp_path / name).write_text(block[1])
    done = subprocess.run(
        [found, tmp_path / name], env=environment(ringback_service), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (latest,) = ringback_client.orders.list(limit=1)
    assert done.stdout.strip() == latest.otp


TESTING = Path(__file__).parents[2] / "docs" / "testing.md"


def test_tests_on_the_page_pass(ringback_service, tmp_path):
    """The three tests that docs/testing.md shows, run as somebody else would."""
    (tmp_path / "test_integration.py").write_text(example(TESTING, "test_integration.py"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "ringback.testing", "."],
        cwd=tmp_path, env={**os.environ, "CI": "true"}, capture_output=True, text=True, timeout=4 * PATIENCE,
        check=False,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_webhooks_of_an_order_are_believed(ringback_service, ringback_client, inbox):
    """What the service sends, `verify` reads: the number first, then the code."""
    order = ringback_client.orders.create(server="1", type="1", metadata={"user": 42}, timeout=300)
    order = ringback_client.orders.wait_for_code(order.id, timeout=PATIENCE)

    def events() -> list[ringback.OrderEvent]:
        secret = ringback_service.webhook_secret
        known = [ringback.verify(body, headers, secret) for headers, body in inbox.received]
        return [one for one in known if isinstance(one, ringback.OrderEvent) and one.order.id == order.id]

    assert eventually(lambda: len(events()) == 2)
    assert {one.type for one in events()} == {"order.number_assigned", "order.otp_received"}
    assert [one.order.otp for one in events() if one.type == "order.otp_received"] == [order.otp]
    assert order.metadata == {"user": 42}


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_code_is_waited_for_through_a_restart_of_the_web():
    """The web is killed while an order waits: the waiting goes on, and the code comes."""
    others = descendants(os.getpid(), of="gunicorn")
    with testing.running(callback_url="http://127.0.0.1:9/ringback") as service, service.client() as client:
        order = client.orders.create(server="1", type="1")
        number = client.orders.wait_for_number(order.id, timeout=PATIENCE).number
        web = [pid for pid in descendants(os.getpid(), of="gunicorn") if pid not in others]
        assert len(web) >= 2
        for pid in web:
            os.kill(pid, signal.SIGKILL)
        received = client.orders.wait_for_code(order.id, timeout=PATIENCE)
        assert not any(is_alive(pid) for pid in web)
    assert (received.number, received.status) == (number, ringback.OrderStatus.RECEIVED)


def test_feed_is_followed(ringback_client):
    """Every event so far comes in the order in which it happened."""
    order = ringback_client.orders.create(server="1", type="1")
    told = []
    for event in ringback_client.events.follow(patience=PATIENCE):
        told += [event] if isinstance(event, ringback.OrderEvent) and event.order.id == order.id else []
        if len(told) == 2:
            break
    assert [one.type for one in told] == ["order.number_assigned", "order.otp_received"]


def test_order_is_cancelled(ringback_client):
    """An order that was cancelled at once ends without a code."""
    order = ringback_client.orders.create(server="1", type="1")
    assert ringback_client.orders.cancel(order.id).id == order.id
    assert any(one.id == order.id for one in ringback_client.orders.list())


def test_another_caller_sees_nothing(ringback_service, ringback_client):
    """A second caller has a key of its own, and other people's orders look like none."""
    other = ringback_service.new_caller("other", "--callback-url", "http://127.0.0.1:9/ringback")
    order = ringback_client.orders.create(server="1", type="1")
    with (
        ringback.Client(ringback_service.url, other.api_key) as client,
        pytest.raises(ringback.NotFound),
    ):
        client.orders.get(order.id)


def test_bad_order_names_its_fields(ringback_client):
    """The service's complaint arrives field by field."""
    with pytest.raises(ringback.InvalidFields) as caught:
        ringback_client.orders.create(server="1", type="1", extra={"colour": "blue"})
    assert [one.field for one in caught.value.errors] == ["colour"]
    assert caught.value.request_id


# What is left behind.


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_nothing_is_left_behind():
    """After the block no process, no port and no file of the service is there."""
    others = descendants(os.getpid(), of="ringback")
    with testing.running() as service:
        processes = [pid for pid in descendants(os.getpid(), of="ringback") if pid not in others]
        assert len(processes) >= 4
        assert service.folder.exists()
    assert not service.folder.exists()
    assert [pid for pid in processes if is_alive(pid)] == []
    assert port_is_free(httpx.URL(service.url).port or 0)


KILLED = """
import os, sys
from ringback.testing import running
with running() as service:
    print(service.folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells a child that its parent was killed")
def test_service_ends_with_tests_that_are_killed(tmp_path):
    """A test run that is killed outright leaves no process."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as tests:  # fmt: skip
        assert tests.stdout is not None
        assert tests.stdout.readline().strip().startswith(str(tmp_path))
        processes = descendants(tests.pid, of="ringback")
        assert len(processes) >= 4
        tests.send_signal(signal.SIGKILL)
    assert eventually(lambda: not any(is_alive(pid) for pid in processes))


WITHOUT = """
import ringback._service, ringback.testing

def missing(**_):
    raise ringback.testing.NotInstalled("no command here")

ringback.testing.running = missing

def test_it(ringback_service):
    pass
"""


@pytest.mark.parametrize(("ci", "verdict"), [("", "1 skipped"), ("true", "1 error")])
def test_missing_service_is_skipped_here_and_fails_in_ci(tmp_path, ci, verdict):
    """A laptop without the service skips; CI, where nobody reads that, fails. Both say why."""
    (tmp_path / "test_it.py").write_text(WITHOUT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "ringback.testing", "."],
        cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert verdict in done.stdout
    assert "no command here" in done.stdout


def test_missing_command_is_named(monkeypatch, tmp_path):
    """Where the command is missing, the message says which distribution has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(testing.NotInstalled, match="install the distribution `ringback`"), testing.running():
        pass


def test_service_that_does_not_start_is_told():
    """The message has the last that it said."""
    with (
        pytest.raises(testing.NotStarted, match="RINGBACK_POLL_DEADLINE"),
        testing.running(settings={"RINGBACK_POLL_DEADLINE": "soon"}),
    ):
        pass


def descendants(pid: int, *, of: str) -> list[int]:
    """The processes that a process has started, and those that they have, from the first whose command names `of`."""
    found: list[int] = []
    for child in _children(pid):
        named = not of or of in Path(f"/proc/{child}/cmdline").read_text()
        found += [child, *descendants(child, of="")] if named else descendants(child, of=of)
    return found


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def eventually(holds: Callable[[], object]) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
