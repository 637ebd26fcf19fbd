"""The product table, read and checked: how each product is spoken to, and how its answers are read.

`products.toml` beside this module is the built-in one; the header there says what each entry means. Pure but for
reading the files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any, Final, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.errors import SettingsInvalid
from worker.provider.replies import WORDS, Word

DEFAULT: Final = "default"
"""The entry whose tables hold for every product that has none of its own."""
NEEDED: Final = {
    "number": ("buy", "status", "cancel"),
    "address": ("buy", "status", "cancel"),
    "rental": ("buy", "messages", "renew"),
}
"""The calls that a product has, by what it sells."""
PRICE_LISTS: Final = ("services", "rental_prices")
"""Listings that name prices; a product has one of them at most."""


class Meaning(StrEnum):
    """What an envelope's status can mean."""

    SUCCESS = "success"
    WAITING = "waiting"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    """Nothing was done."""
    REFUSED = "refused"
    """Nothing was done, if the envelope's text is a word that says so."""


class _Entry(BaseModel):
    """A product as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    handler: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    verified: bool
    sells: Literal["number", "address", "rental"]
    answer: Literal["line", "words", "json"]
    fields: tuple[str, ...] = Field(min_length=1)
    item: str | None = None
    life: float = Field(gt=0, le=31_536_000)
    earliest_cancel: float | None = Field(None, ge=0, le=86_400)
    time_zone: str = Field(pattern=r"^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$")
    readings: dict[str, tuple[dict[str, str], ...]] = Field(default_factory=dict)
    actions: dict[str, dict[str, str]]
    words: dict[str, Word]
    status: dict[Meaning, tuple[str, ...]]
    names: dict[str, tuple[str, ...]]

    @field_validator("actions")
    @classmethod
    def _name_actions(cls, actions: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for call, query in actions.items():
            if not query.get("action"):
                raise ValueError(f"{call} names no action")
        return actions

    @model_validator(mode="after")
    def _fit_together(self) -> _Entry:
        for call in NEEDED[self.sells]:
            if call not in self.actions:
                raise ValueError(f"actions has no call {call!r}")
        for call, known in (("buy", set(self.fields)), *_GIVEN.items()):
            if unknown := _placeholders(self.actions.get(call, {})) - known:
                raise ValueError(f"actions.{call} asks for {', '.join(sorted(unknown))}, which no order has")
        for listing in self.readings:
            if listing not in self.actions:
                raise ValueError(f"readings.{listing} has no call of that name among the actions")
        if self.item not in self.fields and any(one in self.actions for one in PRICE_LISTS):
            raise ValueError("item is one of the fields where there are services")
        return self


_GIVEN: Final = {"status": {"id"}, "cancel": {"id"}, "finish": {"id"}, "messages": {"id"}, "renew": {"id", "duration"}}
"""What a call about something that is bought can fill in."""


def _placeholders(query: Mapping[str, str]) -> set[str]:
    return {name for value in query.values() for _, name, _, _ in Formatter().parse(value) if name is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One of the provider's products. `life` and `earliest_cancel` are seconds."""

    name: str
    handler: str
    verified: bool
    """Whether the vendor documents it."""
    sells: str
    answer: str
    fields: tuple[str, ...]
    item: str | None
    life: float
    earliest_cancel: float | None
    zone: timezone
    readings: Mapping[str, tuple[Mapping[str, str], ...]]
    actions: Mapping[str, Mapping[str, str]]
    words: Mapping[str, Word]
    statuses: Mapping[str, Meaning]
    names: Mapping[str, tuple[str, ...]]

    def query(self, call: str, values: Mapping[str, str]) -> str:
        """The query string of a call, without the key. Raises KeyError for a value that is missing."""
        return urlencode({name: value.format_map(values) for name, value in self.actions[call].items()})

    def place(self, listing: str, item: Mapping[str, str]) -> dict[str, str]:
        """What of an item says where in the catalogue a listing stands."""
        return {name: item[name] for name in self.place_names(listing)}

    def place_names(self, listing: str) -> tuple[str, ...]:
        """What says where in the catalogue a listing stands, in order; empty where there is no such listing."""
        return tuple(sorted(_placeholders(self.actions.get(listing, {}))))

    def word(self, text: str) -> Word | None:
        """The word that a whole text is, by this product's table or by itself."""
        return self.words.get(text) or (Word(text) if text in WORDS else None)

    @property
    def price_list(self) -> str | None:
        """The listing in which the provider names prices for it, if there is one."""
        return next((one for one in PRICE_LISTS if one in self.actions), None)


