"""The kinds of fault: how each one makes its answer.

Three families. A *rewrite* spoils the true answer (or the entry's `body`), so the ledger normally acts first.
A *page* is an answer of its own with a usual status and body. A *manner* is about the wire, not the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from web.sandbox.answers import Answer, Manner, encoded
from web.sandbox.sold import Sold, read, rewritten

if TYPE_CHECKING:
    from web.sandbox.faults import Fault

HUGE = 20 * 1024
"""Bytes of a `huge` answer unless its `size` says otherwise."""

HTML = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Please try again</h1></body></html>"
EDGE = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    "<body><h1>Sorry, you have been blocked</h1><p>Cloudflare Ray ID: 0000000000000000</p></body></html>"
)
HTML_TYPE = {"Content-Type": "text/html; charset=UTF-8"}
JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may build on: the action, the true answer, the id handed out before it, the time."""

    action: str
    genuine: str
    earlier_id: str
    now: float


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of a kind's own."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None


def answer_for(fault: Fault, scene: Scene) -> Answer:
    """The answer that a fault gives in this scene."""
    page = PAGES.get(fault.kind, Page())
    return Answer(
        body=_body(fault, scene, page),
        status=fault.status or page.status,
        headers={**(page.headers or {}), **fault.headers},
        manner=MANNERS.get(fault.kind, Manner.WHOLE),
        delay=fault.delay,
        pace=fault.pace,
        size=fault.size,
    )


def _body(fault: Fault, scene: Scene, page: Page) -> bytes:
    if fault.kind in WORDED:
        return encoded(WORDED[fault.kind](fault, scene))
    if fault.kind in GENUINE:
        return encoded(REWRITES.get(fault.kind, str)(_truth(fault, scene)))
    return page.body if fault.body is None else encoded(fault.body)


def _truth(fault: Fault, scene: Scene) -> str:
    return scene.genuine if fault.body is None else fault.body


def _no_plus(text: str) -> str:
    return text.replace(",+", ",", 1)


def _duplicate_id(fault: Fault, scene: Scene) -> str:
    """The purchase under the id of an earlier one."""
    text = _truth(fault, scene)
    sold = read(text)
    return text.replace(sold.id, scene.earlier_id) if sold and scene.earlier_id else text


def _banned(fault: Fault, scene: Scene) -> str:
    """The family's date, which pads the time but not month and day; ten minutes from now unless given."""
    until = datetime.fromtimestamp(scene.now, UTC) + timedelta(minutes=10)
    date = f"{until.year}-{until.month}-{until.day} {until:%H-%M-%S}" if fault.body is None else fault.body
    return f"BANNED:'{date}'"


def _wait_retry(fault: Fault, _scene: Scene) -> str:
    return f"STATUS_WAIT_RETRY:{'000000' if fault.body is None else fault.body}"


def _huge(fault: Fault, scene: Scene) -> str:
    code = "7" * (HUGE if fault.size is None else fault.size)
    forms = {"getStatus": f"STATUS_OK:{code}", "getEmailCode": json.dumps({"status": "200", "code": code})}
    return forms.get(scene.action, code)


REWRITES: Mapping[str, Callable[[str], str]] = {
    "as_is": str,
    "bom_crlf": "\ufeff{}\r\n".format,
    "quoted": '"{}"'.format,
    "no_plus": _no_plus,
    "sibling_text": rewritten(Sold.as_text),
    "sibling_json": rewritten(Sold.as_json),
    "bad_seconds": rewritten(Sold.with_bad_seconds),
    "extra_fields": rewritten(Sold.with_extra_fields),
    "missing_id": rewritten(Sold.without_id),
}

WORDED: Mapping[str, Callable[[Fault, Scene], str]] = {
    "duplicate_id": _duplicate_id,
    "banned": _banned,
    "wait_retry": _wait_retry,
    "stale_code": _wait_retry,
    "huge": _huge,
}

PAGES: Mapping[str, Page] = {
    "text": Page(),
    "word": Page(),
    "empty": Page(),
    "html": Page(200, HTML.encode(), HTML_TYPE),
    "http_error": Page(502, HTML.encode(), HTML_TYPE),
    "rate_limited": Page(429, HTML.encode(), {**HTML_TYPE, "Retry-After": "30"}),
    "edge": Page(403, EDGE.encode(), {**HTML_TYPE, "Server": "cloudflare", "cf-mitigated": "challenge"}),
    "redirect": Page(302, b"", {"Location": "https://elsewhere.invalid/stubs/cheap_handler.php"}),
    "garbage": Page(200, bytes(range(256))),
    "status_cancel": Page(200, b"STATUS_CANCEL"),
    "no_activation": Page(200, b"NO_ACTIVATION"),
    "json_error": Page(200, b'{"status":"error","message":"Internal error"}', JSON_TYPE),
}

MANNERS: Mapping[str, Manner] = {
    "cut": Manner.CUT,
    "chunked_cut": Manner.CHUNKED_CUT,
    "slow_drip": Manner.DRIP,
    "reset": Manner.RESET,
    "silent": Manner.SILENT,
    "hang": Manner.HANG,
}

GENUINE = frozenset(REWRITES) | {"duplicate_id", "cut", "chunked_cut", "slow_drip"}
"""Kinds that send the true answer, or something made from it."""

BODY_REQUIRED = frozenset({"text", "word"})

KINDS = frozenset(REWRITES) | frozenset(WORDED) | frozenset(PAGES) | frozenset(MANNERS)
