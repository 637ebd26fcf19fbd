"""`ringback balance`, `servers`, `settings`, `keygen`: the account as the workers last read it, and the settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from worker.cli.context import (
    AsJson,
    Context,
    complain,
    open_context,
    say,
    show_fields,
    show_json,
    show_table,
    surroundings,
)
from worker.order import rfc3339
from worker.settings import load

Refresh = Annotated[bool, typer.Option("--refresh", help="Ask a worker to read it anew, and wait a moment for it.")]
PATIENCE, GLANCE = 8.0, 0.2
"""Seconds to wait for a worker's reading, and between two looks."""


def register(app: typer.Typer) -> None:
    """Give the commands to the command line."""
    for command in (balance, servers, settings, keygen):
        app.command()(command)


def balance(refresh: Refresh = False, as_json: AsJson = False) -> None:
    """Show the balance as the workers last read it, and what pauses buying.

    Example: ringback balance --refresh
    """
    context = open_context()
    payload = _reading(context, "balance", refresh) | {"paused": sorted(context.store.pauses())}
    (show_json if as_json else show_fields)(payload)


def servers(
    type: Annotated[str, typer.Option(help="The provider's type of number.")] = "1",
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """List the provider's servers as the workers last read them.

    Example: ringback servers --type 1
    """
    payload = _reading(open_context(), f"servers:{type}", refresh)
    listed = json.loads(payload.pop(f"servers:{type}") or "[]")
    if as_json:
        return show_json({"type": type, "servers": listed, **payload})
    show_table(
        ["id", "name"], [(one["id"], one["name"]) for one in listed], empty=f"No servers of type {type} are known."
    )
    if payload["as_of"] is None or payload["stale"]:
        complain(f"as of {payload['as_of'] or 'never'}: a worker reads them, and the last reading is missing or failed")
    return None


def _reading(context: Context, what: str, refresh: bool) -> dict[str, Any]:
    """A reading of the account: its value, when it was made, and whether a later one failed."""
    if refresh and not _refreshed(context, what):
        complain("no worker has read it anew; this is the last reading")
    reading = context.store.reading(what)
    told: dict[str, Any] = {what: reading.value, "as_of": rfc3339(reading.at), "stale": reading.stale(context.now())}
    return told | ({"reason": reading.why} if reading.why else {})


def _refreshed(context: Context, what: str, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    before = context.store.reading(what)
    context.store.request_refresh(what)
    for _ in range(round(PATIENCE / GLANCE)):
        if context.store.reading(what).asked_at != before.asked_at:
            return True
        sleep(GLANCE)
    return False


def settings(as_json: AsJson = False) -> None:
    """Show every setting as it is read here, secrets as set or unset.

    Example: ringback settings --json
    """
    found = load("tool", surroundings())
    (show_json if as_json else show_fields)(found.masked())
    for warning in found.warnings():
        complain(warning)


def keygen(as_json: AsJson = False) -> None:
    """Make a key for RINGBACK_ENCRYPTION_KEYS.

    Example: export RINGBACK_ENCRYPTION_KEYS=$(ringback keygen)
    """
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    if as_json:
        return show_json({"encryption_key": key})
    say(key)
    return None
