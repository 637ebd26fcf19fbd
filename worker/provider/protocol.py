"""An answer's bytes → what it means, one reader per call. Pure: no I/O, and no bytes make a reader raise.

Every reader does the same: clean the text, look for something it knows as a **whole** token, and only then
ask what the HTTP status says. So an explicit word wins over the status, and an error page that contains a
word says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Final, TypeVar

from worker.provider.catalogue import read_choices
from worker.provider.envelope import Envelope, open_envelope
from worker.provider.messages import read_messages as _messages_in
from worker.provider.moments import read_moment
from worker.provider.products import Meaning, Product
from worker.provider.purchase import read_purchase
from worker.provider.replies import (
    ACCOUNT_REJECTIONS,
    BUY_REJECTIONS,
    WAITING,
    Balance,
    BalanceReply,
    Bought,
    BuyReply,
    Cancelled,
    CancelReply,
    Code,
    CodeExists,
    Declined,
    Done,
    Early,
    Failure,
    FinishReply,
    Listing,
    ListingReply,
    Messages,
    MessagesReply,
    Missing,
    Renewed,
    RenewReply,
    StatusReply,
    Throttled,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.provider.throttling import read_throttling

__all__ = [
    "Balance", "BalanceReply", "Bought", "BuyReply", "CancelReply", "Cancelled", "Code", "CodeExists", "Declined",
    "Done", "Early", "FinishReply", "Listing", "ListingReply", "Missing", "StatusReply", "Throttled", "Unclear",
    "Unreached", "Waiting", "Word", "read_balance", "read_buy", "read_cancel", "read_finish", "read_listing",
    "read_status",
]  # fmt: skip

CODE_LIMIT: Final = 4096
"""Characters kept of a code."""

STILL_WAITING: Final = Word.STATUS_WAIT_CODE.value.encode()

_SPACE: Final = " \t\r\n\v\f"
_BANNED = re.compile(
    r"BANNED:(?P<quote>'?)([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r" ([0-9]{1,2})[-:]([0-9]{1,2})[-:]([0-9]{1,2})(?P=quote)"
)
_BALANCE = re.compile(r"ACCESS_BALANCE:(-?[0-9]{1,15}(?:\.[0-9]{1,8})?)")

LISTING_REJECTIONS: Final = ACCOUNT_REJECTIONS | {
    Word.BAD_TYPE, Word.BAD_SERVER, Word.BAD_SERVICE, Word.BAD_COUNTRY,
}  # fmt: skip
"""Refusals that a listing of the catalogue can get."""

RENEW_REJECTIONS: Final = BUY_REJECTIONS | {Word.NO_ACTIVATION, Word.WRONG_ACTIVATION_ID}
"""The only words that prove that nothing was renewed."""

_R = TypeVar("_R")

_CANCEL_WORDS: Final[Mapping[str, CancelReply]] = {
    Word.ACCESS_CANCEL: Done(Word.ACCESS_CANCEL),
    Word.ACCESS_CANCEL_ALREADY: Done(Word.ACCESS_CANCEL_ALREADY),
    Word.STATUS_CANCEL: Done(Word.STATUS_CANCEL),
    Word.EARLY_CANCEL_DENIED: Early(),
    Word.BAD_STATUS: CodeExists(Word.BAD_STATUS),
    Word.OTP_RECEIVED: CodeExists(Word.OTP_RECEIVED),
    Word.NO_ACTIVATION: Missing(),
    Word.WRONG_ACTIVATION_ID: Missing(),
}
_STATUS_WORDS: Final[Mapping[str, StatusReply]] = {
    Word.STATUS_WAIT_CODE: WAITING,
    Word.STATUS_WAIT_RETRY: WAITING,
    Word.STATUS_WAIT_RESEND: WAITING,
    Word.STATUS_CANCEL: Cancelled(),
    Word.NO_ACTIVATION: Missing(),
    Word.WRONG_ACTIVATION_ID: Missing(),
}
_FINISH_WORDS: Final[Mapping[str, FinishReply]] = {
    Word.ACCESS_FINISH: Done(Word.ACCESS_FINISH),
    Word.ACCESS_ACTIVATION: Done(Word.ACCESS_ACTIVATION),
    Word.BAD_STATUS: Declined(Word.BAD_STATUS),
    Word.NO_ACTIVATION: Missing(),
    Word.WRONG_ACTIVATION_ID: Missing(),
}


def read_buy(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> BuyReply:
    """What came of a purchase. Only `Declined` and `Throttled` prove that nothing was bought."""
    text = _text(body)
    if declined := _read_rejection(product, text, BUY_REJECTIONS):
        return declined
    if bought := read_purchase(product, text):
        return bought if status == 200 else replace(bought, flags=(*bought.flags, "odd_http_status"))
    refused = _read_refusal(open_envelope(product, text), status, BUY_REJECTIONS)
    return refused or _read_failure(status, headers, body, text, now)


def read_status(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> StatusReply:
    """What a look at a purchase shows. Nearly every answer is "still waiting", so that costs one comparison."""
    if status == 200 and body == STILL_WAITING:
        return WAITING
    text = _text(body)
    known = _word(product, text, _STATUS_WORDS) or _read_code(status, text) or _declined(product, text)
    if known is None and (envelope := open_envelope(product, text)):
        known = _read_envelope_status(envelope, status)
    return known or _read_failure(status, headers, body, text, now)


def read_cancel(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CancelReply:
    """What came of a cancel. A code in the answer is a `CodeExists`: the next poll fetches it."""
    text = _text(body)
    known = _word(product, text, _CANCEL_WORDS) or _declined(product, text)
    if known is None and isinstance(_read_code(status, text), Code):
        return CodeExists(Word.STATUS_OK)
    if known is None and (envelope := open_envelope(product, text)):
        known = _read_envelope_cancel(envelope)
    return known or _read_failure(status, headers, body, text, now)


def read_finish(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> FinishReply:
    """What came of a finish."""
    text = _text(body)
    known = _word(product, text, _FINISH_WORDS) or _declined(product, text)
    if known is None and (envelope := open_envelope(product, text)):
        done = Done(Word.ACCESS_FINISH) if envelope.meaning is Meaning.SUCCESS else None
        known = done or _word(product, envelope.message, _FINISH_WORDS) or _declined(product, envelope.message)
    return known or _read_failure(status, headers, body, text, now)


def read_balance(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> BalanceReply:
    """What a `getBalance` says. Only a plain decimal counts: `1,234.50` could be read two ways."""
    text = _text(body)
    if amount := _BALANCE.fullmatch(text):
        return Balance(Decimal(amount[1]))
    return _declined(product, text) or _read_failure(status, headers, body, text, now)


def read_listing(
    product: Product,
    listing: str,
    place: Mapping[str, str],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
) -> ListingReply:
    """What a listing of the catalogue offers at a place. A page, or an empty object, is no answer."""
    text = _text(body)
    if (choices := read_choices(product, listing, place, text)) is not None:
        return Listing(choices)
    refused = _read_rejection(product, text, LISTING_REJECTIONS)
    refused = refused or _read_refusal(open_envelope(product, text), status, LISTING_REJECTIONS)
    return refused or _read_failure(status, headers, body, text, now)


def read_messages(
    product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float
) -> MessagesReply:
    """What a rented number has received."""
    text = _text(body)
    if (listed := _messages_in(product, text)) is not None:
        return Messages(listed)
    envelope = open_envelope(product, text)
    said = envelope.message if envelope and envelope.meaning in (Meaning.REJECTED, Meaning.REFUSED) else text
    missing = Missing() if product.word(said) in (Word.NO_ACTIVATION, Word.WRONG_ACTIVATION_ID) else None
    return missing or _declined(product, said) or _read_failure(status, headers, body, text, now)


def read_renewal(product: Product, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> RenewReply:
    """What came of a renewal. Only `Declined` and `Throttled` prove that nothing was renewed."""
    text = _text(body)
    if declined := _read_rejection(product, text, RENEW_REJECTIONS):
        return declined
    envelope = open_envelope(product, text)
    if envelope is not None and envelope.meaning is Meaning.SUCCESS:
        return Renewed(read_moment(product.zone, envelope.value("until")))
    refused = _read_refusal(envelope, status, RENEW_REJECTIONS)
    return refused or _read_failure(status, headers, body, text, now)


def _read_envelope_status(envelope: Envelope, status: int) -> StatusReply | None:
    match envelope.meaning:
        case Meaning.SUCCESS:
            code = envelope.value("otp")
            return _code(code, status) if code else WAITING
        case Meaning.WAITING:
            return WAITING
        case Meaning.CANCELLED:
            return Cancelled()
        case Meaning.REJECTED | Meaning.REFUSED:
            product, said = envelope.product, envelope.message
            return _word(product, said, _STATUS_WORDS) or _declined(product, said) or Unclear("refused")
    return None


def _read_envelope_cancel(envelope: Envelope) -> CancelReply | None:
    """A word that is not the product's own form is no proof of a refund: the next look will tell."""
    product, said = envelope.product, envelope.message
    if envelope.value("otp"):
        return CodeExists(Word.STATUS_OK)
    match envelope.meaning:
        case Meaning.SUCCESS | Meaning.CANCELLED if product.answer == "json":
            return Done(Word.ACCESS_CANCEL)
        case Meaning.REJECTED | Meaning.REFUSED:
            return _word(product, said, _CANCEL_WORDS) or _declined(product, said) or Unclear("refused")
    return None


