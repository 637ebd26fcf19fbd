"""What came of one attempt; pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

from worker.webhooks.target import Refusal

EXCERPT_BYTES = 1024

_REFUSALS = frozenset(map(str, Refusal))


class Verdict(StrEnum):
    """What follows from an attempt."""

    DELIVERED = "delivered"
    """2xx, and the whole answer came in time: acknowledged."""
    RETRY = "retry"
    """Anything else that may go better later."""
    GONE = "gone"
    """410: the receiver wants no more of this event."""
    REFUSED = "refused"
    """The guard let nothing out. Worth another try: what a name resolves to may change."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt, classified."""

    verdict: Verdict
    status: int | None
    """The HTTP status, when one came."""
    error: str | None
    """What went wrong below HTTP, in our words: `dns`, `tls`, `timeout`, `blocked_address`, …"""
    duration: float
    """Seconds, from before the look-up to the last byte read."""
    excerpt: str = field(default="", repr=False)
    """The start of the answer. Not in the repr: an answer may echo the code."""
    retry_after: float | None = None
    """Seconds that a failing answer asks us to wait, at most `worker.retry_after.LONGEST`."""


def verdict(status: int | None, error: str | None) -> Verdict:
    """An answer counts only if it came whole; then its status decides. A refusal's code is an error too."""
    if error in _REFUSALS:
        return Verdict.REFUSED
    if error is not None or status is None:
        return Verdict.RETRY
    if status == 410:
        return Verdict.GONE
    return Verdict.DELIVERED if 200 <= status <= 299 else Verdict.RETRY


def excerpt(answer: bytes) -> str:
    """The first KiB as text that is safe to show: no control characters but line feed and tab."""
    text = answer[:EXCERPT_BYTES].decode("utf-8", "replace")
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) != "Cc")
