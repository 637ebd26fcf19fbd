"""The gate: why buying is paused, and how fast the provider may be called. Shared by all workers through the store.

Trouble with the account pauses buying (not polling, not cancelling) with a reason, and lifts itself after a free call
has shown that the reason is gone. A key, a ban or a floor concern everything; too little money concerns what was
refused for it, and everything only while the balance is below the cheapest price known.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from worker.alerts import Alert
from worker.logs import get_logger
from worker.metrics import Counters
from worker.pause import Pause
from worker.provider.protocol import Declined, Throttled, Word
from worker.store import AsyncStore

log = get_logger(__name__)

DEFAULT_HOLD = 5.0
"""Seconds everyone is held back by a 429 that names no time."""
FIRST_PROBE, SLOWEST_PROBE = 5.0, 60.0
"""Seconds until a pause is probed with a free call: doubling from the first to the slowest."""
LONGEST_BAN = 86_400.0
"""Seconds: a ban's date beyond this is read as this."""
UNDATED_BAN = 1_800.0
"""Seconds: the longest ban seen in the protocol's family, for one without a readable date."""


SLOWEST_TRIAL = 60.0
"""Seconds after which one order tries an item again that was refused for want of money, however low the balance."""
TRIAL = 30.0
"""Seconds for which the others wait for that one order's outcome."""
FORGOTTEN = 600.0
"""Seconds past that after which an item's pause is dropped that no order has tried."""

_WORDS = {
    Word.BAD_KEY: Pause.PROVIDER_AUTH,
    Word.LOW_BALANCE: Pause.INSUFFICIENT_BALANCE,
    Word.NO_BALANCE: Pause.INSUFFICIENT_BALANCE,
    Word.BANNED: Pause.PROVIDER_BANNED,
}


