"""One trace per order: from the caller's span over the purchase and the wait to the webhook's receiver.

An order keeps where it came from: the span of the request that placed it, and that request's id. Every span of its life
is a child of that one, told when it has ended. Where spans go is `worker.otlp`'s affair; without it none are made, and
the caller's own trace is handed on to the receiver all the same. Nothing is told of a poll that is still waiting.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from worker.order import Acquisition, Order, Status

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Origin:
    """A span that others are children of, and the id of the request that began it all.

    `sampled` says that somebody records the trace (W3C Trace Context, "trace-flags").
    """

    trace: str
    span: str
    sampled: bool
    request: str = ""

    @property
    def traceparent(self) -> str:
        """The header that hands it on."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"

    @property
    def exemplar(self) -> str | None:
        """The id of the trace, where there is one to be looked at."""
        return self.trace if self.sampled else None

    def log(self) -> dict[str, str]:
        """What log lines say of it, so that one grep follows an order."""
        return {"trace_id": self.trace, **({"request_id": self.request} if self.request else {})}

    def __str__(self) -> str:
        return f"{self.traceparent} {self.request}"


def read_origin(kept: str) -> Origin | None:
    """An origin as an order keeps it; None for an order that has none."""
    header, _, request = kept.partition(" ")
    read = read_traceparent(header)
    return replace(read, request=request) if read else None


def read_traceparent(header: str) -> Origin | None:
    """A caller's `traceparent`; None unless it is one that W3C Trace Context allows."""
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or trace.strip("0") == "" or span.strip("0") == "":
        return None
    return Origin(trace, span, bool(int(flags, 16) & 1))


def log_of(kept: str) -> dict[str, str]:
    """What log lines say of an origin as an order keeps it."""
    origin = read_origin(kept)
    return origin.log() if origin else {}


def exemplar_of(kept: str) -> str | None:
    """The id of the trace of an order, where somebody records it."""
    origin = read_origin(kept)
    return origin.exemplar if origin else None


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took its time; `begun` and `ended` are epoch seconds. `parent` is "" for the first of a trace.

    `kind` is "server" (somebody asked us), "client" (we asked somebody) or "internal".
    """

    name: str
    trace: str
    span: str
    parent: str
    begun: float
    ended: float
    kind: str = "internal"
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    error: str | None = None


Export = Callable[[Span], None]
Attribute = str | int | float | None


class Tracer:
    """Makes spans and hands those of sampled traces to `export`; without one it makes none."""

    def __init__(self, export: Export | None = None, close: Callable[[], None] = lambda: None) -> None:
        self._export = export
        self.close = close
        """Sends what is left; may block."""

    def arrived(self, traceparent: str, request: str, *, begins: bool) -> tuple[Origin, str]:
        """A request's own span, and its parent's id ("" without one).

        A trace is begun where the caller has none; it is recorded if the request `begins` something.
        """
        caller = read_traceparent(traceparent)
        if caller is None:
            sampled = begins and self._export is not None
            return Origin(f"{random.getrandbits(128) or 1:032x}", _new_id(), sampled, request), ""
        if self._export is None:
            return replace(caller, request=request), caller.span
        return replace(caller, span=_new_id(), request=request), caller.span

    def below(self, kept: str) -> Origin | None:
        """A new span below an order's origin, to be handed on before it has ended; None without an origin."""
        origin = read_origin(kept)
        return replace(origin, span=_new_id()) if origin and self._export and origin.sampled else origin

    def tell(
        self,
        span: Origin,
        parent: str,
        name: str,
        begun: float,
        ended: float,
        *,
        kind: str = "internal",
        error: str | None = None,
        **attributes: Attribute,
    ) -> None:
        """A span has ended; what is None of its attributes is left out."""
        if self._export is None or not span.sampled:
            return
        known = {name: value for name, value in attributes.items() if value is not None}
        with suppress(Exception):  # a span that cannot be told must not cost the answer to a purchase
            self._export(Span(name, span.trace, span.span, parent, begun, ended, kind, known, error))

    def tell_below(
        self,
        kept: str,
        name: str,
        begun: float,
        ended: float,
        *,
        kind: str = "internal",
        error: str | None = None,
        **attributes: Attribute,
    ) -> None:
        """A span below an order's origin has ended."""
        if self._export is None:
            return
        origin = read_origin(kept)
        if origin is not None:
            below = replace(origin, span=_new_id())
            self.tell(below, origin.span, name, begun, ended, kind=kind, error=error, **attributes)

    def left(self, before: Acquisition, after: Acquisition, now: float) -> None:
        """An order has left a state: a span for the time it was in it."""
        if self._export is None or after.status is before.status:
            return
        begun = _entered(before) if isinstance(before, Order) else None
        if begun is not None:
            self.tell_below(
                before.origin, before.status.value, min(begun, now), now, order=before.id, to=after.status.value,
                error=after.error.value if after.error else None,
            )  # fmt: skip


def _entered(order: Order) -> float | None:
    """When an order entered its state; None where it is not known, or another span shows it."""
    if order.status is Status.QUEUED and not order.attempts:
        return order.created_at
    if order.purchase is not None and order.status is Status.WAITING:
        return order.purchase.bought_at
    if order.purchase is not None and order.status is Status.CANCELLING:
        return order.purchase.cancel_at
    return None


def _new_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
