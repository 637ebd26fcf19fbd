"""The Celery app and its queues. Messages are hints: no ids, acknowledged early, soon expired, never waited for."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from functools import cache, partial
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer

from worker.errors import SettingsInvalid, StoreTooNew, StoreUnavailable
from worker.logs import get_logger
from worker.settings import Settings, load
from worker.store import Store, Vault, broker_options, connect

log = get_logger(__name__)

HINT_EXPIRES = 2.0
"""Seconds after which a hint that nobody took is worthless."""


TASKS = frozenset({"ringback.lane", "ringback.chore"})
"""The tasks there are; each takes one name."""


class SteadyConsumer(Consumer):
    """Celery's consumer, which no message stops: what is no hint of ours is acknowledged, logged and dropped.

    After an outage of the broker it looks for it again within a second, not within thirty.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again after 0.2 s, 0.5 s, 0.8 s and then every second."""
        conn.transport.Channel = _steady(conn.transport.Channel)
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=0.2, interval_step=0.3, interval_max=1.0
        )
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Take hints; drop the rest."""
        take = super().create_task_handler(*args, **kwargs)

        def received(message: Any) -> None:
            if not is_hint(message):
                return _drop(message)
            try:
                take(message)
            except (*self.connection.connection_errors, *self.connection.channel_errors):
                raise
            except Exception:
                _drop(message)

        return received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Drop what cannot be decoded, without showing it."""
        _drop(message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Drop a task whose headers mean nothing, without showing it."""
        _drop(message)


def is_hint(message: Any) -> bool:
    """Whether a message is a known task in JSON with one name as its argument."""
    headers = message.headers
    if message.content_type != "application/json" or not isinstance(headers, dict):
        return False
    task = headers.get("task")
    try:
        arguments, kwargs, _ = message.payload
    except Exception:  # whatever a decoder makes of bytes that somebody else wrote
        return False
    named = isinstance(arguments, list) and len(arguments) == 1 and isinstance(arguments[0], str)
    return isinstance(task, str) and task in TASKS and named and kwargs == {}


def _drop(message: Any) -> None:
    """Acknowledge it, so that it comes to nobody again, and say so; what it holds may be anything."""
    if not message.acknowledged:
        message.ack()
    log.warning("message_dropped", content_type=str(message.content_type)[:100])


@cache
def _steady(channel: Any) -> Any:
    """A transport's channel that survives bytes in its queue that are no message at all: they are taken already."""

    class Steady(channel):
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except (ValueError, TypeError, LookupError, AttributeError):
                log.warning("message_dropped", content_type="none: it is no message")
                return True

    return Steady


def make_app(settings: Settings) -> Celery:
    """The Celery app for a worker with these settings (the reasons are measured: docs/adr/0001)."""
    url, options = broker_options(settings.broker)
    app = Celery("ringback", broker=url)
    app.conf.update(
        imports=("worker.tasks",),
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "visibility_timeout": 60,
            **options,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_consumer="worker.queue:SteadyConsumer",
        worker_pool="threads",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_soft_shutdown_timeout=0,
        task_acks_late=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_track_started=False,
        task_default_queue="settle",
        task_create_missing_queues=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        task_publish_retry=False,
    )
    app.set_default()
    return app


def publish(app: Celery, task: str, name: str, queue: str) -> None:
    """Publish one hint (`ringback.lane` or `ringback.chore`); a broker that does not answer is not waited for."""
    app.send_task(task, args=(name,), queue=queue, expires=HINT_EXPIRES, retry=False, ignore_result=True)


def __getattr__(name: str) -> Celery:
    """`worker.queue:app`, made when the celery command asks for it: its settings must then be complete."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = load("worker")
        join(settings)
    except (SettingsInvalid, StoreTooNew) as problems:
        sys.exit(f"ringback: {problems}")
    globals()["app"] = made = make_app(settings)
    return made


def join(settings: Settings) -> None:
    """Note on the store that this version works with it; one that is away is met again once it is back.

    Raises StoreTooNew where a newer version has worked.
    """
    client = connect(settings.store_url)
    with suppress(StoreUnavailable), closing(client):
        Store(client, Vault(), retention=settings.retention, otp_ttl=settings.otp_ttl).adopt_format()
