"""`ringback keys`: which encryption key the stored records need, and sealing them anew so that an old one can go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from worker.cli.context import AsJson, Context, complain, open_context, say, show_fields, show_json, show_table
from worker.store import Record, Unreadable

app = typer.Typer(no_args_is_help=True, help="Show which encryption keys are needed, and retire old ones.")

NAMED = 20
"""Records that are named of those that do not open here; all are counted."""


@app.command()
def status(as_json: AsJson = False) -> None:
    """Count the stored records by the key that they need; exits with 1 if no key set here can open some of them.

    Example: ringback keys status
    """
    context = open_context()
    needed, locked = _counted(context)
    known = context.vault.key_ids
    keys = [
        {"key": key, "here": _standing(key, known), "records": needed[key]}
        for key in [*known, *sorted(needed.keys() - set(known))]
    ]
    payload: dict[str, Any] = {"keys": keys, "records": needed.total(), "unreadable": locked}
    if as_json:
        show_json(payload)
    else:
        show_table(["key", "here", "records"], [tuple(one.values()) for one in keys], empty="There are no records.")
        _name(locked)
    if locked:
        raise typer.Exit(1)


@app.command()
def reseal(as_json: AsJson = False) -> None:
    """Seal every record with the first of RINGBACK_ENCRYPTION_KEYS; safe to repeat, and while everything runs.

    Example: ringback keys reseal
    """
    store = open_context().store
    resealed, locked = 0, []
    for record in store.records():
        try:
            resealed += store.reseal(record)
        except Unreadable:
            locked.append(_name_of(record))
    (show_json if as_json else show_fields)({"resealed": resealed, "unreadable": locked[:NAMED]})
    if locked:
        complain(f"no key in RINGBACK_ENCRYPTION_KEYS can open {len(locked)} records; they were left unchanged")
        raise typer.Exit(1)


def _counted(context: Context) -> tuple[Counter[str], list[str]]:
    """How many records need which key, and those that do not open here."""
    store, needed, locked = context.store, Counter[str](), []
    for record in store.records():
        needed[store.key_of(record)] += 1
        if not store.opens(record):
            locked.append(_name_of(record))
    return needed, locked


def _standing(key: str, known: list[str]) -> str:
    if key in known:
        return "seals and opens" if key == known[0] else "opens"
    return {"clear": "not sealed", "unbound": "sealed, not bound"}.get(key, "missing")


def _name_of(record: Record) -> str:
    return f"{record.place.kind} {record.place.id}"


def _name(locked: list[str]) -> None:
    for name in locked[:NAMED]:
        say(f"cannot be opened here: {name}")
    if len(locked) > NAMED:
        say(f"... and {len(locked) - NAMED} more")
