"""The Lua scripts beside this package, by name."""

from __future__ import annotations

from importlib.resources import files

NEEDS = "-- Needs turns.lua.\n"
"""The line of a script that uses what `lua/turns.lua` defines."""


def source(name: str) -> str:
    """The text of `lua/<name>.lua`, with what it needs before it."""
    text = _text(name)
    return _text("turns") + text if NEEDS in text else text


def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
