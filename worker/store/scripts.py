"""The Lua scripts beside this package, by name."""

from __future__ import annotations

from importlib.resources import files


def source(name: str) -> str:
    """The text of `lua/<name>.lua`."""
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
