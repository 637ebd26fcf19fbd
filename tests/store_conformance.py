"""What the store promises, as tests that run against the fake and against a real server alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from tests import builders
from tests.builders import caller, event, order
from worker.caller import Caps
from worker.errors import NotFound
from worker.event import Attempt, Event, EventStatus
from worker.journal import Entry
from worker.metrics import Report
from worker.order import Ending, Order, Settlement, Status
from worker.schedule import Lane, Wake
from worker.store import AsyncStore, Created, Idempotency, JobState, Store, Tick, Written
from worker.store.asynchronous import PER_CALLER, PER_ENDPOINT, PER_HOST, PROBE_AFTER
from worker.store.queries import EventFilter

KEY = Idempotency(key="k" * 64, body="b" * 64, answer=b'{"id":"ord_1"}')


@dataclass
class Stores:
    """Both faces of one store, a bare client beside them, and a way to let time pass."""

    blocking: Store
    engine: AsyncStore
    raw: Any
    pass_time: Callable[[float], Awaitable[None]]
    capped: AsyncStore
    """The same store for a worker with a cap of ten calls a second."""

    def now(self) -> float:
        """The server's clock, in epoch seconds."""
        return self.blocking.now()

    def due(self, lane: str, entry: str = "ord_1") -> float | None:
        """When an entry is next due in a lane, in epoch seconds; what waits for its turn is due now."""
        if lane == Lane.BUY and self.raw.zscore("rb:turns", entry) is not None:
            return self.now()
        score = self.raw.zscore(f"rb:due:{lane}", entry)
        return None if score is None else float(score) / 1000

    def lanes(self, entry: str = "ord_1") -> list[str]:
        """The lanes that hold an entry."""
        return [lane for lane in Lane if self.due(lane, entry) is not None]

    def accepted(self, **changes: Any) -> Order:
        """An order just accepted."""
        new = order(**{"created_at": self.now() - 1, **changes})
        assert self.blocking.create(new, Caps()).outcome == "created"
        return new

    async def waiting(self, at: float | None = None, cancel_after: float = 540, **changes: Any) -> Order:
        """An order with a number, polled next at `at` (now)."""
        new = self.accepted(**changes)
        buying = new.intend(self.now())
        assert await self.engine.save(new, buying, wake=Wake(Lane.BUY, self.now() + 25)) is Written.SAVED
        activation = "act_" + new.id
        bought = buying.assign(builders.bought(activation, self.now(), cancel_after=cancel_after))
        wake = Wake(Lane.POLL, at if at is not None else self.now() - 1)
        assert await self.engine.save(buying, bought, wake=wake) is Written.SAVED
        return bought

    async def received(self, **changes: Any) -> tuple[Order, Event]:
        """An order whose code arrived, and the webhook that is owed for it."""
        bought = await self.waiting(**changes)
        owed = event(id="evt_" + bought.id, order=bought.id, created_at=self.now())
        got = bought.receive("847293", self.now())
        assert await self.engine.save(bought, got, wake=Wake(Lane.SETTLE), events=[owed]) is Written.SAVED
        return got, owed

    def ping(self, event_id: str, url: str = "https://caller.example/hook", caller: str = "cal_1") -> Event:
        """A webhook of no order, due now."""
        new = event(id=event_id, order=None, type="webhook.ping", url=url, caller=caller, created_at=self.now())
        self.blocking.add_event(new)
        return new

    async def recorded(self, claimed: Event, status: EventStatus, up: bool | None, **kwargs: Any) -> int:
        """An attempt at a claimed event, recorded; `up` is what it says of the endpoint."""
        after = claimed.tried(Attempt(self.now(), 500, None, 0.1), status, due_at=kwargs.pop("due_at", None))
        reached = None if up is None else True
        kwargs = {"host_is_up": reached, "erase_after": None, "patience": 0.0, **kwargs}
        return await self.engine.record_attempt(claimed, after, endpoint_is_up=up, **kwargs)

    async def tick(self, worker: str, **changes: Any) -> Tick:
        """A tick of a worker's clock, by small spans."""
        chores = changes.pop("chores", ())
        spans = {"token": 0.04, "batch": 2, "most": 5, "hint": 0.04, "linger": 0.0}
        return await self.engine.tick(worker, tuple(Lane), chores, **{**spans, **changes})


class CreateConformance:
    """Accepting an order."""

    async def test_accepted_order_is_stored_due_and_open(self, stores: Stores):
        """Record, wake-up and index in one go."""
        new = stores.accepted(metadata={"a": ["ü", 1]}, purpose="login")
        assert stores.blocking.load("ord_1") == await stores.engine.load("ord_1") == new
        assert stores.lanes() == ["buy"]
        assert stores.blocking.peek([Store.version_of("ord_1"), Store.version_of("ord_0")]) == [b"1", None]

    async def test_unknown_order_is_none(self, stores: Stores):
        """Nobody's order is not there."""
        assert stores.blocking.load("ord_0") is None
        assert await stores.engine.load("ord_0") is None

    async def test_same_key_and_body_give_the_first_answer_again(self, stores: Stores):
        """And nothing is accepted twice."""
        new = order(created_at=stores.now())
        assert stores.blocking.replayed("cal_1", KEY) is None
        assert stores.blocking.create(new, Caps(), KEY) == Created("created")
        again = stores.blocking.create(replace(new, id="ord_2"), Caps(), replace(KEY, answer=b"other"))
        assert again == Created("replay", answer=KEY.answer) == stores.blocking.replayed("cal_1", KEY)
        assert stores.blocking.load("ord_2") is None

    async def test_same_key_with_another_body_is_a_mismatch(self, stores: Stores):
        """Whatever the first one was, this is not it."""
        stores.blocking.create(order(created_at=stores.now()), Caps(), KEY)
        other = replace(KEY, body="c" * 64)
        assert stores.blocking.create(order(id="ord_2"), Caps(), other).outcome == "mismatch"
        assert stores.blocking.replayed("cal_1", other) == Created("mismatch")

    async def test_keys_of_two_callers_are_apart(self, stores: Stores):
        """Everybody has their own."""
        stores.blocking.create(order(created_at=stores.now()), Caps(), KEY)
        other = order(id="ord_2", caller="cal_2")
        assert stores.blocking.create(other, Caps(), KEY).outcome == "created"

    async def test_in_flight_cap_counts_open_orders(self, stores: Stores):
        """An ended order makes room."""
        first = stores.accepted()
        caps = Caps(max_in_flight=1)
        refused = stores.blocking.create(order(id="ord_2"), caps)
        assert (refused.outcome, refused.reason) == ("capped", "max_in_flight")
        stores.blocking.save(first, first.withdraw(stores.now()), wake=None)
        assert stores.blocking.create(order(id="ord_2"), caps).outcome == "created"

    @pytest.mark.parametrize(
        ("caps", "reason", "most"),
        [
            (Caps(orders_per_minute=2), "orders_per_minute", 60),
            (Caps(orders_per_day=2), "orders_per_day", 86_400),
        ],
    )
    async def test_rate_caps_say_when_there_is_room_again(self, stores: Stores, caps: Caps, reason: str, most: int):
        """Per caller; a refused order counts for nothing and leaves nothing behind."""
        if stores.now() % 60 > 59:
            await stores.pass_time(1)
        made = [stores.blocking.create(order(id=f"ord_{n}"), caps) for n in range(3)]
        assert [one.outcome for one in made] == ["created", "created", "capped"]
        assert made[2].reason == reason
        assert 0 < made[2].retry_after <= most
        assert stores.blocking.load("ord_2") is None
        assert stores.blocking.create(order(id="ord_x", caller="cal_2"), caps).outcome == "created"

    async def test_repeated_create_never_resets_an_order(self, stores: Stores):
        """The answer to the first was lost on the way; meanwhile a worker has bought the number."""
        bought = await stores.waiting()
        assert stores.blocking.create(order(), Caps(max_in_flight=1)).outcome == "created"
        assert stores.blocking.load("ord_1") == bought
        assert stores.lanes() == ["poll"]

    @pytest.mark.parametrize("reason", ["switched_off", "below_min_balance"])
    async def test_closed_gate_accepts_nothing(self, stores: Stores, reason: str):
        """The kill switch and the floor are said when an order is posted."""
        stores.blocking.pause(reason, {"since": stores.now()})
        assert stores.blocking.create(order(), Caps()) == Created("closed", reason=reason)
        assert stores.lanes() == []
        stores.blocking.resume(reason)
        assert stores.blocking.create(order(), Caps()).outcome == "created"

    async def test_trouble_that_passes_keeps_accepting(self, stores: Stores):
        """Orders wait for a pause that lifts itself."""
        stores.blocking.pause("provider_auth", {"since": stores.now()})
        assert stores.blocking.create(order(), Caps()).outcome == "created"
        assert list(stores.blocking.pauses()) == ["provider_auth"]

    async def test_replay_wins_over_caps_and_pauses(self, stores: Stores):
        """A repeated request gets its answer, not a refusal."""
        caps = Caps(max_in_flight=1)
        stores.blocking.create(order(), caps, KEY)
        stores.blocking.pause("switched_off", {})
        assert stores.blocking.create(order(id="ord_2"), caps, KEY).outcome == "replay"


