"""Each story of the sandbox, asked for per order by the server's or the service's name, from POST to its end."""

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
PRICED = {**ENDS, "price-changed": ("received", "finished", SHORT, None)}
"""The same for products with prices."""
PLACES = {
    "cheap": lambda story: {"server": story, "type": "1"},
    "sms": lambda story: {"product": "sms", "service": story, "country": "33", "type": "4"},
    "email": lambda story: {"product": "email", "service": story, "domain": "gmail.com"},
}
PLAYED = [(product, story) for product in PLACES for story in (ENDS if product == "cheap" else PRICED)]
SHORT_LIVES = "[sms]\nlife = 12\n[email]\nlife = 12\n"
"""Entries of the product table, so that a refused cancel ends in seconds."""


@pytest.fixture(scope="module")
def stack(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose provider sells stories; short settings on both sides."""
    folder = tmp_path_factory.mktemp("stories")
    (folder / "products.toml").write_text(SHORT_LIVES)
    for stack in checked_stack(folder, settings={"RINGBACK_PRODUCTS_FILE": str(folder / "products.toml")}):
        stack.provider.configure(stories=True, story_pace=0.5, life=12, sms_life=12, email_life=12)
        yield stack


@pytest.fixture(scope="module")
def played(stack: Stack) -> dict[tuple[str, str], dict[str, Any]]:
    """An order of each story of each product, all posted at once."""
    return {
        (product, story): stack.post(f"{product}-{story}", timeout=5, **PLACES[product](PREFIX + story))
        for product, story in PLAYED
    }


@pytest.mark.parametrize("product", PLACES)
def test_every_story_is_played(product: str):
    """No story is left out, of any product."""
    told = [story for name, story in PLAYED if name == product]
    assert sorted(told) == sorted(story.name for story in STORIES.values() if product in story.products)


@pytest.mark.parametrize(("product", "story"), PLAYED)
def test_story_leads_to_its_end(stack: Stack, played: dict[tuple[str, str], dict[str, Any]], product: str, story: str):
    """Status, settlement, code and error are what the story's page says; one terminal webhook tells them."""
    status, settlement, otp, error = (ENDS if product == "cheap" else PRICED)[story]
    order = stack.until_settled(played[product, story]["id"], settlement, 60)
    assert (order["status"], order["otp"], (order["error"] or {}).get("code")) == (status, otp, error), order
    ends = [one for one in stack.deliveries(order["id"]) if one.message["data"]["status"] == status]
    assert len({one.id for one in ends}) == 1
