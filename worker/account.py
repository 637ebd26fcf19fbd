"""The provider's account as the workers read it, for the web and for the gate: balance and catalogue, by free calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

from worker.gate import Gate
from worker.journal import Entry
from worker.order import decimal
from worker.provider.products import PRICE_LISTS, Product, Products
from worker.provider.replies import (
    Balance,
    BalanceReply,
    Choice,
    Declined,
    Listing,
    ListingReply,
    Throttled,
    Unclear,
    Unreached,
)
from worker.reading import BALANCE, PROVIDER_UNREACHABLE, SHARED, listing_name, split
from worker.store import AsyncStore

MOST_ASKED = 50
"""Readings that are asked for and made at one time; whoever asked for others asks again."""


class AccountCalls(Protocol):
    """What is asked of the provider."""

    async def balance(self) -> BalanceReply: ...
    async def listing(self, product: str, listing: str, place: Mapping[str, str]) -> ListingReply: ...


class Account:
    """Reads what somebody has asked for, what is old, and what may lift a pause; `products` are those on sale."""

    def __init__(
        self, store: AsyncStore, provider: AccountCalls, gate: Gate, products: Products, *, min_balance: Decimal | None
    ) -> None:
        self._store = store
        self._provider = provider
        self._gate = gate
        self._products = products
        self._floor = min_balance
        self._kept = [BALANCE, *(name for product in products.values() for name in _kept(product))]

    async def refresh(self) -> list[str]:
        """Read everything that is due to be read; returns what was read."""
        due = await self._due()
        for what in due:
            await self._gate.slot()
            if what == BALANCE:
                await self._read_balance()
            else:
                await self._read_listing(what)
        return due

    async def _due(self) -> list[str]:
        requests = await self._store.take_refresh_requests()
        asked = [what for what in requests if what == BALANCE or self._place(what) is not None]
        now = self._store.clock.now()
        known = [await self._store.reading(what) for what in self._kept]
        old = {reading.what for reading in known if reading.due(now)}
        pauses = [*(await self._store.pauses()).values(), *(await self._store.item_pauses()).values()]
        probes = any(now >= pause.get("probe_at", now + 1) for pause in pauses)
        if probes:
            old.add(BALANCE)
        return sorted(old | set(asked[:MOST_ASKED]))

    def _place(self, what: str) -> tuple[str, str, dict[str, str]] | None:
        """The product, the listing and the place in the catalogue that a reading is of."""
        listing, product, values = split(what)
        for one in self._products.values():
            names = one.place_names(listing)
            if product in ("", one.name) and names and len(names) == len(values):
                return one.name, listing, dict(zip(names, values, strict=True))
        return None

    async def _read_balance(self) -> None:
        asked_at = self._store.clock.now()
        reply = await self._provider.balance()
        if isinstance(reply, Declined):
            await self._gate.refused(reply)
        if isinstance(reply, Throttled):
            await self._gate.throttled(reply)
        balance = reply.amount if isinstance(reply, Balance) else None
        if balance is not None and (await self._store.reading(BALANCE)).value != str(balance):
            took = self._store.clock.now() - asked_at
            await self._store.journal(Entry.BALANCE, balance=str(balance), took=f"{took:.3f}")
        await self._store.put_reading(BALANCE, None if balance is None else str(balance), _why(reply))
        await self._gate.observe_balance(balance, self._floor)

    async def _read_listing(self, what: str) -> None:
        place = self._place(what)
        if place is None:
            return
        reply = await self._provider.listing(*place)
        if isinstance(reply, Throttled):
            await self._gate.throttled(reply)
        show = _SHOWN.get(split(what)[0], _named)
        listed = [show(choice) for choice in reply.choices] if isinstance(reply, Listing) else None
        await self._store.put_reading(what, None if listed is None else json.dumps(listed), _why(reply))
        if place[1] in PRICE_LISTS:
            prices = [one.price for one in reply.choices if one.price is not None] if isinstance(reply, Listing) else []
            await self._store.note_lowest_price(place[0], what, min(prices, default=None))


def _kept(product: Product) -> Iterator[str]:
    for listing, places in product.readings.items():
        for place in places:
            yield listing_name(listing, product.name, [place[name] for name in product.place_names(listing)])


def _named(choice: Choice) -> dict[str, Any]:
    """A server or a country as it is kept and shown."""
    return {"id": choice.code, "name": choice.name}


def _service(choice: Choice) -> dict[str, Any]:
    """A service as it is kept and shown."""
    return {"code": choice.code, "name": choice.name, "price": decimal(choice.price), "count": choice.count}


def _rental_country(choice: Choice) -> dict[str, Any]:
    """A country of rentals as it is kept and shown."""
    return {"code": choice.code, "name": choice.name}


def _rental_price(choice: Choice) -> dict[str, Any]:
    """An offer of a rental as it is kept and shown; `duration` in hours, null where it cannot be read."""
    hours = choice.hours
    duration = None if hours is None else int(hours) if hours == int(hours) else float(hours)
    return {"id": choice.code, "service": choice.name, "price": decimal(choice.price), "duration": duration}


_SHOWN = {SHARED: _service, "rental_countries": _rental_country, "rental_prices": _rental_price}
"""How the choices of a listing are kept and shown, other than by id and name."""


def _why(reply: object) -> str:
    """Why a reading failed, in a word: the provider's own, or what became of the call; "" for a good one."""
    match reply:
        case Balance() | Listing():
            return ""
        case Unreached():
            return f"{PROVIDER_UNREACHABLE} ({reply.reason})"
        case Unclear():
            return f"unreadable ({reply.reason})"
        case Declined():
            return reply.word.value
        case _:
            return "throttled"
