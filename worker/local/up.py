"""`ringback up`: the whole service on this machine as in the Procfile, its store embedded if none is set."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.fernet import Fernet

from worker.errors import RingbackError, StoreUnavailable
from worker.local.children import Child, Supervisor, run
from worker.local.embedded import EmbeddedStore
from worker.local.processes import (
    FolderLock,
    check_ours,
    free_port,
    is_alive,
    port_is_free,
    read_json,
    read_private,
    write_private,
)
from worker.operator import Role
from worker.operators import Operators, login_path
from worker.settings import Settings, load
from worker.store import Store, Unreadable, Vault, connect

__all__ = ["FOLDER", "Child", "Ports", "environment", "run", "service", "up"]

FOLDER = Path(".ringback")
"""Where `ringback up` keeps its data, below the folder it is called in."""
HERE = "ringback up"
"""The operator whom `ringback up` lets into the console."""
SANDBOX_KEY = "sandbox"
"""The sandbox provider's API key; it guards play money."""
REVIVAL_PAUSE = 2.0
"""Seconds between two attempts to start a store that does not come up again."""
TEMPO = {"RINGBACK_EARLIEST_CANCEL": "5", "RINGBACK_CANCEL_RETRY": "2", "RINGBACK_BUY_BUDGET": "8"}
"""What workers are given with the sandbox, so that every story ends within seconds."""
SANDBOX_TEMPO = ("--cancel-after", "4", "--story-life", "30")
"""The sandbox's own side of it."""
WEB_ARGUMENTS = ("--config", "python:web.server.config", "web.app:create_app()")
"""The Procfile's web line; a test holds the two together."""
WORKER_ARGUMENTS = (
    "--quiet --app worker.queue:app worker --pool threads --concurrency 8 --queues buy,poll,settle,deliver "
    "--without-gossip --without-mingle --without-heartbeat --loglevel INFO"
)
"""The Procfile's worker line; a test holds the two together."""

Environment = Mapping[str, str | None]


class PortTaken(RingbackError):
    """Another program listens where a process of ours should."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where things listen on this machine; `sandbox` None: the real provider is used."""

    web: int
    sandbox: int | None


def up(
    *,
    sandbox: bool = False,
    port: int | None = None,
    sandbox_port: int | None = None,
    workers: int = 1,
    folder: Path = FOLDER,
) -> int:
    """Run the whole service until Ctrl-C or TERM; returns the exit code.

    The sandbox provider is used if asked for, and while no provider key is set; the embedded store unless
    RINGBACK_REDIS_URL is set. `port` None: $PORT, else 8000. Raises FolderBusy, StoreFailed, PortTaken and
    SettingsInvalid, each with a message to show.
    """
    sandboxed = sandbox or not os.environ.get("RINGBACK_OTPGET_API_KEY")
    with _store(folder) as store:
        ports = _ports(port, sandbox_port, sandboxed)
        tempo = {name: value for name, value in TEMPO.items() if sandboxed and not os.environ.get(name)}
        settings = tempo | _own_settings(folder, store)
        children = service(ports, settings, workers=workers, sandbox_options=SANDBOX_TEMPO)
        _settings_of(children[-1], "worker")
        store.describe(**_addresses(ports))
        _say(*_opening(store, sandboxed, asked=sandbox))
        return Supervisor(
            children, on_ready=lambda: _say(*_ready(ports), *_console(ports, children[-1])), each_tick=_reviver(store)
        ).run()


def environment(folder: Path = FOLDER) -> dict[str, str]:
    """The settings that a `ringback up` running on the folder made for itself; empty if none runs there.

    For commands in another terminal: they reach the embedded store, and read what is encrypted in it. Raises NotOurs.
    """
    if not os.path.lexists(folder):
        return {}
    check_ours(folder)
    if not is_alive(read_json(folder / "up.json").get("pid")):
        return {}
    found = {"RINGBACK_ENCRYPTION_KEYS": _read(folder / "encryption.key")}
    if not os.environ.get("RINGBACK_REDIS_URL") and (url := EmbeddedStore.known_url(folder)):
        found["RINGBACK_REDIS_URL"] = url
    return {name: value for name, value in found.items() if value}


def web_address(folder: Path = FOLDER) -> str | None:
    """Where the web of a `ringback up` on the folder answers, on this machine; None if none runs there.

    Raises NotOurs.
    """
    if not os.path.lexists(folder):
        return None
    check_ours(folder)
    running = read_json(folder / "up.json")
    address = str(running.get("web", ""))
    here = re.fullmatch(r"http://127\.0\.0\.1:\d{1,5}", address)
    return address if here and is_alive(running.get("pid")) else None


def service(
    ports: Ports, settings: Environment, *, workers: int = 1, sandbox_options: Sequence[str] = ()
) -> list[Child]:
    """The whole service as children: the sandbox (if it has a port), web, and the workers last."""
    common = {**settings, "PORT": str(ports.web), "RINGBACK_BIND": "127.0.0.1"}
    if sys.stdout.isatty():
        common.setdefault("FORCE_COLOR", "1")
    names = ["worker"] if workers == 1 else [f"worker{number}" for number in range(1, workers + 1)]
    if ports.sandbox:
        common.setdefault("RINGBACK_SANDBOX_URL", f"http://127.0.0.1:{ports.sandbox}/sandbox/")
    web = Child(
        "web", [sys.executable, "-m", "gunicorn", *WEB_ARGUMENTS], {**common, "RINGBACK_OTPGET_API_KEY": None},
        ready_url=f"http://127.0.0.1:{ports.web}/readyz?workers=true",
    )  # fmt: skip
    celery = [sys.executable, "-m", "celery", *WORKER_ARGUMENTS.split(), "--hostname"]
    children = [web, *(Child(name, [*celery, f"{name}@%h"], common | _provider(ports)) for name in names)]
    return [_sandbox(ports.sandbox, sandbox_options), *children] if ports.sandbox else children