class SaveConformance:
    """Writing a change."""

    async def test_change_is_written_with_its_wake_up(self, stores: Stores):
        """Both faces see it, and it has left its old lane."""
        bought = await stores.waiting(at=stores.now() + 60)
        assert stores.blocking.load("ord_1") == bought == await stores.engine.load("ord_1")
        assert stores.lanes() == ["poll"]
        assert stores.due("poll") == pytest.approx(stores.now() + 60, abs=2)

    async def test_stale_write_changes_nothing(self, stores: Stores):
        """Who lost the race is told so, and leaves no wake-up, webhook or journal line behind."""
        new = stores.accepted()
        stores.blocking.save(new, new.intend(stores.now()), wake=Wake(Lane.BUY, stores.now() + 25))
        kept = stores.blocking.load("ord_1")
        late = new.withdraw(stores.now())
        told = await stores.engine.save(new, late, wake=None, events=[event()], journal={"kind": "x"})
        assert told is Written.CONFLICT
        assert stores.blocking.load("ord_1") == kept
        assert stores.lanes() == ["buy"]
        assert stores.lanes("evt_1") == []
        assert list(stores.blocking.journal(0)) == []

    async def test_orders_sent_at_once_stay_within_the_spend_cap(self, stores: Stores):
        """Each at a price of its own: what goes out fits together, and what is not bought counts nothing again."""
        stores.blocking.save_caller(None, caller(caps=Caps(max_spend_per_day=Decimal(100))))
        queued = [stores.accepted(id=f"ord_{n}") for n in range(4)]
        prices = [Decimal(one) for one in ("52.50", "45", "45", "2.50")]
        sent = [one.intend(stores.now(), price, price) for one, price in zip(queued, prices, strict=True)]
        saves = (stores.engine.save(*pair, wake=Wake(Lane.BUY)) for pair in zip(queued, sent, strict=True))
        told = await asyncio.gather(*saves)
        spent = sum(price for price, one in zip(prices, told, strict=True) if one is Written.SAVED)
        assert set(told) == {Written.SAVED, Written.OVER_CAP}
        assert spent <= 100
        (counted,) = stores.raw.keys("rb:caller:cal_1:spent:*")
        assert int(stores.raw.get(counted)) == spent * 10_000
        for before, outcome in zip(sent, told, strict=True):
            if outcome is Written.SAVED:
                await stores.engine.save(before, before.put_off(), wake=Wake(Lane.BUY))
        assert int(stores.raw.get(counted)) == 0

    async def test_write_to_a_vanished_order_says_missing(self, stores: Stores):
        """It is not brought back."""
        gone = order(id="ord_0")
        assert await stores.engine.save(gone, gone.intend(stores.now()), wake=Wake(Lane.BUY)) is Written.MISSING
        assert stores.lanes("ord_0") == []

    async def test_repeated_write_by_the_same_writer_counts_once(self, stores: Stores):
        """A write whose answer was lost on the way is recognised when it comes again."""
        from worker.store import codec
        from worker.store.scripts import source

        bought = await stores.waiting()
        call = codec.save_call(
            bought, bought.receive("847293", stores.now()), stores.blocking._vault, writer="w1", wake=Wake(Lane.SETTLE),
            events=[event()], journal={"kind": "received"}, retention=60, journal_retention=60, otp_ttl=60,
        )  # fmt: skip
        script = stores.raw.register_script(source("save"))
        told = [script(keys=call[0], args=call[1])[0] for _ in range(2)]
        assert told == [b"saved", b"saved"]
        assert len(list(stores.blocking.journal(0))) == 1
        page, _ = stores.blocking.events("cal_1", order="ord_1", status=None, limit=10, before=None)
        assert [one.id for one in page] == ["evt_1"]
        again = codec.save_call(
            bought, bought.begin_cancel(Ending.TIMEOUT), stores.blocking._vault, writer="w2", wake=Wake(Lane.SETTLE),
            events=(), journal=None, retention=60, journal_retention=60, otp_ttl=60,
        )  # fmt: skip
        assert script(keys=again[0], args=again[1])[0] == b"conflict"

    async def test_number_that_belongs_to_another_order_is_refused(self, stores: Stores):
        """No code ever reaches two callers."""
        await stores.waiting()
        new = stores.accepted(id="ord_2")
        buying = new.intend(stores.now())
        await stores.engine.save(new, buying, wake=Wake(Lane.BUY, stores.now() + 25))
        same = buying.assign(builders.bought("act_ord_1", stores.now()))
        assert await stores.engine.save(buying, same, wake=Wake(Lane.POLL)) is Written.DUPLICATE
        assert stores.blocking.load("ord_2") == buying
        assert stores.lanes("ord_2") == ["buy"]

    async def test_wake_without_a_time_is_now(self, stores: Stores):
        """Due at once by the server's clock."""
        bought = await stores.waiting(at=stores.now() + 60)
        await stores.engine.save(bought, bought.begin_cancel(Ending.LOST), wake=Wake(Lane.SETTLE))
        assert stores.lanes() == ["settle"]
        assert stores.due("settle") == pytest.approx(stores.now(), abs=2)

    async def test_wake_after_the_poll_keeps_the_interval(self, stores: Stores):
        """A cancel asked for does not look earlier than the next poll would have."""
        at = stores.now() + 4
        bought = await stores.waiting(at=at)
        asked = bought.ask_cancel(stores.now())
        stores.blocking.save(bought, asked, wake=Wake(Lane.SETTLE, stores.now() - 10, after_poll=True))
        assert stores.due("settle") == pytest.approx(at, abs=0.002)
        later = stores.now() + 100
        await stores.engine.save(asked, asked.try_cancel(later), wake=Wake(Lane.SETTLE, later, after_poll=True))
        assert stores.due("settle") == pytest.approx(later, abs=0.002)

    async def test_webhook_and_journal_are_written_in_the_same_script(self, stores: Stores):
        """The event is due, listed and numbered; the line names the order and no code."""
        bought = await stores.waiting()
        owed = event(created_at=stores.now())
        got = bought.receive("847293", stores.now())
        await stores.engine.save(bought, got, wake=Wake(Lane.SETTLE), events=[owed], journal={"kind": "received"})
        assert stores.lanes("evt_1") == ["deliver"]
        assert await stores.engine.events_of("ord_1") == [stores.blocking.load_event("evt_1")]
        stored = stores.blocking.load_event("evt_1")
        assert stored == replace(owed, sequence=1)
        (_, line), *kwargs = stores.blocking.journal(0)
        told = {"kind": "received", "order": "ord_1", "caller": "cal_1", "status": "received", "product": "cheap"}
        assert line == told
        assert kwargs == []

    async def test_journal_is_read_in_order_and_in_pages(self, stores: Stores):
        """From a moment on, whatever its length."""
        for n in range(5):
            await stores.engine.journal(Entry.BALANCE, balance=str(n))
        assert [line["balance"] for _, line in stores.blocking.journal(0, batch=2)] == list("01234")
        assert list(stores.blocking.journal(stores.now() + 60)) == []

    async def test_ended_order_is_kept_for_the_retention_and_is_open_no_more(self, stores: Stores):
        """With its webhooks and its number's owner; what is still owed to the provider keeps it."""
        got, _ = await stores.received()
        owned = ("rb:order:ord_1", "rb:order:ord_1:record", "rb:event:evt_ord_1", "rb:activation:cheap:act_ord_1")
        assert [stores.raw.ttl(key) for key in owned] == [-1] * 4
        assert stores.raw.zcard("rb:caller:cal_1:open") == 1
        await stores.engine.save(got, got.settle(Settlement.FINISHED), wake=None)
        assert all(0 < stores.raw.ttl(key) <= 604_800 for key in owned)
        assert stores.raw.zcard("rb:caller:cal_1:open") == 0
        assert stores.lanes() == []

    async def test_code_is_put_on_the_list_to_erase_and_taken_off_it(self, stores: Stores):
        """At the latest after the time to live; after it is gone, never again."""
        got, _ = await stores.received()
        assert stores.raw.zscore("rb:erase", "ord_1") == pytest.approx((stores.now() + 86_400) * 1000, abs=3000)
        await stores.engine.save(got, got.erase(), wake=None)
        assert stores.raw.zscore("rb:erase", "ord_1") is None

    async def test_order_to_erase_is_told_once_it_is_due(self, stores: Stores):
        """By the server's clock, and forgotten on request."""
        stores.raw.zadd("rb:erase", {"ord_1": (stores.now() - 1) * 1000, "ord_2": (stores.now() + 60) * 1000})
        assert await stores.engine.orders_to_erase(10) == ["ord_1"]
        await stores.engine.forget_erasure("ord_1")
        assert await stores.engine.orders_to_erase(10) == []


