"""`ringback trigger`: a story of the sandbox, played by an order of its own from its beginning to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from worker.cli.api import Api, ApiKey, Refused, Url
from worker.cli.context import AsJson, say, show_json
from worker.errors import RingbackError
from worker.order import TERMINAL, Settlement

PREFIX = "story-"
"""What the sandbox's items that play a story begin with."""
TIMEOUT = 4
"""Seconds after which an order is given back in a story without a code."""
PATIENCE = 120.0
"""Seconds for a whole story; without them it has not ended as told."""
GLANCE = 0.2
"""Seconds between two looks."""

Told = Mapping[str, str | None]


class Story(StrEnum):
    """The stories, by the names that the sandbox knows them by."""

    OTP = "otp"
    WHOLE_SMS = "whole-sms"
    NO_CODE = "no-code"
    LATE_CODE = "late-code"
    NO_NUMBERS = "no-numbers"
    PRICE_CHANGED = "price-changed"
    PURCHASE_UNKNOWN = "purchase-unknown"
    REFUND_DENIED = "refund-denied"
    PROVIDER_DOWN = "provider-down"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a story ends: what the order shows."""

    status: str
    settlement: str
    error: str | None = None

    def fits(self, order: Mapping[str, Any]) -> bool:
        """Whether an order has ended like this."""
        return (order["status"], order["settlement"], _error(order)) == (self.status, self.settlement, self.error)

    def __str__(self) -> str:
        return ", ".join(word for word in (self.status, self.error, self.settlement) if word)


ENDINGS: Mapping[Story, Ending] = {
    Story.OTP: Ending("received", "finished"),
    Story.WHOLE_SMS: Ending("received", "finished"),
    Story.NO_CODE: Ending("expired", "refunded"),
    Story.LATE_CODE: Ending("received", "refunded"),
    Story.NO_NUMBERS: Ending("failed", "none", "no_numbers"),
    Story.PRICE_CHANGED: Ending("received", "finished"),
    Story.PURCHASE_UNKNOWN: Ending("failed", "unconfirmed", "purchase_unknown"),
    Story.REFUND_DENIED: Ending("expired", "unconfirmed"),
    Story.PROVIDER_DOWN: Ending("received", "finished"),
}
"""What a caller sees in the end, as docs/sandbox.md describes it."""


class NoSandbox(RingbackError):
    """The service's provider sells no stories."""


class EndedOtherwise(RingbackError):
    """The story did not end as expected."""


def register(app: typer.Typer) -> None:
    """Give the command to the command line."""
    app.command()(trigger)


def trigger(
    story: Annotated[Story, typer.Argument(help="What happens to the order.", metavar="STORY")],
    as_json: AsJson = False,
    api_key: ApiKey = None,
    url: Url = None,
) -> None:
    """Play a story on the sandbox: otp, whole-sms, no-code, late-code, no-numbers, price-changed, purchase-unknown,
    refund-denied or provider-down. Prints what a caller sees, from placing the order to its end.

    Example: RINGBACK_API_KEY=rbk_... ringback trigger no-code
    """
    with Api(url, api_key) as api:
        _sold(api, story)
        play = Play(api, (lambda _: None) if as_json else say)
        order, events = play.run(story)
    if as_json:
        show_json({"story": story, "order": order, "events": events, "as_told": ENDINGS[story].fits(order)})
    if not ENDINGS[story].fits(order):
        raise EndedOtherwise(f"{story} should have ended as {ENDINGS[story]}; look at {order['id']}")


def fields(story: Story) -> dict[str, Any]:
    """The order that plays a story: what it buys is named after it."""
    if story is Story.PRICE_CHANGED:  # the provider names no prices for cheap numbers
        return {"product": "sms", "service": PREFIX + story, "country": "33", "type": "4"}
    no_code = {"timeout": TIMEOUT} if story in (Story.NO_CODE, Story.LATE_CODE, Story.REFUND_DENIED) else {}
    return {"server": PREFIX + story, "type": "1", **no_code}


def _sold(api: Api, story: Story) -> None:
    """Look before anything is ordered: a story is played with play money only. Raises NoSandbox."""
    listed = api.servers(type="1").get("servers") or api.servers(type="1", refresh="true").get("servers")
    if listed is None:
        raise NoSandbox("no worker has read the provider's servers; `ringback doctor` shows whether one is running")
    if not any(str(server["id"]).startswith(PREFIX) for server in listed):
        raise NoSandbox(
            f"this service's provider does not sell {PREFIX}{story}: only the sandbox plays stories "
            "(`ringback up --sandbox`, without --no-stories)"
        )


class Play:
    """One story on its way; `tell` is given a line for everything that a caller would notice."""

    def __init__(
        self,
        api: Api,
        tell: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self._began = clock()

    def run(self, story: Story) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Place the order and watch until all is settled and told: the order as it is then, and its events."""
        order = self._api.place(fields(story), None)
        self._tell(f"{order['id']} plays {story}; expected to end as {ENDINGS[story]}")
        events: list[dict[str, Any]] = []
        last: Told = {}
        known: set[tuple[str, str]] = set()
        while self._clock() - self._began < PATIENCE:
            try:
                order = self._api.order(order["id"])
                events = self._api.events(order=order["id"], payload="true", limit=20)["data"][::-1]
            except Refused as refused:
                if not refused.passing:
                    raise
            else:
                last = self._tell_change(last, order)
                self._tell_events(known, events)
                settled = order["status"] in TERMINAL and order["settlement"] != Settlement.PENDING
                if settled and all(event["status"] != "pending" for event in events):
                    break
            self._sleep(GLANCE)
        return order, events

    def _tell_change(self, last: Told, order: Mapping[str, Any]) -> Told:
        shown = {
            "status": order["status"], "settlement": order["settlement"], "error": _error(order),
            "number": order.get("number") or order.get("address"), "otp": order["otp"],
        }  # fmt: skip
        if shown != last:
            said = [f"{name} {value}" for name, value in shown.items() if value and name != "status"]
            self._at(f"order    {order['status']:<11} {' · '.join(said)}")
        return shown

    def _tell_events(self, known: set[tuple[str, str]], events: list[dict[str, Any]]) -> None:
        for event in events:
            if (event["id"], event["status"]) not in known:
                known.add((event["id"], event["status"]))
                self._at(f"webhook  {event['type']} {event['status']}")

    def _at(self, line: str) -> None:
        self._tell(f"{self._clock() - self._began:5.1f} s  {line}")


def _error(order: Mapping[str, Any]) -> str | None:
    return order["error"]["code"] if order["error"] else None
