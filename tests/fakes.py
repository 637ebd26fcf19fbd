"""Stand-ins for the clock, the provider and the receivers, and a world of them around the real scripts on fakeredis."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

import fakeredis
from fakeredis import _helpers
from fakeredis._socket import _base
from fakeredis.commands_mixins import server_mixin
from fakeredis.model import _stream

from tests.builders import LIFE, NOW, rules
from worker.caller import Caps
from worker.gate import Gate
from worker.lifecycle import Lifecycle, Rules
from worker.lifecycle.steps import Gone, Outcome, ProviderCalls, Snooze
from worker.metrics import Counters
from worker.order import Order
from worker.provider.replies import (
    WAITING,
    Balance,
    BalanceReply,
    Bought,
    BuyReply,
    Cancelled,
    CancelReply,
    Choice,
    Code,
    CodeExists,
    Done,
    Early,
    FinishReply,
    Listing,
    ListingReply,
    Messages,
    MessagesReply,
    Missing,
    Quote,
    QuoteReply,
    Renewed,
    RenewReply,
    StatusReply,
    Word,
)
from worker.rental import Rental, Sms
from worker.schedule import Lane
from worker.store import AsyncStore, ServerClock, Store, Vault
from worker.webhooks.outcome import Outcome as Sent
from worker.webhooks.outcome import Verdict


class ManualClock:
    """Epoch seconds that stand still until they are moved."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at = round(self.at + seconds, 3)


@contextmanager
def fakeredis_follows(clock: ManualClock) -> Iterator[None]:
    """TIME, expiry and stream ids of every fakeredis server go by `clock`; only its waiting stays real."""
    told = SimpleNamespace(**{**vars(time), "time": clock})
    with ExitStack() as stack:
        for module in (_base, server_mixin, _stream, _helpers):
            stack.enter_context(mock.patch.object(module, "time", told))
        yield


@dataclass(slots=True)
class Number:
    """A purchase in the provider's books."""

    activation: str
    server: str
    bought_at: float
    life: float = LIFE
    code: str | None = None
    cancelled: bool = False
    refunded: bool = False
    finished: bool = False
    renewals: int = 0


