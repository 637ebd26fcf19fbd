"""Scripted faults: what a script entry may say, and which entry a request runs into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from web.sandbox.handlers import HANDLERS, KNOWN_ACTIONS
from web.sandbox.kinds import BODY_REQUIRED, GENUINE, KINDS
from web.sandbox.values import seconds

MAX_ENTRIES = 10_000
ALWAYS = -1


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the script. Raises ValueError when it makes no sense."""

    kind: str
    action: str = "*"
    """The provider's action it waits for; `*`: any."""
    handler: str = "*"
    """The handler it waits at, where several know the action; `*`: any."""
    times: int = 1
    """How many requests it spoils; -1: for ever."""
    skip: int = 0
    """How many matching requests it lets pass first, to later entries or to the provider."""
    delay: float = 0.0
    """Seconds before the answer; for `silent` and `hang`, how long the connection is held."""
    charged: bool | None = None
    """Whether the ledger really does what was asked; unless set, only where the true answer is needed."""
    body: str | None = None
    """Takes the place of the kind's own, or of the true answer, as text."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    match: Mapping[str, str] = field(default_factory=dict)
    """Query parameters that a request must have to be matched."""
    size: int | None = None
    """Bytes of a `huge` answer, or bytes that a cut answer sends."""
    pace: float = 1.0
    """Seconds between two bytes of a `slow_drip`."""

    def __post_init__(self) -> None:
        self._check_kind()
        self._check_target()
        self._check_numbers()
        self._check_mappings()

    @property
    def executes(self) -> bool:
        """Whether the ledger does what the request asks before the fault spoils the answer."""
        return self.kind in GENUINE if self.charged is None else self.charged

    def matches(self, query: Mapping[str, str], handler: str = "*") -> bool:
        """Whether a request is one that this entry waits for."""
        wanted = self.action in ("*", query.get("action", "")) and self.handler in ("*", handler)
        return wanted and all(query.get(name) == value for name, value in self.match.items())

    def _check_kind(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ValueError(f"unknown kind; known: {', '.join(sorted(KINDS))}")
        if not isinstance(self.body, str | None):
            raise ValueError("body must be a string")
        if self.charged not in (None, True, False):
            raise ValueError("charged must be true, false or null")
        if self.kind in BODY_REQUIRED and self.body is None:
            raise ValueError(f"{self.kind} needs a body")
        if self.kind in GENUINE and not self.executes and self.body is None:
            raise ValueError(f"{self.kind} spoils the true answer: it needs charged=true, or a body")

    def _check_target(self) -> None:
        for name, value, known in (("action", self.action, KNOWN_ACTIONS), ("handler", self.handler, HANDLERS)):
            if not isinstance(value, str) or (value != "*" and value not in known):
                raise ValueError(f"unknown {name}; known: *, {', '.join(sorted(known))}")

    def _check_numbers(self) -> None:
        whole = (self.times, self.skip, self.status or 0, self.size or 0)
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in whole):
            raise ValueError("times, skip, status and size must be whole numbers")
        if self.times < ALWAYS or self.skip < 0 or (self.size or 0) < 0:
            raise ValueError("times must be at least -1, skip and size at least 0")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be between 200 and 599")
        if not all(isinstance(span, int | float) for span in (self.delay, self.pace)):
            raise ValueError("delay and pace must be numbers of seconds")
        seconds(self.delay)
        seconds(self.pace)

    def _check_mappings(self) -> None:
        for mapping in (self.headers, self.match):
            if not isinstance(mapping, Mapping) or not all(
                isinstance(text, str) for pair in mapping.items() for text in pair
            ):
                raise ValueError("headers and match must be objects of strings")
        if any(set("\r\n") & set(name + value) for name, value in self.headers.items()):
            raise ValueError("a header must not have line breaks")


def read_faults(entries: object) -> list[Fault]:
    """Read one script entry or a list of them; raises ValueError, naming the first bad one."""
    listed = entries if isinstance(entries, list | tuple) else [entries]
    return [_read_fault(position, entry) for position, entry in enumerate(listed)]


def _read_fault(position: int, entry: object) -> Fault:
    if isinstance(entry, Fault):
        return entry
    if not isinstance(entry, Mapping):
        raise ValueError(f"fault {position}: not an object")
    known = {field.name for field in fields(Fault)}
    try:
        if unknown := sorted(set(map(str, entry)) - known):
            raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if "kind" not in entry:
            raise ValueError(f"kind is missing; known: {', '.join(sorted(KINDS))}")
        return Fault(**entry)
    except ValueError as problem:
        raise ValueError(f"fault {position}: {problem}") from None


@dataclass(slots=True, eq=False)
class _Cue:
    """An entry with what is left of it."""

    fault: Fault
    skip: int
    times: int

    def fires(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        if self.times > 0:
            self.times -= 1
        return True


class Script:
    """The faults to come. A request runs into the first that matches it and has nothing left to skip."""

    def __init__(self) -> None:
        self._cues: list[_Cue] = []

    def add(self, faults: Sequence[Fault]) -> None:
        """Put entries behind those that are there; raises ValueError when there are too many."""
        if len(self._cues) + len(faults) > MAX_ENTRIES:
            raise ValueError(f"a script may have at most {MAX_ENTRIES} entries")
        self._cues += [_Cue(fault, fault.skip, fault.times) for fault in faults if fault.times]

    def clear(self) -> None:
        """Forget all entries."""
        self._cues.clear()

    def take(self, query: Mapping[str, str], handler: str = "*") -> Fault | None:
        """The fault that this request runs into; spends it."""
        for cue in self._cues:
            if cue.fault.matches(query, handler) and cue.fires():
                if not cue.times:
                    self._cues.remove(cue)
                return cue.fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """What is left, ready for JSON."""
        return [{**asdict(cue.fault), "skip": cue.skip, "times": cue.times} for cue in self._cues]
