"""Delivering what is owed: one attempt of one webhook, and what follows from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from worker import schedule
from worker.alerts import Alert
from worker.event import Attempt, Event, EventStatus
from worker.gate import Gate
from worker.metrics import Counters, bucket
from worker.order import EventType
from worker.store import AsyncStore
from worker.webhooks.message import headers
from worker.webhooks.outcome import Outcome, Verdict
from worker.webhooks.signing import sign

ERASE_AFTER_ACK = 900.0
"""Seconds after a caller acknowledged its code until the code is erased (contract.md, RINGBACK_OTP_TTL)."""
OUT_OF_REACH = frozenset({"dns", "tls", "connect_refused", "connect_timeout", "unreachable"})
"""Errors that are about a host, whatever the endpoint there."""
NO_SECRET = "no_secret"  # noqa: S105 - an error class, not a password
PATIENCE = 60.0
"""Seconds for which an attempt's record is held while the store cannot be reached; after that it is tried again."""


class Sends(Protocol):
    """What posts a webhook (`worker.webhooks.delivery.Sender`)."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome: ...


class Outbox:
    """Signs, sends and records. Retries follow the schedule; nothing here waits for one."""

    def __init__(
        self,
        store: AsyncStore,
        sender: Sends,
        gate: Gate,
        counters: Counters,
        *,
        secrets_of: Callable[[str], Awaitable[Sequence[str]]],
        waits: Sequence[float],
        chance: schedule.Chance,
    ) -> None:
        self._store = store
        self._sender = sender
        self._gate = gate
        self._counters = counters
        self._secrets_of = secrets_of
        self._waits = waits
        self._chance = chance

    async def deliver(self, event: Event) -> tuple[Event, int]:
        """One attempt to deliver a claimed event.

        Returns the event as it was written, and how many that waited for a place are due now.
        """
        started = self._store.clock.now()
        secrets = await self._secrets_of(event.caller)
        outcome = await self._sent(event, secrets, started)
        after = self._judged(event, outcome, started)
        acknowledged = after.status is EventStatus.DELIVERED
        woken = await self._store.record_attempt(
            event, after, endpoint_is_up=_endpoint_is_up(outcome), host_is_up=_host_is_up(outcome), patience=PATIENCE,
            erase_after=ERASE_AFTER_ACK if acknowledged and event.type == EventType.OTP_RECEIVED else None,
        )  # fmt: skip
        if acknowledged and event.type == EventType.PING:
            await self._store.mark_verified(event.caller)
        self._count(after, outcome)
        return after, woken

    async def _sent(self, event: Event, secrets: Sequence[str], at: float) -> Outcome:
        """Post it, signed. Nothing goes out unsigned: without a secret its caller is gone, and with it the event."""
        if not secrets:
            return Outcome(Verdict.GONE, None, NO_SECRET, 0.0)
        return await self._sender.send(event.url, self._signed(event, secrets, at), event.body)

    def _signed(self, event: Event, secrets: Sequence[str], at: float) -> dict[str, str]:
        timestamp = int(at)
        return headers(event.id, timestamp, sign(secrets, event.id, timestamp, event.body))

    def _judged(self, event: Event, outcome: Outcome, started: float) -> Event:
        """The event after its attempt: delivered, gone, due again, or given up."""
        attempt = Attempt(started, outcome.status, outcome.error, outcome.duration, outcome.excerpt)
        if outcome.verdict is Verdict.DELIVERED:
            return event.tried(attempt, EventStatus.DELIVERED)
        if outcome.verdict is Verdict.GONE:
            return event.tried(attempt, EventStatus.GONE)
        now = self._store.clock.now()
        waits = () if event.type == EventType.PING else self._waits  # a ping that finds nobody says so at once
        due = schedule.next_delivery(waits, event.tries + 1, now, outcome.retry_after, self._chance)
        if due is None:
            return event.tried(attempt, EventStatus.EXHAUSTED)
        return event.tried(attempt, EventStatus.PENDING, due_at=due)

    def _count(self, event: Event, outcome: Outcome) -> None:
        self._counters.add("deliveries", verdict=outcome.verdict.value)
        if event.status is EventStatus.EXHAUSTED and event.type != EventType.PING:
            self._counters.add("events_exhausted")
            self._gate.alert(Alert.EVENT_EXHAUSTED, event_id=event.id)
        if event.status is EventStatus.DELIVERED and event.type == EventType.OTP_RECEIVED and event.tries == 1:
            self._counters.add("otp_to_webhook")
            seconds = self._store.clock.now() - event.created_at
            self._counters.add("otp_to_webhook_seconds", seconds)
            self._counters.add("code_to_webhook", le=bucket(seconds))


def _host_is_up(outcome: Outcome) -> bool | None:
    """What an attempt says of the receiving host: whether it can be reached. What never went out says nothing."""
    if outcome.verdict is Verdict.REFUSED or outcome.error == NO_SECRET:
        return None
    return outcome.error not in OUT_OF_REACH


def _endpoint_is_up(outcome: Outcome) -> bool | None:
    """What an attempt says of the endpoint: whether it answers, once its host is reached."""
    return outcome.status is not None and outcome.status < 500 if _host_is_up(outcome) else None
