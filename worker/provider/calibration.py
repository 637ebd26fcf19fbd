"""Calibration: free questions to the provider, and whether the product table reads its answers as it expects.

Only listings, the balance and looks at an order that nobody has are asked for, with a right key, a wrong one and none.
Nothing here can buy, cancel or finish: those calls are not among the questions.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from worker.logs import redact_text
from worker.provider import protocol
from worker.provider.envelope import open_envelope
from worker.provider.products import Product, Products
from worker.provider.replies import (
    Balance,
    Declined,
    Listing,
    Messages,
    Missing,
    Unclear,
    Unreached,
    Waiting,
    Word,
)
from worker.provider.transport import Answer

MADE_UP: Final = "ringback-calibration"
"""An order's id, an action and a place that the provider cannot know."""
FREE: Final = frozenset(
    {"balance", "servers", "countries", "services", "status", "rental_countries", "rental_prices", "messages"}
)
"""Calls that cost nothing and change nothing."""
COUNTRIES: Final = ("countries", "rental_countries")
"""Listings of which one country is looked into."""
_LONG_NUMBER = re.compile(r"\+?[0-9]{7,}")

Ask = Callable[[str, str], Awaitable[Answer | Unreached | Unclear]]
"""Asks a handler with a query string, the key included."""


@dataclass(frozen=True, slots=True)
class Question:
    """One free call: what is asked of which product, and what answers are expected."""

    product: Product
    call: str
    about: str
    values: Mapping[str, str]
    expected: str
    fits: Callable[[Any], bool]
    advice: str
    key: str | None = ""
    """Empty: the right one. None: no key at all."""
    action: str | None = None
    """An action in place of the table's."""

    def query(self, key: str) -> str:
        """The query string."""
        asked = self.product.query(self.call, self.values)
        if self.action is not None:
            asked = urlencode({"action": self.action})
        return asked if self.key is None else f"{urlencode({'api_key': self.key or key})}&{asked}"

    def read(self, answer: Answer, now: float) -> Any:
        """What the answer means by the table."""
        heard = (self.product, answer.status, answer.headers, answer.body)
        if self.call == "balance":
            return protocol.read_balance(*heard, now=now)
        if self.call == "status":
            return protocol.read_status(*heard, now=now)
        if self.call == "messages":
            return protocol.read_messages(*heard, now=now)
        product, *rest = heard
        return protocol.read_listing(product, self.call, self.values, *rest, now=now)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Finding:
    """A question and its answer: what came (masked), what it was read as, and what to change where that is unknown."""

    question: Question
    status: int | None
    body: str
    read_as: str
    known: bool
    as_expected: bool
    advice: str = ""

    def public(self) -> dict[str, Any]:
        """The finding as JSON shows it, and as `--record` keeps it."""
        asked = self.question
        return {
            "product": asked.product.name, "call": asked.call, "about": asked.about, "values": dict(asked.values),
            "expected": asked.expected, "status": self.status, "body": self.body, "read_as": self.read_as,
            "known": self.known, "as_expected": self.as_expected, "advice": self.advice,
        }  # fmt: skip


async def calibrate(products: Products, ask: Ask, key: str, now: Callable[[], float]) -> AsyncIterator[Finding]:
    """Ask everything of these products, one call after another."""
    for product in products.values():
        place: Mapping[str, str] | None = None
        for question in _questions(product):
            finding, reply = await _asked(question, ask, key, now)
            yield finding
            if question.call in COUNTRIES and place is None and isinstance(reply, Listing) and reply.choices:
                place = {**question.values, "country": reply.choices[0].code}
        if place is not None and product.price_list is not None:
            finding, _ = await _asked(_listing(product, product.price_list, place), ask, key, now)
            yield finding


def _questions(product: Product) -> list[Question]:
    asked = []
    if "balance" in product.actions:
        words = f"[{product.name}.actions] balance"
        asked.append(_question(product, "balance", "the money left", {}, "a decimal", Balance, words))
    for listing, places in product.readings.items():
        asked += [_listing(product, listing, place) for place in places]
    if product.place_names("services") == ("domain",):
        asked.append(_listing(product, "services", {"domain": f"{MADE_UP}.invalid"}))
    look = "status" if "status" in product.actions else "messages"
    refused, unknown = partial(_question, product, look), {"id": MADE_UP}
    words = f"[{product.name}.words]"
    asked += [
        refused(
            "an order that nobody has", unknown, "no such order", (Missing, Waiting, Messages),
            f'{words} {{}} = "NO_ACTIVATION"',
        ),
        refused("a wrong key", unknown, "BAD_KEY", Word.BAD_KEY, f'{words} {{}} = "BAD_KEY"', key=MADE_UP),
        refused("no key", unknown, "BAD_KEY", Word.BAD_KEY, f'{words} {{}} = "BAD_KEY"', key=None),
        refused(
            "an action that there is not", unknown, "BAD_ACTION", Word.BAD_ACTION, f'{words} {{}} = "BAD_ACTION"',
            action=MADE_UP,
        ),
    ]  # fmt: skip
    return asked


def _listing(product: Product, listing: str, place: Mapping[str, str]) -> Question:
    about = ", ".join(f"{name} {value}" for name, value in place.items())
    line = f"[{product.name}.names] or [{product.name}.actions] {listing}"
    return _question(product, listing, about, place, "a list", (Listing, Declined), line)


def _question(
    product: Product, call: str, about: str, values: Mapping[str, str], expected: str,
    wanted: type | tuple[type, ...] | Word, advice: str, **kwargs: Any,
) -> Question:  # fmt: skip
    def fits(reply: Any) -> bool:
        if isinstance(wanted, Word):
            return isinstance(reply, Declined) and reply.word is wanted
        return isinstance(reply, wanted)

    return Question(product, call, about, values, expected, fits, advice, **kwargs)


async def _asked(question: Question, ask: Ask, key: str, now: Callable[[], float]) -> tuple[Finding, Any]:
    answer = await ask(question.product.handler, question.query(key))
    if not isinstance(answer, Answer):
        why = f"[{question.product.name}] handler, or RINGBACK_OTPGET_BASE_URL: nothing could be read ({answer.reason})"
        return Finding(question, None, "", type(answer).__name__, known=False, as_expected=False, advice=why), answer
    reply = question.read(answer, now())
    expected, known = question.fits(reply), not isinstance(reply, Unclear)
    body = masked(answer.body, key)
    advice = "" if known else question.advice.replace("{}", _toml_key(question.product, body))
    return Finding(question, answer.status, body, _named(reply), known, expected, advice), reply


def masked(body: bytes, key: str) -> str:
    """An answer as it may be shown and kept: without the key, numbers, addresses and codes."""
    text = body.decode("utf-8", errors="replace")
    if key:
        text = text.replace(key, "***")
    return _LONG_NUMBER.sub(lambda found: found[0][:4] + "*" * (len(found[0]) - 4), redact_text(text))


def _toml_key(product: Product, body: str) -> str:
    """What of an answer the table could know, an envelope's text or all of it, as a TOML key."""
    envelope = open_envelope(product, body.strip())
    text = envelope.message if envelope and envelope.message else body.strip()
    printable = "".join(char if char.isprintable() and char not in '"\\' else "?" for char in text)
    return f'"{printable[:80]}"'


def _named(reply: Any) -> str:
    match reply:
        case Listing(choices):
            return f"a list of {len(choices)}"
        case Declined(word):
            return str(word)
        case Unclear(reason):
            return f"unknown ({reason})"
    return type(reply).__name__
