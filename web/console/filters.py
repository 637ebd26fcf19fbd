"""Filters as they stand in a page's address: read leniently, written back for links that keep them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlencode

from worker.event import EventStatus
from worker.order import Settlement, Status
from worker.rental import RentalStatus
from worker.store.queries import EventFilter, OrderFilter

E = TypeVar("E", bound=Enum)
LONGEST = 200
"""Characters of a filter's value that are read."""


def orders(asked: Mapping[str, str], states: type[Status] | type[RentalStatus] = Status) -> OrderFilter:
    """The orders, or rentals, that an address asks for; what makes no sense is as if it were not there."""
    digits = _text(asked, "digits")
    return OrderFilter(
        status=_one_of(states, asked, "status"), caller=_text(asked, "caller"), product=_text(asked, "product"),
        purpose=_text(asked, "purpose"), error=_text(asked, "error"),
        settlement=_one_of(Settlement, asked, "settlement"), digits=digits if digits and digits.isdigit() else None,
        since=_moment(asked, "since"), until=_moment(asked, "until"),
    )  # fmt: skip


def events(asked: Mapping[str, str]) -> EventFilter:
    """The webhooks that an address, or a form with the same fields, asks for."""
    return EventFilter(
        status=_one_of(EventStatus, asked, "status"), caller=_text(asked, "caller"), host=_text(asked, "host"),
        type=_text(asked, "type"), error=_text(asked, "error"), since=_moment(asked, "since"),
        until=_moment(asked, "until"),
    )  # fmt: skip


def address(asked: Mapping[str, str], **changes: str | None) -> str:
    """The query of a link that keeps the filter and changes some of it; a changed filter begins at its first page."""
    kept = {name: value for name, value in asked.items() if value and name not in ("cursor", "done")}
    changed = {**kept, **changes}
    return "?" + urlencode({name: value for name, value in changed.items() if value})


def in_words(asked: Mapping[str, str]) -> str:
    """The filter as the audit and a job name it."""
    said = [f"{name} {value[:LONGEST]}" for name, value in asked.items() if value and name in _NAMED]
    return ", ".join(said) or "all"


_NAMED = ("status", "caller", "host", "type", "error", "since", "until")


def _text(asked: Mapping[str, str], name: str) -> str | None:
    return asked.get(name, "").strip()[:LONGEST] or None


def _one_of(kind: type[E], asked: Mapping[str, str], name: str) -> E | None:
    wanted: Any = _text(asked, name)
    return next((one for one in kind if one.value == wanted), None)


def _moment(asked: Mapping[str, str], name: str) -> float | None:
    """A date with a time, in UTC unless it says otherwise."""
    try:
        at = datetime.fromisoformat(asked.get(name, ""))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
