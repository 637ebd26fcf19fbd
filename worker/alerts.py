"""The alerts: what an operator has to know, each with its meaning and what to do. Pure.

An alert is one log line at error level and a count (`Gate.alert`); doctor reads this table.
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
        "The reply to a purchase could not be read: it may have been charged.",
        "a purchase may have been charged for nothing: run `ringback reconcile`, then ask the provider",
    )
    SETTLEMENT_UNCONFIRMED = (
        "settlement_unconfirmed",
        "A number was given back, but the provider did not confirm the refund.",
        "a refund was not confirmed: run `ringback reconcile`, then ask the provider for it",
    )
    DUPLICATE_ACTIVATION = (
        "duplicate_activation",
        "The provider sold one number to two orders.",
        "the provider gave one number to two orders; ask it about the order named in the log line",
    )
    PURCHASE_UNRECORDED = (
        "purchase_unrecorded",
        "A number was bought for an order that the store no longer has.",
        "a number was bought for an order that the store lost: find it with `ringback journal`, then cancel it",
    )
    ADOPTED_LATE = (
        "adopted_late",
        "The reply to a purchase came after the purchase had been given up.",
        "a purchase succeeded after it had been given up; its number is being given back",
    )
    RENTED_LATE = (
        "rented_late",
        "The reply to a rental or a renewal came after it had been given up.",
        "a rental was paid for, but its caller was told that it failed: see the rental named in the log line",
    )
    STATUS_DECLINED = (
        "status_declined",
        "The provider declined a poll or a cancel because of the account.",
        "the provider refused a poll, most likely because of the key: correct RINGBACK_OTPGET_API_KEY",
    )
    CANCELLED_BY_PROVIDER = (
        "cancelled_by_provider",
        "The provider cancelled a number of its own accord.",
        "the provider cancelled numbers of its own accord; ask it why if this continues",
    )
    NUMBER_MISSING = (
        "number_missing",
        "The provider no longer knows a number that it sold.",
        "the provider no longer knows a number that it sold; ask it about the order named in the log line",
    )
    WAKE_UP_LOST = (
        "wake_up_lost",
        "An open order had lost its wake-up and was given a new one.",
        "an open order had lost its wake-up and was given a new one; look for evictions or lost writes",
    )
    RECORD_UNREADABLE = (
        "record_unreadable",
        "A stored record cannot be opened: its key is missing, it was moved, or a newer version wrote it.",
        "`ringback keys status` names such records; if no key was removed, check who can write to the store",
    )
    EVENT_EXHAUSTED = (
        "event_exhausted",
        "A webhook was given up after the last attempt of its schedule.",
        "a receiver accepted no webhook: `ringback events list --status exhausted`, then `ringback events redeliver`",
    )
