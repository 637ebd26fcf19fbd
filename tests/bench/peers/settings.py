"""What every peer is told by the environment, and the one request that all of them make."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
PROVIDER_URL = os.environ.get("BENCH_PROVIDER_URL", "http://127.0.0.1:9000")
INTERVAL = float(os.environ.get("BENCH_INTERVAL", "5"))
"""Seconds between two polls of one order."""

PATH = "/stubs/cheap_handler.php"
WAITING = "STATUS_WAIT_CODE"


def query(activation: str) -> dict[str, str]:
    """The parameters of a status call."""
    return {"api_key": "bench", "action": "getStatus", "id": activation}


def spread(count: int, start: Callable[[str, float], object]) -> None:
    """Start `count` orders: `start(activation, delay)` with delays spread evenly over one interval."""
    for index in range(count):
        start(f"peer_{index}", index * INTERVAL / count)


def asked() -> int:
    """The number of orders on the command line."""
    return int(sys.argv[1])
