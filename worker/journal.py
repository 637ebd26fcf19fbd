"""The journal of money: the kinds of its lines. Pure.

Every purchase that is about to be sent and everything that follows from it is a line, and so is every change of the
balance; `reconciliation.py` holds the one against the other.
"""

from __future__ import annotations

from enum import StrEnum

JOURNAL_KEPT = 90 * 86_400.0
"""Seconds for which it is kept unless RINGBACK_JOURNAL_RETENTION says otherwise."""


class Entry(StrEnum):
    """The kind of a line."""

    INTENT = "intent"
    """A purchase is about to be sent."""
    NOT_BOUGHT = "not_bought"
    """The provider sold nothing."""
    BOUGHT = "bought"
    """A number is bought."""
    RENTED = "rented"
    """A number is rented, or a rental renewed: that money never comes back."""
    PURCHASE_UNKNOWN = "purchase_unknown"
    """Nobody knows whether a number was bought."""
    UNRECORDED = "unrecorded"
    """A number was bought for an order that the store no longer has."""
    RECEIVED = "received"
    """The code arrived."""
    LOST = "lost"
    """The provider ended the number by itself."""
    CANCEL = "cancel"
    """A cancel is about to be sent."""
    CALLER_CANCEL = "caller_cancel"
    """The caller cancelled."""
    CALLER_RENEWAL = "caller_renewal"
    """The caller asked for a renewal."""
    REFUNDED = "refunded"
    """The provider confirmed the cancel."""
    FINISHED = "finished"
    """The provider confirmed the finish."""
    UNCONFIRMED = "unconfirmed"
    """The provider's word on finish or refund could not be had."""
    BALANCE = "balance"
    """The balance was read, and had changed."""


def line(kind: Entry, **details: str) -> dict[str, str]:
    """A line of the journal; the store adds the order, its caller and its status."""
    return {"kind": kind.value, **details}