class ScriptedProvider:
    """The provider: honest books, and answers that can be scripted.

    `answer("cancel", reply)` makes the next cancel answer `reply` with nothing done; with `done=True` the call takes
    effect all the same, as when an answer is lost on its way back.
    """

    def __init__(self, clock: ManualClock, *, earliest_cancel: float = 120.0) -> None:
        self.clock = clock
        self.numbers: dict[str, Number] = {}
        self.calls: list[tuple[str, str, float]] = []
        self.money = Decimal("500.00")
        self.price: Quote | None = None
        self.tag = Decimal("45")
        """What the catalogue names as a price."""
        self.received: list[Sms] = []
        """The messages that a rented number lists."""
        self._earliest = earliest_cancel
        self._script: defaultdict[str, deque[tuple[Any, bool]]] = defaultdict(deque)

    def answer(self, call: str, *replies: Any, done: bool = False, times: int = 1) -> None:
        """Script the next answers to a kind of call."""
        self._script[call].extend((reply, done) for reply in replies * times)

    def arrive(self, code: str, activation: str = "act_1") -> None:
        """A code comes in for a number."""
        self.numbers[activation].code = code

    def count(self, call: str) -> int:
        """How many calls of a kind came in."""
        return sum(name == call for name, _, _ in self.calls)

    async def quote(self, product: str, item: Mapping[str, str]) -> QuoteReply:
        """What a purchase costs; the provider of most tests names no price."""
        return self._reply("quote", product, lambda _: self.price) if self.price or self._script["quote"] else Quote()

    async def buy(self, product: str, item: Mapping[str, str]) -> BuyReply:
        """A number for a server (or of another product, for a service), charged at once."""
        named = item.get("server") or item.get("service") or item["pricing"]
        return self._reply("buy", named, self._sell)

    async def status(self, product: str, activation: str) -> StatusReply:
        """What is known of a number."""
        return self._reply("status", activation, self._look)

    async def cancel(self, product: str, activation: str) -> CancelReply:
        """The money back, if it is not too early and no code is there."""
        return self._reply("cancel", activation, self._cancel)

    async def finish(self, product: str, activation: str) -> FinishReply:
        """The end of a purchase whose code arrived."""
        return self._reply("finish", activation, self._finish)

    async def messages(self, product: str, activation: str) -> MessagesReply:
        """What a rented number has received, in the order in which it is listed just now."""
        return self._reply("messages", activation, self._list)

    async def renew(self, product: str, activation: str, hours: int) -> RenewReply:
        """A rental lasts longer, and is charged for it."""
        return self._reply("renew", activation, lambda what: self._renew(what, hours))

    async def balance(self) -> BalanceReply:
        """The money left."""
        return self._reply("balance", "", lambda _: Balance(self.money))

    async def listing(self, product: str, listing: str, place: Mapping[str, str]) -> ListingReply:
        """One choice at each place."""
        what = ":".join(place.values())
        return self._reply(listing, what, lambda at: Listing((Choice("1", f"One of {listing} of {at}", self.tag),)))

    def _reply(self, call: str, what: str, honest: Any) -> Any:
        self.calls.append((call, what, self.clock()))
        if not self._script[call]:
            return honest(what)
        reply, done = self._script[call].popleft()
        if done:
            honest(what)
        return reply

    def _sell(self, server: str) -> Bought:
        number = Number(f"act_{len(self.numbers) + 1}", server, self.clock())
        self.numbers[number.activation] = number
        return Bought(number.activation, f"+92300{len(self.numbers):07}", number.life)

    def _list(self, activation: str) -> MessagesReply:
        return Messages(tuple(self.received)) if activation in self.numbers else Missing()

    def _renew(self, activation: str, hours: int) -> RenewReply:
        number = self.numbers[activation]
        number.life += hours * 3600
        number.renewals += 1
        return Renewed()

    def _look(self, activation: str) -> StatusReply:
        number = self.numbers.get(activation)
        if number is None:
            return Missing()
        if number.code is not None:
            return Code(number.code)
        return Cancelled() if number.cancelled else WAITING

    def _cancel(self, activation: str) -> CancelReply:
        number = self.numbers.get(activation)
        if number is None:
            return Missing()
        if number.cancelled:
            return Done(Word.ACCESS_CANCEL_ALREADY)
        if number.code is not None:
            return CodeExists(Word.BAD_STATUS)
        if self.clock() < number.bought_at + self._earliest:
            return Early()
        if self.clock() >= number.bought_at + number.life:
            return Missing()
        number.cancelled = number.refunded = True
        return Done(Word.ACCESS_CANCEL)

    def _finish(self, activation: str) -> FinishReply:
        number = self.numbers.get(activation)
        if number is None or number.code is None:
            return Missing()
        number.finished = True
        return Done(Word.ACCESS_FINISH)


def drained(counters: Counters) -> dict[str, float]:
    """What was counted since the last look, as a report that arrives would tell it."""
    counts = dict(counters.report().counts)
    counters.taken()
    return counts


class FakeSender:
    """Receivers: each attempt is remembered, and answered with what was scripted or 200."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self.outcomes: deque[Sent] = deque()

    def answer(self, status: int | None, error: str | None = None, **kwargs: Any) -> None:
        """Script the next outcome by its status or error."""
        from worker.webhooks.outcome import verdict

        self.outcomes.append(Sent(verdict(status, error), status, error, 0.01, **kwargs))

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt."""
        self.sent.append((url, dict(headers), body))
        return self.outcomes.popleft() if self.outcomes else Sent(Verdict.DELIVERED, 200, None, 0.01)


class PromptGate(Gate):
    """The gate, but that nobody waits for a slot: the clock stands still."""

    async def slot(self) -> None:
        """Take a slot of the limiter."""
        self.called()
        await self._store.reserve()


