"""Logging: one canonical line per unit of work, as JSON or in colour on a terminal, and nothing secret in it.

Every line ends in the same steps (`_last_steps`), of which redaction is one: our own lines go through them and
straight to the one handler's stream, and everybody else's in that handler's formatter. So no line can pass
redaction by, whichever library wrote it: filters on a logger do not see what its children send up.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from json import JSONEncoder
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor

HIDDEN = "***"
SECRET_KEYS = frozenset(
    "api_key apikey otp code secret secrets webhook_secret authorization password token cookie "
    "encryption_key encryption_keys requirepass redis_url broker_url".split()
)
NUMBER_KEYS = frozenset({"number", "phone", "phone_number"})
ADDRESS_KEYS = frozenset({"address", "email", "mail"})
QUIET = (
    "httpx",
    "httpcore",
    "hpack",
    "h2",
    "urllib3",
    "asyncio",
    "celery.worker.strategy",
    "celery.app.trace",
)
"""Loggers held at WARNING: the HTTP ones print whole URLs, Celery's a line per hint."""

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(https?://[^\s?#\"'<>]+)\?[^\s\"'<>]*"), r"\1?" + HIDDEN),
    (re.compile(r"(api_?key[\"']?\s*[=:]\s*[\"']?)[^&\s\"',}]+", re.IGNORECASE), r"\1" + HIDDEN),
    (re.compile(r"\bwhsec_[^\s\"',}\])]+"), "whsec_" + HIDDEN),
    (re.compile(r"\brbk_[^\s\"',}\])]+"), "rbk_" + HIDDEN),
    (re.compile(r"\b(Bearer|Basic) [^\s\"',}\])]+", re.IGNORECASE), r"\1 " + HIDDEN),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/]+@"), r"\1" + HIDDEN + "@"),
    (re.compile(r"\b(STATUS_OK|STATUS_WAIT_RETRY):[^\r\n]*"), r"\1:" + HIDDEN),
)
_PHONE = re.compile(r"\+\d{8,15}\b")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def mask_number(number: str | None) -> str:
    """A phone number as logs may show it: `+923001234567` becomes `+92300*****67`."""
    if not number:
        return ""
    kept = 6 if number.startswith("+") else 5
    hidden = len(number) - kept - 2
    return number[:kept] + "*" * hidden + number[-2:] if hidden > 2 else "*" * len(number)


def mask_address(address: str | None) -> str:
    """A mail address as logs may show it: `ringback.42@gmail.com` becomes `r***@gmail.com`."""
    if not address:
        return ""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain}" if at else HIDDEN


_HINTS = ("://", "key", "whsec_", "rbk_", "bearer ", "basic ", "status_", "+", "@")
"""What every mask above needs to find one of, in lower case. Most texts hold none, and a look costs a tenth."""


def redact_text(text: str) -> str:
    """The text without keys, secrets, passwords in addresses, query strings, codes and full numbers."""
    folded = text.casefold()
    for hint in _HINTS:  # a generator for `any` would cost more than the look
        if hint in folded:
            return _masked(text)
    return text


def _masked(text: str) -> str:
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    text = _ADDRESS.sub(lambda found: mask_address(found[0]), text)
    return _PHONE.sub(lambda found: mask_number(found[0]), text)


def redact(value: Any, key: str = "") -> Any:
    """The value as a log line may show it; what is no plain value is shown as its redacted repr."""
    kind = _kind(key)
    if kind is SECRET_KEYS:
        return HIDDEN if value else value
    if kind is NUMBER_KEYS and isinstance(value, str):
        return mask_number(value)
    if kind is ADDRESS_KEYS and isinstance(value, str) and "@" in value:
        return mask_address(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(name): redact(one, str(name)) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(one) for one in value]
    return redact_text(repr(value))


@lru_cache(maxsize=1024)
def _kind(key: str) -> frozenset[str] | None:
    """Which of the sets a field belongs to, however it is spelled."""
    name = key.lower().replace("-", "_")
    return next((names for names in (SECRET_KEYS, NUMBER_KEYS, ADDRESS_KEYS) if name in names), None)


def redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The processor that does it for a whole line."""
    return {key: redact(value, key) for key, value in event.items()}


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines are events with fields: `log.info("order_polled", order=id, reply="waiting")`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def configure(role: str, level: str = "INFO", json: bool | None = None) -> None:
    """Send every line of this process to stderr, `role` on each; replaces what was configured before.

    `json` None: JSON unless stderr is a terminal or FORCE_COLOR is set.
    """
    if json is None:
        json = not (sys.stderr.isatty() or os.environ.get("FORCE_COLOR"))
    first, last = _first_steps(role), _last_steps(json)
    thinned = OncePerMinute()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(thinned.lets_pass)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    structlog.configure(
        processors=[thinned, *first, *last],
        logger_factory=lambda name="": _Lines(handler, name),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


AWAY = frozenset({"claim_failed", "chore_put_off", "step_put_off", "hint_not_sent", "store_unavailable"})
"""Lines that say again and again, for as long as it lasts, that the store or the broker is away."""
QUIET_FOR = 60.0
"""Seconds between two of them."""
_CONSUMER = "celery.worker.consumer.consumer"


class OncePerMinute:
    """Lets one line of a kind through in a minute; `repeated` on the next says how many there were in between."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last: dict[str, float] = {}
        self._dropped: dict[str, int] = {}

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        """The processor for our own lines."""
        kind = event["event"]
        if kind not in AWAY:
            return event
        if not self._due(kind):
            raise structlog.DropEvent
        return {**event, "repeated": dropped} if (dropped := self._dropped.pop(kind, 0)) else event

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """The filter for Celery's: its consumer says every second that it cannot connect."""
        return record.name != _CONSUMER or record.levelno < logging.ERROR or self._due(str(record.msg))

    def _due(self, kind: str) -> bool:
        now = self._monotonic()
        if kind in self._last and now - self._last[kind] < QUIET_FOR:
            self._dropped[kind] = self._dropped.get(kind, 0) + 1
            return False
        self._last[kind] = now
        return True


class _Lines:
    """Where our own lines end: on the handler's stream, each in one piece, past the records of `logging`."""

    __slots__ = ("_handler", "name")

    def __init__(self, handler: logging.StreamHandler[TextIO], name: str) -> None:
        self._handler = handler
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line. A stream that is gone takes nothing else with it."""
        handler = self._handler
        handler.acquire()
        try:
            with suppress(OSError, ValueError):
                handler.stream.write(line + "\n")
                handler.stream.flush()
        finally:
            handler.release()

    debug = info = warning = error = critical = exception = msg


def _first_steps(role: str) -> list[Processor]:
    """What every line says of itself."""

    def add_role(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("role", role)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_role,
    ]


def _last_steps(json: bool) -> list[Processor]:
    """How every line becomes text: whole first, so that the redaction sees all of it."""
    return [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # a plain traceback: no locals, and text for the redaction
        redact_event,
        _as_json if json else _console(),
    ]


_encode = JSONEncoder(default=repr).encode


def _as_json(_logger: Any, _method: str, event: EventDict) -> str:
    return _encode(event)


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
