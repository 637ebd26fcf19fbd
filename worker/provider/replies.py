"""The provider's words, and the values that an answer can mean. Pure.

What carries a code or a phone number keeps it out of its repr, so that no log line or traceback shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final


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
    BANNED = "BANNED"

    NO_ACTIVATION = "NO_ACTIVATION"
    WRONG_ACTIVATION_ID = "WRONG_ACTIVATION_ID"
    BAD_STATUS = "BAD_STATUS"
    OTP_RECEIVED = "OTP_RECEIVED"
    EARLY_CANCEL_DENIED = "EARLY_CANCEL_DENIED"

    ERROR_SQL = "ERROR_SQL"


WORDS: Final = frozenset(word.value for word in Word)

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
}
"""The only words that prove that nothing was bought. `ERROR_SQL` proves nothing."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A number is ours and charged. `life` is in seconds from now; `flags` say what was odd."""

    activation: str
    number: str | None = field(repr=False)
    life: float
    flags: tuple[str, ...] = ()


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
class Server:
    """One source of numbers."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of the type asked for; may be empty."""

    servers: tuple[Server, ...]


Failure = Declined | Throttled | Unreached | Unclear
"""What any call can come back with."""

BuyReply = Bought | Failure
StatusReply = Waiting | Code | Cancelled | Missing | Failure
CancelReply = Done | Early | CodeExists | Missing | Failure
FinishReply = Done | Missing | Failure
BalanceReply = Balance | Failure
ServersReply = Servers | Failure
