"""`ringback balance`, `servers`, `countries`, `services`, `settings`, `keygen`: what the workers read, and settings."""

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
from worker.reading import listing_name
from worker.settings import load

Refresh = Annotated[bool, typer.Option("--refresh", help="Ask a worker to read it again, and wait for the result.")]
PATIENCE, GLANCE = 8.0, 0.2
"""Seconds to wait for a worker's reading, and between two looks."""


def register(app: typer.Typer) -> None:
    """Give the commands to the command line."""
    for command in (balance, servers, countries, services, settings, keygen):
        app.command()(command)


def balance(refresh: Refresh = False, as_json: AsJson = False) -> None:
    """Show the balance as the workers last read it, and why buying is paused, if it is.

    Example: ringback balance --refresh
    """
    context = open_context()
    paused = {"paused": sorted(context.store.pauses()), "paused_items": sorted(context.store.item_pauses())}
    payload = _reading(context, "balance", refresh) | paused
    (show_json if as_json else show_fields)(payload)


def servers(
    type: Annotated[str, typer.Option(help="The provider's type of number.")] = "1",
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """List the provider's servers as the workers last read them.

    Example: ringback servers --type 1
    """
    _list("servers", f"servers:{type}", {"type": type}, refresh, as_json)


def countries(
    type: Annotated[str, typer.Option(help="The upstream of SMS OTP, 1 to 6.")] = "1",
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """List the countries of SMS OTP as the workers last read them.

    Example: ringback countries --type 4
    """
    _list("countries", listing_name("countries", "sms", [type]), {"type": type}, refresh, as_json)


def services(
    product: Annotated[str, typer.Option(help="sms or email.")] = "sms",
    country: Annotated[str | None, typer.Option(help="For sms: the country's id.")] = None,
    type: Annotated[str | None, typer.Option(help="For sms: the upstream, 1 to 6.")] = None,
    domain: Annotated[str | None, typer.Option(help="For email: the domain.")] = None,
    refresh: Refresh = False,
    as_json: AsJson = False,
) -> None:
    """List the services of SMS OTP or Email OTP with their prices, as the workers last read them.

    Example: ringback services --country 33 --type 4 --refresh
    """
    given = {"country": country, "type": type} if product == "sms" else {"domain": domain}
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise typer.BadParameter(f"services of {product} need --{' and --'.join(missing)}")
    place = [str(value) for value in given.values()]
    _list("services", listing_name("services", product, place), {"product": product, **given}, refresh, as_json)


def _list(listing: str, what: str, place: dict[str, str | None], refresh: bool, as_json: bool) -> None:
    """Show a listing of the catalogue."""
    payload = _reading(open_context(), what, refresh)
    listed = json.loads(payload.pop(what) or "[]")
    if as_json:
        return show_json({**place, listing: listed, **payload})
    columns = list(listed[0]) if listed else []
    where = ", ".join(f"{name} {value}" for name, value in place.items())
    show_table(columns, [list(one.values()) for one in listed], empty=f"No {listing} are known for {where}.")
    if payload["as_of"] is None:
        complain("no worker has read them yet")
    elif payload["stale"]:
        complain(f"as of {payload['as_of']}: no worker has been able to read them since")
    return None


def _reading(context: Context, what: str, refresh: bool) -> dict[str, Any]:
    """A reading of the account: its value, when it was made, and whether a later one failed."""
    if refresh and not _refreshed(context, what):
        complain("no worker has read it again in time; this is the last reading")
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
    """Show every setting as it is here, secrets only as set or unset.

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
