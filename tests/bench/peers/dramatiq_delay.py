"""The same job on dramatiq: an actor that polls and sends itself again, delayed.

In its favour: sending again is cheaper than raising for a retry, and the middleware that a poll does not need
(age and time limits, callbacks, pipelines, retries) is left out. Processes and threads are dramatiq's
defaults.
"""

from __future__ import annotations

import dramatiq
import httpx
from dramatiq.brokers.redis import RedisBroker

from tests.bench.peers import settings

broker = RedisBroker(url=settings.REDIS_URL, middleware=[])
dramatiq.set_broker(broker)

client = httpx.Client(base_url=settings.PROVIDER_URL, timeout=4)


@dramatiq.actor
def poll(activation: str) -> None:
    """Ask once; come back after the interval while there is no code."""
    reply = client.get(settings.PATH, params=settings.query(activation))
    if reply.text == settings.WAITING:
        poll.send_with_options(args=(activation,), delay=int(settings.INTERVAL * 1000))


if __name__ == "__main__":
    settings.spread(
        settings.asked(),
        lambda activation, delay: poll.send_with_options(args=(activation,), delay=int(delay * 1000)),
    )
