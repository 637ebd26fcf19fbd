"""`ringback keys`: which encryption key the stored records need, and sealing them anew so that an old one can go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from worker.cli.context import AsJson, Context, complain, open_context, say, show_fields, show_json, show_table
from worker.store import Record, Unreadable

app = typer.Typer(no_args_is_help=True, help="See which encryption keys are needed, and let old ones go.")

NAMED = 20
"""Records that are named of those that do not open here; all are counted."""


@app.command()
def status(as_json: AsJson = False) -> None:
    """Count the stored records by the key that they need; leaves with 1 if some open with none that is set here.

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
    """Seal every record with the first of RINGBACK_ENCRYPTION_KEYS; safe while everything runs, and to repeat.

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
        complain(f"{len(locked)} records open with none of RINGBACK_ENCRYPTION_KEYS; they are as they were")
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
    return {"clear": "not sealed", "unbound": "sealed, bound to no place"}.get(key, "missing")


def _name_of(record: Record) -> str:
    return f"{record.place.kind} {record.place.id}"


def _name(locked: list[str]) -> None:
    for name in locked[:NAMED]:
        say(f"does not open here: {name}")
    if len(locked) > NAMED:
        say(f"... and {len(locked) - NAMED} more")
