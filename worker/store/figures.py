"""What was counted in each minute of the last day, so that charts survive restarts: 25 small hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import redis

from worker.store import keys
from worker.store.connection import reaching

KEPT = 90_000
"""Seconds for which an hour's figures are kept: a day and an hour."""
COUNTED = ("orders_ended", "deliveries", "purchases", "alerts", "throttled", "code_to_webhook_seconds_bucket")
"""What of the reports is kept by the minute (`report.lua`); polls are not, they are many and alike."""

Series = Mapping[str, Mapping[int, float]]
"""counter → minute (since 1970) → how much."""


def place(name: str, now: float) -> tuple[str, str]:
    """Where a figure of this minute stands: the key of the hour, and its field."""
    minute = int(now // 60)
    return keys.figures(minute // 60), f"{minute}|{name}"


class Figures:
    """The figures as the console reads them."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client

    def read(self, since: float, until: float) -> Series:
        """Everything counted between two moments (epoch seconds)."""
        first, last = int(since // 60), int(until // 60)
        with reaching():
            pipe = self._redis.pipeline(transaction=False)
            for hour in range(first // 60, last // 60 + 1):
                pipe.hgetall(keys.figures(hour))
            hours = pipe.execute()
        series: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for name, amount in (pair for hour in hours for pair in hour.items()):
            minute, _, counter = name.decode().partition("|")
            if first <= int(minute) <= last:
                series[counter][int(minute)] = float(amount)
        return series
