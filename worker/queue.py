"""The Celery app and its queues. Messages are hints: no ids, acknowledged early, soon expired, never waited for."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from functools import partial
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer

from worker.errors import SettingsInvalid, StoreTooNew, StoreUnavailable
from worker.settings import Settings, load
from worker.store import Store, Vault, broker_options, connect

HINT_EXPIRES = 2.0
"""Seconds after which a hint that nobody took is worthless."""


class PromptConsumer(Consumer):
    """Celery's consumer, which after an outage of the broker looks for it again within a second, not within thirty."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again after 0.2 s, 0.5 s, 0.8 s and then every second."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=0.2, interval_step=0.3, interval_max=1.0
        )
        return super().ensure_connected(conn)


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
        worker_consumer="worker.queue:PromptConsumer",
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
