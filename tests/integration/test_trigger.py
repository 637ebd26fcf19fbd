"""`ringback trigger`: every story from a fresh order to its end, on a service started with `ringback up --sandbox`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ringback import testing
from worker.cli.trigger import ENDINGS, Story

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

PATIENCE = 180.0
"""Seconds for all stories together: a bound, not a measure."""
TOLD = {
    "received": ["order.number_assigned", "order.otp_received"],
    "expired": ["order.number_assigned", "order.expired"],
    "failed": ["order.failed"],
}
"""The webhooks that lead to each end."""


def ringback(service: testing.Service, *arguments: str) -> subprocess.Popen[str]:
    """A command on the service, as a developer types it."""
    env = {**os.environ, "RINGBACK_URL": service.url, "RINGBACK_API_KEY": service.api_key}
    program = Path(sys.executable).parent / "ringback"
    return subprocess.Popen(
        [program, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


@pytest.fixture(scope="module")
def played(ringback_service: testing.Service) -> Mapping[str, tuple[int, str, str]]:
    """Every story, all at once: exit code, stdout and stderr of each."""
    running = {
        story: ringback(ringback_service, "trigger", story, *(["--json"] if story != Story.NO_CODE else []))
        for story in Story
    }
    ended = {}
    for story, process in running.items():
        out, err = process.communicate(timeout=PATIENCE)
        ended[story.value] = (process.returncode, out, err)
    return ended


@pytest.mark.parametrize("story", [story for story in Story if story not in (Story.NO_CODE, Story.PRICE_CHANGED)])
def test_story_ends_as_told(played: Mapping[str, tuple[int, str, str]], story: Story) -> None:
    """The order and its webhooks are what docs/sandbox.md says of the story."""
    code, out, err = played[story]
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    assert told["as_told"] is True
    assert ENDINGS[story].fits(told["order"])
    assert [one["type"] for one in told["events"]] == TOLD[told["order"]["status"]]
    assert json.loads(told["events"][-1]["payload"])["data"]["id"] == told["order"]["id"]


def test_what_a_caller_sees_is_printed_on_the_way(played: Mapping[str, tuple[int, str, str]]) -> None:
    """Statuses and webhooks, each with its time, in the order in which they happen."""
    code, out, err = played[Story.NO_CODE]
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][1:3] == ["plays", "no-code;"]
    states = [line[3] for line in lines[1:] if line[2] == "order"]
    webhooks = [line[3] for line in lines[1:] if line[2] == "webhook"]
    assert states[-1] == "expired"
    assert {"waiting", "cancelling"} & set(states)
    assert webhooks == ["order.number_assigned", "order.expired"]


def test_changed_price_is_played_where_prices_are_known(played: Mapping[str, tuple[int, str, str]]) -> None:
    """It orders a product with prices, which is bought at the new one."""
    code, out, err = played[Story.PRICE_CHANGED]
    assert code == 0, err
    assert ENDINGS[Story.PRICE_CHANGED].fits(json.loads(out)["order"])


def test_forwarded_to_a_local_address_as_they_happen(ringback_service: testing.Service) -> None:
    """`listen` in one terminal and `trigger` in another: the loop that a developer works in."""
    from worker.local.receiver import Receiver

    with Receiver() as receiver:
        receiver.secret = ringback_service.webhook_secret
        listening = ringback(
            ringback_service, "listen", "--forward-to", receiver.url, "--since", _newest(ringback_service),
            "--exit-after", "order.otp_received",
        )  # fmt: skip
        triggered = ringback(ringback_service, "trigger", "otp")
        assert triggered.communicate(timeout=PATIENCE)[1] == ""
        out, err = listening.communicate(timeout=PATIENCE)
        assert listening.returncode == 0, err
    assert out.startswith(f"connected to {ringback_service.url}")
    came = [receiver.events.get_nowait() for _ in range(2)]
    assert [(one.type, one.verified) for one in came] == [
        ("order.number_assigned", True), ("order.otp_received", True),
    ]  # fmt: skip


def _newest(service: testing.Service) -> str:
    with service.client() as client:
        return next(iter(client.events.list(limit=1))).id
