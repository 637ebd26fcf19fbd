"""The provider's account as the workers read it: balance and servers, by free calls, for the web and for the gate."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Protocol

from worker.gate import Gate
from worker.journal import Entry
from worker.provider.protocol import (
    Balance,
    BalanceReply,
    Declined,
    Servers,
    ServersReply,
    Throttled,
    Unclear,
    Unreached,
)
from worker.store import AsyncStore

BALANCE_EVERY = 60.0
"""Seconds between two readings of the balance that nobody asked for."""
SERVERS_EVERY = 600.0
PROVIDER_UNREACHABLE = "provider_unreachable"
"""What a reading says that got no answer, with the reason behind it."""
TYPES = ("1", "2")
"""The provider's two kinds of servers (vendor's page)."""


class AccountCalls(Protocol):
    """What is asked of the provider."""

    async def balance(self) -> BalanceReply: ...
    async def servers(self, type: str) -> ServersReply: ...


class Account:
    """Reads what somebody has asked for, what is old, and what may lift a pause."""

    def __init__(self, store: AsyncStore, provider: AccountCalls, gate: Gate, *, min_balance: Decimal | None) -> None:
        self._store = store
        self._provider = provider
        self._gate = gate
        self._floor = min_balance

    async def refresh(self) -> list[str]:
        """Read everything that is due to be read; returns what was read."""
        due = await self._due()
        for what in due:
            await self._gate.slot()
            if what == "balance":
                await self._read_balance()
            else:
                await self._read_servers(what.removeprefix("servers:"))
        return due

    async def _due(self) -> list[str]:
        requested = await self._store.take_refresh_requests()
        known, now = await self._store.account(), self._store.clock.now()

        def old(what: str, every: float) -> bool:
            return now - int(known.get(f"{what}:asked", "0")) / 1000 >= every

        probes = any(now >= pause.get("probe_at", now + 1) for pause in (await self._store.pauses()).values())
        due = ["balance"] if probes or "balance" in requested or old("balance", BALANCE_EVERY) else []
        servers = {f"servers:{type}" for type in TYPES if old(f"servers:{type}", SERVERS_EVERY)}
        return due + sorted(servers | {what for what in requested if what.startswith("servers:")})

    async def _read_balance(self) -> None:
        reply = await self._provider.balance()
        if isinstance(reply, Declined):
            await self._gate.refused(reply)
        if isinstance(reply, Throttled):
            await self._gate.throttled(reply)
        balance = reply.amount if isinstance(reply, Balance) else None
        if balance is not None and (await self._store.account()).get("balance") != str(balance):
            await self._store.journal(Entry.BALANCE, balance=str(balance))
        await self._store.put_account("balance", None if balance is None else str(balance), _why(reply))
        await self._gate.observe_balance(balance, self._floor)

    async def _read_servers(self, type: str) -> None:
        reply = await self._provider.servers(type)
        listed = [{"id": one.id, "name": one.name} for one in reply.servers] if isinstance(reply, Servers) else None
        await self._store.put_account(f"servers:{type}", None if listed is None else json.dumps(listed), _why(reply))


def _why(reply: object) -> str:
    """Why a reading failed, in a word: the provider's own, or what became of the call; "" for a good one."""
    match reply:
        case Balance() | Servers():
            return ""
        case Unreached():
            return f"{PROVIDER_UNREACHABLE} ({reply.reason})"
        case Unclear():
            return f"unreadable ({reply.reason})"
        case Declined():
            return reply.word.value
        case _:
            return "throttled"