Products = Mapping[str, Product]


def load(replaced_by: str | Path | None = None) -> Products:
    """The table, with the entries of a file in place of its own.

    Raises SettingsInvalid with everything that is wrong with it in one message.
    """
    table = tomllib.loads((files(__package__) / "products.toml").read_text(encoding="utf-8"))
    source = "the built-in product table"
    if replaced_by is not None:
        source = f"RINGBACK_PRODUCTS_FILE ({replaced_by})"
        table = _merged(table, _read(Path(replaced_by), source))
    shared = table.pop(DEFAULT)
    problems: list[str] = []
    products = {name: _product(name, _merged(shared, entry), problems) for name, entry in table.items()}
    if problems:
        raise SettingsInvalid("\n".join([f"{source} is not valid:", *(f"  - {one}" for one in problems)]))
    return {name: product for name, product in products.items() if product is not None}


def warnings(table: Products, enabled: Iterable[str]) -> list[str]:
    """What should be known of the products that are on sale, a sentence each."""
    return [
        f"RINGBACK_PRODUCTS has {name}, which is known from clients and not from the vendor's page: "
        f"run `ringback calibrate --product {name}` before it costs money."
        for name in enabled
        if name in table and not table[name].verified
    ] + [
        f"RINGBACK_PRODUCTS has {name}, and the product table has no such entry."
        for name in enabled
        if name not in table
    ]


def _read(path: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsInvalid(f"{source} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{source} is not valid TOML: {error}") from None


_REPLACED_WHOLE = re.compile(r"actions\.[^.]+|readings\.[^.]+")
"""Tables that are replaced as one: half of a call is none."""


def _merged(base: Mapping[str, Any], over: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        whole = _REPLACED_WHOLE.search(f"{path}{name}")
        if isinstance(value, dict) and isinstance(below, dict) and not whole:
            merged[name] = _merged(below, value, f"{path}{name}.")
        else:
            merged[name] = value
    return merged


def _product(name: str, entry: Mapping[str, Any], problems: list[str]) -> Product | None:
    try:
        read = _Entry.model_validate(entry)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        for one in found:
            where = ".".join([name, *map(str, one["loc"])])
            problems.append(f"{where}: {one['msg'].removeprefix('Value error, ')}")
        return None
    return Product(
        name=name, handler=read.handler, verified=read.verified, sells=read.sells, answer=read.answer,
        fields=read.fields, item=read.item, life=read.life, earliest_cancel=read.earliest_cancel,
        zone=_zone(read.time_zone), readings=read.readings, actions=read.actions, words=read.words,
        statuses=dict(_by_text(read.status)), names=read.names,
    )  # fmt: skip


def _by_text(status: Mapping[Meaning, tuple[str, ...]]) -> Iterator[tuple[str, Meaning]]:
    """Texts by what they mean; where two tables name one, the more careful reading stands."""
    for meaning in (Meaning.REJECTED, Meaning.REFUSED, Meaning.WAITING, Meaning.CANCELLED, Meaning.SUCCESS):
        yield from ((text, meaning) for text in status.get(meaning, ()))


def _zone(text: str) -> timezone:
    hours, minutes = int(text[1:3]), int(text[4:])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text.startswith("-") else span)