def _read_refusal(envelope: Envelope | None, status: int, words: frozenset[Word]) -> Declined | None:
    """An envelope that refuses, and holds nothing. Without a word that we know, not where something broke (5xx)."""
    if envelope is None or not envelope.bare or envelope.meaning not in (Meaning.REJECTED, Meaning.REFUSED):
        return None
    if declined := _read_rejection(envelope.product, envelope.message, words):
        return declined
    return Declined(Word.REFUSED) if envelope.meaning is Meaning.REJECTED and status < 500 else None


def _word(product: Product, text: str, meanings: Mapping[str, _R]) -> _R | None:
    word = product.word(text)
    return None if word is None else meanings.get(word)


def _text(body: bytes) -> str:
    """Decode, then take off BOM, surrounding white space and one pair of double quotes."""
    text = body.decode("utf-8", errors="replace").strip(_SPACE).removeprefix("\ufeff").strip(_SPACE)
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1] if quoted else text


def _read_rejection(product: Product, text: str, words: frozenset[Word]) -> Declined | None:
    word = product.word(text)
    if word in words:
        return Declined(word)
    if ban := _BANNED.fullmatch(text):
        return Declined(Word.BANNED, _epoch(product.zone, *(int(part) for part in ban.groups()[1:])))
    return None


def _declined(product: Product, text: str) -> Declined | None:
    """A refusal that any call can get."""
    return _read_rejection(product, text, ACCOUNT_REJECTIONS)


