"""The provider's balance and servers, as the workers last read them: the web itself asks no provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.requests import takes
from web.api.responses import answer
from web.parts import parts
from worker.order import rfc3339

REFRESH_WAIT = 5.0
"""Seconds to wait for a reading that was asked for."""
STALE_AFTER = 300.0
"""Seconds after which a reading is old."""


def routes() -> APIBlueprint:
    """The routes of the account."""
    api = APIBlueprint("account", __name__, url_prefix="/v1", abp_tags=[openapi.ACCOUNT], abp_security=openapi.BEARER)
    api.get("/balance", responses=openapi.answers(200, schemas.Balance, 422))(balance)
    api.get("/servers", responses=openapi.answers(200, schemas.Servers, 422))(servers)
    return api


@takes(query=schemas.Refresh)
def balance() -> Response:
    """Read the balance, and whether buying is paused."""
    account = _account("balance", refresh=requests.query(schemas.Refresh).refresh == "true")
    payload = {"balance": account.get("balance"), "currency": "PKR", **_age(account, "balance"), "buying": _buying()}
    return answer(payload)


@takes(query=schemas.ServersQuery)
def servers() -> Response:
    """List the provider's servers."""
    asked = requests.query(schemas.ServersQuery)
    what = f"servers:{asked.type}"
    account = _account(what, refresh=asked.refresh == "true")
    known = json.loads(account[what]) if what in account else None
    return answer({"type": asked.type, "servers": known, **_age(account, what)})


def _account(what: str, *, refresh: bool) -> Mapping[str, str]:
    """The account; with `refresh` after a worker has tried to read `what` anew, if one does in time."""
    store = parts().store
    account = store.account()
    if not refresh:
        return account
    tried = account.get(f"{what}:asked")
    store.request_refresh(what)
    parts().waiting.until(lambda: store.account().get(f"{what}:asked") != tried, REFRESH_WAIT)
    return store.account()


def _age(account: Mapping[str, str], what: str) -> dict[str, Any]:
    """When it was read, whether that is too long ago or a later attempt failed, and why it failed."""
    why = "provider_unreachable" if "provider:away" in account else account.get(f"{what}:why", "").partition(" ")[0]
    reason = {"reason": why} if why else {}
    if f"{what}:at" not in account:
        return {"as_of": None, "stale": True, **reason}
    at, asked = int(account[f"{what}:at"]), int(account.get(f"{what}:asked", 0))
    old = asked > at or parts().clock() - at / 1000 > STALE_AFTER
    return {"as_of": rfc3339(at / 1000), "stale": old or bool(why), **reason}


def _buying() -> dict[str, Any]:
    pauses = parts().store.pauses()
    reasons = [
        {"reason": reason, "since": rfc3339(details.get("since")), "probe_at": rfc3339(details.get("probe_at"))}
        for reason, details in sorted(pauses.items())
    ]
    return {"paused": bool(reasons), "reasons": reasons}