def _provider(ports: Ports) -> dict[str, str | None]:
    if not ports.sandbox:
        return {}
    base_url = f"http://127.0.0.1:{ports.sandbox}/stubs"
    return {"RINGBACK_OTPGET_BASE_URL": base_url, "RINGBACK_OTPGET_API_KEY": SANDBOX_KEY}


def _sandbox(port: int, options: Sequence[str]) -> Child:
    argv = [
        sys.executable,
        "-u",
        "-m",
        "web.sandbox",
        "--port",
        str(port),
        "--api-key",
        SANDBOX_KEY,
        *options,
    ]
    return Child("sandbox", argv, {"RINGBACK_OTPGET_API_KEY": None}, stop_grace=3)


class _NoStore(FolderLock):
    """The folder without a store in it: RINGBACK_REDIS_URL says where the store is."""

    durability = "from RINGBACK_REDIS_URL; how durable it is depends on its own settings"


@contextmanager
def _store(folder: Path) -> Iterator[EmbeddedStore | _NoStore]:
    if not os.environ.get("RINGBACK_REDIS_URL"):
        with EmbeddedStore(folder) as store:
            yield store
        return
    lock = _NoStore(folder.absolute())
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def _ports(web: int | None, sandbox: int | None, sandboxed: bool) -> Ports:
    web = web or int(os.environ.get("PORT") or 8000)
    for port in filter(None, (web, sandbox)):
        if not port_is_free(port):
            raise PortTaken(f"port {port} of this machine is already in use; choose another one")
    if sandboxed and sandbox is None:
        sandbox = 9000 if port_is_free(9000) else free_port()
    return Ports(web, sandbox if sandboxed else None)


def _own_settings(folder: Path, store: EmbeddedStore | _NoStore) -> dict[str, str]:
    found = {} if os.environ.get("RINGBACK_ENCRYPTION_KEYS") else {"RINGBACK_ENCRYPTION_KEYS": _key(folder)}
    return found | ({"RINGBACK_REDIS_URL": store.url} if isinstance(store, EmbeddedStore) else {})


def _key(folder: Path) -> str:
    path = folder / "encryption.key"
    if not path.exists():
        write_private(path, Fernet.generate_key().decode())
    return read_private(path).strip()


def _read(path: Path) -> str:
    try:
        return read_private(path).strip()
    except OSError:
        return ""


def _settings_of(child: Child, role: Literal["worker", "tool"]) -> Settings:
    """The settings that a child is given, as a role reads them. Raises SettingsInvalid."""
    merged = {**os.environ, **child.env}
    return load(role, {name: value for name, value in merged.items() if value is not None})


def _reviver(store: EmbeddedStore | _NoStore) -> Callable[[], None]:
    """A look at the store for every tick: it comes back when it dies, as the children do."""
    pause_until = 0.0

    def look() -> None:
        nonlocal pause_until
        if not isinstance(store, EmbeddedStore) or time.monotonic() < pause_until:
            return
        try:
            if store.revive():
                _say("store had stopped and was restarted")
        except RingbackError as error:
            _say(f"store: {error}")
            pause_until = time.monotonic() + REVIVAL_PAUSE

    return look


def _addresses(ports: Ports) -> dict[str, str]:
    found = {"web": f"http://127.0.0.1:{ports.web}"}
    return found | ({"sandbox": f"http://127.0.0.1:{ports.sandbox}/sandbox/"} if ports.sandbox else {})


def _opening(store: EmbeddedStore | _NoStore, sandboxed: bool, *, asked: bool) -> list[str]:
    if sandboxed:
        why = "as requested" if asked else "because RINGBACK_OTPGET_API_KEY is not set"
        provider = f"the sandbox, {why}: play money, made-up numbers, cancelling after a few seconds"
    elif os.environ.get("RINGBACK_OTPGET_BASE_URL"):
        provider = "the one at RINGBACK_OTPGET_BASE_URL: real money, unless it is a sandbox"
    else:
        provider = "OTPGet: real money"
    return [f"store:    {store.durability}", f"provider: {provider}"]


def _ready(ports: Ports) -> list[str]:
    addresses = _addresses(ports)
    lines = [f"ready:    {addresses['web']} (API reference at /docs); Ctrl-C stops everything"]
    if ports.sandbox:
        lines.append(f"          watch numbers and send codes at {addresses['sandbox']}")
    return lines


def _console(ports: Ports, worker: Child) -> list[str]:
    """The console's address with a login link: whoever starts the service looks after it."""
    settings = _settings_of(worker, "tool")
    if not settings.console:
        return []
    store = Store(
        connect(settings.store_url),
        Vault(settings.vault_keys, migrating=settings.sealing_migration),
        retention=settings.retention,
        otp_ttl=settings.otp_ttl,
    )
    operators = Operators(store)
    try:
        mine = operators.named(HERE) or operators.create(HERE, Role.ADMIN, store.now())
        link = f"{_addresses(ports)['web']}{login_path(operators.link(mine.id))}"
    except (StoreUnavailable, Unreadable) as error:
        return [f"console:  could not make a login link: {error}"]
    return [f"console:  {link}", "          (logs in once, within 10 minutes; `ringback operator link` makes another)"]


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is the command's output