def _epoch(zone: timezone, *parts: int) -> float | None:
    """A time as the provider writes it, without a zone."""
    year, month, day, hour, minute, second = parts
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None


def _read_code(status: int, text: str) -> Code | Waiting | None:
    """All behind the first colon is the code. The one in `STATUS_WAIT_RETRY` is old: never deliver."""
    word, colon, code = text.partition(":")
    if not colon or word not in (Word.STATUS_OK, Word.STATUS_WAIT_RETRY):
        return None
    if word == Word.STATUS_WAIT_RETRY or not code.strip(_SPACE):
        return WAITING
    return _code(code, status)


def _code(code: str, status: int) -> Code:
    odd = ("odd_http_status",) if status != 200 else ()
    capped = ("code_capped",) if len(code) > CODE_LIMIT else ()
    return Code(code[:CODE_LIMIT], odd + capped)


def _read_failure(status: int, headers: Mapping[str, str], body: bytes, text: str, now: float) -> Failure:
    """No word that we know: slow down, or unclear. The body's text never becomes part of the reason."""
    if text == Word.ERROR_SQL:
        return Unclear("error_sql")
    if throttled := read_throttling(status, headers, body, now=now):
        return throttled
    if status != 200:
        return Unclear(f"http_{status}")
    return Unclear("unknown_body" if text else "empty_body")
