"""The Lua scripts beside this package, by name."""

from __future__ import annotations

import re
from importlib.resources import files

from worker.store.keys import NEVER_THERE

_NEEDS = re.compile(r"^-- Needs ([\w., ]+)\.$", re.MULTILINE)
"""The line of a script that uses what other files beside it define: `-- Needs rate.lua, turns.lua.`"""


def source(name: str) -> str:
    """The text of `lua/<name>.lua`, with what it needs before it."""
    text = _text(name)
    needed = _NEEDS.search(text)
    files_needed = needed[1].split(", ") if needed else []
    return "".join(_text(one.removesuffix(".lua")) for one in files_needed) + text


def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def source_of_work(name: str) -> str:
    """The same for what workers, reports and operators write: a full store (maxmemory) lets it through.

    What is under way must end: be polled, cancelled, delivered. A script that has begun to write is let go on, so a
    write that takes no memory comes first.
    """
    return f'redis.call("DEL", "{NEVER_THERE}")\n{source(name)}'
