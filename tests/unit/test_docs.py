"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from worker.settings import PREFIX, READ_ELSEWHERE, Settings

DOCS = Path(__file__).parents[2] / "docs"
UNSET = "–"  # noqa: RUF001 - the table's own dash
DERIVED = {"RINGBACK_BROKER_URL": "the store"}
"""Defaults that follow from another setting."""


def documented() -> dict[str, tuple[str, str]]:
    """The table of docs/configuration.md: name → (default, meaning)."""
    rows = re.findall(
        r"^\| `(RINGBACK_\w+)` \| (.*?) \| (.*) \|$", (DOCS / "configuration.md").read_text(), re.MULTILINE
    )
    return {name: (default.strip("`"), meaning) for name, default, meaning in rows}


def as_written(default: Any) -> str:
    """A default as the table writes it."""
    if default in (None, (), PydanticUndefined):
        return UNSET
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(part if isinstance(part, str) else f"{part:g}" for part in default)
    return f"{default:.0f}" if isinstance(default, float) else str(default)


def test_every_setting_is_documented_and_nothing_else():
    """The table of settings is whole, in the order of the code."""
    assert list(documented()) == [PREFIX + name.upper() for name in Settings.model_fields]


def test_variables_that_are_no_settings_are_documented():
    """Those that the service or its commands read are on the page, and what is on it is read somewhere."""
    page = (DOCS / "configuration.md").read_text().partition("## Other variables")[2]
    named = set(re.findall(r"`([A-Z_]{4,})`", page.partition("\n## ")[0]))
    sources = "".join(path.read_text() for part in ("web", "worker") for path in (DOCS.parent / part).rglob("*.py"))
    assert {PREFIX + name for name in ("URL", "API_KEY", "BIND")} <= named & READ_ELSEWHERE
    assert [one for one in sorted(named) if one not in sources and one.removeprefix(PREFIX) not in sources] == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented_with_its_default_and_meaning(name: str):
    """What the table says of a setting is what `ringback settings` says of it."""
    field, variable = Settings.model_fields[name], PREFIX + name.upper()
    expected = (DERIVED.get(variable, as_written(field.default)), field.description)
    assert documented()[variable] == expected
