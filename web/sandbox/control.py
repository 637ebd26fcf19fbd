"""The control face under /sandbox/: script faults, send codes, read ledger and log. JSON in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from web.sandbox.answers import Answer, json_answer
from web.sandbox.ledger import NoSuchOrder, OrderEnded
from web.sandbox.log import as_json
from web.sandbox.page import orders_page, start_page
from web.sandbox.rules import Rules
from web.sandbox.stage import Stage
from web.sandbox.wire import Request

ROOT = "/sandbox/"
FORM = "application/x-www-form-urlencoded"


def direct(stage: Stage, request: Request) -> Answer:
    """Do what a request under /sandbox/ asks."""
    route = _ROUTES.get((request.method, request.path))
    if route is None:
        return json_answer({"error": "no such call"}, 404)
    if _foreign(request):
        return json_answer({"error": "a page of another origin may not direct the sandbox"}, 403)
    return _guarded(route, stage, request)


def _guarded(route: Callable[[Stage, Request], Answer], stage: Stage, request: Request) -> Answer:
    try:
        return route(stage, request)
    except NoSuchOrder as problem:
        return json_answer({"error": str(problem)}, 404)
    except OrderEnded as problem:
        return json_answer({"error": str(problem)}, 409)
    except (ValueError, TypeError) as problem:
        return json_answer({"error": str(problem)}, 400)


def _foreign(request: Request) -> bool:
    """Any page the developer has open can post to this machine; its browser says where it came from."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(FORM)


def _json(request: Request) -> Any:
    return json.loads(request.body or b"{}")


def _fields(request: Request, *known: str) -> dict[str, Any]:
    """The body's object with nothing but `known` fields; raises ValueError."""
    fields = dict(parse_qsl(request.body.decode())) if _is_form(request) else _json(request)
    if not isinstance(fields, dict):
        raise ValueError("the body is a JSON object")
    if known and (unknown := sorted(set(fields) - set(known))):
        raise ValueError(f"unknown fields: {', '.join(unknown)}")
    return fields


def _add_faults(stage: Stage, request: Request) -> Answer:
    entries = _json(request)
    stage.script(*(entries if isinstance(entries, list) else [entries]))
    return _show_faults(stage, request)


def _clear_faults(stage: Stage, request: Request) -> Answer:
    stage.clear_faults()
    return _show_faults(stage, request)


def _show_faults(stage: Stage, _request: Request) -> Answer:
    return json_answer({"faults": stage.faults()})


def _show_ledger(stage: Stage, _request: Request) -> Answer:
    return json_answer(stage.books())


def _show_requests(stage: Stage, request: Request) -> Answer:
    """`?action=` and `?id=` narrow the log, `?limit=` keeps the latest."""
    rows = stage.requests(request.query.get("action"), request.query.get("id"))
    limit = int(request.query.get("limit", len(rows)))
    return json_answer({"requests": [as_json(seen) for seen in rows[max(0, len(rows) - limit) :]]})


def _show_counters(stage: Stage, _request: Request) -> Answer:
    return json_answer(stage.counters())


def _send_code(stage: Stage, request: Request) -> Answer:
    fields = _fields(request, "id", "text", "after")
    text = fields.get("text")
    if not isinstance(text, str) or not text:
        raise ValueError("text is a string that is not empty")
    order_id = fields.get("id") or None
    order = stage.arrive(None if order_id is None else str(order_id), text, fields.get("after", 0.0))
    if _is_form(request):
        return Answer(status=303, headers={"Location": ROOT})
    return json_answer({"id": order.id, "state": order.state})


def _set_balance(stage: Stage, request: Request) -> Answer:
    stage.set_balance(_fields(request, "balance").get("balance"))
    return _show_ledger(stage, request)


def _start_outage(stage: Stage, request: Request) -> Answer:
    fields = _fields(request, "seconds", "kind")
    stage.outage(fields.get("seconds", 0), str(fields.get("kind", "reset")))
    return json_answer(fields)


def _configure(stage: Stage, request: Request) -> Answer:
    return json_answer(_shown(stage.configure(**_fields(request))))


def _shown(rules: Rules) -> Mapping[str, Any]:
    return {**asdict(rules), "price": str(rules.price)}


def _reset(stage: Stage, request: Request) -> Answer:
    stage.reset(_fields(request, "balance").get("balance"))
    return _show_ledger(stage, request)


def _start_page(_stage: Stage, _request: Request) -> Answer:
    return start_page()


def _orders_page(stage: Stage, _request: Request) -> Answer:
    return orders_page(stage.ledger)


_ROUTES: Mapping[tuple[str, str], Callable[[Stage, Request], Answer]] = {
    ("GET", "/sandbox"): _start_page,
    ("GET", "/sandbox/"): _start_page,
    ("GET", "/sandbox/orders"): _orders_page,
    ("GET", "/sandbox/faults"): _show_faults,
    ("POST", "/sandbox/faults"): _add_faults,
    ("DELETE", "/sandbox/faults"): _clear_faults,
    ("GET", "/sandbox/ledger"): _show_ledger,
    ("GET", "/sandbox/requests"): _show_requests,
    ("GET", "/sandbox/counters"): _show_counters,
    ("POST", "/sandbox/code"): _send_code,
    ("POST", "/sandbox/balance"): _set_balance,
    ("POST", "/sandbox/outage"): _start_outage,
    ("POST", "/sandbox/config"): _configure,
    ("POST", "/sandbox/reset"): _reset,
}
