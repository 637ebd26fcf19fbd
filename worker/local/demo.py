"""`ringback demo`: one order from POST to verified webhook, everything real but the provider.

Starts an embedded store, the sandbox provider, web and a worker in a folder of its own, receives the webhook
itself, checks its signature with the official library, and clears everything away again.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty
from types import FrameType
from typing import Any, NoReturn

import httpx
from cryptography.fernet import Fernet
from rich.console import Console

from worker.errors import RingbackError
from worker.local.children import ROOT, Supervisor, answers
from worker.local.embedded import EmbeddedStore
from worker.local.processes import free_port
from worker.local.receiver import Received, Receiver, json_object
from worker.local.up import Environment, Ports, service

DEADLINE = 90.0
"""Seconds for the whole demo."""
CODE_AFTER = 6.0
"""Seconds after the purchase at which the sandbox hands out the code."""
GLANCE = 0.2
"""Seconds between two looks at the order."""
ENDED = ("received", "expired", "cancelled", "failed")

ORDERS: Mapping[str, Mapping[str, str]] = {
    "cheap": {"server": "1", "type": "1"},
    "sms": {"product": "sms", "service": "tg", "country": "33", "type": "4", "max_price": "50.00"},
    "email": {"product": "email", "service": "tg", "domain": "gmail.com", "max_price": "30.00"},
}
"""What the demo orders, by product."""
SAID = {
    "queued": "queued: saved in the store, nothing bought yet",
    "buying": "buying: asking the provider",
    "waiting": "waiting: polling every 5 s until the code arrives",
    "received": "received: the code has arrived",
}


class DemoFailed(RingbackError):
    """The demo did not get as far as a verified webhook; the message says where it stopped."""


def run(product: str = "cheap", *, console: Console | None = None, deadline: float = DEADLINE) -> int:
    """Play the demo; 0 if it ended with a verified webhook, else 1 and why. Ctrl-C leaves with 130."""
    console = console or Console(highlight=False)
    log = io.StringIO()
    with _term_as_interrupt():
        try:
            _play(product, console, log, time.monotonic() + deadline)
        except KeyboardInterrupt:
            console.print("stopped")
            return 130
        except (RingbackError, httpx.HTTPError, OSError, subprocess.SubprocessError) as error:
            _tell_failure(console, error, log.getvalue())
            return 1
    return 0


def _play(product: str, console: Console, log: io.StringIO, until: float) -> None:
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-demo-", ignore_cleanup_errors=True))
        )
        store = stack.enter_context(EmbeddedStore(folder))
        receiver = stack.enter_context(Receiver())
        ports = Ports(free_port(), free_port())
        settings = _settings(store)
        _tell(console, started, f"store     {store.kind}, in a temporary folder")
        stack.enter_context(_running(ports, settings, log))
        with console.status("starting the sandbox provider, web and a worker ..."):
            while not answers(f"http://127.0.0.1:{ports.web}/readyz?workers=true"):
                _check_time(until, "the service was not ready in time")
                time.sleep(GLANCE)
        _tell(console, started, f"service   web on http://127.0.0.1:{ports.web}, a worker, the sandbox provider")
        caller = _create_caller(receiver, settings)
        receiver.secret = caller["webhook_secret"]
        _tell(console, started, "caller    demo, with its own API key and webhook secret")
        _follow(console, started, ports, caller["api_key"], product, receiver, until)
    console.print("[bold green]That was the whole service.[/] Run it for yourself: [bold]ringback up[/]")


def _settings(store: EmbeddedStore) -> dict[str, str | None]:
    """What the processes are given; settings from outside are taken away: the demo is the same anywhere."""
    outside: dict[str, str | None] = {name: None for name in os.environ if name.startswith("RINGBACK_")}
    return outside | {
        "RINGBACK_REDIS_URL": store.url,
        "RINGBACK_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "RINGBACK_PRODUCTS": ",".join(ORDERS),
        "RINGBACK_CALLBACK_ALLOW_HTTP": "true",
        "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "FORCE_COLOR": None,
    }


@contextmanager
def _running(ports: Ports, settings: Environment, log: io.StringIO) -> Iterator[None]:
    children = service(ports, settings, sandbox_options=["--code-after", f"{CODE_AFTER:g}"])
    supervisor = Supervisor(children, out=log)
    thread = threading.Thread(target=supervisor.run, name="supervisor")
    thread.start()
    try:
        yield
    finally:
        supervisor.stop()
        thread.join()


def _create_caller(receiver: Receiver, settings: Environment) -> dict[str, str]:
    command = [sys.executable, "-c", "from worker.cli import main; main()"]
    done = subprocess.run(
        [*command, "caller", "create", "demo", "--callback-url", receiver.url, "--json"],
        env={name: value for name, value in {**os.environ, **settings}.items() if value is not None},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    caller = json_object(done.stdout)
    if done.returncode or not {"api_key", "webhook_secret"} <= caller.keys():
        raise DemoFailed(f"`ringback caller create` exited with {done.returncode}: {done.stderr.strip()[-500:]}")
    return caller


def _follow(
    console: Console, started: float, ports: Ports, api_key: str, product: str, receiver: Receiver, until: float
) -> None:
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{ports.web}", headers=headers, timeout=10, trust_env=False) as http:
        order = _place(http, product, receiver)
        _tell(console, started, f"order     POST /v1/orders → 202, {order['id']}")
        order = _watch(console, started, http, order, until)
    if order["status"] != "received":
        raise DemoFailed(f"the order ended as {order['status']}: {json.dumps(order.get('error'))}")
    event = _wait_for_webhook(console, started, receiver, until)
    if event.data.get("otp") != order["otp"]:
        raise DemoFailed("the code in the webhook is not the one in the order")


def _place(http: httpx.Client, product: str, receiver: Receiver) -> dict[str, Any]:
    order = {**ORDERS[product], "callback_url": receiver.url, "purpose": "demo"}
    answer = http.post("/v1/orders", json=order, headers={"Idempotency-Key": secrets.token_hex(8)})
    if answer.status_code != 202:
        raise DemoFailed(f"POST /v1/orders returned {answer.status_code}: {answer.text[:500]}")
    return json_object(answer.content)


def _watch(console: Console, started: float, http: httpx.Client, order: dict[str, Any], until: float) -> dict[str, Any]:
    """Print every change of the order until it has ended."""
    shown = ""
    with console.status("the order is on its way ...") as spinner:
        while True:
            if order["status"] != shown:
                shown = order["status"]
                _tell(console, started, f"order     {SAID.get(shown, shown)}{_findings(order)}")
                spinner.update(f"{shown} ...")
            if shown in ENDED:
                return order
            _check_time(until, f"the order was still {shown}")
            time.sleep(GLANCE)
            order = json_object(http.get(f"/v1/orders/{order['id']}").raise_for_status().content)


def _findings(order: Mapping[str, Any]) -> str:
    if order.get("otp"):
        return f", [bold]{order['otp']}[/]"
    paid = f" for {order['price']} PKR" if order.get("price") else ""
    contact = order.get("number") or order.get("address")
    return f", {'number' if order.get('number') else 'address'} [bold]{contact}[/]{paid}" if contact else ""


def _wait_for_webhook(console: Console, started: float, receiver: Receiver, until: float) -> Received:
    while True:
        try:
            event = receiver.events.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            raise DemoFailed("the webhook with the code did not come in time") from None
        mark = "[green]signature verified by standardwebhooks[/]" if event.verified else "[red]signature refused[/]"
        _tell(console, started, f"webhook   {event.type}, {mark}")
        if not event.verified:
            raise DemoFailed(f"the signature of {event.type} is not valid")
        if event.type == "order.otp_received":
            return event


def _tell(console: Console, started: float, text: str) -> None:
    console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {text}", soft_wrap=True)


def _tell_failure(console: Console, error: Exception, log: str) -> None:
    console.print(f"[bold red]The demo failed:[/] {str(error) or type(error).__name__}", soft_wrap=True)
    if tail := log.splitlines()[-30:]:
        console.print("The last output of the processes:")
        for line in tail:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def _check_time(until: float, otherwise: str) -> None:
    if time.monotonic() > until:
        raise DemoFailed(otherwise)


@contextmanager
def _term_as_interrupt() -> Iterator[None]:
    """TERM clears up as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