class ClaimConformance:
    """Claiming orders."""

    async def test_claim_is_the_next_schedule(self, stores: Stores):
        """What is handed out is due again in a while, whatever becomes of the claim."""
        await stores.waiting()
        claim = await stores.engine.claim(Lane.POLL, 10, 5)
        assert claim.entries == (("ord_1", "cheap:act_ord_1"),)
        assert stores.due("poll") == pytest.approx(stores.now() + 5, abs=1)
        assert (await stores.engine.claim(Lane.POLL, 10, 5)).entries == ()

    async def test_only_what_is_due_is_claimed_oldest_first_up_to_most(self, stores: Stores):
        """Evenly late when there is too much."""
        for n, late in enumerate((1, 3, 2)):
            await stores.waiting(id=f"ord_{n}", at=stores.now() - late)
        await stores.waiting(id="ord_9", at=stores.now() + 60)
        first = await stores.engine.claim(Lane.POLL, 2, 5)
        rest = await stores.engine.claim(Lane.POLL, 2, 5)
        assert [one for one, _ in first.entries + rest.entries] == ["ord_1", "ord_2", "ord_0"]

    async def test_order_moves_to_settle_before_its_deadline(self, stores: Stores):
        """The last poll before the deadline hands it on, to be looked at when it is due and not sooner."""
        await stores.waiting(cancel_after=4)
        assert len((await stores.engine.claim(Lane.POLL, 10, 5)).entries) == 1
        assert stores.lanes() == ["settle"]
        assert stores.due("settle") == pytest.approx(stores.now() + 5, abs=1)

    @pytest.mark.parametrize("lane", [Lane.BUY, Lane.SETTLE])
    async def test_other_lanes_hand_out_ids_alone(self, stores: Stores, lane: Lane):
        """Their steps read the order themselves."""
        stores.raw.zadd(f"rb:due:{lane}", {"ord_1": 1})
        claim = await stores.engine.claim(lane, 10, 35)
        assert claim.entries == (("ord_1", ""),)
        assert stores.due(lane) == pytest.approx(stores.now() + 35, abs=1)

    async def test_claim_hears_the_servers_clock(self, stores: Stores):
        """All workers speak of the same time."""
        await stores.engine.claim(Lane.POLL, 10, 5)
        assert stores.engine.clock.now() == pytest.approx(stores.now(), abs=1)

    async def test_wake_up_of_a_vanished_order_is_dropped(self, stores: Stores):
        """A poll that has nothing to poll for ends."""
        stores.raw.zadd("rb:due:poll", {"ord_0": 1})
        assert (await stores.engine.claim(Lane.POLL, 10, 5)).entries == ()
        assert stores.lanes("ord_0") == []

    async def test_postponing_resurrects_nothing(self, stores: Stores):
        """An order that has left the lane meanwhile stays out of it."""
        await stores.waiting(at=stores.now() + 1)
        await stores.engine.postpone(Lane.SETTLE, "ord_1", stores.now() + 60)
        assert stores.lanes() == ["poll"]
        await stores.engine.postpone(Lane.POLL, "ord_1", stores.now() + 60)
        assert stores.due("poll") == pytest.approx(stores.now() + 60, abs=1)
        await stores.engine.drop(Lane.POLL, "ord_1")
        assert stores.lanes() == []

    async def test_cap_paces_what_is_claimed(self, stores: Stores):
        """Ten a second: ten at most, a tenth of a second between two, and the next claim begins behind them."""
        for n in range(15):
            await stores.waiting(id=f"ord_{n}")
        claim = await stores.capped.claim(Lane.POLL, 200, 60)
        assert len(claim.entries) == 10
        assert claim.gap == pytest.approx(0.1)
        assert claim.first == 0
        assert len((await stores.capped.claim(Lane.POLL, 200, 60)).entries) <= 2

    async def test_cancels_outrank_polls_and_polls_outrank_buys(self, stores: Stores):
        """What is due there keeps its share of the coming second."""
        stores.accepted(id="ord_b")
        for n in range(8):
            await stores.waiting(id=f"ord_{n}")
        stores.raw.zadd("rb:due:settle", {f"ord_s{n}": 1 for n in range(2)})
        assert (await stores.capped.claim(Lane.BUY, 200, 60)).entries == ()
        assert len((await stores.capped.claim(Lane.POLL, 200, 60)).entries) == 6
        assert len((await stores.capped.claim(Lane.SETTLE, 200, 60)).entries) == 2

    async def test_reserved_call_waits_for_its_slot(self, stores: Stores):
        """The second call of a step is paced too."""
        waits = [await stores.capped.reserve() for _ in range(3)]
        assert waits == [0.0, pytest.approx(0.1, abs=0.05), pytest.approx(0.2, abs=0.05)]
        assert await stores.engine.reserve() == 0.0

    async def test_hold_stops_polls_and_buys_but_not_settling(self, stores: Stores):
        """Cancels have a deadline; whether they wait is decided by the step."""
        await stores.waiting()
        stores.accepted(id="ord_2")
        stores.raw.zadd("rb:due:settle", {"ord_3": 1})
        await stores.engine.throttle(30, 10)
        assert await stores.engine.held() == pytest.approx(30, abs=1)
        assert (await stores.engine.claim(Lane.POLL, 10, 5)).entries == ()
        assert (await stores.engine.claim(Lane.BUY, 10, 5)).entries == ()
        assert len((await stores.engine.claim(Lane.SETTLE, 10, 5)).entries) == 1

    async def test_hold_keeps_no_order_from_its_deadline(self, stores: Stores):
        """What is to be cancelled before the hold ends moves on to `settle`; the rest is polled after it."""
        await stores.waiting(cancel_after=540)
        await stores.waiting(id="ord_2", cancel_after=700)
        await stores.engine.throttle(600, 10)
        hints = (await stores.tick("w1")).hints
        assert (hints[Lane.POLL], hints[Lane.BUY]) == (1, 0)
        assert (await stores.engine.claim(Lane.POLL, 10, 5)).entries == ()
        assert (stores.lanes("ord_1"), stores.lanes("ord_2")) == (["settle"], ["poll"])
        assert stores.due("settle", "ord_1") == pytest.approx(stores.now() + 540, abs=1)
        assert stores.due("poll", "ord_2") == pytest.approx(stores.now() + 600, abs=1)

    async def test_after_a_hold_the_rate_is_halved_once_and_grows(self, stores: Stores):
        """Many refusals in one incident halve it once."""
        for _ in range(3):
            await stores.engine.throttle(0.03, 10)
        await stores.pass_time(0.05)
        assert float(stores.raw.hget("rb:limit", "rate")) == 5
        await stores.waiting()
        assert (await stores.engine.claim(Lane.POLL, 10, 5)).gap == pytest.approx(0.2, abs=0.02)
        assert await stores.engine.held() == 0.0

    async def test_missing_is_counted_in_a_row(self, stores: Stores):
        """A pause in between starts the count anew."""
        assert [await stores.engine.count_missing("ord_1", 0.03) for _ in range(2)] == [1, 2]
        await stores.pass_time(0.05)
        assert await stores.engine.count_missing("ord_1", 0.03) == 1


