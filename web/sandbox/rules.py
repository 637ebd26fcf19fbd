"""How the sandbox provider behaves, and how its amounts and spans of time are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

MOST_MONEY = 10**12
"""PKR; a bound, so that no sum loses a paisa."""


def money(value: object) -> Decimal:
    """Read an amount of PKR, to the paisa; raises ValueError unless it lies between 0 and `MOST_MONEY`."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("not an amount of money") from None
    if not amount.is_finite() or not 0 <= amount <= MOST_MONEY:
        raise ValueError(f"an amount of money lies between 0 and {MOST_MONEY}")
    return amount.quantize(Decimal("0.01"))


def seconds(value: object) -> float:
    """Read a span of time; raises ValueError unless it is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number of seconds")
    span = float(value)
    if not math.isfinite(span) or span < 0:
        raise ValueError("a number of seconds is finite and not negative")
    return span


@dataclass(frozen=True, slots=True)
class Rules:
    """How this provider behaves; times in seconds. `Rules().changed(...)` makes one, and checks it."""

    price: Decimal = Decimal("10.00")
    code_after: float | None = 8.0
    """From the purchase to the code; `None`: codes come only when somebody sends one."""
    cancel_after: float = 120.0
    """No cancel before this age: the family refuses the first minutes."""
    life: float = 900.0
    no_code_share: float = 0.0
    """The share of orders, 0 to 1, that never get a code by themselves."""
    late_cancel: str = "OTP_RECEIVED"
    """The word for a cancel after the code; others of the family say `BAD_STATUS`."""

    def changed(self, **changes: Any) -> Rules:
        """A copy with some rules changed; raises ValueError for an unknown name or a bad value."""
        unknown = sorted(set(changes) - {rule.name for rule in fields(self)})
        if unknown:
            raise ValueError(f"unknown rules: {', '.join(unknown)}")
        return replace(self, **{name: _READ[name](value) for name, value in changes.items()})


def _share(value: object) -> float:
    share = seconds(value)
    if share > 1:
        raise ValueError("a share lies between 0 and 1")
    return share


_READ: Mapping[str, Callable[[Any], Any]] = {
    "price": money,
    "code_after": lambda value: None if value is None else seconds(value),
    "cancel_after": seconds,
    "life": seconds,
    "no_code_share": _share,
    "late_cancel": str,
}
