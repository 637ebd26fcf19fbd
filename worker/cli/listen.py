"""`ringback listen`: a caller's events forwarded to a local address, for development without a public one."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from worker.caller import key_hash
from worker.cli.api import Api, ApiKey, Url
from worker.cli.context import complain, option, say
from worker.cli.listening import FIRST, Forwarded, Listener, Local, Place
from worker.order import EventType

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Give the command to the command line."""
    app.command()(listen)


def _address(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or True)
    except ValueError:
        known = False
    if not known or not url.isascii() or any(char.isspace() for char in url):
        raise ValueError("must be an address like http://127.0.0.1:5050/ringback")
    return url


def _types(text: str) -> frozenset[str]:
    given = frozenset(one.strip() for one in text.split(",") if one.strip())
    unknown = sorted(given - set(EventType))
    if unknown or not given:
        raise ValueError(f"unknown event type: {', '.join(unknown) or 'empty'}; must be one of {', '.join(EventType)}")
    return given


def _type(text: str) -> str:
    (one,) = _types(text) if "," not in text else _types("")
    return one


ForwardTo = Annotated[Any, option(_address, metavar="URL", help="Where to post events, with path and query.")]
Events = Annotated[Any, option(_types, metavar="TYPES", help="Only these types, comma-separated.")]
Since = Annotated[
    str | None, typer.Option(metavar="ID", help=f"Begin after this event; `{FIRST}`: with the oldest that is kept.")
]  # fmt: skip
ExitAfter = Annotated[
    Any, option(_type, metavar="TYPE", help="Exit after an event of this type, with 1 if the response was not a 2xx.")
]
Lines = Annotated[bool, typer.Option("--json", help="One JSON object per event; everything else goes to stderr.")]


def listen(
    forward_to: ForwardTo,
    events: Events = None,
    since: Since = None,
    exit_after: ExitAfter = None,
    as_json: Lines = False,
    api_key: ApiKey = None,
    url: Url = None,
) -> None:
    """Forward a caller's events to a local address, until Ctrl-C.

    The bytes and the signature are those of the real webhooks, so the receiver verifies them as in production. Events
    that could not be forwarded are sent when the local address, the service or this command is back.

    Example: RINGBACK_API_KEY=rbk_... ringback listen --forward-to http://127.0.0.1:5050/ringback
    """
    tell = complain if as_json else say
    with Api(url, api_key) as api:
        local = Local(forward_to, f"ringback/{version('ringback')} (listen)")
        listener = Listener(
            api, local, Place(_folder(), api.url, key_hash(api_key or ""), forward_to), tell=tell,
            show=_as_json if as_json else _as_line, since=since, exit_after=exit_after,
            wants={*events, exit_after} if events else None,
        )  # fmt: skip
        try:
            last = listener.run()
        except KeyboardInterrupt:
            tell("stopped; the next start continues from here")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            local.close()
    raise typer.Exit(0 if last.acknowledged else 1)


def _folder() -> Path:
    """Where programs keep their state (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "ringback"


def _as_line(done: Forwarded) -> None:
    say(f"{done.status}  {done.duration * 1000:5.0f} ms  {done.type}  {done.id}  {done.order or '-'}")


def _as_json(done: Forwarded) -> None:
    told = {
        "id": done.id, "type": done.type, "order": done.order, "status": done.status,
        "duration": round(done.duration, 3),
    }  # fmt: skip
    say(json.dumps(told))
