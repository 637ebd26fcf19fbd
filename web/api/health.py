"""Whether the service is alive, whether it can do its work, and its figures."""

from __future__ import annotations

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, schemas
from web.api.metrics import CONTENT_TYPE, Metrics
from web.api.problems import Problem
from web.api.responses import answer
from web.parts import parts
from worker.errors import StoreUnavailable

OLDEST_TICK = 10.0
"""Seconds since a worker's clock last ticked after which nobody seems to work."""


def routes(figures: Metrics) -> APIBlueprint:
    """The routes for monitoring; they need no key."""

    def metrics() -> Response:
        """Read the metrics, for Prometheus.

        The figures of this process and those that all workers share.
        """
        return Response(figures.text(), 200, content_type=CONTENT_TYPE)

    api = APIBlueprint("health", __name__, abp_tags=[openapi.HEALTH])
    api.get("/healthz", responses=openapi.open_answers(schemas.Health))(alive)
    api.get("/readyz", responses=openapi.open_answers(schemas.Health, 503))(ready)
    api.get("/metrics", responses=openapi.figures())(metrics)
    return api


def alive() -> Response:
    """Say that this process answers.

    Nothing else is looked at: a process that answers need not be restarted.
    """
    return answer({"status": "ok"})


def ready() -> Response:
    """Say whether the service can do its work.

    The store has to answer and a worker's clock has to tick; otherwise a 503 says what is missing.
    """
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
