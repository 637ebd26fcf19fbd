"""How amounts, spans of time and choices of a control call are read; each reader raises ValueError in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Values = TypeVar("Values", bound=DataclassInstance)

MOST_MONEY = 10**12
"""PKR; a bound, so that no sum loses a paisa."""
MOST_COUNTED = 10**9

Reader = Callable[[Any], Any]
Fields = Mapping[str, Any]
"""What came with a call, read, by name."""


def money(value: object) -> Decimal:
    """Read an amount of PKR, to the paisa; raises ValueError unless it lies between 0 and `MOST_MONEY`."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("not an amount of money") from None
    if not amount.is_finite() or not 0 <= amount <= MOST_MONEY:
        raise ValueError(f"an amount of money must be between 0 and {MOST_MONEY}")
    return amount.quantize(Decimal("0.01"))


def seconds(value: object) -> float:
    """Read a span of time; raises ValueError unless it is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number of seconds")
    try:
        span = float(value)
    except (ValueError, OverflowError):
        raise ValueError("not a number of seconds") from None
    if not math.isfinite(span) or span < 0:
        raise ValueError("a number of seconds must be finite and not negative")
    return span


def share(value: object) -> float:
    """Read a share; raises ValueError unless it lies between 0 and 1."""
    part = seconds(value)
    if part > 1:
        raise ValueError("a share must be between 0 and 1")
    return part


def whole(value: object) -> int:
    """Read a count, which a form sends as digits; raises ValueError unless it is a whole number from 0 on."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNTED:
        raise ValueError(f"not a whole number from 0 to {MOST_COUNTED}")
    return value


def times(value: object) -> int:
    """Read how often something happens; -1: for ever."""
    return -1 if value in (-1, "-1") else whole(value)


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("not true or false")
    return value


def text(value: object) -> str:
    """Read a string; raises ValueError for an empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError("not a string, or an empty one")
    return value


def choice(*choices: str) -> Callable[[object], str]:
    """A reader of one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return value

    return read


def optional(reader: Reader) -> Reader:
    """A reader that lets null pass."""
    return lambda value: None if value is None else reader(value)


def read(values: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read named values; raises ValueError that names the first unknown or bad one."""
    if unknown := sorted(set(values) - set(readers)):
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(readers))}")
    return {name: _named(name, readers[name], value) for name, value in values.items()}


def changed(values: Values, changes: Mapping[str, Any], readers: Mapping[str, Reader]) -> Values:
    """A copy with some fields changed; raises ValueError for an unknown name or a bad value."""
    return replace(values, **read(changes, readers))


def _named(name: str, reader: Reader, value: object) -> Any:
    try:
        return reader(value)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None
