"""The plain worker: one Celery task per order that polls and retries itself until there is a code.

In its favour: no result backend, acknowledged early, one kept-alive client per worker process, and the log at
WARNING, which saves it a line for every retry. Its pool is Celery's default, prefork with a process per core.
"""

from __future__ import annotations

import httpx
from celery import Celery, Task

from tests.bench.peers import settings

app = Celery("celery_retry", broker=settings.REDIS_URL)
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True

client = httpx.Client(base_url=settings.PROVIDER_URL, timeout=4)


@app.task(bind=True, max_retries=None, name="poll")
def poll(self: Task, activation: str) -> str:
    """Ask once; come back after the interval while there is no code."""
    reply = client.get(settings.PATH, params=settings.query(activation))
    if reply.text == settings.WAITING:
        raise self.retry(countdown=settings.INTERVAL)
    return reply.text


@app.task(name="post")
def post(url: str, body: str) -> None:
    """Deliver one webhook the plain way: a task, a connection and a POST each."""
    httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=10).raise_for_status()


@app.task(name="post_kept")
def post_kept(url: str, body: str) -> None:
    """The same with a client that is kept: what somebody does who has looked at the cost of the other."""
    client.post(url, content=body, headers={"content-type": "application/json"}).raise_for_status()


if __name__ == "__main__":
    settings.spread(settings.asked(), lambda activation, delay: poll.apply_async((activation,), countdown=delay))
