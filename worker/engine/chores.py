"""The chores: what is done now and then, how often, on which queue, and what makes one due before its time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.schedule import Lane
from worker.services import Services
from worker.store import Trigger


@dataclass(frozen=True, slots=True)
class Chore:
    """One chore: run every so many seconds, and a second after its trigger at the earliest."""

    name: str
    every: float
    queue: Lane
    run: Callable[[Services], Awaitable[Any]]
    trigger: Trigger | None = None


CHORES: Mapping[str, Chore] = {
    chore.name: chore
    for chore in (
        Chore("account", 30.0, Lane.BUY, lambda services: services.account.refresh(), Trigger.ACCOUNT),
        Chore("erase", 3600.0, Lane.DELIVER, lambda services: services.housekeeping.erase(), Trigger.ERASURES),
        Chore("jobs", 3600.0, Lane.DELIVER, lambda services: services.redelivery.work(), Trigger.JOBS),
        Chore("mend", 60.0, Lane.SETTLE, lambda services: services.housekeeping.mend()),
        Chore("trim", 3600.0, Lane.DELIVER, lambda services: services.housekeeping.trim()),
    )
}
