"""What a purchase's true answer says, and the same purchase written in a sibling's or a broken form. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

IDS = ("email_id", "order_id", "id")
CONTACTS = ("email", "number")


@dataclass(frozen=True, slots=True)
class Sold:
    """One purchase as it was answered; `left` in seconds, where the form tells it."""

    form: str
    """`line` (`id,number,900`), `words` (`ACCESS_NUMBER:id:number`) or `json`."""
    id: str
    contact: str
    left: str = ""

    @property
    def bare(self) -> str:
        """The number as the family writes it, without a plus."""
        return self.contact.removeprefix("+")

    def as_text(self) -> str:
        """The family's line; what speaks that itself gets the cheap handler's."""
        if self.form == "words":
            return f"{self.id},+{self.bare},900"
        return f"ACCESS_NUMBER:{self.id}:{self.bare}"

    def as_json(self) -> str:
        """The family's JSON."""
        return json.dumps({"activationId": self.id, "phoneNumber": self.bare})

    def with_bad_seconds(self) -> str:
        """The line with seconds that are no number."""
        return f"{self.id},{self.contact},soon"

    def with_extra_fields(self) -> str:
        """The true form, and more behind it."""
        forms = {"words": f"ACCESS_NUMBER:{self.id}:{self.bare}:PK:1", "json": self.as_json()}
        return forms.get(self.form, f"{self.id},{self.contact},{self.left},PK,1")

    def without_id(self) -> str:
        """The true form without what the money hangs on."""
        success = json.dumps({"status": "200", "message": "ok", "number": self.contact})
        forms = {"words": f"ACCESS_NUMBER::{self.bare}", "json": success}
        return forms.get(self.form, f",{self.contact},{self.left}")


def rewritten(rewrite: Callable[[Sold], str]) -> Callable[[str], str]:
    """A rewrite of purchases only; every other text stays as it is."""

    def apply(text: str) -> str:
        sold = read(text)
        return rewrite(sold) if sold else text

    return apply


def read(text: str) -> Sold | None:
    """The purchase that an answer tells of, if it is one."""
    if text.startswith("{"):
        return _read_json(text)
    words = text.split(":")
    if words[0] == "ACCESS_NUMBER" and len(words) == 3:
        return Sold("words", words[1], words[2])
    parts = text.split(",")
    return Sold("line", *parts) if len(parts) == 3 else None


def _read_json(text: str) -> Sold | None:
    whole = json.loads(text)
    data = whole.get("data")
    fields: dict[str, Any] = whole | (data[0] if isinstance(data, list) and data else data or {})
    order_id = next((fields[name] for name in IDS if name in fields), None)
    contact = next((fields[name] for name in CONTACTS if name in fields), None)
    return Sold("json", str(order_id), str(contact)) if order_id and contact else None
