"""The composition root: settings become the objects that a worker works with; all else is handed what it needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from worker.account import Account
from worker.gate import Gate
from worker.housekeeping import Housekeeping
from worker.lifecycle import Lifecycle, Rules
from worker.metrics import Counters, Series
from worker.order import DEFAULT_PRODUCT
from worker.otlp import tracer_of
from worker.outbox import Outbox
from worker.provider import products
from worker.provider.client import Observe, Provider
from worker.reachability import Reachability
from worker.redelivery import Redelivery
from worker.schedule import Lane
from worker.settings import Settings
from worker.store import AsyncStore, Vault, connect_async
from worker.tracing import Tracer
from worker.ttl_cache import TtlCache
from worker.version import version
from worker.webhooks.delivery import Sender
from worker.webhooks.guard import guard_of

BUY_LEASE = 2.0
"""Seconds after which a claimed order is taken up again whose worker did not even store the intent to buy.

Short, because nothing goes out before that write, and of two workers only one succeeds in it.
"""
SETTLE_MARGIN = 2.0
"""Seconds past a look's deadline after which a settle step that left no trace is taken up again."""
DELIVERY_MARGIN = 10.0
"""Seconds by which an event's lease outlives the attempt's deadline.

So two attempts of one event overlap only where a worker counted as dead and was not, or was stopped for good before it
had ended (docs/adr/0009).
"""
POLLS_IN_FLIGHT = 2000
"""Status calls under way at once in one process, each on a connection of its own."""
SECRETS_KEPT = 2.0
"""Seconds for which a caller's webhook secrets are remembered."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker works with. `lease` is, per lane, the seconds until a claimed entry is due again."""

    store: AsyncStore
    provider: Provider
    sender: Sender
    gate: Gate
    lifecycle: Lifecycle
    outbox: Outbox
    account: Account
    housekeeping: Housekeeping
    redelivery: Redelivery
    counters: Counters
    reachability: Reachability
    tracer: Tracer
    lease: dict[Lane, float]
    queues_here: bool
    """Whether the broker's queues lie in the store's database."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self.provider.aclose()
        await self.sender.aclose()
        await self.store.aclose()
        await asyncio.to_thread(self.tracer.close)


async def build(settings: Settings) -> Services:
    """Everything, on the running loop. Nothing is sent yet."""
    vault = Vault(settings.vault_keys, migrating=settings.sealing_migration)
    counters, tracer = Counters(), tracer_of(settings, "worker")
    floor = None if settings.min_balance is None else Decimal(str(settings.min_balance))
    on_sale: dict[str, Decimal | None] = {
        name: settings.cheap_price if name == DEFAULT_PRODUCT else None for name in settings.products
    }
    store = AsyncStore(
        connect_async(settings.store_url),
        vault,
        retention=settings.retention,
        otp_ttl=settings.otp_ttl,
        journal_retention=settings.journal_retention,
        max_rps=settings.otpget_max_rps,
    )
    reachability = Reachability(store)
    table = products.load(settings.products_file)
    provider = Provider(
        settings.otpget_base_url,
        settings.otpget_api_key.get_secret_value() if settings.otpget_api_key else "",
        table,
        poll_deadline=settings.status_deadline,
        buy_deadline=settings.buy_deadline,
        connections=POLLS_IN_FLIGHT,
        heard=reachability.heard,
        observe=timed(counters),
        counted=on_sale,
    )
    sender = Sender(guard_of(settings), timeout=settings.webhook_timeout, version=version())
    gate = Gate(store, counters, on_sale=on_sale)
    rules = Rules(
        poll_interval=settings.poll_interval,
        buy_deadline=settings.buy_deadline,
        buy_budget=settings.buy_budget,
        earliest_cancel=settings.earliest_cancel,
        cancel_retry=settings.cancel_retry,
        rental_poll_interval=settings.rental_poll_interval,
        min_balance=floor,
    )
    return Services(
        store=store,
        provider=provider,
        sender=sender,
        gate=gate,
        lifecycle=Lifecycle(store, provider, gate, rules, counters, chance=random.random, tracer=tracer),
        outbox=Outbox(
            store,
            sender,
            gate,
            counters,
            secrets_of=secrets_of(store),
            waits=settings.webhook_schedule,
            chance=random.random,
            tracer=tracer,
        ),
        account=Account(
            store, provider, gate, {name: table[name] for name in settings.products if name in table}, min_balance=floor
        ),
        housekeeping=Housekeeping(
            store, gate, counters, retention=settings.retention, journal_retention=settings.journal_retention
        ),
        redelivery=Redelivery(store),
        counters=counters,
        tracer=tracer,
        reachability=reachability,
        queues_here=settings.broker == settings.store_url,
        lease={
            Lane.BUY: BUY_LEASE,
            Lane.POLL: settings.poll_interval,
            Lane.SETTLE: max(settings.poll_interval, settings.status_deadline) + SETTLE_MARGIN,
            Lane.DELIVER: settings.webhook_timeout + DELIVERY_MARGIN,
        },
    )


def timed(counters: Counters) -> Observe:
    """Puts the seconds of every call to the provider into their histogram; the series are kept, polls being many."""
    kept: dict[tuple[str, str, str], Series] = {}

    def observe(product: str, action: str, outcome: str, seconds: float) -> None:
        series = kept.get((product, action, outcome))
        if series is None:
            labels = {"product": product, "action": action, "outcome": outcome}
            series = counters.histogram("provider_request_duration_seconds", **labels)
            kept[product, action, outcome] = series
        series.observe(seconds)

    return observe


def secrets_of(store: AsyncStore) -> Callable[[str], Awaitable[Sequence[str]]]:
    """Looks a caller's live webhook secrets up, and remembers them for a moment."""
    kept: TtlCache[Sequence[str]] = TtlCache(SECRETS_KEPT, most=10_000)

    async def look_up(caller_id: str) -> Sequence[str]:
        secrets = kept.get(caller_id)
        if secrets is None:
            caller = await store.caller(caller_id)
            secrets = caller.live_secrets(store.clock.now()) if caller else ()
            kept.put(caller_id, secrets)
        return secrets

    return look_up
