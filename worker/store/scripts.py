"""The Lua scripts beside this package, by name."""

from __future__ import annotations

from importlib.resources import files

from worker.store.keys import NEVER_THERE

NEEDS = "-- Needs turns.lua.\n"
"""The line of a script that uses what `lua/turns.lua` defines."""


def source(name: str) -> str:
    """The text of `lua/<name>.lua`, with what it needs before it."""
    text = _text(name)
    return _text("turns") + text if NEEDS in text else text


def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def source_of_work(name: str) -> str:
    """The same for a script of the workers, which a full store (maxmemory) lets through.

    What is under way must end: be polled, cancelled, delivered. A script that has begun to write is let go on, so a
    write that takes no memory comes first.
    """
    return f'redis.call("DEL", "{NEVER_THERE}")\n{source(name)}'
