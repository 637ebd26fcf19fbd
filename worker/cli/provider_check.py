"""What the provider answers to free calls, as findings of `ringback doctor`. Nothing here costs money."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from worker.doctor import Finding, Level
from worker.errors import SettingsInvalid
from worker.provider import products
from worker.provider.protocol import Balance, BalanceReply, Declined, Listing, ListingReply, Throttled
from worker.provider.replies import Unclear, Unreached
from worker.settings import Settings

PATIENCE = 8.0
"""Seconds for the provider's answers, which are waited for together."""
Answers = tuple[BalanceReply, ListingReply]
Ask = Callable[[Settings], Answers]
"""Asks the provider for balance and servers."""


def check_products(settings: Settings) -> Iterator[Finding]:
    """Whether the table of products holds together with what is on sale."""
    try:
        table = products.load(settings.products_file)
    except SettingsInvalid as error:
        yield Finding(Level.FAIL, "products", str(error), "correct the file that RINGBACK_PRODUCTS_FILE names")
        return
    for warning in products.warnings(table, settings.products):
        yield Finding(Level.WARN, "products", warning)


def check_provider(settings: Settings, ask: Ask | None = None) -> Iterator[Finding]:
    """What the provider answers to free calls."""
    if settings.otpget_api_key is None:
        yield Finding(
            Level.WARN, "provider", "RINGBACK_OTPGET_API_KEY is not set here, so the provider was not asked",
            "run `ringback doctor` where the workers run to check it",
        )  # fmt: skip
        return
    balance, servers = (ask or ask_provider)(settings)
    yield _balance(balance, settings.min_balance)
    if isinstance(servers, Listing):
        yield Finding(Level.OK, "provider servers", f"{len(servers.choices)} of type 1")
    elif isinstance(balance, Balance):
        yield Finding(
            Level.WARN,
            "provider servers",
            f"the list cannot be read ({_name(servers)})",
            "the last good list stays in use",
        )


def _balance(reply: BalanceReply, floor: float | None) -> Finding:
    match reply:
        case Balance(amount) if floor is not None and amount < Decimal(str(floor)):
            return Finding(
                Level.FAIL, "provider", f"the balance, {amount}, is below RINGBACK_MIN_BALANCE", "top up the balance"
            )
        case Balance(amount) if amount <= 0:
            return Finding(Level.FAIL, "provider", f"the balance is {amount}", "top up the balance")
        case Balance(amount):
            return Finding(Level.OK, "provider", f"responds; the balance is {amount}")
        case Declined(word):
            return Finding(
                Level.FAIL, "provider", f"replies {word}", "check RINGBACK_OTPGET_API_KEY and the provider account"
            )
        case Throttled():
            return Finding(
                Level.WARN, "provider", "asks for fewer calls", "set RINGBACK_OTPGET_MAX_RPS if this continues"
            )
        case Unclear(reason) if "timeout" in reason.lower() or "deadline" in reason.lower():
            return Finding(
                Level.FAIL, "provider", f"hangs: it accepted the call, but did not reply within {PATIENCE:g} s",
                "polls and purchases hang too: `ringback buying off` until it recovers, then `ringback reconcile`",
            )  # fmt: skip
        case Unreached(reason):
            return Finding(
                Level.FAIL, "provider", f"cannot be reached ({reason})",
                "check RINGBACK_OTPGET_BASE_URL, DNS, the firewall and TLS from this machine",
            )  # fmt: skip
        case _:
            return Finding(
                Level.FAIL, "provider", f"its reply cannot be read ({_name(reply)})",
                "check RINGBACK_OTPGET_BASE_URL, DNS, the firewall and TLS from this machine",
            )  # fmt: skip


def _name(reply: object) -> str:
    return str(getattr(reply, "word", "") or getattr(reply, "reason", "") or type(reply).__name__)


def ask_provider(settings: Settings) -> Answers:
    """Two free calls to the real provider."""
    return asyncio.run(_asked(settings))


async def _asked(settings: Settings) -> Answers:
    from worker.provider.client import Provider

    key: Any = settings.otpget_api_key
    provider = Provider(
        settings.otpget_base_url, key.get_secret_value(), products.load(settings.products_file),
        poll_deadline=settings.status_deadline, buy_deadline=min(PATIENCE, settings.buy_deadline),
    )  # fmt: skip
    try:
        return await asyncio.gather(provider.balance(), provider.listing("cheap", "servers", {"type": "1"}))
    finally:
        await provider.aclose()
