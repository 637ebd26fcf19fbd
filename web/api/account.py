"""The provider's balance and servers, as the workers last read them: the web itself asks no provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.problems import CODES, Problem
from web.api.requests import takes
from web.api.responses import answer
from web.client import has_left
from web.parts import current_caller, parts
from worker.order import rfc3339
from worker.pause import Pause
from worker.reading import Reading, listing_name

REFRESH_WAIT = 5.0
"""Seconds to wait for a reading that was asked for."""


@cache
def routes() -> APIBlueprint:
    """The routes of the account."""
    api = APIBlueprint("account", __name__, url_prefix="/v1", abp_tags=[openapi.ACCOUNT], abp_security=openapi.BEARER)
    api.get("/balance", responses=openapi.answers(200, schemas.Balance, 422))(balance)
    api.get("/servers", responses=openapi.answers(200, schemas.Servers, 422))(servers)
    api.get("/countries", responses=openapi.answers(200, schemas.Countries, 422))(countries)
    api.get("/services", responses=openapi.answers(200, schemas.Services, 422))(services)
    api.get("/products", responses=openapi.answers(200, schemas.Products, 422))(products)
    return api


@takes(query=schemas.Refresh)
def balance() -> Response:
    """Read the balance, and whether buying is paused.

    Returns what a worker last read from the provider; `as_of` says when.
    """
    reading = _reading("balance", refresh=requests.query(schemas.Refresh).refresh == "true")
    pauses, items = parts().store.pauses(), parts().store.item_pauses()
    reasons = [_reason(reason, None, details) for reason, details in sorted(pauses.items())]
    reasons += [_reason(Pause.INSUFFICIENT_BALANCE, item, details) for item, details in sorted(items.items())]
    buying = {"paused": bool(pauses), "reasons": reasons}
    return answer({"balance": reading.value, "currency": "PKR", **age(reading), "buying": buying})


@takes(query=schemas.ServersQuery)
def servers() -> Response:
    """List the provider's servers.

    Use the `id` as the `server` of an order. A worker reads the list every few minutes.
    """
    asked = requests.query(schemas.ServersQuery)
    reading = _reading(f"servers:{asked.type}", refresh=asked.refresh == "true")
    return answer({"type": asked.type, "servers": listed(reading), **age(reading)})


@takes(query=schemas.CountriesQuery)
def countries() -> Response:
    """List the countries of SMS OTP.

    Use the `id` as the `country` of an order of the same type; other types have other ids.
    """
    asked = requests.query(schemas.CountriesQuery)
    reading = listing(listing_name("countries", "sms", [asked.type]), refresh=asked.refresh == "true")
    return answer({"type": asked.type, "countries": listed(reading), **age(reading)})


@takes(query=schemas.ServicesQuery)
def services() -> Response:
    """List the services of SMS OTP or Email OTP, with their prices.

    Use the `code` as the `service` of an order. The prices are as a worker last read them.
    """
    asked = requests.query(schemas.ServicesQuery)
    place = _place(asked)
    reading = listing(listing_name("services", asked.product, place), refresh=asked.refresh == "true")
    where = {"product": asked.product, "country": asked.country, "type": asked.type, "domain": asked.domain}
    return answer({**where, "services": listed(reading), **age(reading)})


def _place(asked: schemas.ServicesQuery) -> list[str]:
    """Where the services are, by the product's fields. Raises Problem (422) for one that is missing or another's."""
    wanted = {"sms": ("country", "type"), "email": ("domain",)}[asked.product]
    given = {name: getattr(asked, name) for name in ("country", "type", "domain")}
    wrong = [
        {"field": name, "code": "required", "message": f"is required for {asked.product}"}
        for name in wanted
        if given[name] is None
    ] + [
        {"field": name, "code": "unknown_field", "message": f"is not a field of {asked.product}"}
        for name, value in given.items()
        if value is not None and name not in wanted
    ]
    if wrong:
        raise requests.invalid(wrong)
    return [given[name] for name in wanted]


@takes()
def products() -> Response:
    """List the products that may be ordered here.

    Each with the fields of its orders.
    """
    table, enabled = parts().products, parts().settings.products
    listed = [
        {"product": name, "fields": schemas.product_fields(name), "verified": table[name].verified}
        for name in enabled
        if name in table
    ]
    return answer({"data": listed})


def listing(what: str, *, refresh: bool) -> Reading:
    """A listing of the catalogue; one that nobody has read yet is asked for like one that is to be read anew."""
    return _reading(what, refresh=refresh or parts().store.reading(what).asked_at is None)


def listed(reading: Reading) -> Any:
    """What a reading lists; None before the first."""
    return None if reading.value is None else json.loads(reading.value)


def _reading(what: str, *, refresh: bool) -> Reading:
    """The last reading; with `refresh` after a worker has tried to read it anew, if one does in time."""
    store = parts().store
    before = store.reading(what)
    if not refresh:
        return before
    caller, tried = current_caller(), store.peek([store.reading_of(what)])[0]
    quota = parts().limits.refresh(caller.id, what)
    if not quota.allowed:
        raise Problem(429, "refresh_per_minute", CODES["refresh_per_minute"], retry_after=quota.reset)
    with parts().waiting.place(caller.id, REFRESH_WAIT, partial(has_left, request.environ)) as wait:
        store.request_refresh(what)
        wait.until_changed(store.reading_of(what), tried)
    return store.reading(what)


def age(reading: Reading) -> dict[str, Any]:
    """When it was read, whether it can still be relied on, and why the last attempt failed, if it did."""
    told: dict[str, Any] = {"as_of": rfc3339(reading.at), "stale": reading.stale(parts().clock())}
    return told | ({"reason": reading.why.partition(" ")[0]} if reading.why else {})


def _reason(reason: str, item: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
    since, probe_at = rfc3339(details.get("since")), rfc3339(details.get("probe_at"))
    return {"reason": reason, "item": item, "since": since, "probe_at": probe_at}
