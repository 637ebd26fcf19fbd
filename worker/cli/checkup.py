"""`ringback doctor`: what is wrong, what it means and what to do about it."""

from __future__ import annotations

import os
import socket
from typing import Annotated
from urllib.request import urlopen

import typer

from worker.cli.context import AsJson, open_context, say, show_json
from worker.cli.provider_check import check_products, check_provider
from worker.doctor import Finding, Level, examine, explained
from worker.errors import RingbackError, StoreUnavailable
from worker.schedule import LIFE

_MARKS = {Level.OK: "ok  ", Level.WARN: "WARN", Level.FAIL: "FAIL"}


def register(app: typer.Typer) -> None:
    """Give the commands to the command line."""
    app.command()(doctor)


def doctor(
    as_json: AsJson = False,
    live: Annotated[
        bool, typer.Option(help="Only check whether this machine's web or worker is alive: for health checks.")
    ] = False,
) -> None:
    """Say what is wrong and what to do about it.

    Checks settings, store, workers and (with free calls) the provider; exits with 1 if any check fails.

    Example: ringback doctor
    """
    if live:
        _tell_life()
        return
    findings = _findings()
    if as_json:
        show_json({"healthy": not _failed(findings), "findings": [one.public() for one in findings]})
    else:
        _tell(findings)
    if _failed(findings):
        raise typer.Exit(1)


def _tell_life() -> None:
    """Leave with 1 if neither a web on this machine answers nor a worker's heart beats here."""
    if web_answers(int(os.environ.get("PORT") or 8000)):
        say("alive: the web responds")
        return
    try:
        beats = open_context().store.heard_of(socket.gethostname(), LIFE)
    except StoreUnavailable as error:
        say(f"{error}: a restart would not help")
        return
    if not beats:
        raise RingbackError("no web responds here, and no worker here sends a heartbeat")
    say("alive: a worker sends heartbeats")


def web_answers(port: int) -> bool:
    """Whether a web process answers on this machine."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _findings() -> list[Finding]:
    try:
        context = open_context()
        store = context.store
    except RingbackError as error:
        return [explained(error)]
    try:
        found = examine(context.settings, store)
        return [*found, *check_products(context.settings), *check_provider(context.settings)]
    except StoreUnavailable as error:
        return [explained(error)]


def _failed(findings: list[Finding]) -> bool:
    return any(one.level is Level.FAIL for one in findings)


def _tell(findings: list[Finding]) -> None:
    for one in findings:
        say(f"{_MARKS[one.level]}  {one.subject}: {one.meaning}")
        if one.advice:
            say(f"      → {one.advice}")
    counts = [f"{sum(one.level is level for one in findings)} {level.value}" for level in Level]
    say(f"\n{', '.join(counts)}")
