"""The provider's words, and the values that an answer can mean. Pure.

What carries a code or a phone number keeps it out of its repr, so that no log line or traceback shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from worker.rental import Sms


class Word(StrEnum):
    """Every word of the protocol, OTPGet's own and its family's. Case-sensitive, whole tokens only."""

    ACCESS_BALANCE = "ACCESS_BALANCE"
    ACCESS_NUMBER = "ACCESS_NUMBER"
    ACCESS_FINISH = "ACCESS_FINISH"
    ACCESS_ACTIVATION = "ACCESS_ACTIVATION"
    ACCESS_CANCEL = "ACCESS_CANCEL"
    ACCESS_CANCEL_ALREADY = "ACCESS_CANCEL_ALREADY"

    STATUS_OK = "STATUS_OK"
    STATUS_WAIT_CODE = "STATUS_WAIT_CODE"
    STATUS_WAIT_RETRY = "STATUS_WAIT_RETRY"
    STATUS_WAIT_RESEND = "STATUS_WAIT_RESEND"
    STATUS_CANCEL = "STATUS_CANCEL"

    LOW_BALANCE = "LOW_BALANCE"
    NO_BALANCE = "NO_BALANCE"
    NO_NUMBERS = "NO_NUMBERS"
    CHANNELS_LIMIT = "CHANNELS_LIMIT"
    BAD_KEY = "BAD_KEY"
    BAD_ACTION = "BAD_ACTION"
    BAD_SERVER = "BAD_SERVER"
    BAD_TYPE = "BAD_TYPE"
    BAD_SERVICE = "BAD_SERVICE"
    BAD_COUNTRY = "BAD_COUNTRY"
    PRICE_CHANGED = "PRICE_CHANGED"
    REFUSED = "REFUSED"
    """Not the provider's: an envelope refuses, and its text is no word that the product table knows."""
    BANNED = "BANNED"

    NO_ACTIVATION = "NO_ACTIVATION"
    WRONG_ACTIVATION_ID = "WRONG_ACTIVATION_ID"
    BAD_STATUS = "BAD_STATUS"
    OTP_RECEIVED = "OTP_RECEIVED"
    EARLY_CANCEL_DENIED = "EARLY_CANCEL_DENIED"

    ERROR_SQL = "ERROR_SQL"


WORDS: Final = frozenset(word.value for word in Word if word is not Word.REFUSED)

ACCOUNT_REJECTIONS: Final = frozenset({Word.BAD_KEY, Word.BAD_ACTION})
"""Refusals that any call can get; `BANNED:'date'` is one too, but is not a bare word."""

BUY_REJECTIONS: Final = ACCOUNT_REJECTIONS | {
    Word.LOW_BALANCE,
    Word.NO_BALANCE,
    Word.NO_NUMBERS,
    Word.CHANNELS_LIMIT,
    Word.BAD_SERVER,
    Word.BAD_TYPE,
    Word.BAD_SERVICE,
    Word.BAD_COUNTRY,
    Word.PRICE_CHANGED,
}
"""The only words that prove that nothing was bought. `ERROR_SQL` proves nothing."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A number or an address is ours and charged. `life` is in seconds from now; `flags` say what was odd.

    `as_sold` is the number as it was written, where that differs; `earliest_cancel` the seconds from now before which a
    cancel is refused, where the product has its own.
    """

    activation: str
    number: str | None = field(repr=False)
    life: float
    flags: tuple[str, ...] = ()
    address: str | None = field(default=None, repr=False)
    as_sold: str | None = field(default=None, repr=False)
    earliest_cancel: float | None = None
    until: float | None = None
    """When it ends, in epoch seconds, where the answer says so."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The whole body was exactly a rejection word. `until` (epoch seconds) is when a `BANNED` ends."""

    word: Word
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """Slow down: a 429, or the edge's own 403 page. Nothing was done. `retry_after` is in seconds."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unreached:
    """The request was never sent, so nothing was done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Anything else. What the provider did is unknown: after a buy it may have taken the money."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """No code yet."""


WAITING: Final = Waiting()
"""The one `Waiting` that the hot path hands out."""


@dataclass(frozen=True, slots=True)
class Code:
    """The code, to the letter; up to a whole SMS."""

    text: str = field(repr=False)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The provider says that this activation is cancelled."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The provider does not know this activation; early after a purchase that can be replication lag."""


@dataclass(frozen=True, slots=True)
class Done:
    """The finish or the cancel took effect, now or before."""

    word: Word


@dataclass(frozen=True, slots=True)
class Early:
    """Too early to cancel: try again later."""


@dataclass(frozen=True, slots=True)
class CodeExists:
    """The cancel was refused because a code is there: poll, deliver, finish."""

    word: Word


@dataclass(frozen=True, slots=True)
class Balance:
    """Money left, in the account's currency (PKR)."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """What a purchase costs right now, and counts against a spend cap; None where nobody knows. In PKR."""

    price: Decimal | None = None
    counted: Decimal | None = None
    lasting: float | None = None
    """Seconds for which an offer of a rental lasts."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to choose by its code: a server, a country, or a service with its price (PKR) and stock if known."""

    code: str
    name: str
    price: Decimal | None = None
    count: int | None = None
    hours: Decimal | None = None
    """How long an offer of a rental lasts."""


@dataclass(frozen=True, slots=True)
class Messages:
    """What a rented number has received, in any order; may be empty, and need not be all of it."""

    messages: tuple[Sms, ...]


@dataclass(frozen=True, slots=True)
class Renewed:
    """A rental is renewed, and charged. `until` (epoch seconds) is its new end, where the answer says so."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What can be chosen at one place of the catalogue; may be empty."""

    choices: tuple[Choice, ...]

    def find(self, code: str) -> Choice | None:
        """The choice of that code."""
        return next((choice for choice in self.choices if choice.code == code), None)


Failure = Declined | Throttled | Unreached | Unclear
"""What any call can come back with."""

BuyReply = Bought | Failure
StatusReply = Waiting | Code | Cancelled | Missing | Failure
CancelReply = Done | Early | CodeExists | Missing | Failure
FinishReply = Done | Missing | Failure
BalanceReply = Balance | Failure
QuoteReply = Quote | Failure
ListingReply = Listing | Failure
MessagesReply = Messages | Missing | Failure
RenewReply = Renewed | Failure
