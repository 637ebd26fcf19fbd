"""The Celery edge: two tasks that hand hints to the engine, and the bootstep that runs it with the worker."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

from celery import bootsteps, shared_task, signals
from celery.app import app_or_default

from worker import logs, services
from worker.engine.chores import CHORES
from worker.engine.clock import Hint
from worker.engine.loop import Engine, process_name
from worker.provider import products
from worker.queue import publish
from worker.schedule import Lane
from worker.settings import load

log = logs.get_logger(__name__)
_engine: Engine | None = None


@shared_task(name="ringback.lane")
def run_lane(lane: str) -> None:
    """Something is due in a lane: claim it now and start it."""
    if _engine is not None and lane in set(Lane):
        _engine.run(lane)


@shared_task(name="ringback.chore")
def run_chore(name: str) -> None:
    """A chore is due."""
    if _engine is not None and name in CHORES:
        _engine.run_chore(name)


def _publish(app: Any, hint: Hint) -> None:
    publish(app, "ringback.chore" if hint.chore else "ringback.lane", hint.name, hint.queue.value)


class EngineStep(bootsteps.StartStopStep):
    """Starts the engine before the worker consumes, and lets its work end after it has stopped consuming."""

    requires = {"celery.worker.components:Pool"}  # noqa: RUF012 - Celery's own convention

    def start(self, worker: Any) -> None:
        """Build the services and start the loop and the clock."""
        global _engine  # noqa: PLW0603 - one engine per process; tasks have no other way to it
        settings = load("worker")
        for warning in [
            *settings.warnings(),
            *products.warnings(products.load(settings.products_file), settings.products),
        ]:
            log.warning("settings", warning=warning)
        log.info("settings", **settings.masked())
        _engine = Engine(
            partial(services.build, settings),
            partial(_publish, worker.app),
            worker=process_name(),
            delivers=Lane.DELIVER in worker.app.amqp.queues.consume_from,
        )
        _engine.start()
        # What is here now stays: looking through it at each collection took a sixth of a poll's CPU.
        gc.collect()
        gc.freeze()

    def stop(self, worker: Any) -> None:
        """Let the work under way end."""
        if _engine is not None:
            _engine.stop()

    terminate = stop


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log as ringback does, whatever Celery would have set up."""
    logs.configure("worker")


app_or_default().steps["worker"].add(EngineStep)
