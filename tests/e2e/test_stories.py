"""Each story of the sandbox, asked for per order by the server's name, from POST to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.invariants import checked_stack
from tests.e2e.stack import Stack
from web.sandbox.stories import PREFIX, SHORT, STORIES, WHOLE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ENDS: dict[str, tuple[str, str, str | None, str | None]] = {
    "otp": ("received", "finished", SHORT, None),
    "whole-sms": ("received", "finished", WHOLE, None),
    "no-code": ("expired", "refunded", None, None),
    "late-code": ("received", "refunded", SHORT, None),
    "no-numbers": ("failed", "none", None, "no_numbers"),
    "purchase-unknown": ("failed", "unconfirmed", None, "purchase_unknown"),
    "refund-denied": ("expired", "unconfirmed", None, None),
    "provider-down": ("received", "finished", SHORT, None),
}
"""Status, settlement, code and error that each story of cheap numbers leads to."""


@pytest.fixture(scope="module")
def stack(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose provider sells stories; short settings on both sides."""
    for stack in checked_stack(tmp_path_factory.mktemp("stories")):
        stack.provider.configure(stories=True, story_pace=0.5, life=12)
        yield stack


@pytest.fixture(scope="module")
def played(stack: Stack) -> dict[str, dict[str, Any]]:
    """An order of each story, all posted at once."""
    return {name: stack.post(PREFIX + name, timeout=5) for name in ENDS}


def test_every_story_of_cheap_numbers_is_played():
    """No story is left out."""
    assert sorted(ENDS) == sorted(story.name for story in STORIES.values() if "cheap" in story.products)


@pytest.mark.parametrize("story", ENDS)
def test_story_leads_to_its_end(stack: Stack, played: dict[str, dict[str, Any]], story: str):
    """Status, settlement, code and error are what the story's page says; one terminal webhook tells them."""
    status, settlement, otp, error = ENDS[story]
    order = stack.until_settled(played[story]["id"], settlement, 60)
    assert (order["status"], order["otp"], (order["error"] or {}).get("code")) == (status, otp, error), order
    ends = [one for one in stack.deliveries(order["id"]) if one.message["data"]["status"] == status]
    assert len({one.id for one in ends}) == 1
