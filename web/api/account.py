"""The provider's balance and servers, as the workers last read them: the web itself asks no provider."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.requests import takes
from web.api.responses import answer
from web.parts import parts
from worker.order import rfc3339
from worker.reading import Reading

REFRESH_WAIT = 5.0
"""Seconds to wait for a reading that was asked for."""


def routes() -> APIBlueprint:
    """The routes of the account."""
    api = APIBlueprint("account", __name__, url_prefix="/v1", abp_tags=[openapi.ACCOUNT], abp_security=openapi.BEARER)
    api.get("/balance", responses=openapi.answers(200, schemas.Balance, 422))(balance)
    api.get("/servers", responses=openapi.answers(200, schemas.Servers, 422))(servers)
    return api


@takes(query=schemas.Refresh)
def balance() -> Response:
    """Read the balance, and whether buying is paused.

    It is what a worker last read at the provider; `as_of` says when.
    """
    reading = _reading("balance", refresh=requests.query(schemas.Refresh).refresh == "true")
    return answer({"balance": reading.value, "currency": "PKR", **_age(reading), "buying": _buying()})


@takes(query=schemas.ServersQuery)
def servers() -> Response:
    """List the provider's servers.

    Their ids are what an order gives as `server`; a worker reads them every few minutes.
    """
    asked = requests.query(schemas.ServersQuery)
    reading = _reading(f"servers:{asked.type}", refresh=asked.refresh == "true")
    known = None if reading.value is None else json.loads(reading.value)
    return answer({"type": asked.type, "servers": known, **_age(reading)})


def _reading(what: str, *, refresh: bool) -> Reading:
    """The last reading; with `refresh` after a worker has tried to read it anew, if one does in time."""
    store = parts().store
    before = store.reading(what)
    if not refresh:
        return before
    store.request_refresh(what)
    parts().waiting.until(lambda: store.reading(what).asked_at != before.asked_at, REFRESH_WAIT)
    return store.reading(what)


def _age(reading: Reading) -> dict[str, Any]:
    return {"as_of": rfc3339(reading.at), "stale": reading.stale(parts().clock())}


def _buying() -> dict[str, Any]:
    pauses = parts().store.pauses()
    reasons = [
        {"reason": reason, "since": rfc3339(details.get("since")), "probe_at": rfc3339(details.get("probe_at"))}
        for reason, details in sorted(pauses.items())
    ]
    return {"paused": bool(reasons), "reasons": reasons}
