"""What an operator has to know: every alert, with what it means and what to do. Pure.

An alert is one log line at error level and a count (`Gate.alert`); doctor and docs/operations.md read this table.
"""

from __future__ import annotations

from enum import StrEnum


class Alert(StrEnum):
    """Something that needs a person, or may."""

    meaning: str
    advice: str

    def __new__(cls, kind: str, meaning: str, advice: str) -> Alert:
        """A member: its kind as logs and metrics name it, one sentence of meaning, one of advice."""
        member = str.__new__(cls, kind)
        member._value_ = kind
        member.meaning = meaning
        member.advice = advice
        return member

    BUYING_PAUSED = (
        "buying_paused",
        "Buying is paused; the log line says why.",
        "see the pauses above; `ringback balance` shows them too",
    )
    PURCHASE_UNKNOWN = (
        "purchase_unknown",
        "The answer to a purchase could not be read: it may have been charged.",
        "a purchase may have been charged for nothing: `ringback reconcile`, then ask the provider",
    )
    SETTLEMENT_UNCONFIRMED = (
        "settlement_unconfirmed",
        "A number was given back, and the provider's word on the refund could not be had.",
        "a refund was not confirmed: `ringback reconcile`, then ask the provider for it",
    )
    DUPLICATE_ACTIVATION = (
        "duplicate_activation",
        "The provider sold one number to two orders.",
        "the provider gave one number to two orders; ask it about the order named in the log line",
    )
    PURCHASE_UNRECORDED = (
        "purchase_unrecorded",
        "A number was bought for an order that the store no longer has.",
        "a number was bought for an order that the store lost: `ringback journal`, then cancel it",
    )
    ADOPTED_LATE = (
        "adopted_late",
        "A purchase was answered after it had been given up.",
        "a purchase was answered after it was given up; the number is being given back",
    )
    RENTED_LATE = (
        "rented_late",
        "A rental, or its renewal, was answered after it had been given up.",
        "a rental was paid for and its caller was told that it failed: see the order named in the log line",
    )
    STATUS_DECLINED = (
        "status_declined",
        "The provider declined a poll or a cancel for the account's sake.",
        "the provider refused a poll, most likely for its key: correct RINGBACK_OTPGET_API_KEY",
    )
    CANCELLED_BY_PROVIDER = (
        "cancelled_by_provider",
        "The provider ended a number by itself.",
        "the provider ended numbers by itself; ask it why if it goes on",
    )
    NUMBER_MISSING = (
        "number_missing",
        "The provider no longer knows a number that it sold.",
        "the provider forgot a number that it sold; ask it about the order named in the log line",
    )
    WAKE_UP_LOST = (
        "wake_up_lost",
        "An open order had lost its wake-up and was mended.",
        "an open order had lost its wake-up and was mended; look for evictions or lost writes",
    )
    RECORD_UNREADABLE = (
        "record_unreadable",
        "A stored record cannot be opened: its key is missing, it is not sealed for its place, or a newer version's.",
        "`ringback keys status` names such records; if no key was taken out, look at who can write to the store",
    )
    EVENT_EXHAUSTED = (
        "event_exhausted",
        "A webhook was given up after the last try of its schedule.",
        "a receiver took no webhook: `ringback events list --status exhausted`, then `redeliver`",
    )
