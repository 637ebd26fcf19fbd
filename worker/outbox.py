"""Delivering what is owed: one attempt of one webhook, and what follows from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from worker import schedule
from worker.alerts import Alert
from worker.event import Attempt, Event, EventStatus
from worker.gate import Gate
from worker.metrics import Counters
from worker.order import EventType
from worker.store import AsyncStore
from worker.tracing import Origin, Tracer, exemplar_of, read_origin
from worker.webhooks.challenge import is_answered
from worker.webhooks.message import headers
from worker.webhooks.outcome import Outcome, Verdict
from worker.webhooks.signing import sign

_PERSONAL = (EventType.OTP_RECEIVED, EventType.RENTAL_MESSAGE_RECEIVED)
"""The webhooks whose acknowledgement says that what they told need not be kept."""
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
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer or Tracer()
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
        span = self._tracer.below(event.origin)
        outcome = await self._sent(event, secrets, started, span)
        if span is not None:
            self._tell(event, outcome, span, started)
        after = self._judged(event, outcome, started)
        acknowledged = after.status is EventStatus.DELIVERED
        host_is_up, answers = _host_is_up(outcome), outcome.status is not None and outcome.status < 500
        woken = await self._store.record_attempt(
            event, after, endpoint_is_up=answers if host_is_up else None, host_is_up=host_is_up, patience=PATIENCE,
            erase_after=schedule.ERASE_AFTER_ACK if acknowledged and event.type in _PERSONAL else None,
        )  # fmt: skip
        if acknowledged and event.type == EventType.PING and is_answered(event, outcome.excerpt, secrets, started):
            await self._store.mark_verified(event.caller, event.endpoint)
        self._count(after, outcome)
        return after, woken

    async def _sent(self, event: Event, secrets: Sequence[str], at: float, span: Origin | None) -> Outcome:
        """Post it, signed. Nothing goes out unsigned: without a secret its caller is gone, and with it the event."""
        if not secrets:
            return Outcome(Verdict.GONE, None, NO_SECRET, 0.0)
        timestamp = int(at)
        signed = headers(event.id, timestamp, sign(secrets, event.id, timestamp, event.body))
        traced = {**signed, "traceparent": span.traceparent} if span else signed
        return await self._sender.send(event.url, traced, event.body)

    def _tell(self, event: Event, outcome: Outcome, span: Origin, started: float) -> None:
        """The attempt as a span below its order's, the one that the receiver's own is below."""
        origin = read_origin(event.origin)
        parent = origin.span if origin else ""
        failed = None if outcome.verdict is Verdict.DELIVERED else outcome.error or f"HTTP {outcome.status}"
        self._tracer.tell(
            span, parent, f"webhook {event.type}", started, self._store.clock.now(), kind="client",
            error=failed, event=event.id, order=event.order, attempt=event.tries + 1, status_code=outcome.status,
        )  # fmt: skip

    def _judged(self, event: Event, outcome: Outcome, started: float) -> Event:
        """The event after its attempt: delivered, gone, due again, or given up."""
        attempt = Attempt(started, outcome.status, outcome.error, outcome.duration, outcome.excerpt)
        if outcome.verdict is Verdict.DELIVERED:
            return event.tried(attempt, EventStatus.DELIVERED)
        if outcome.verdict is Verdict.GONE:
            return event.tried(attempt, EventStatus.GONE)
        now = self._store.clock.now()
        waits = event.retries(self._waits)
        due = schedule.next_delivery(waits, event.tries + 1, now, outcome.retry_after, self._chance)
        if due is None:
            return event.tried(attempt, EventStatus.EXHAUSTED)
        return event.tried(attempt, EventStatus.PENDING, due_at=due)

    def _count(self, event: Event, outcome: Outcome) -> None:
        verdict = outcome.verdict.value
        self._counters.add("deliveries", verdict=verdict)
        self._counters.histogram("webhook_attempt_duration_seconds", outcome=verdict).observe(outcome.duration)
        if event.status is EventStatus.EXHAUSTED and event.type != EventType.PING:
            self._counters.add("events_exhausted")
            self._gate.alert(Alert.EVENT_EXHAUSTED, event_id=event.id)
        if event.status is EventStatus.DELIVERED and event.type == EventType.OTP_RECEIVED and len(event.attempts) == 1:
            seconds = max(0.0, self._store.clock.now() - event.created_at)
            self._counters.add("otp_to_webhook")
            self._counters.add("otp_to_webhook_seconds", seconds)
            self._counters.histogram("code_to_webhook_seconds").observe(seconds, exemplar_of(event.origin))


def _host_is_up(outcome: Outcome) -> bool | None:
    """What an attempt says of the receiving host: whether it can be reached. What never went out says nothing."""
    if outcome.verdict is Verdict.REFUSED or outcome.error == NO_SECRET:
        return None
    return outcome.error not in OUT_OF_REACH