class Gate:
    """Reads and sets the pauses, and paces the calls to the provider."""

    def __init__(self, store: AsyncStore, counters: Counters, *, cheapest: Decimal | None = None) -> None:
        """`cheapest` is the lowest price known, in PKR; None while no price is."""
        self._store = store
        self._counters = counters
        self._cheapest = cheapest
        self._trials: set[str] = set()
        self._calls: deque[tuple[float, int]] = deque(maxlen=10_000)

    async def closed(self, item: str | None = None) -> Pause | None:
        """Why nothing (or nothing of this item) may be bought just now; None while buying goes on.

        After an item's pause one order tries: the first to ask is let through, the others wait for what becomes of it.
        """
        pauses, held = await self._store.pauses_for(item or "")
        reason = next((reason for reason in Pause if reason in pauses), None)
        if reason is not None or held is None or item is None:
            return reason
        if self._store.clock.now() >= held["try_at"] and await self._store.take_trial(item, TRIAL):
            self._trials.add(item)
            return None
        return Pause.INSUFFICIENT_BALANCE

    async def refused(self, reply: Declined, item: str | None = None) -> Pause | None:
        """Pause buying, or this item, if a purchase was declined for the account's sake; None for any other word."""
        reason = _WORDS.get(reply.word)
        if reason is Pause.INSUFFICIENT_BALANCE and item is not None:
            await self._pause_item(item)
        elif reason is not None:
            await self.pause(reason, until=reply.until)
        if reason is Pause.INSUFFICIENT_BALANCE:
            # Read at once: it shows whether there is money for anything, and what it has to rise above.
            await self.request_balance()
        return reason

    async def sold(self, item: str) -> None:
        """An item was bought: if this was the one order that tried, the pause is over for all."""
        if item in self._trials:
            self._trials.discard(item)
            await self._store.resume_item(item)
            log.info("buying_resumed", reason=Pause.INSUFFICIENT_BALANCE.value, item=item)

    async def _pause_item(self, item: str) -> None:
        self._trials.discard(item)
        now = self._store.clock.now()
        held = (await self._store.item_pauses()).get(item, {})
        wait = min(SLOWEST_PROBE, 2 * held["wait"]) if held else FIRST_PROBE
        record = {"since": held.get("since", now), "wait": wait, "probe_at": now + wait, "try_at": now + SLOWEST_TRIAL}
        await self._store.pause_item(item, record)
        if not held:
            self.alert(Alert.BUYING_PAUSED, reason=Pause.INSUFFICIENT_BALANCE.value, item=item)

    async def pause(self, reason: Pause, *, until: float | None = None, **details: Any) -> None:
        """Pause buying; renewing a pause probes it less and less often."""
        now = self._store.clock.now()
        held = (await self._store.pauses()).get(reason, {})
        wait = min(SLOWEST_PROBE, 2 * held["wait"]) if held else FIRST_PROBE
        if reason is Pause.PROVIDER_BANNED:
            wait = min(LONGEST_BAN, max(FIRST_PROBE, (until or now + UNDATED_BAN) - now))
        record = {"since": held.get("since", now), "wait": wait, "probe_at": now + wait, **details}
        await self._store.pause(reason, record)
        if not held:
            self.alert(Alert.BUYING_PAUSED, reason=reason.value)

    async def observe_balance(self, balance: Decimal | None, floor: Decimal | None) -> None:
        """Lift or set the pauses that a reading of the balance decides; None is an unknown balance."""
        pauses = await self._store.pauses()
        now = self._store.clock.now()
        if floor is not None and (balance is None or balance < floor):
            await self.pause(Pause.BELOW_MIN_BALANCE, balance=None if balance is None else str(balance))
        elif Pause.BELOW_MIN_BALANCE in pauses:
            await self._lift(Pause.BELOW_MIN_BALANCE)
        if balance is None:
            return
        for reason in (Pause.PROVIDER_AUTH, Pause.PROVIDER_BANNED):
            if reason in pauses and now >= pauses[reason]["probe_at"]:
                await self._lift(reason)
        await self._judge_low_balance(balance, pauses)

    async def _judge_low_balance(self, balance: Decimal, pauses: Mapping[str, Any]) -> None:
        """What a balance says of the items that were refused for want of money, and of everything."""
        items = await self._store.item_pauses()
        if items and self._cheapest is not None and balance < self._cheapest:
            await self.pause(Pause.INSUFFICIENT_BALANCE, balance=str(balance))
        elif Pause.INSUFFICIENT_BALANCE in pauses:
            await self._lift(Pause.INSUFFICIENT_BALANCE)
        now = self._store.clock.now()
        for item, held in items.items():
            if now > held["try_at"] + FORGOTTEN:
                await self._store.resume_item(item)
                continue
            # One order may try once the balance has risen above what it was when the item was refused.
            seen = held.setdefault("balance", str(balance))
            try_at = min(held["try_at"], now) if balance > Decimal(seen) else held["try_at"]
            await self._store.pause_item(item, {**held, "try_at": try_at, "probe_at": now + held["wait"]})

    async def _lift(self, reason: Pause) -> None:
        await self._store.resume(reason)
        log.info("buying_resumed", reason=reason.value)

    async def throttled(self, reply: Throttled) -> float:
        """The provider asked for less: hold everyone back. Returns the seconds to wait."""
        seconds = reply.retry_after if reply.retry_after is not None else DEFAULT_HOLD
        now = self._store.clock.now()
        lately = sum(calls for at, calls in self._calls if at > now - 10)
        await self._store.throttle(seconds, max(lately / 10, 1.0))
        self._counters.add("throttled")
        log.warning("provider_throttles", hold=seconds)
        return seconds

    def called(self, calls: int = 1) -> None:
        """Count calls to the provider."""
        now = self._store.clock.now()
        self._calls.append((now, calls))

    async def held(self) -> float:
        """Seconds that the provider's last 429 still holds everyone back; 0 when it does not."""
        return await self._store.held()

    async def slot(self) -> None:
        """Wait for a slot of the limiter: for a call that no claim has paced."""
        self.called()
        wait = await self._store.reserve()
        if wait > 0:
            await asyncio.sleep(wait)

    async def request_balance(self) -> None:
        """Have the balance read soon: a free call that shows whether the key is still good."""
        await self._store.request_refresh("balance")

    def alert(self, kind: Alert, **details: Any) -> None:
        """Something an operator has to know: one log line at error level and a counter."""
        self._counters.add("alerts", kind=kind.value)
        log.error("alert", kind=kind.value, **details)
