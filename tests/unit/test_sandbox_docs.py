"""docs/sandbox.md says what the sandbox does: its tables are held against the code's."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox_stage import Theatre
from web.sandbox import rental
from web.sandbox.__main__ import _parser
from web.sandbox.calls import CALLS
from web.sandbox.faults import Fault
from web.sandbox.handlers import HANDLERS
from web.sandbox.kinds import KINDS
from web.sandbox.rules import READERS as RULES
from web.sandbox.rules import Rules
from web.sandbox.shapes import READERS as SHAPES
from web.sandbox.shapes import Shapes
from web.sandbox.stories import STORIES

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's tables, without heads and rules."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_page_lists_every_call_with_its_fields():
    """Each call of the control face has a row, with the fields it takes and what it does."""
    written = {named(call)[0]: (names, does) for call, names, does in rows("Control calls")}
    assert list(written) == [f"{one.method} {one.path}" for one in CALLS]
    for one in CALLS:
        names, does = written[f"{one.method} {one.path}"]
        assert does == one.does
        if one.path not in ("/sandbox/config", "/sandbox/shapes"):
            assert named(names) == list(one.takes)
            assert re.findall(r"`(\w+)` \(needed\)", names) == [name for name in one.takes if name in one.needs]


def test_page_tells_every_story():
    """Each story has a row: its products, what the provider does, what the caller sees."""
    written = [(named(name)[0], products, provider, caller) for name, products, provider, caller in rows("Stories")]
    assert written == [(one.name, ", ".join(one.products), one.provider, one.caller) for one in STORIES.values()]


@pytest.mark.parametrize(
    ("title", "values", "readers"), [("Rules", Rules(), RULES), ("Shapes", Shapes(), SHAPES)], ids=["rules", "shapes"]
)
def test_page_lists_rules_and_shapes_with_their_defaults(title: str, values: Any, readers: Any):
    """Each rule and each shape has a row with its default."""
    written = {named(name)[0]: default.strip("`") for name, default, _meaning in rows(title)}
    assert written == {name: _default(getattr(values, name)) for name in readers}
    assert set(readers) == {one.name for one in fields(values)}


def _default(value: object) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, default=str).strip('"').removesuffix(".0")


def test_page_explains_faults():
    """Each field of an entry and each kind is on the page."""
    text = section("Faults")
    assert [one.name for one in fields(Fault) if f"`{one.name}`" not in text] == []
    kinds = [name for line in text.splitlines() if not line.startswith("| `") for name in named(line)]
    assert [kind for kind in KINDS if kind not in kinds] == []


def test_page_lists_handlers_with_their_actions():
    """Each handler has its actions on the page, and the rental ones stand at both."""
    written = {named(handler)[0]: named(actions) for handler, _speaks, actions in rows("Handlers")}
    for name, handler in HANDLERS.items():
        assert written[name] == list(handler.actions or rental.ACTIONS)


def test_options_on_the_page_exist():
    """Each `--option` that the page shows is one of the command."""
    known = {option for action in _parser()._actions for option in action.option_strings}
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--json", "--request", "--sandbox"}
    assert shown <= known


def test_calls_on_the_page_are_taken():
    """Each example of a call has a body that the sandbox takes, and each order's item is for sale."""
    theatre = Theatre()
    for body, path in re.findall(r"curl --json '([^']+)' http://127.0.0.1:9000(\S+)", PAGE):
        (call,) = [one for one in CALLS if (one.method, one.path) == ("POST", path)]
        call.act(theatre.stage, {name: call.takes[name](value) for name, value in json.loads(body).items()})
    for item in re.findall(r'"(?:server|service)": "(story-[\w-]+)"', section("Stories")):
        assert item.removeprefix("story-") in STORIES
    script = re.search(r'^    (\{"action".*\})$', section("Faults"), re.MULTILINE)
    assert script is not None
    theatre.stage.script(json.loads(script[1]))
