"""Logging: one canonical line per unit of work, as JSON or in colour on a terminal, and nothing secret in it.

Redaction happens in the formatter of the one handler, so a line cannot pass it by, whichever library
wrote it: filters on a logger do not see what its children send up.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

HIDDEN = "***"
SECRET_KEYS = frozenset(
    "api_key apikey otp code secret secrets webhook_secret authorization password token cookie "
    "encryption_key encryption_keys requirepass redis_url broker_url".split()
)
NUMBER_KEYS = frozenset({"number", "phone", "phone_number"})
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


def mask_number(number: str | None) -> str:
    """A phone number as logs may show it: `+923001234567` becomes `+92300*****67`."""
    if not number:
        return ""
    kept = 6 if number.startswith("+") else 5
    hidden = len(number) - kept - 2
    return number[:kept] + "*" * hidden + number[-2:] if hidden > 2 else "*" * len(number)


_SUSPECT = re.compile(r"://|api_?key|whsec_|rbk_|bearer |basic |status_|\+\d", re.IGNORECASE)
"""What every mask above needs to find; most texts hold none of it, and looking once is five times cheaper."""


def redact_text(text: str) -> str:
    """The text without keys, secrets, passwords in addresses, query strings, codes and full numbers."""
    if not _SUSPECT.search(text):
        return text
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return _PHONE.sub(lambda found: mask_number(found[0]), text)


def redact(value: Any, key: str = "") -> Any:
    """The value as a log line may show it; what is no plain value is shown as its redacted repr."""
    name = key.lower().replace("-", "_")
    if name in SECRET_KEYS:
        return HIDDEN if value else value
    if name in NUMBER_KEYS and isinstance(value, str):
        return mask_number(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    return _redact_many(value)


def _redact_many(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): redact(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(one) for one in value]
    return redact_text(repr(value))


def redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The processor that does it for a whole line."""
    return {key: redact(value, key) for key, value in event.items()}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines are events with fields: `log.info("order_polled", order=id, reply="waiting")`."""
    return structlog.stdlib.get_logger(name)


def configure(role: str, level: str = "INFO", json: bool | None = None) -> None:
    """Send every line of this process to stderr, `role` on each; replaces what was configured before.

    `json` None: JSON unless stderr is a terminal or FORCE_COLOR is set.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(role), ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(role, _wants_json() if json is None else json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _wants_json() -> bool:
    return not (sys.stderr.isatty() or os.environ.get("FORCE_COLOR"))


def _shared(role: str) -> list[Processor]:
    def add_role(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("role", role)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_role,
    ]


def _formatter(role: str, json: bool) -> ProcessorFormatter:
    renderer: Processor = structlog.processors.JSONRenderer() if json else _console()
    return ProcessorFormatter(
        foreign_pre_chain=_shared(role),
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,  # a plain traceback: no locals, and text for the redaction
            redact_event,
            renderer,
        ],
    )


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