class TurnConformance:
    """Turns between callers whose orders wait to be bought."""

    def queue(self, stores: Stores, caller: str, count: int) -> None:
        """So many orders of a caller; their ids begin with its id."""
        for n in range(count):
            stores.accepted(id=f"{caller}-{n:03}", caller=caller)

    async def bought(self, stores: Stores, count: int, most: int = 1) -> list[str]:
        """The callers of the next orders that are claimed, by claims of `most` each."""
        claimed: list[str] = []
        while len(claimed) < count:
            entries = (await stores.engine.claim(Lane.BUY, most, 600)).entries
            assert entries, "nobody has a turn"
            claimed += [order_id.partition("-")[0] for order_id, _ in entries]
        return claimed

    @pytest.mark.parametrize("most", [1, 7, 200])
    async def test_callers_take_turns_whatever_a_claim_takes(self, stores: Stores, most: int):
        """However many orders one has queued, another's only one is among the next."""
        self.queue(stores, "big", 100)
        self.queue(stores, "middle", 10)
        self.queue(stores, "small", 1)
        claimed = await self.bought(stores, 111, most)
        assert "small" in claimed[:3]
        assert claimed[:21].count("middle") == 10
        assert claimed.count("big") == 100

    async def test_newcomer_is_next_however_many_turns_were_taken(self, stores: Stores):
        """Who had nothing queued has saved nothing up and owes nothing."""
        self.queue(stores, "big", 100)
        await self.bought(stores, 50)
        self.queue(stores, "small", 3)
        assert (await self.bought(stores, 6)).count("small") == 3

    async def test_first_come_first_served_within_a_caller(self, stores: Stores):
        """In the order in which they were posted."""
        self.queue(stores, "big", 12)
        claimed = [(await stores.engine.claim(Lane.BUY, 5, 600)).entries for _ in range(3)]
        ids = [order_id for entries in claimed for order_id, _ in entries]
        assert ids == [f"big-{n:03}" for n in range(12)]

    async def test_weight_is_the_number_of_orders_in_a_turn(self, stores: Stores):
        """Of four that are bought three are those of a caller with weight three."""
        heavy = caller(id="heavy", weight=3)
        assert stores.blocking.save_caller(None, heavy) is Written.SAVED
        self.queue(stores, "heavy", 40)
        self.queue(stores, "light", 40)
        assert (await self.bought(stores, 40)).count("heavy") == pytest.approx(30, abs=1)

    async def test_what_was_claimed_and_dropped_takes_its_turn_again(self, stores: Stores):
        """A worker that died costs one round; what comes back does not go before other callers."""
        self.queue(stores, "big", 3)
        assert len((await stores.engine.claim(Lane.BUY, 10, 0.03)).entries) == 3
        assert stores.lanes("big-000") == ["buy"]
        await stores.pass_time(0.05)
        self.queue(stores, "small", 1)
        assert sorted(await self.bought(stores, 4)) == ["big", "big", "big", "small"]

    async def test_withdrawn_order_gives_its_turn_back(self, stores: Stores):
        """A caller that cancelled its whole queue is a newcomer again."""
        self.queue(stores, "big", 50)
        for n in range(50):
            waiting = stores.blocking.load(f"big-{n:03}")
            assert waiting is not None
            stores.blocking.save(waiting, waiting.withdraw(stores.now()), wake=None)
        assert stores.raw.zcard("rb:turns") == 0
        self.queue(stores, "small", 20)
        stores.accepted(id="big-x", caller="big")
        assert "big" in (await self.bought(stores, 21))[:3]

    async def test_put_off_order_comes_back_when_it_is_due(self, stores: Stores):
        """Not before, and whoever postponed it."""
        self.queue(stores, "big", 2)
        await stores.engine.claim(Lane.BUY, 1, 600)
        await stores.engine.postpone(Lane.BUY, "big-000", stores.now() - 1)
        ids = [one for one, _ in (await stores.engine.claim(Lane.BUY, 10, 600)).entries]
        assert ids == ["big-001", "big-000"]

    async def test_under_a_cap_one_call_in_five_is_a_purchase(self, stores: Stores):
        """However many polls are due; the other four are theirs."""
        for n in range(100):
            await stores.waiting(id=f"ord_{n:03}")
        self.queue(stores, "big", 20)
        calls = {Lane.POLL: 0, Lane.BUY: 0}
        for _ in range(12):
            for lane in (Lane.POLL, Lane.BUY):
                calls[lane] += len((await stores.capped.claim(lane, 200, 0.01)).entries)
            stores.raw.hset("rb:limit", "next", 0)
        share = calls[Lane.BUY] / sum(calls.values())
        assert share == pytest.approx(0.2, abs=0.04)

    async def test_queue_counts_as_held_and_due(self, stores: Stores):
        """For the clock, for metrics and for doctor."""
        self.queue(stores, "big", 5)
        assert (await stores.tick("w1")).hints[Lane.BUY] == 3
        buy = stores.blocking.depths()[Lane.BUY]
        assert (buy["held"], buy["due"]) == (5, 5)
        assert buy["late"] == pytest.approx(1, abs=1)
        assert (await stores.engine.depths())[Lane.BUY] == 5
        await stores.engine.claim(Lane.BUY, 1, 600)
        assert stores.blocking.depths()[Lane.BUY]["late"] == pytest.approx(0, abs=1)


