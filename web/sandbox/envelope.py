"""The JSON envelope of the email and rental handlers: `{"status":"200","message":"…", …}`, in any of its shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from web.sandbox.shapes import Shapes

SUCCESS, WAITING, CANCELLED, REFUSED = "200", "202", "300", "400"
"""What a status says. The first three are the vendor's; how it refuses stands nowhere."""
WORDS = {SUCCESS: "success", WAITING: "waiting", CANCELLED: "cancelled", REFUSED: "error"}
"""The same as words, which public clients expect of some handlers."""

LOCAL = timezone(timedelta(hours=5))
"""Pakistan's time, in which the vendor writes times without a zone."""
_NO_CODE: Mapping[str, Any] = {"empty": "", "null": None, "false": False, "zero": 0}
_EMPTY: Mapping[str, Any] = {"null": None, "list": [], "object": {}, "text": ""}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Writes one handler's answers; `wordy`: its usual status is a word."""

    shapes: Shapes
    wordy: bool = False

    def refuse(self, word: str) -> str:
        """The answer that says no."""
        return word if self.shapes.refusals == "words" else self.tell(REFUSED, word)

    def tell(self, status: str, message: str, fields: Mapping[str, Any] | None = None) -> str:
        """An answer about one thing, whose fields lie where the shapes say; without fields, a bare envelope."""
        whole = self._head(status, message)
        if not fields or self.shapes.place == "top":
            whole |= {**self._nothing(), **(fields or {})}
        else:
            whole["data"] = [dict(fields)] if self.shapes.place == "list" else dict(fields)
        return json.dumps(whole)

    def rows(self, name: str, rows: list[dict[str, Any]]) -> str:
        """An answer with a list under `name`; an empty one under `data` is what the shapes make of nothing."""
        nothing = self._nothing() if name == "data" and not rows else {}
        return json.dumps({**self._head(SUCCESS, "ok"), name: rows, **nothing})

    def identity(self, name: str, order_id: str) -> dict[str, Any]:
        """An id, under its name."""
        told = int(order_id) if self.shapes.ids == "number" and _is_number(order_id) else order_id
        return {"id" if self.shapes.id_name == "id" else name: told}

    def code(self, code: str) -> str | int:
        """A code; one with leading zeros or letters is no number."""
        return int(code) if self.shapes.codes == "number" and _is_number(code) else code

    def no_code(self) -> dict[str, Any]:
        """What stands in a code's place while none has come."""
        shape = self.shapes.no_code
        return {self.shapes.code_name: _NO_CODE[shape]} if shape in _NO_CODE else {}

    def price(self, price: Decimal) -> str | float:
        """A price with its paisa, or as a bare number."""
        return float(price) if self.shapes.prices == "number" else f"{price:.2f}"

    def moment(self, name: str, at: float) -> dict[str, Any]:
        """A time, under its name, unless times are left out."""
        zone = UTC if self.shapes.dates == "zoned" else LOCAL
        date = datetime.fromtimestamp(at, zone)
        forms: Mapping[str, Any] = {
            "local": f"{date:%Y-%m-%d %H:%M:%S}",
            "zoned": date.isoformat(timespec="seconds"),
            "unix": int(at),
        }
        return {} if self.shapes.dates == "absent" else {name: forms[self.shapes.dates]}

    def _head(self, status: str, message: str) -> dict[str, Any]:
        told = {"status": self._status(status), self.shapes.message_name: message}
        return told if self.shapes.status != "missing" else {self.shapes.message_name: message}

    def _status(self, status: str) -> str | float:
        form = self.shapes.status
        if form == "word" or (form == "usual" and self.wordy):
            return WORDS[status]
        forms: Mapping[str, str | float] = {"int": int(status), "float": float(status), "padded": f" {status} "}
        return forms.get(form, status)

    def _nothing(self) -> dict[str, Any]:
        empty = self.shapes.empty_data
        return {"data": _EMPTY[empty]} if empty in _EMPTY else {}


def _is_number(text: str) -> bool:
    """Whether digits stay the same as a JSON number."""
    return text.isascii() and text.isdigit() and str(int(text)) == text
