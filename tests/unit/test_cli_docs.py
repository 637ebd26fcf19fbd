"""docs/operations.md is held to the command line, the alerts and the doctor."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from worker.alerts import Alert
from worker.cli import app
from worker.pause import Pause

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def _commands(command, path=()):
    nested = getattr(command, "commands", None)
    if nested is None:
        yield " ".join(path)
    for name, one in (nested or {}).items():
        yield from _commands(one, (*path, name))


def test_every_command_is_described():
    """The page names every command."""
    assert [one for one in _commands(get_command(app)) if f"ringback {one}" not in PAGE] == []


def test_no_command_is_made_up():
    """Every command that the page names exists."""
    known = set(_commands(get_command(app)))
    groups = "caller|order|rental|events|operator|keys"
    named = set(re.findall(rf"(?m)(?:`|^    )ringback ((?:{groups}) [a-z-]+|[a-z]+)", PAGE))
    assert named - known == set()


def test_every_alert_is_explained():
    """Each Prometheus alert, each kind of alert line and each pause has its place on the page."""
    rules = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "rules" / "alerts.yaml").read_text())
    assert rules
    assert [one for one in (*rules, *Alert, *Pause) if f"`{one}`" not in PAGE] == []
