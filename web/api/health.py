"""Whether the service is alive, whether it can do its work, and its figures."""

from __future__ import annotations

import hmac

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.metrics import Metrics
from web.api.problems import CODES, Problem
from web.api.requests import takes
from web.api.responses import answer
from web.parts import parts
from worker.errors import StoreTooNew, StoreUnavailable

OLDEST_TICK = 10.0
"""Seconds since a worker's clock last ticked after which nobody seems to work."""


def routes(figures: Metrics) -> APIBlueprint:
    """The routes for monitoring; they need no key."""

    def metrics() -> Response:
        """Read the metrics, for Prometheus.

        Every process returns the metrics of all processes, of the store and of the account. They are in OpenMetrics
        format if `Accept` asks for it. If RINGBACK_METRICS_TOKEN is set, send it as a bearer token.
        """
        if not _is_an_operator():
            raise Problem(401, "unauthorized", "send `Authorization: Bearer` with RINGBACK_METRICS_TOKEN")
        text, kind = figures.exposition(request.headers.get("Accept", ""))
        return Response(text, 200, content_type=kind)

    api = APIBlueprint("health", __name__, abp_tags=[openapi.HEALTH])
    api.get("/healthz", responses=openapi.open_answers(schemas.Health))(alive)
    api.get("/readyz", responses=openapi.open_answers(schemas.Health, 422, 503))(ready)
    api.get("/metrics", responses=openapi.figures())(metrics)
    return api


def alive() -> Response:
    """Check that this process responds.

    Nothing else is checked: a process that responds need not be restarted.
    """
    return answer({"status": "ok"})


@takes(query=schemas.Ready)
def ready() -> Response:
    """Check whether the service is ready.

    It is ready if the store responds and, with `workers=true`, a worker's clock ticks. Otherwise a 503 says why not.
    """
    why = _why_not(workers=requests.query(schemas.Ready).workers == "true")
    if why:
        raise Problem(503, "not_ready", why if _is_an_operator() else CODES["not_ready"], retry_after=5)
    return answer({"status": "ready"})


def _why_not(*, workers: bool) -> str | None:
    store = parts().store
    try:
        store.adopt_format()
        now, tick = store.now(), store.last_tick()
    except StoreTooNew as too_new:
        return str(too_new)
    except StoreUnavailable as error:
        return str(error)
    if not workers:
        return None
    if tick is None:
        return "no worker's clock has ever ticked: start a worker"
    if now - tick > OLDEST_TICK:
        return f"no worker's clock has ticked for {now - tick:.0f} seconds: start a worker"
    return None


def _is_an_operator() -> bool:
    """Whether figures and reasons may be told: to everybody, unless a token is set (RINGBACK_METRICS_TOKEN)."""
    token = parts().settings.metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return token is None or (
        scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    )
