"""The control face under /sandbox/: who may call, which call it is, and how what goes wrong is told."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from web.sandbox.answers import Answer, json_answer
from web.sandbox.calls import CALLS, Call
from web.sandbox.guard import refusal
from web.sandbox.incoming import WrongType, body, fields, is_form
from web.sandbox.ledger import NoSuchOrder, OrderEnded
from web.sandbox.page import problem_page
from web.sandbox.stage import Stage
from web.sandbox.values import read
from web.sandbox.wire import Request

ROOT = "/sandbox/"


def direct(stage: Stage, request: Request, hosts: Collection[str] = ()) -> Answer:
    """Do what a request beside the handlers asks; `hosts`: names of this machine besides those of loopback."""
    if why := refusal(request, hosts):
        return json_answer({"error": why}, HTTPStatus.FORBIDDEN)
    path = ROOT if request.path == ROOT.rstrip("/") else request.path
    calls = {call.method: call for call in CALLS if call.path == path}
    if not calls:
        return json_answer({"error": "no such call; GET /sandbox/calls lists them"}, HTTPStatus.NOT_FOUND)
    if request.method not in calls:
        allowed = ", ".join(calls)
        return json_answer({"error": f"use {allowed}"}, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed})
    return _guarded(calls[request.method], stage, request)


def _guarded(call: Call, stage: Stage, request: Request) -> Answer:
    try:
        told = call.act(stage, _fields(call, request))
    except NoSuchOrder as problem:
        return _problem(request, problem, HTTPStatus.NOT_FOUND)
    except OrderEnded as problem:
        return _problem(request, problem, HTTPStatus.CONFLICT)
    except WrongType as problem:
        return _problem(request, problem, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    except ValueError as problem:
        return _problem(request, problem, HTTPStatus.BAD_REQUEST)
    if is_form(request):  # back to where it was sent from: the frame stays the frame
        back = "/sandbox/orders" if request.query.get("back") == "orders" else ROOT
        return Answer(status=HTTPStatus.SEE_OTHER, headers={"Location": back})
    return told if isinstance(told, Answer) else json_answer(told)


def _fields(call: Call, request: Request) -> dict[str, Any]:
    """The fields that came, read; raises ValueError for unknown, bad and missing ones."""
    if call.raw:
        return {"body": body(request)}
    given = read(fields(request), call.takes)
    if missing := [name for name in call.needs if given.get(name) is None]:
        raise ValueError(f"missing: {', '.join(missing)}")
    return given


def _problem(request: Request, problem: Exception, status: HTTPStatus) -> Answer:
    return problem_page(str(problem), status) if is_form(request) else json_answer({"error": str(problem)}, status)
