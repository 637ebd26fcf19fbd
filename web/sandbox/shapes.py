"""The shapes in which the same answer has been met, each of which a test can ask for.

The vendor documents an envelope and little else; public clients have seen the rest. What is not asked for
has the shape of the vendor's page, or the first that a client was seen to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from web.sandbox.values import Reader, changed, choice


@dataclass(frozen=True, slots=True)
class Shapes:
    """How answers are dressed; `Shapes().changed(...)` makes one, and checks it."""

    countries: str = "by_type"
    """`getCountries`: `by_type` (the vendor's), a bare `list`, or `indexed` with `eng` for the name."""
    services: str = "text"
    """`getServices`: `text` (the vendor's), `wrapped` under the type, a `number` for a price, or a `list`."""
    status: str = "usual"
    """An envelope's status: `usual` (text digits, but a word for rentals at `handler_api.php`), or always
    `text`, `int`, `float`, `padded` with blanks, `word`; or it is `missing`."""
    place: str = "top"
    """Where an id, an address or a code lies: at the `top`, under `data`, or in a `list` under `data`."""
    empty_data: str = "absent"
    """What `data` is where it holds nothing: `absent` (of a list: empty), `null`, `list`, `object`, `text`."""
    ids: str = "text"
    """Whether an id of digits is `text` or a `number`."""
    id_name: str = "usual"
    """Whether an id is called `email_id` or `order_id` (`usual`), or `id`."""
    code_name: str = "code"
    """Whether an email's code is called `code` or `otp`."""
    codes: str = "text"
    """Whether a code of digits is `text` or a `number`."""
    no_code: str = "absent"
    """What an email's code is while none has come: `absent`, `empty`, `null`, `false`, `zero`."""
    prices: str = "text"
    """Whether a price beside others is `text` or a `number`."""
    message_name: str = "message"
    """What an envelope calls its text: `message`, `msg` or `error`."""
    cancelled: str = "300"
    """The status of a cancel that was granted, which nobody documents: `300` or `200`."""
    refusals: str = "envelope"
    """Whether a JSON handler refuses in an `envelope` of status 400 or in the family's bare `words`."""
    dates: str = "local"
    """A rental's times: `local` (without a zone, five hours ahead of UTC), `zoned`, `unix`, or `absent`."""
    senders: str = "present"
    """Whether a rental's messages name their sender: `present` or `absent`."""

    def changed(self, **changes: Any) -> Shapes:
        """A copy with some shapes changed; raises ValueError for an unknown name or a bad value."""
        return changed(self, changes, READERS)


READERS: Mapping[str, Reader] = {
    "countries": choice("by_type", "list", "indexed"),
    "services": choice("text", "wrapped", "number", "list"),
    "status": choice("usual", "text", "int", "float", "padded", "word", "missing"),
    "place": choice("top", "data", "list"),
    "empty_data": choice("absent", "null", "list", "object", "text"),
    "ids": choice("text", "number"),
    "id_name": choice("usual", "id"),
    "code_name": choice("code", "otp"),
    "codes": choice("text", "number"),
    "no_code": choice("absent", "empty", "null", "false", "zero"),
    "prices": choice("text", "number"),
    "message_name": choice("message", "msg", "error"),
    "cancelled": choice("300", "200"),
    "refusals": choice("envelope", "words"),
    "dates": choice("local", "zoned", "unix", "absent"),
    "senders": choice("present", "absent"),
}
"""How each shape is read."""
