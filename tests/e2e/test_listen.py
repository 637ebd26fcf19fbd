"""`ringback listen` between the real service and a local server: each of the three is killed, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.e2e.stack import BIN, Stack, running_stack, wait_for
from worker.local.processes import ends_with_parent, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATH = "/hooks/a%2Fb?x=%20y"
PATIENCE = 60.0


class LocalServer:
    """A developer's server on one port, which can be stopped and started; `came` outlives that."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{PATH}"
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        came = self.came

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def ids(self) -> list[str]:
        """The events that came, each once, in the order in which they first did."""
        return list(dict.fromkeys(headers["webhook-id"] for _, headers, _ in self.came))


class Terminal:
    """`ringback listen` as a developer runs it: no setting but the address and the key."""

    def __init__(self, stack: Stack, api_key: str, folder: Path) -> None:
        self._env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "RINGBACK_URL": f"http://127.0.0.1:{stack.port}",
            "RINGBACK_API_KEY": api_key,
        }  # fmt: skip
        self._folder = folder
        self.log = folder / "listen.log"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Type the command."""
        with self.log.open("wb") as log:
            self._running = subprocess.Popen(
                [BIN / "ringback", "listen", *arguments], cwd=self._folder, env=self._env, stdout=log,
                stderr=subprocess.STDOUT, preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
            )  # fmt: skip

    def kill(self) -> None:
        """End it without a warning."""
        if self._running is not None:
            self._running.send_signal(signal.SIGKILL)
            self._running.wait(PATIENCE)
            self._running = None

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        assert self._running is not None
        return self._running.wait(PATIENCE)

    def says(self, text: str) -> bool:
        """Whether it has said something."""
        return text in self.log.read_text()


@pytest.fixture(scope="module")
def stack(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose provider sends codes at once."""
    for stack in running_stack(tmp_path_factory.mktemp("listen")):
        stack.provider.configure(code_after=0.2)
        yield stack


class Puller:
    """A caller without a callback."""

    def __init__(self, stack: Stack) -> None:
        self.told = stack.ringback("caller", "create", "puller")
        headers = {"Authorization": f"Bearer {self.told['api_key']}"}
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", headers=headers, timeout=70)

    def placed(self) -> dict[str, Any]:
        """An order that will end with a code."""
        answer = self.api.post("/v1/orders", json={"server": "1", "type": "1"})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def order(self) -> dict[str, Any]:
        """An order that ends with a code, once it has."""
        order = self.placed()
        wait_for(lambda: self._ended(order["id"]), PATIENCE, "the order's end")
        return order

    def _ended(self, order_id: str) -> bool:
        return bool(self.api.get(f"/v1/orders/{order_id}").json()["status"] == "received")

    def feed(self) -> list[dict[str, Any]]:
        """All events, oldest first, with what they say."""
        page = self.api.get("/v1/events", params={"after": "", "payload": "true", "limit": 100}).json()
        assert page["next_cursor"] is None
        return list(page["data"])


@pytest.fixture(scope="module")
def puller(stack: Stack) -> Iterator[Puller]:
    """One for all tests of this module."""
    puller = Puller(stack)
    yield puller
    puller.api.close()


def test_nothing_is_lost_through_a_restart_of_the_web_of_itself_and_of_the_local_server(
    stack: Stack, puller: Puller, tmp_path: Path
) -> None:
    """Each of the three is away while orders end; afterwards every event has come, in order and to the byte."""
    local, terminal = LocalServer(), Terminal(stack, puller.told["api_key"], tmp_path)
    try:
        terminal.start("--forward-to", local.url)
        wait_for(lambda: terminal.says("connected to"), PATIENCE, "the connection")
        puller.order()
        wait_for(lambda: terminal.says("nothing responds at"), PATIENCE, "the line about the server that is not up")
        local.start()
        wait_for(lambda: len(local.ids()) == 2, PATIENCE, "what waited for the local server")

        terminal.kill()
        puller.order()
        terminal.start("--forward-to", local.url)
        wait_for(lambda: len(local.ids()) == 4, PATIENCE, "what happened while nobody listened")

        puller.placed()
        stack.web.kill()
        wait_for(lambda: terminal.says("does not respond"), PATIENCE, "the line about the service that is away")
        wait_for(lambda: stack.provider.ledger.orders()[-1].state == "finished", PATIENCE, "an end without the web")
        stack.web.start()
        stack.wait_until_ready()
        wait_for(lambda: len(local.ids()) == 6, PATIENCE, "what happened while the service was away")

        local.stop()
        puller.order()
        wait_for(lambda: terminal.says("nothing responds at"), PATIENCE, "the line about the server that was stopped")
        local.start()
        wait_for(lambda: len(local.ids()) == 8, PATIENCE, "what happened while the local server was away")

        local.stop()
        terminal.kill()
        puller.order()
        local.start()
        terminal.start("--forward-to", local.url, "--exit-after", "order.otp_received", "--json")
        assert terminal.ended() == 0
    finally:
        terminal.kill()
        local.stop()

    feed = puller.feed()
    assert len(feed) == 10
    assert local.ids() == [one["id"] for one in feed]
    payloads = {one["id"]: one["payload"].encode() for one in feed}
    webhook = Webhook(puller.told["webhook_secret"])
    for path, headers, body in local.came:
        assert (path, headers["content-type"]) == (PATH, "application/json")
        assert body == payloads[headers["webhook-id"]]
        webhook.verify(body, headers)


def test_orders_without_a_callback_are_pushed_to_nobody(stack: Stack, puller: Puller) -> None:
    """Their events are recorded, without an attempt; no worker says a word about it."""
    order = puller.order()
    events = puller.api.get("/v1/events", params={"order": order["id"]}).json()["data"]
    assert [one["type"] for one in events] == ["order.otp_received", "order.number_assigned"]
    assert {(one["status"], len(one["attempts"]), one["next_attempt_at"]) for one in events} == {("recorded", 0, None)}
    assert "event_exhausted" not in stack.logs()["worker-1"]


def test_revoked_key_ends_it_with_a_clear_line(stack: Stack, tmp_path: Path) -> None:
    """It gives up: exit code 1, one line, no stack trace."""
    caller = stack.ringback("caller", "create", "leaver")
    assert stack.command("caller", "revoke", caller["id"]).returncode == 0
    terminal = Terminal(stack, caller["api_key"], tmp_path)
    terminal.start("--forward-to", "http://127.0.0.1:9/")
    assert terminal.ended() == 1
    assert terminal.log.read_text().count("\n") == 1
    assert terminal.says("unknown or revoked")
