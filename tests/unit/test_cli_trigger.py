"""`ringback trigger`: the stories are those of the sandbox, and nothing is ordered where money is real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from web.sandbox.stories import STORIES, items_of
from worker.cli import app
from worker.cli.trigger import ENDINGS, Story, fields

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
EXPECTED = dict(re.findall(r"(?m)^\| `([\w-]+)` \| [^|]* \| [^|]* \| ([^|]*) \|$", PAGE))


def test_stories_are_those_of_the_sandbox():
    """No story is missing, and none is there that the sandbox does not play."""
    assert [story.value for story in Story] == list(STORIES)


@pytest.mark.parametrize("story", Story)
def test_order_buys_what_plays_the_story(story):
    """What it orders is in the sandbox's catalogue."""
    asked = fields(story)
    product = asked.get("product", "cheap")
    assert asked["service" if product == "sms" else "server"] in items_of(product)


@pytest.mark.parametrize("story", Story)
def test_ending_is_the_one_on_the_page(story):
    """What the command expects is what docs/sandbox.md tells the caller."""
    ending, told = ENDINGS[story], EXPECTED[story.value]
    assert any(f"`{word}`" in told for word in (ending.status, ending.settlement, ending.error)) or "bought" in told


def asked(monkeypatch, servers: Any) -> tuple[Any, list[str]]:
    """What the command says to a service with these servers, and what it asked for."""
    calls: list[str] = []

    def answer(_: Any, method: str, path: str, **__: Any) -> dict[str, Any]:
        calls.append(f"{method} {path}")
        return {"servers": servers}

    monkeypatch.setattr("worker.cli.api.Api._asked", answer)
    environ = {"RINGBACK_API_KEY": "rbk_x", "RINGBACK_URL": "http://127.0.0.1:9"}
    return CliRunner().invoke(app, ["trigger", "otp"], env=environ), calls


@pytest.mark.parametrize(
    ("servers", "said"),
    [([{"id": "1", "name": "Pakistan 1"}], "only the sandbox plays stories"), (None, "no worker has read")],
)
def test_real_provider_is_never_ordered_from(monkeypatch, servers, said):
    """Where no story is for sale nothing is ordered, and the message says what to do."""
    result, calls = asked(monkeypatch, servers)
    assert result.exit_code == 1
    assert said in result.stderr
    assert set(calls) == {"GET /v1/servers"}


def test_unknown_story_is_a_usage_error():
    """The message names the stories."""
    result = CliRunner().invoke(app, ["trigger", "nonsense"])
    assert result.exit_code == 2
    assert "purchase-unknown" in result.stderr
