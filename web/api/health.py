"""Whether the service is alive, whether it can do its work, and its figures."""

from __future__ import annotations

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, schemas
from web.api.metrics import Metrics
from web.api.problems import Problem
from web.api.responses import answer
from web.parts import parts
from worker.errors import StoreUnavailable

OLDEST_TICK = 10.0
"""Seconds since a worker's clock last ticked after which nobody seems to work."""


def routes(figures: Metrics) -> APIBlueprint:
    """The routes for monitoring; they need no key."""

    def metrics() -> Response:
        """Metrics for Prometheus."""
        text, kind = figures.exposition(request.headers.get("Accept", ""))
        return Response(text, 200, content_type=kind)

    api = APIBlueprint("health", __name__, abp_tags=[openapi.HEALTH])
    api.get("/healthz", responses=openapi.open_answers(schemas.Health))(alive)
    api.get("/readyz", responses=openapi.open_answers(schemas.Health, 503))(ready)
    api.get("/metrics", responses=openapi.METRICS)(metrics)
    return api


def alive() -> Response:
    """Alive: this process answers."""
    return answer({"status": "ok"})


def ready() -> Response:
    """Ready: the store answers and a worker's clock ticks."""
    why = _why_not()
    if why:
        raise Problem(503, "not_ready", why, retry_after=5)
    return answer({"status": "ready"})


def _why_not() -> str | None:
    store = parts().store
    try:
        now, tick = store.now(), store.last_tick()
    except StoreUnavailable:
        return "the store does not answer"
    if tick is None:
        return "no worker's clock has ever ticked: start a worker"
    if now - tick > OLDEST_TICK:
        return f"no worker's clock has ticked for {now - tick:.0f} seconds: start a worker"
    return None
