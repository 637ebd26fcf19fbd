"""Where a command meets the settings, the store and the terminal."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import redis
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from worker.caller import Caller
from worker.callers import Callers
from worker.errors import RingbackError, SettingsInvalid, StoreUnavailable
from worker.order import Order, Status
from worker.rental import Rental, RentalStatus
from worker.settings import Settings, load
from worker.store import Store, Vault, connect
from worker.store.queries import OrderFilter, Page

STORE_URL, KEYS = "RINGBACK_REDIS_URL", "RINGBACK_ENCRYPTION_KEYS"
Kept = TypeVar("Kept", Order, Rental)
WIDE = 200
"""Columns of a table that goes into a file or a pipe."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show numbers, codes and responses in full.")]


class Commands(TyperGroup):
    """The commands: whatever ringback itself complains about is one message on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except RingbackError as error:
            complain(str(error))
            raise typer.Exit(1) from None


@dataclass(frozen=True)
class Context:
    """The settings, and what they lead to, made when it is first needed."""

    settings: Settings

    @cached_property
    def vault(self) -> Vault:
        """Opens and seals what is encrypted in the store."""
        return Vault(self.settings.vault_keys, migrating=self.settings.sealing_migration)

    @cached_property
    def store(self) -> Store:
        """The store, known to answer. Raises StoreUnavailable with what to check."""
        settings = self.settings
        store = Store(
            _client(settings.store_url), self.vault, retention=settings.retention, otp_ttl=settings.otp_ttl,
            journal_retention=settings.journal_retention,
        )  # fmt: skip
        try:
            store.now()
            store.adopt_format()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}; {_what_to_check(settings.store_url)}") from None
        return store

    @cached_property
    def callers(self) -> Callers:
        """The callers in the store."""
        return Callers(self.store)

    def now(self) -> float:
        """The store's clock, in epoch seconds."""
        return self.store.now()

    def audit(self, act: str, on: str, why: str) -> None:
        """Say in the audit what was done here, by the name of this machine's user."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            user = str(os.getuid())
        self.store.audit.add(f"command line ({user})", act, on, why)

    def chosen(self, caller_id: str | None) -> list[Caller]:
        """The caller that was asked for, or all of them that can be opened. Raises NotFound."""
        if caller_id is not None:
            return [self.callers.get(caller_id)]
        skipped: list[str] = []
        found = self.callers.all(skipped)
        name_skipped(skipped)
        return found

    def newest(
        self, ask: Callable[..., Page[Kept]], caller_id: str | None, status: Status | RentalStatus | None, limit: int
    ) -> list[Kept]:
        """The newest orders or rentals, as the console asks for them (`ask`), of one caller or of all.

        What cannot be opened is named. Raises NotFound for an unknown caller.
        """
        wanted = OrderFilter(caller=None if caller_id is None else self.callers.get(caller_id).id, status=status)
        page: Page[Kept] = ask(wanted, self.now(), limit=limit)
        found, skipped = list(page.items), set(page.skipped)
        while page.cursor is not None and len(found) < limit:
            page = ask(wanted, self.now(), limit=limit - len(found), cursor=page.cursor)
            found += page.items
            skipped.update(page.skipped)
        name_skipped(sorted(skipped))
        return found


def open_context() -> Context:
    """The context by the environment. Raises SettingsInvalid with every problem, a missing store among them."""
    settings = load("tool", surroundings())
    if not settings.store_url:
        raise SettingsInvalid(f"no store: set {STORE_URL}, or start `ringback up` in this folder first")
    return Context(settings)


def surroundings() -> Mapping[str, str]:
    """The environment, with what a `ringback up` running in this folder made for itself where nothing is set."""
    environ = dict(os.environ)
    if environ.get(STORE_URL) and environ.get(KEYS):
        return environ
    found = {name: value for name, value in _of_running_service().items() if not environ.get(name)}
    if found:
        complain(f"using the store of the `ringback up` that runs in this folder ({', '.join(sorted(found))})")
    return environ | found


def _of_running_service() -> dict[str, str]:
    from worker.local.embedded import EmbeddedStore
    from worker.local.up import FOLDER, environment

    if not (FOLDER / "up.json").exists():
        return {}
    asked, embedded = os.environ.get(STORE_URL), EmbeddedStore.known_url(FOLDER)
    return {} if asked and embedded and asked != embedded else environment()


def _client(url: str) -> redis.Redis:
    try:
        return connect(url)
    except ValueError:
        raise SettingsInvalid(f"{STORE_URL} is not the address of a store, like redis://host:6379/0") from None


def _what_to_check(url: str) -> str:
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"check that it is running, and that {STORE_URL} ({where}) has the right address, password and TLS"


# What is shown.


def complain(text: str) -> None:
    """A line on stderr."""
    typer.echo(printable(text, keep="\n"), err=True)


def name_skipped(ids: Sequence[str]) -> None:
    """Name on stderr what a list leaves out because it cannot be opened."""
    for one in ids:
        complain(f"{one} is left out: no key in RINGBACK_ENCRYPTION_KEYS here can open it (ringback keys status)")


def say(text: str) -> None:
    """A line on stdout."""
    typer.echo(printable(text, keep="\n"))


def show_json(value: Any) -> None:
    """JSON on stdout, readable."""
    typer.echo(json.dumps(value, indent=2))


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on stdout; `empty` is said when there are no rows."""
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell(one), overflow="fold") for one in row))
    show(table) if table.row_count else say(empty)


def show_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        say(f"{name:<{width}}  {cell(value)}")


def show(table: Table) -> None:
    """The table as wide as the terminal; into a pipe, as wide as it needs."""
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def cell(value: object) -> str:
    """A value as a table shows it: nothing as a dash, and no control characters (others wrote these texts)."""
    if value is None or value == "":
        return "-"
    if isinstance(value, Mapping | list | tuple):
        return printable(json.dumps(value, ensure_ascii=False))
    return printable(str(value))


def printable(text: str, *, keep: str = "") -> str:
    """The text without what could steer a terminal."""
    return "".join(char if char.isprintable() or char in keep else "\ufffd" for char in text)


def without_query(url: str | None) -> str | None:
    """An address as it may be shown: what is behind the question mark may be a secret."""
    if url is None or "?" not in url:
        return url
    return url.partition("?")[0] + "?***"


# What is read from the command line.


def option(read: Callable[[str], Any], **kwargs: Any) -> Any:
    """An option read by `read`, whose ValueError is a usage error."""

    def parse(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(parser=parse, **kwargs)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> float:
    """A span like `90s`, `15m`, `24h`, `7d` or a plain number of seconds. Raises ValueError."""
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise ValueError("must be a duration like 90s, 15m, 24h or 7d")
    return float(digits) * _UNITS[unit]
