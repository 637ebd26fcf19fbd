"""From JSON to frozen values, as a tolerant reader: what is new is kept in `extra`, what is absent has its default.

Words of closed sets (`status`, `settlement`, codes) are plain text in the models, so that a word that came later is
no error. What has the wrong type is one: then the answer is not what the API promises.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar

M = TypeVar("M")

Reader = Callable[[Any], Any]
ALSO = "also"
"""Metadata of a field: other names under which it may come."""
NOT_READ = ("extra", "etag")
"""Fields that do not come from the JSON object under their name."""


class Unreadable(ValueError):
    """The JSON does not fit the model; the message leads to the field and never shows its value."""


def read(model: type[M], payload: Any) -> M:
    """The JSON object as a `model`. Raises Unreadable."""
    if not isinstance(payload, dict):
        raise Unreadable(f"{model.__name__} is not a JSON object")
    construct: Callable[..., M] = model
    plans = _plans(construct)
    known = {name for one in plans for name in one.names}
    values = {one.name: value for one in plans if (value := one.value(payload)) is not MISSING}
    extra = {name: value for name, value in payload.items() if name not in known}
    return construct(**values, extra=extra)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one field is read."""

    name: str
    names: tuple[str, ...]
    where: str
    reader: Reader
    optional: bool

    def value(self, payload: Mapping[str, Any]) -> Any:
        """The field's value; MISSING where its default holds."""
        raw = next((payload[name] for name in self.names if payload.get(name) is not None), None)
        if raw is None and self.optional:
            return MISSING
        try:
            return self.reader(raw)
        except Unreadable as error:
            raise Unreadable(f"{self.where}: {error}") from None


@cache
def _plans(model: Callable[..., Any]) -> tuple[_Plan, ...]:
    hints = typing.get_type_hints(model)
    return tuple(
        _Plan(
            name=one.name,
            names=(one.name, *one.metadata.get(ALSO, ())),
            where=f"{model.__name__}.{one.name}",
            reader=_reader(hints[one.name]),
            optional=one.default is not MISSING or one.default_factory is not MISSING,
        )
        for one in fields(typing.cast(type[Any], model))
        if one.name not in NOT_READ
    )


def _reader(hint: Any) -> Reader:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # `X | None`: a null has had its default already
        return _reader(next(one for one in inner if one is not types.NoneType))
    if origin is tuple:
        return _list_of(_reader(inner[0]))
    if hint is Any:
        return _anything
    if is_dataclass(hint):
        return lambda raw: read(typing.cast(type[Any], hint), raw)
    return _SIMPLE[origin or hint]


def _anything(raw: Any) -> Any:
    return raw


def _list_of(reader: Reader) -> Reader:
    def read_list(raw: Any) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise Unreadable("is not a list")
        return tuple(map(reader, raw))

    return read_list


def _instance(*kinds: type) -> Reader:
    def read_instance(raw: Any) -> Any:
        if not isinstance(raw, kinds) or (isinstance(raw, bool) and bool not in kinds):
            raise Unreadable(f"is not of type {kinds[0].__name__}")
        return raw

    return read_instance


def _moment(raw: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        raise Unreadable("is not a date and time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _decimal(raw: Any) -> Decimal:
    try:
        number = Decimal(raw if isinstance(raw, int) else str(raw))
    except InvalidOperation:
        raise Unreadable("is not a decimal") from None
    if not number.is_finite():
        raise Unreadable("is not a decimal")
    return number


_SIMPLE: dict[Any, Reader] = {
    str: _instance(str),
    bool: _instance(bool),
    int: _instance(int),
    float: _instance(float, int),
    Mapping: _instance(dict),
    datetime: _moment,
    Decimal: _decimal,
}