class World:
    """Both faces of the store, a gate and the steps, over one fakeredis server and one clock.

    Make it where the loop runs; `fakeredis_follows(world.clock)` has to be in force meanwhile.
    """

    def __init__(
        self,
        clock: ManualClock,
        *,
        keys: tuple[str, ...] = (),
        max_rps: float | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.clock = clock
        self.server = fakeredis.FakeServer()
        self.vault = Vault(keys)
        self.raw: Any = fakeredis.FakeRedis(server=self.server)
        self.blocking = Store(self.raw, self.vault, retention=604_800.0, otp_ttl=86_400.0)
        self.store = self.engine_store(max_rps)
        self.counters = Counters()
        self.gate = PromptGate(self.store, self.counters)
        self.provider = ScriptedProvider(clock)
        self.lifecycle = self.steps(rules)
        self.lease = {Lane.BUY: 2.0, Lane.SETTLE: 7.0, Lane.POLL: 5.0}
        """The lanes in the order in which they are worked, and the seconds until what was claimed is due again."""

    def engine_store(self, max_rps: float | None = None) -> AsyncStore:
        """A worker's own connection to the store."""
        client = fakeredis.FakeAsyncRedis(server=self.server)
        clock = ServerClock(self.clock, self.clock)
        return AsyncStore(client, self.vault, retention=604_800.0, otp_ttl=86_400.0, clock=clock, max_rps=max_rps)

    def steps(self, by: Rules | None = None, provider: ProviderCalls | None = None) -> Lifecycle:
        """The steps, without chance."""
        asked = provider or self.provider
        return Lifecycle(self.store, asked, self.gate, by or rules(), self.counters, chance=lambda: 0.0)

    def accept_rental(self, new: Rental, caps: Caps | None = None) -> Rental:
        """A rental that was accepted."""
        assert self.blocking.create(new, caps or Caps()).outcome == "created"
        return new

    def see_rental(self, rental_id: str = "rnt_1") -> Rental:
        """The rental as it is stored."""
        found = self.blocking.load_rental(rental_id)
        assert found is not None
        return found

    def accept(self, new: Order, caps: Caps | None = None) -> Order:
        """An order thwhen an order is posted has accepted."""
        assert self.blocking.create(new, caps or Caps()).outcome == "created"
        return new

    def see(self, order_id: str = "ord_1") -> Order:
        """The order as it is stored."""
        found = self.blocking.load(order_id)
        assert found is not None
        return found

    def events(self, order_id: str = "ord_1") -> list[str]:
        """The types of an order's webhooks, oldest first."""
        caller = self.raw.hget(f"rb:order:{order_id}", "c").decode()
        page, _ = self.blocking.events(caller, order=order_id, status=None, limit=100, before=None)
        return [event.type for event in reversed(page)]

    def journal(self) -> list[str]:
        """The kinds of the journal's lines."""
        return [line["kind"] for _, line in self.blocking.journal(0.0)]

    def due(self, lane: str, order_id: str = "ord_1") -> float | None:
        """When an entry is next due in a lane, in epoch seconds; what waits for its turn is due now."""
        if lane == "buy" and self.raw.zscore("rb:turns", order_id) is not None:
            return self.clock()
        score = self.raw.zscore(f"rb:due:{lane}", order_id)
        return None if score is None else float(score) / 1000

    def lanes(self, order_id: str = "ord_1") -> list[str]:
        """The lanes that hold an order."""
        return [lane for lane in ("buy", "poll", "settle") if self.due(lane, order_id) is not None]

    def alerts(self) -> list[str]:
        """The kinds of alert counted since the last look."""
        return [name.split('"')[1] for name in drained(self.counters) if name.startswith("alerts")]

    async def work(self, *lanes: Lane) -> list[Outcome]:
        """Claim what is due in these lanes (all of them unless named) and do it, as the engine would."""
        outcomes = []
        for lane in lanes or self.lease:
            for order_id, activation in (await self.store.claim(lane, 200, self.lease[lane])).entries:
                outcomes.append(await self._step(lane, order_id, activation))
        return outcomes

    async def _step(self, lane: Lane, order_id: str, activation: str) -> Outcome:
        outcome = await self.lifecycle.step(lane, order_id, activation)
        if isinstance(outcome, Snooze):
            await self.store.postpone(lane, order_id, outcome.at)
        if isinstance(outcome, Gone):
            await self.store.drop(lane, order_id)
        return outcome

    async def pass_time(self, seconds: float) -> None:
        """Let time pass with workers at hand: whatever comes due is done in its moment."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.advance(min(self.next_moment(), until) - self.clock())
            await self.work()

    def next_moment(self) -> float:
        """When something comes due next: an entry, the end of a hold, or a second later for what waits its turn."""
        now = self.clock() * 1000
        moments = [float(self.raw.hget("rb:limit", "hold") or 0)]
        for lane in ("buy", "poll", "settle"):
            moments += [at for _, at in self.raw.zrange(f"rb:due:{lane}", 0, -1, withscores=True)]
        waits = any(at <= now for at in moments[1:]) or self.raw.zcard("rb:turns") > 0
        return min([at for at in moments if at > now] + [now + 1000] * waits, default=now + 1e9) / 1000