class DeliveryConformance:
    """Claiming webhooks and recording attempts."""

    async def test_claimed_webhook_is_leased(self, stores: Stores):
        """Nobody else gets it while the attempt may be under way."""
        stores.ping("evt_1")
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        assert claimed == stores.blocking.load_event("evt_1")
        assert await stores.engine.claim_events(10, 20, "w1") == []
        assert stores.due("deliver", "evt_1") == pytest.approx(stores.now() + 20, abs=1)

    async def test_lease_of_a_dead_worker_runs_out(self, stores: Stores):
        """The attempt is made again by somebody else."""
        stores.ping("evt_1")
        await stores.engine.claim_events(10, 0.03, "w1")
        await stores.pass_time(0.05)
        assert [one.id for one in await stores.engine.claim_events(10, 20, "w1")] == ["evt_1"]

    async def test_receiver_gets_a_few_at_a_time_and_stands_in_nobodys_way(self, stores: Stores):
        """What finds no room at its endpoint is put off; others go ahead."""
        for n in range(PER_ENDPOINT + 3):
            stores.ping(f"evt_{n:02}")
        stores.ping("evt_other", "https://other.example/")
        claimed = [one.id for one in await stores.engine.claim_events(50, 20, "w1")]
        assert len(claimed) == PER_ENDPOINT + 1
        assert "evt_other" in claimed
        assert await stores.engine.claim_events(50, 20, "w1") == []

    async def test_free_place_wakes_who_waits_longest(self, stores: Stores):
        """As soon as one attempt ends the next is due."""
        for n in range(PER_ENDPOINT + 2):
            stores.raw.zadd("rb:due:deliver", {stores.ping(f"evt_{n:02}").id: n})
        claimed = await stores.engine.claim_events(50, 20, "w1")
        assert await stores.recorded(claimed[0], EventStatus.DELIVERED, up=True) == 1
        assert [one.id for one in await stores.engine.claim_events(50, 20, "w1")] == [f"evt_{PER_ENDPOINT:02}"]

    async def test_failing_endpoint_is_probed_one_at_a_time_until_it_answers(self, stores: Stores):
        """Several failures in a row close it but for a probe; one success opens it."""
        for n in range(PROBE_AFTER):
            stores.ping(f"evt_{n}")
            (claimed,) = await stores.engine.claim_events(10, 20, "w1")
            await stores.recorded(claimed, EventStatus.EXHAUSTED, up=False)
        for n in range(3):
            stores.ping(f"evt_more_{n}")
        (probe,) = await stores.engine.claim_events(10, 20, "w1")
        assert await stores.recorded(probe, EventStatus.DELIVERED, up=True) == 2
        assert len(await stores.engine.claim_events(10, 20, "w1")) == 2

    async def test_failing_endpoint_closes_no_other_at_its_host(self, stores: Stores):
        """Another path, and another caller's same path, have places and breakers of their own; a query has not."""
        here = "https://shared.example/a"
        for n in range(PROBE_AFTER):
            stores.ping(f"evt_{n}", f"{here}?n={n}")
            (claimed,) = await stores.engine.claim_events(10, 20, "w1")
            await stores.recorded(claimed, EventStatus.EXHAUSTED, up=False)
        for n in range(2):
            stores.ping(f"evt_a{n}", f"{here}?more={n}")
            stores.ping(f"evt_b{n}", "https://shared.example/b")
            stores.ping(f"evt_c{n}", here, caller="cal_2")
        claimed_ids = {one.id for one in await stores.engine.claim_events(50, 20, "w1")}
        assert claimed_ids == {"evt_a0", "evt_b0", "evt_b1", "evt_c0", "evt_c1"}

    async def test_host_out_of_reach_is_probed_for_all_its_endpoints(self, stores: Stores):
        """One attempt at a time over all of them, until one reaches it: whatever that one is answered."""
        for n in range(PROBE_AFTER):
            stores.ping(f"evt_{n}", f"https://away.example/{n}")
            (claimed,) = await stores.engine.claim_events(10, 20, "w1")
            await stores.recorded(claimed, EventStatus.EXHAUSTED, up=None, host_is_up=False)
        for n in range(3):
            stores.ping(f"evt_more_{n}", f"https://away.example/more/{n}")
        (probe,) = await stores.engine.claim_events(10, 20, "w1")
        assert await stores.recorded(probe, EventStatus.EXHAUSTED, up=False) == 2
        assert len(await stores.engine.claim_events(10, 20, "w1")) == 2

    async def test_many_hanging_endpoints_shut_out_no_other_at_their_host(self, stores: Stores):
        """Each has more due than it has places; the newcomer has one at once, of the same caller or another's."""
        for n in range(30 * PER_ENDPOINT):
            stores.ping(f"evt_{n:03}", f"https://shared.example/hangs/{n % 30}")
        hanging = len(await stores.engine.claim_events(2000, 20, "w1"))
        assert 30 <= hanging < PER_HOST
        stores.ping("evt_mine", "https://shared.example/mine")
        stores.ping("evt_theirs", "https://shared.example/theirs", caller="cal_2")
        assert {one.id for one in await stores.engine.claim_events(50, 20, "w1")} == {"evt_mine", "evt_theirs"}

    async def test_caller_takes_no_more_of_a_host_than_it_leaves_free(self, stores: Stores):
        """A caller that names another's receiver, by as many paths as it likes."""
        for n in range(2 * PER_HOST):
            stores.ping(f"evt_{n:03}", f"https://shared.example/{n}")
        assert len(await stores.engine.claim_events(2000, 20, "w1")) == PER_HOST // 2
        stores.ping("evt_theirs", "https://shared.example/theirs", caller="cal_2")
        assert [one.id for one in await stores.engine.claim_events(50, 20, "w1")] == ["evt_theirs"]

    async def test_endpoints_that_wait_for_their_host_take_turns(self, stores: Stores):
        """Each free place goes to the next endpoint, not to the next webhook of the last."""
        for n in range(PER_HOST // 2):
            stores.ping(f"evt_{n:03}", f"https://shared.example/{n}")
        flying = await stores.engine.claim_events(2000, 20, "w1")
        for n in range(6):
            stores.ping(f"evt_x{n}", f"https://shared.example/{'first' if n < 4 else 'second'}")
        assert await stores.engine.claim_events(50, 20, "w1") == []
        served = []
        for ended in flying[:3]:
            await stores.recorded(ended, EventStatus.DELIVERED, up=True)
            served += [one.url.rpartition("/")[2] for one in await stores.engine.claim_events(50, 20, "w1")]
        assert sorted(served[:2]) == ["first", "second"]

    async def test_callers_share_of_all_deliveries_is_bounded(self, stores: Stores):
        """By a number, and by what this process has left; what waits is woken by a place of its own caller's."""
        for n in range(PER_CALLER + 20):
            stores.ping(f"evt_{n:03}", f"https://host-{n}.example/")
        assert len(await stores.engine.claim_events(2000, 20, "w1", free=60)) == 30
        mine = await stores.engine.claim_events(2000, 20, "w1", free=2000)
        assert mine == []  # all the others wait for a place by now
        stores.raw.zadd("rb:due:deliver", {f"evt_{n:03}": 1 for n in range(30, PER_CALLER + 20)})
        mine = await stores.engine.claim_events(2000, 20, "w1", free=2000)
        assert len(mine) == PER_CALLER - 30
        stores.ping("evt_theirs", caller="cal_2")
        assert [one.id for one in await stores.engine.claim_events(50, 20, "w1")] == ["evt_theirs"]
        assert await stores.recorded(mine[0], EventStatus.DELIVERED, up=True) >= 1
        assert len(await stores.engine.claim_events(50, 20, "w1")) == 1

    async def test_no_address_is_in_a_key(self, stores: Stores):
        """A path or a query may hold a secret."""
        for n in range(PER_ENDPOINT + 2):
            stores.ping(f"evt_{n:02}", f"https://secret-host.example/secret-path-{n % 2}?secret-query")
        claimed = await stores.engine.claim_events(50, 20, "w1")
        await stores.recorded(claimed[0], EventStatus.PENDING, up=False, due_at=stores.now() + 5)
        assert not [key for key in stores.raw.keys("*") if b"secret" in key]

    async def test_attempt_that_says_nothing_of_the_host_counts_for_nothing(self, stores: Stores):
        """What our own guard refused is no failure of the receiver."""
        for n in range(PROBE_AFTER + 1):
            stores.ping(f"evt_{n}")
            (claimed,) = await stores.engine.claim_events(10, 20, "w1")
            await stores.recorded(claimed, EventStatus.EXHAUSTED, up=None)
        for n in range(3):
            stores.ping(f"evt_more_{n}")
        assert len(await stores.engine.claim_events(10, 20, "w1")) == 3

    async def test_attempt_is_recorded_with_what_follows(self, stores: Stores):
        """Due again when the schedule says so, or never."""
        stores.ping("evt_1")
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        at = stores.now() + 40
        await stores.recorded(claimed, EventStatus.PENDING, up=False, due_at=at)
        stored = stores.blocking.load_event("evt_1")
        assert stored is not None
        assert (stored.version, stored.tries, len(stored.attempts)) == (2, 1, 1)
        assert stores.due("deliver", "evt_1") == pytest.approx(at, abs=0.002)
        await stores.recorded(stored, EventStatus.DELIVERED, up=True)
        assert stores.lanes("evt_1") == []
        assert stores.blocking.load_event("evt_1").status is EventStatus.DELIVERED  # type: ignore[union-attr]

    async def test_late_attempt_overwrites_nothing(self, stores: Stores):
        """A worker that slept through its lease does not undo what another recorded."""
        stores.ping("evt_1")
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        await stores.recorded(claimed, EventStatus.DELIVERED, up=True)
        await stores.recorded(claimed, EventStatus.PENDING, up=False, due_at=stores.now())
        assert stores.lanes("evt_1") == []
        assert stores.blocking.load_event("evt_1").status is EventStatus.DELIVERED  # type: ignore[union-attr]

    async def test_acknowledged_code_is_erased_earlier_never_later(self, stores: Stores):
        """Some time after the acknowledgement, at the latest when it would have been anyway."""
        _, owed = await stores.received()
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        assert claimed.id == owed.id
        await stores.recorded(claimed, EventStatus.DELIVERED, up=True, erase_after=900)
        soon = stores.raw.zscore("rb:erase", "ord_1")
        assert soon == pytest.approx((stores.now() + 900) * 1000, abs=2000)
        stored = stores.blocking.load_event(owed.id)
        assert stored is not None
        await stores.recorded(stored, EventStatus.DELIVERED, up=True, erase_after=9000)
        assert stores.raw.zscore("rb:erase", "ord_1") == soon

    async def test_redelivery_sends_it_once_more(self, stores: Stores):
        """Same id, due now, the schedule from its start."""
        stores.ping("evt_1")
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        assert not stores.blocking.redeliver(claimed, stores.now())
        await stores.recorded(claimed, EventStatus.EXHAUSTED, up=False)
        stored = stores.blocking.load_event("evt_1")
        assert stored is not None
        assert stores.blocking.redeliver(stored, stores.now())
        assert not stores.blocking.redeliver(stored, stores.now())
        (again,) = await stores.engine.claim_events(10, 20, "w1")
        assert (again.id, again.tries, again.status) == ("evt_1", 0, EventStatus.PENDING)

    async def test_record_can_be_rewritten_without_touching_the_delivery(self, stores: Stores):
        """Under the version that was read."""
        before = stores.ping("evt_1")
        after = replace(before, body=b"{}", version=2)
        assert await stores.engine.rewrite_event(before, after)
        assert not await stores.engine.rewrite_event(before, after)
        assert stores.blocking.load_event("evt_1").body == b"{}"  # type: ignore[union-attr]
        assert stores.lanes("evt_1") == ["deliver"]

    async def test_bulk_redelivery_looks_at_every_webhook_whatever_comes_and_goes(self, stores: Stores):
        """In many steps; what is in the state all the time is looked at, in whatever order the store keeps it."""
        wanted = EventFilter(status=EventStatus.PENDING)
        stayed = {stores.ping(f"evt_{place:03}", url=f"https://caller{place}.example/").id for place in range(300)}
        stores.blocking.jobs.start("alice", "all", wanted, 0, stores.now())
        looked_at: set[str] = set()
        steps = 0
        while jobs := await stores.engine.open_jobs():
            ids, cursor = await stores.engine.candidates_of_job(jobs[0], 20)
            looked_at.update(ids)
            stores.ping(f"evt_new{steps}")
            for gone in sorted(stayed - looked_at)[:1]:
                stores.raw.zrem("rb:due:deliver", gone)
                stayed.discard(gone)
            found = dict.fromkeys(ids, stores.now())
            await stores.engine.found_for_job(jobs[0], found, looked_at=len(ids), unreadable=0, cursor=cursor)
            steps += 1
        counted = stores.blocking.jobs.newest()[0]
        assert steps > 5
        assert stayed <= looked_at
        assert (counted.state, counted.total) == (JobState.COUNTED, len(looked_at))
        assert stores.blocking.jobs.accept(counted.id) == counted.total
        assert stores.blocking.jobs.accept(counted.id) is None
        (running,) = await stores.engine.open_jobs()
        assert set(await stores.engine.next_of_job(running, 1000)) == looked_at

    async def test_stopped_bulk_redelivery_stays_stopped(self, stores: Stores):
        """Even if a worker is in the middle of a batch of it, which only then writes how far it has come."""
        stores.ping("evt_1")
        job_id = stores.blocking.jobs.start("alice", "all", EventFilter(status=EventStatus.PENDING), 5, stores.now())
        (job,) = await stores.engine.open_jobs()
        ids, cursor = await stores.engine.candidates_of_job(job, 20)
        assert stores.blocking.jobs.stop(job_id)
        assert not stores.blocking.jobs.stop(job_id)
        found = dict.fromkeys(ids, stores.now())
        after = await stores.engine.found_for_job(job, found, looked_at=len(ids), unreadable=0, cursor=cursor)
        assert after is not None
        assert after.state is JobState.STOPPED
        assert await stores.engine.open_jobs() == []

    async def test_vanished_webhook_is_dropped(self, stores: Stores):
        """Its time was over before it was delivered."""
        stores.raw.zadd("rb:due:deliver", {"evt_0": 1})
        assert await stores.engine.claim_events(10, 20, "w1") == []
        assert stores.lanes("evt_0") == []


class HeartbeatConformance:
    """Who lives, and what is given back of those that do not."""

    async def test_who_was_not_heard_of_is_dead(self, stores: Stores):
        """It is reported until somebody has given back what it was delivering, which one does."""
        await stores.engine.alive("w2", 20, 20)
        await stores.pass_time(0.03)
        assert await stores.engine.alive("w1", 20, 20) is None
        assert stores.blocking.workers(20) == 2
        assert await stores.engine.alive("w1", 0.02, 20) == "w2"
        assert await stores.engine.release("w2", 0.02) == 0
        assert stores.blocking.workers(20) == 1
        assert await stores.engine.release("w2", 0.02) is None
        assert await stores.engine.alive("w1", 0.02, 20) is None

    async def test_what_a_dead_worker_was_delivering_is_due_at_once(self, stores: Stores):
        """Its leases and its places at the host are given back."""
        for n in range(PER_ENDPOINT + 1):
            stores.ping(f"evt_{n}")
        await stores.engine.alive("w2", 20, 20)
        assert len(await stores.engine.claim_events(50, 20, "w2")) == PER_ENDPOINT
        assert await stores.engine.claim_events(50, 20, "w1") == []
        assert await stores.engine.release("w2", 0) == PER_ENDPOINT
        again = await stores.engine.claim_events(50, 20, "w1")
        assert [one.id for one in again] == [f"evt_{n}" for n in range(PER_ENDPOINT)]

    async def test_webhook_whose_workers_die_is_handed_on_more_and_more_slowly(self, stores: Stores):
        """At once the first time; a recorded attempt begins anew."""
        pauses = [await self._died_with_evt_1(stores) for _ in range(4)]
        assert pauses == [pytest.approx(pause, abs=2) for pause in (0, 4, 16, 64)]
        stores.raw.zadd("rb:due:deliver", {"evt_1": 1})
        (claimed,) = await stores.engine.claim_events(10, 20, "w1")
        await stores.recorded(claimed, EventStatus.PENDING, False, due_at=stores.now() - 1)
        assert await self._died_with_evt_1(stores) == pytest.approx(0, abs=2)

    async def _died_with_evt_1(self, stores: Stores) -> float:
        """A worker claims a webhook and dies; returns the seconds until it is due again."""
        if stores.blocking.load_event("evt_1") is None:
            stores.ping("evt_1")
        stores.raw.zadd("rb:due:deliver", {"evt_1": 1})
        await stores.engine.alive("w2", 20, 20)
        assert len(await stores.engine.claim_events(10, 20, "w2")) == 1
        assert await stores.engine.release("w2", 0) == 1
        due = stores.due("deliver", "evt_1")
        assert due is not None
        return due - stores.now()

    async def test_who_is_heard_of_again_keeps_what_it_delivers(self, stores: Stores):
        """It stood still for a moment and was reported, but it is back before anything was taken from it."""
        stores.ping("evt_1")
        await stores.engine.alive("w2", 20, 20)
        await stores.engine.claim_events(10, 20, "w2")
        await stores.pass_time(0.03)
        assert await stores.engine.alive("w1", 0.02, 20) == "w2"
        await stores.engine.alive("w2", 20, 20)
        assert await stores.engine.release("w2", 20) is None
        assert await stores.engine.claim_events(10, 20, "w1") == []

    async def test_what_a_dead_worker_had_recorded_stays_recorded(self, stores: Stores):
        """A retry that is due later is not brought forward; only what stood under its lease is."""
        for event_id in ("evt_1", "evt_2"):
            stores.ping(event_id)
        await stores.engine.alive("w2", 20, 20)
        claimed = await stores.engine.claim_events(10, 20, "w2")
        await stores.recorded(claimed[0], EventStatus.PENDING, False, due_at=stores.now() + 60)
        assert await stores.engine.release("w2", 0) == 1
        assert [one.id for one in await stores.engine.claim_events(10, 20, "w1")] == [claimed[1].id]

    async def test_nobody_is_dead_because_the_store_was_away(self, stores: Stores):
        """When nobody was heard of at all, that says nothing; everybody gets a whole life to be heard of."""
        await stores.engine.alive("w2", 20, 20)
        await stores.pass_time(0.2)
        assert await stores.engine.alive("w1", 0.15, 0.1) is None
        assert await stores.engine.alive("w1", 0.15, 0.1) is None
        await stores.pass_time(0.2)
        assert await stores.engine.alive("w1", 0.15, 20) == "w2"

    async def test_who_signs_off_gives_everything_back(self, stores: Stores):
        """Nothing waits for its lease, and it is not missed."""
        stores.ping("evt_1")
        await stores.engine.alive("w2", 20, 20)
        await stores.engine.claim_events(10, 20, "w2")
        await stores.engine.leave("w2")
        assert len(await stores.engine.claim_events(10, 20, "w1")) == 1
        await stores.pass_time(0.03)
        assert await stores.engine.alive("w1", 0.02, 20) is None


class ClockConformance:
    """The clock that hands out hints."""

    async def test_one_worker_ticks_at_a_time(self, stores: Stores):
        """Who holds the token keeps it; when it stops, another takes over."""
        assert (await stores.tick("w1")).holder
        assert not (await stores.tick("w2")).holder
        assert (await stores.tick("w1")).holder
        await stores.pass_time(0.06)
        assert (await stores.tick("w2")).holder
        assert not (await stores.tick("w1")).holder
        assert stores.blocking.last_tick() == pytest.approx(stores.now(), abs=1)

    async def test_token_is_handed_over_by_its_holder_only(self, stores: Stores):
        """A worker that ends leaves at once; one that never had it takes nothing away."""
        await stores.tick("w1", token=60)
        await stores.engine.leave("w2")
        assert not (await stores.tick("w2")).holder
        await stores.engine.leave("w1")
        assert (await stores.tick("w2")).holder

    async def test_hints_are_topped_up_not_piled_up(self, stores: Stores):
        """As many as batches are due, less what is under way; a claim takes one off; lost ones are forgotten."""
        for n in range(5):
            await stores.waiting(id=f"ord_{n}")
        assert (await stores.tick("w1")).hints == {"settle": 0, "poll": 3, "buy": 0, "deliver": 0}
        assert (await stores.tick("w1")).hints[Lane.POLL] == 0
        await stores.engine.claim(Lane.POLL, 1, 60)
        assert (await stores.tick("w1")).hints[Lane.POLL] == 0
        await stores.engine.claim(Lane.POLL, 0, 60)
        assert (await stores.tick("w1")).hints[Lane.POLL] == 1
        await stores.pass_time(0.06)
        assert (await stores.tick("w1")).hints[Lane.POLL] == 2

    async def test_hints_are_bounded(self, stores: Stores):
        """However much is due."""
        stores.raw.zadd("rb:due:settle", {f"ord_{n}": 1 for n in range(100)})
        assert (await stores.tick("w1")).hints[Lane.SETTLE] == 5

    async def test_hints_that_nobody_consumes_do_not_pile_up_in_the_queue(self, stores: Stores):
        """What lies in the broker's queue counts as under way, even when its count has lapsed."""
        stores.raw.zadd("rb:due:settle", {"ord_1": 1})
        stores.raw.rpush("settle", "a hint")
        assert (await stores.tick("w1", queues_here=True)).hints[Lane.SETTLE] == 0
        assert (await stores.tick("w1")).hints[Lane.SETTLE] == 1

    async def test_few_polls_wait_a_little_for_company(self, stores: Stores):
        """A hint costs as much as many polls; a full batch, or the oldest's patience, ends the wait."""
        await stores.waiting(at=stores.now() - 0.001)
        assert (await stores.tick("w1", linger=60)).hints[Lane.POLL] == 0
        await stores.waiting(id="ord_2", at=stores.now() - 61)
        assert (await stores.tick("w1", linger=60, batch=3)).hints[Lane.POLL] == 1

    async def test_full_batch_waits_for_nobody(self, stores: Stores):
        """Two due and two to a batch."""
        for n in range(2):
            await stores.waiting(id=f"ord_{n}")
        assert (await stores.tick("w1", linger=60)).hints[Lane.POLL] == 1

    async def test_chores_come_round(self, stores: Stores):
        """Each once a period, whoever ticks."""
        chores = (("mend", 0.03, None), ("trim", 3600.0, None))
        assert (await stores.tick("w1", chores=chores)).chores == ("mend", "trim")
        assert (await stores.tick("w1", chores=chores)).chores == ()
        await stores.pass_time(0.05)
        assert (await stores.tick("w1", chores=chores)).chores == ("mend",)

    async def test_refresh_request_is_handed_out_once(self, stores: Stores):
        """Who asks for a reading gets one."""
        stores.blocking.request_refresh("balance")
        await stores.engine.request_refresh("servers:2")
        assert sorted(await stores.engine.take_refresh_requests()) == ["balance", "servers:2"]
        assert await stores.engine.take_refresh_requests() == []

    async def test_lowest_price_of_a_product_is_that_of_all_its_lists(self, stores: Stores):
        """Until a list names none any more."""
        for what, price in (("services:sms:33:4", "45"), ("services:sms:1:1", "19.75")):
            await stores.engine.note_lowest_price("sms", what, Decimal(price))
        await stores.engine.note_lowest_price("email", "services:email:gmail.com", Decimal("25.00"))
        assert await stores.engine.lowest_prices() == {"sms": Decimal("19.75"), "email": Decimal(25)}
        await stores.engine.note_lowest_price("sms", "services:sms:1:1", None)
        assert (await stores.engine.lowest_prices())["sms"] == 45


class IndexConformance:
    """Lists, pages and upkeep."""

    async def test_orders_come_in_pages_newest_first(self, stores: Stores):
        """Following the cursor shows each once; another caller's are not among them."""
        at = stores.now()
        for n in range(5):
            stores.accepted(id=f"ord_{n}", created_at=at + n)
        stores.accepted(id="ord_x", caller="cal_2")
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page, cursor = stores.blocking.orders("cal_1", status=None, limit=2, before=cursor)
            seen += [one.id for one in page]
            if cursor is None:
                break
        assert seen == ["ord_4", "ord_3", "ord_2", "ord_1", "ord_0"]

    async def test_orders_can_be_asked_for_by_status(self, stores: Stores):
        """The page holds only those."""
        stores.accepted(id="ord_1")
        await stores.waiting(id="ord_2")
        page, cursor = stores.blocking.orders("cal_1", status="waiting", limit=10, before=None)
        assert ([one.id for one in page], cursor) == (["ord_2"], None)

    async def test_cursor_of_somebody_else_is_not_found(self, stores: Stores):
        """A cursor belongs to its list."""
        stores.accepted(id="ord_x", caller="cal_2")
        with pytest.raises(NotFound):
            stores.blocking.orders("cal_1", status=None, limit=2, before="ord_x")

    async def test_events_are_listed_by_order_and_status(self, stores: Stores):
        """Newest first, with their sequence."""
        await stores.received(id="ord_1")
        await stores.received(id="ord_2")
        stores.ping("evt_ping")
        page, _ = stores.blocking.events("cal_1", order=None, status=None, limit=10, before=None)
        assert [(one.id, one.sequence) for one in page] == [
            ("evt_ping", 3), ("evt_ord_2", 2), ("evt_ord_1", 1),
        ]  # fmt: skip
        mine, _ = stores.blocking.events("cal_1", order="ord_2", status="pending", limit=10, before=None)
        assert [one.id for one in mine] == ["evt_ord_2"]
        none, _ = stores.blocking.events("cal_1", order="ord_2", status="gone", limit=10, before=None)
        assert none == []

    async def test_caller_that_was_down_catches_up_in_order(self, stores: Stores):
        """What came after a sequence number, oldest first."""
        for n in range(4):
            stores.ping(f"evt_{n}")
        page, last = stores.blocking.events_after("cal_1", 1, 2)
        assert ([one.id for one in page], last) == (["evt_1", "evt_2"], "evt_2")
        assert stores.blocking.events_after("cal_1", 4, 2) == ([], None)

    async def test_what_is_gone_takes_no_place_in_the_feed(self, stores: Stores):
        """However many events have expired, the ones behind them are reached, and the place to go on from exists."""
        for n in range(230):
            stores.ping(f"evt_{n}")
        for n in range(225):
            stores.raw.delete(f"rb:event:evt_{n}", f"rb:event:evt_{n}:record")
        page, last = stores.blocking.events_after("cal_1", 0, 3)
        assert ([one.id for one in page], last) == (["evt_225", "evt_226", "evt_227"], "evt_227")

    async def test_event_that_nobody_is_pushed_is_recorded_and_due_nowhere(self, stores: Stores):
        """It is there to be read; no worker claims it."""
        bought = await stores.waiting()
        told = replace(event(order=bought.id, url="", created_at=stores.now()), status=EventStatus.RECORDED)
        got = bought.receive("847293", stores.now())
        assert await stores.engine.save(bought, got, wake=None, events=[told]) is Written.SAVED
        kept = stores.blocking.load_event(told.id)
        assert kept is not None
        assert (kept.status, kept.body) == (EventStatus.RECORDED, told.body)
        assert await stores.engine.claim_events(10, 5.0, "w1") == []

    async def test_lost_wake_up_is_mended(self, stores: Stores):
        """Expected never to be needed: an open order without one gets one in the lane of its state."""
        await stores.waiting(id="ord_1")
        stores.accepted(id="ord_2")
        got, _ = await stores.received(id="ord_3")
        await stores.waiting(id="ord_4", at=stores.now() + 60)
        for lane, lost in (("due:poll", "ord_1"), ("turns", "ord_2"), ("due:settle", "ord_3")):
            stores.raw.zrem(f"rb:{lane}", lost)
        walked, mended = await stores.engine.reconcile("cal_1", 0, 10)
        assert (walked, sorted(mended)) == (4, ["ord_1", "ord_2", "ord_3"])
        assert [stores.lanes(f"ord_{n}") for n in (1, 2, 3, 4)] == [["poll"], ["buy"], ["settle"], ["poll"]]
        assert await stores.engine.reconcile("cal_1", 0, 10) == (4, [])
        assert got.status is Status.RECEIVED

    async def test_vanished_order_leaves_the_open_ones(self, stores: Stores):
        """An index holds no ghosts."""
        stores.raw.zadd("rb:caller:cal_1:open", {"ord_0": 1})
        await stores.engine.reconcile("cal_1", 0, 10)
        assert stores.raw.zcard("rb:caller:cal_1:open") == 0

    async def test_indexes_lose_what_is_past_its_time(self, stores: Stores):
        """Old orders by their age, events when they are gone."""
        stores.accepted(id="ord_old")
        stores.accepted(id="ord_new")
        stores.raw.zadd("rb:caller:cal_1:orders", {"ord_old": (stores.now() - 1000) * 1000})
        stores.ping("evt_0")
        stores.ping("evt_1")
        stores.raw.delete("rb:event:evt_0")
        await stores.engine.trim_indexes("cal_1", stores.now() - 500)
        assert stores.raw.zrange("rb:caller:cal_1:orders", 0, -1) == [b"ord_new"]
        assert stores.raw.zrange("rb:caller:cal_1:events", 0, -1) == [b"evt_1"]

    async def test_counters_of_all_processes_are_summed(self, stores: Stores):
        """Wherever they were counted, on the web or in a worker."""
        await stores.engine.add_report(Report("w1", 1, {'polls{reply="Code"}': 2, "throttled": 1}))
        stores.blocking.add_report(Report("web", 1, {'polls{reply="Code"}': 0.5}))
        assert stores.blocking.counters() == {'polls{reply="Code"}': 2.5, "throttled": 1}

    async def test_repeated_report_counts_once(self, stores: Stores):
        """Its first answer may have been lost on the way."""
        await stores.engine.add_report(Report("w1", 1, {"throttled": 1}))
        await stores.engine.add_report(Report("w1", 1, {"throttled": 1}))
        await stores.engine.add_report(Report("w1", 2, {"throttled": 1}))
        assert stores.blocking.counters() == {"throttled": 2}

    async def test_what_needs_a_person_is_kept_with_its_moment(self, stores: Stores):
        """When it was last counted, on the web or in a worker; nothing is kept of what needs nobody."""
        before = stores.now()
        await stores.engine.add_report(
            Report("w1", 1, {"throttled": 1, 'alerts{kind="wake_up_lost"}': 2, "mended": 0, 'polls{reply="Code"}': 1})
        )
        stores.blocking.add_report(Report("web", 1, {'polls{reply="Code"}': 1, 'failures{lane="buy"}': 1}))
        counted = stores.blocking.counted_at()
        assert set(counted) == {'alerts{kind="wake_up_lost"}', 'failures{lane="buy"}'}
        assert all(before - 1 <= at <= stores.now() + 1 for at in counted.values())
        assert stores.blocking.counters()['alerts{kind="wake_up_lost"}'] == 2

    async def test_callers_beyond_so_many_share_one_series(self, stores: Stores):
        """However many callers there are, the series stay few."""
        counts = {f'caller_orders{{caller="cal_{n}",outcome="accepted"}}': 1.0 for n in range(103)}
        await stores.engine.add_report(Report("w1", 1, counts))
        await stores.engine.add_report(Report("w1", 2, {'caller_orders{caller="cal_0",outcome="failed"}': 1}))
        counted = stores.blocking.counters()
        assert counted['caller_orders{caller="other",outcome="accepted"}'] == 3
        assert counted['caller_orders{caller="cal_0",outcome="failed"}'] == 1
        assert len(counted) == 102

    async def test_levels_are_summed_until_a_process_ends(self, stores: Stores):
        """How full the processes are together; one that has said goodbye counts no more."""
        await stores.engine.add_report(Report("w1", 1, {}, levels={"lane_running": 3, "lane_capacity": 10}))
        stores.blocking.add_report(Report("w2", 1, {}, levels={"lane_running": 4, "lane_capacity": 10}))
        assert stores.blocking.levels() == {"lane_running": 7, "lane_capacity": 20}
        await stores.engine.add_report(Report("w1", 2, {}), last=True)
        assert stores.blocking.levels() == {"lane_running": 4, "lane_capacity": 10}

    async def test_exemplars_name_the_trace_of_the_last_one(self, stores: Stores):
        """One per bucket."""
        bucket = 'code_wait_seconds_bucket{le="5"}'
        await stores.engine.add_report(Report("w1", 1, {bucket: 1}, {bucket: "abc 3.1 1700000000"}))
        await stores.engine.add_report(Report("w1", 2, {bucket: 1}, {bucket: "def 4.2 1700000001"}))
        assert stores.blocking.exemplars() == {bucket: "def 4.2 1700000001"}

    async def test_depths_tell_how_late_a_lane_is(self, stores: Stores):
        """What is held, what is due, and for how long the oldest has been."""
        await stores.waiting(at=stores.now() - 3)
        await stores.waiting(id="ord_2", at=stores.now() + 60)
        poll = stores.blocking.depths()[Lane.POLL]
        assert (poll["held"], poll["due"]) == (2, 1)
        assert poll["late"] == pytest.approx(3, abs=1)
        assert (await stores.engine.depths())[Lane.POLL] == 2

    async def test_account_keeps_the_last_good_reading(self, stores: Stores):
        """An unreadable answer marks it as asked for, and changes nothing else."""
        await stores.engine.put_reading("balance", "500.00")
        before = stores.blocking.reading("balance")
        await stores.engine.put_reading("balance", None)
        after = await stores.engine.reading("balance")
        assert (after.value, after.at) == ("500.00", before.at)
        assert after.asked_at is not None
        assert before.asked_at is not None
        assert after.asked_at >= before.asked_at


class StoreConformance(
    CreateConformance,
    SaveConformance,
    ClaimConformance,
    TurnConformance,
    DeliveryConformance,
    HeartbeatConformance,
    ClockConformance,
    IndexConformance,
):
    """All of it. A module that tests a store inherits this and gives a `stores` fixture."""
