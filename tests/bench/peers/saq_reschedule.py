"""The same job on SAQ: a coroutine that polls and enqueues itself again for later.

In its favour: results are not kept, one `httpx.AsyncClient` serves the process, and it runs on uvloop. SAQ
schedules in whole seconds and looks for what is due once a second; that is its own grain and stays.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import httpx
import uvloop
from saq import Queue, Worker

from tests.bench.peers import settings as bench

queue = Queue.from_url(bench.REDIS_URL, name="saq_reschedule")
NO_RESULT = -1


async def startup(ctx: dict[str, Any]) -> None:
    """One client for the life of the process."""
    ctx["client"] = httpx.AsyncClient(base_url=bench.PROVIDER_URL, timeout=4)


async def poll(ctx: dict[str, Any], *, activation: str) -> None:
    """Ask once; come back after the interval while there is no code."""
    reply = await ctx["client"].get(bench.PATH, params=bench.query(activation))
    if reply.text == bench.WAITING:
        await again(activation, bench.INTERVAL)


async def again(activation: str, delay: float) -> None:
    """Have `activation` polled after `delay` seconds."""
    await queue.enqueue("poll", activation=activation, scheduled=int(time.time() + delay), ttl=NO_RESULT)


async def seed(count: int) -> None:
    """Put `count` orders in flight."""
    for index in range(count):
        await again(f"peer_{index}", 1 + index * bench.INTERVAL / count)
    await queue.disconnect()


settings = {"queue": queue, "functions": [poll], "concurrency": 10, "startup": startup}


async def work() -> None:
    """Run the worker until it is ended."""
    await Worker(**settings).start()  # type: ignore[arg-type]


if __name__ == "__main__":
    if sys.argv[1] == "work":
        uvloop.run(work())
    else:
        asyncio.run(seed(bench.asked()))
