"""A JSON answer taken apart: what its status means, and the values that it holds. Pure.

The vendor documents `{"status":"200","message":"…"}`; where values lie, under which names and in which types has been
met in many ways. Numbers keep their digits as they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from worker.provider.products import Meaning, Product


class Number(str):
    """A JSON number, to the letter."""

    __slots__ = ()


def parse(text: str) -> Any:
    """A text as JSON, numbers as `Number`; None when it is none. JSON's own null is None too: neither says anything."""
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(_: str) -> NoReturn:
    raise ValueError("no number")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A JSON object that answers a call."""

    product: Product
    top: Mapping[str, Any]

    @property
    def meaning(self) -> Meaning | None:
        """What its status means; None for one that is missing or unknown."""
        for name in self.product.names["status"]:
            status = plain(self.top.get(name))
            if status:
                return self.product.statuses.get(_whole(status))
        return None

    @property
    def message(self) -> str:
        """Its text, if it has one."""
        return next((text for name in self.product.names["message"] if (text := plain(self.top.get(name)))), "")

    def value(self, what: str) -> str:
        """The first value under any of the names of `what`: at the top, then in `data`; empty when there is none."""
        data = self.top.get("data")
        below = data if isinstance(data, list) else [data]
        for layer in (self.top, *(one for one in below if isinstance(one, dict))):
            for name in self.product.names[what]:
                if text := plain(layer.get(name)):
                    return text
        return ""

    @property
    def bare(self) -> bool:
        """Whether it holds neither an id, nor a contact, nor data: only a bare one can prove that nothing was done."""
        return not (self.value("activation") or self.value("contact") or self.top.get("data"))


def open_envelope(product: Product, text: str) -> Envelope | None:
    """The envelope that a text is, or None."""
    parsed = parse(text) if text.startswith("{") else None
    return Envelope(product, parsed) if isinstance(parsed, dict) else None


def plain(value: Any) -> str:
    """A value as text: empty for what says nothing (null, false, zero, empty, or no plain value)."""
    text = value.strip() if isinstance(value, str) else ""
    return "" if isinstance(value, Number) and _whole(text) in ("0", "-0") else text


def _whole(text: str) -> str:
    """`200.0` is `200`."""
    whole, point, fraction = text.partition(".")
    return whole if point and not fraction.strip("0") and fraction else text
