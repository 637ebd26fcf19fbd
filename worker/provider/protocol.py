"""An answer's bytes → what it means, one reader per call. Pure: no I/O, and no bytes make a reader raise.

Every reader does the same: clean the text, look for something it knows as a **whole** token, and only then
ask what the HTTP status says. So an explicit word wins over the status, and an error page that contains a
word says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

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
    Missing,
    Server,
    Servers,
    ServersReply,
    StatusReply,
    Throttled,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.provider.throttling import read_throttling

__all__ = [
    "Balance",
    "BalanceReply",
    "Bought",
    "BuyReply",
    "CancelReply",
    "Cancelled",
    "Code",
    "CodeExists",
    "Declined",
    "Done",
    "Early",
    "FinishReply",
    "Missing",
    "Server",
    "Servers",
    "ServersReply",
    "StatusReply",
    "Throttled",
    "Unclear",
    "Unreached",
    "Waiting",
    "Word",
    "read_balance",
    "read_buy",
    "read_cancel",
    "read_finish",
    "read_servers",
    "read_status",
]

CODE_LIMIT: Final = 4096
"""Characters kept of a code."""

NAME_LIMIT: Final = 200
"""Characters kept of a server's name."""

STILL_WAITING: Final = Word.STATUS_WAIT_CODE.value.encode()

_SPACE: Final = " \t\r\n\v\f"
_BANNED = re.compile(
    r"BANNED:(?P<quote>'?)([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r" ([0-9]{1,2})[-:]([0-9]{1,2})[-:]([0-9]{1,2})(?P=quote)"
)
_BALANCE = re.compile(r"ACCESS_BALANCE:(-?[0-9]{1,15}(?:\.[0-9]{1,8})?)")

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


def read_buy(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> BuyReply:
    """What came of a `buyNumber`. Only `Declined` and `Throttled` prove that nothing was bought."""
    text = _text(body)
    if declined := _read_rejection(text, BUY_REJECTIONS):
        return declined
    if bought := read_purchase(text):
        return bought if status == 200 else replace(bought, flags=(*bought.flags, "odd_http_status"))
    return _read_failure(status, headers, body, text, now)


def read_status(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> StatusReply:
    """What a `getStatus` says. Nearly every answer is "still waiting", so that costs one comparison."""
    if status == 200 and body == STILL_WAITING:
        return WAITING
    text = _text(body)
    known = _STATUS_WORDS.get(text) or _read_code(status, text) or _read_rejection(text, ACCOUNT_REJECTIONS)
    return known or _read_failure(status, headers, body, text, now)


def read_cancel(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CancelReply:
    """What came of a `setStatus` 8. A code in the answer is a `CodeExists`: the next poll fetches it."""
    text = _text(body)
    known = _CANCEL_WORDS.get(text) or _read_rejection(text, ACCOUNT_REJECTIONS)
    if known is None and isinstance(_read_code(status, text), Code):
        return CodeExists(Word.STATUS_OK)
    return known or _read_failure(status, headers, body, text, now)


def read_finish(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> FinishReply:
    """What came of a `setStatus` 3."""
    text = _text(body)
    known = _FINISH_WORDS.get(text) or _read_rejection(text, ACCOUNT_REJECTIONS)
    return known or _read_failure(status, headers, body, text, now)


def read_balance(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> BalanceReply:
    """What a `getBalance` says. Only a plain decimal counts: `1,234.50` could be read two ways."""
    text = _text(body)
    if amount := _BALANCE.fullmatch(text):
        return Balance(Decimal(amount[1]))
    return _read_rejection(text, ACCOUNT_REJECTIONS) or _read_failure(status, headers, body, text, now)


def read_servers(type: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ServersReply:
    """What a `getServers` lists for `type`. An empty object, a list or a page is no answer."""
    text = _text(body)
    if (servers := _read_listing(text, type)) is not None:
        return Servers(servers)
    rejection = _read_rejection(text, ACCOUNT_REJECTIONS | {Word.BAD_TYPE, Word.BAD_SERVER})
    return rejection or _read_failure(status, headers, body, text, now)


def _text(body: bytes) -> str:
    """Decode, then take off BOM, surrounding white space and one pair of double quotes."""
    text = body.decode("utf-8", errors="replace").strip(_SPACE).removeprefix("\ufeff").strip(_SPACE)
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1] if quoted else text


def _read_rejection(text: str, words: frozenset[Word]) -> Declined | None:
    if text in words:
        return Declined(Word(text))
    if ban := _BANNED.fullmatch(text):
        return Declined(Word.BANNED, _epoch(*(int(part) for part in ban.groups()[1:])))
    return None


def _epoch(*parts: int) -> float | None:
    """The provider names no time zone; UTC is assumed."""
    year, month, day, hour, minute, second = parts
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _read_code(status: int, text: str) -> Code | Waiting | None:
    """All behind the first colon is the code. The one in `STATUS_WAIT_RETRY` is old: never deliver."""
    word, colon, code = text.partition(":")
    if not colon or word not in (Word.STATUS_OK, Word.STATUS_WAIT_RETRY):
        return None
    if word == Word.STATUS_WAIT_RETRY or not code.strip(_SPACE):
        return WAITING
    odd = ("odd_http_status",) if status != 200 else ()
    capped = ("code_capped",) if len(code) > CODE_LIMIT else ()
    return Code(code[:CODE_LIMIT], odd + capped)


def _read_listing(text: str, type: str) -> tuple[Server, ...] | None:
    try:
        listing = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listing, dict) or not any(isinstance(entries, list) for entries in listing.values()):
        return None
    entries = listing.get(type, [])
    servers = tuple(filter(None, map(_read_server, entries))) if isinstance(entries, list) else ()
    return servers if servers or not entries else None


def _read_server(entry: Any) -> Server | None:
    """One server; ids may be numbers, a missing name is made up from the id."""
    id = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(id, bool) or not isinstance(id, str | int) or not _printable(str(id)):
        return None
    name = entry.get("name")
    named = _printable(name) if isinstance(name, str) else ""
    return Server(_printable(str(id)), named or _printable(f"Server {id}"))


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()[:NAME_LIMIT]


def _read_failure(status: int, headers: Mapping[str, str], body: bytes, text: str, now: float) -> Failure:
    """No word that we know: slow down, or unclear. The body's text never becomes part of the reason."""
    if text == Word.ERROR_SQL:
        return Unclear("error_sql")
    throttled = read_throttling(status, headers, body, now=now)
    return throttled or Unclear(_reason(status, text))


def _reason(status: int, text: str) -> str:
    if status != 200:
        return f"http_{status}"
    return "unknown_body" if text else "empty_body"
