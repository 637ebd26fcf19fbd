"""What a store costs that comes back without its last second: `appendfsync everysec`, and the power was cut.

Nothing can make up for writes that were acknowledged and are gone. What is shown here is that the damage ends with the
lost span: the purchases sent in it are what it may cost, and everything else comes right.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.chaos.callers import Callers, Placed
from tests.chaos.fates import GIVEN_BACK, PAID, Fate, drawn_seed
from tests.chaos.figures import Measured, conditions, counted, write
from tests.chaos.storm import StoreVictim
from tests.chaos.test_chaos import REST, WORKERS, short_lived
from tests.chaos.verdict import PRICES, listed, until_at_rest
from tests.e2e.invariants import check_leaks, codes_shown, gaps
from tests.e2e.provider import buy
from tests.e2e.receiver import Delivery
from tests.e2e.stack import Stack, running_stack, wait_for
from web.sandbox import Order, Seen, State

ORDERS, PLACING, CUTS = 150, 45.0, 6
"""Orders, seconds over which they are placed, and power cuts meanwhile."""
LOST = 1.0
"""Seconds of writes that are gone after a cut."""
ON_ITS_WAY = 1.7
"""Seconds for which a purchase may have been on its way when the lost span began: the slowest answer of `LIVES`."""

LIVES = (
    Fate(name="code", share=2, sms=3.0, ends=PAID),
    Fate(name="no code", share=2, timeout=8.0, ends=GIVEN_BACK),
    Fate(name="bought, slowly", faults=(buy("as_is", charged=True, delay=1.5),), sms=3.0, ends=PAID),
)


@dataclass(slots=True)
class PowerCuts:
    """Takes the store's last writes away, and notes which spans (monotonic seconds) are gone."""

    store: StoreVictim
    client: redis.Redis
    file: Path
    spans: list[tuple[float, float]] = field(default_factory=list)

    def cut(self) -> None:
        """Let the store go on for a while, then kill it and start it as it was before."""
        begun, kept = time.monotonic(), self._written()
        time.sleep(LOST)
        self.store.kill()
        self.spans.append((begun, time.monotonic()))
        with self.file.open("r+b") as file:
            file.truncate(kept)
        self.store.start()

    def _written(self) -> int:
        """The length of the file with all that was written before this call.

        While the disk is busy the store puts writing off for up to two seconds, so the file may lack more than what the
        next second brings.
        """
        mark, begun = f"power cut {len(self.spans)}".encode(), self.file.stat().st_size
        self.client.set("power cut", mark)

        def end_of_mark() -> int | None:
            with self.file.open("rb") as file:
                file.seek(begun)
                place = file.read().rfind(mark)
            return begun + place + len(mark) + len(b"\r\n") if place >= 0 else None

        return wait_for(end_of_mark, what="the store's file holding what was written before")

    def struck(self, asked: Sequence[Seen]) -> list[Seen]:
        """The purchases that were under way in a lost span."""
        return [row for row in asked if any(start - ON_ITS_WAY <= row.arrived <= end for start, end in self.spans)]


@pytest.mark.chaos
def test_a_lost_second_costs_its_own_purchases_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No code is lost, no refund is claimed that is not known, and every number sold outside the span is settled."""
    seed = drawn_seed()
    chance = random.Random(seed)
    deck = [fate for fate in LIVES for _ in range(fate.share)]
    for stack in running_stack(tmp_path, workers=WORKERS, fsync="everysec", settings=short_lived(tmp_path)):
        fates = [chance.choice(deck) for _ in range(ORDERS)]
        callers = Callers(stack, fates, span=PLACING, short_life=PLACING, chance=chance)
        (written,) = (tmp_path / "store" / "store").rglob("*.incr.aof")
        power = PowerCuts(StoreVictim(stack.store), redis.Redis.from_url(stack.store.url), written)
        callers.start()
        for _ in range(CUTS):
            time.sleep(PLACING / CUTS - LOST)
            power.cut()
        callers.finish()
        stack.wait_until_ready()
        forgotten = _place_again(stack, callers)
        until_at_rest(stack, REST)
        told = _measured(stack, power, callers.placed, forgotten)
        broken = [line for one in callers.placed for line in _broken(stack, power, one)]
        assert not broken, f"seed {seed}:\n" + "\n".join(broken) + f"\n{told.table()}"
        check_leaks(stack)
        text = f"{conditions(stack, WORKERS, 'everysec')}\n\n{told.table()}"
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 - the figures are what this is run for
        write(text, "power cut")


def _place_again(stack: Stack, callers: Callers) -> int:
    """Callers whose order is not found place it again with the same key; returns how many."""
    known = {order["id"] for order in listed(stack, "/v1/orders")}
    lost = [one for one in callers.placed if one.id not in known]
    for one in lost:
        callers.place(one)
    return len(lost)


def _broken(stack: Stack, power: PowerCuts, placed: Placed) -> list[str]:
    """What does not hold for an order, other than what a lost span excuses."""
    order, charged = stack.order(placed.id), stack.provider.bought(placed.server)
    struck = power.struck(stack.provider.seen(placed.server, "buy"))
    own, hooks = _own(stack, order), stack.deliveries(placed.id)
    hooks = [one for one in hooks if one.message["data"]["id"] == placed.id]
    rules = {
        "bought more often than its lost purchases explain": len(charged) <= 1 + len(struck),
        "paid for and neither used nor given back, outside a lost span": not _left(stack, placed) or struck,
        "a refund that the provider does not know": order["settlement"] != "refunded"
        or [one.state for one in own] == [State.CANCELLED],
        "a code that did not reach its caller": not _untold(stack, order),
        "a webhook that does not verify": all(one.verified for one in hooks),
        "the same told under two webhook-ids": len({one.id for one in hooks}) == len(set(map(_told, hooks))),
        "an end without a reason": (order["status"], order["settlement"]) in placed.fate.ends or struck,
    }
    return [f"{placed.fate.name}: {rule}: {order} {charged}" for rule, holds in rules.items() if not holds]


def _told(hook: Delivery) -> tuple[str, str | None]:
    """What a webhook is about: its kind, and the number or address."""
    return hook.type, hook.message["data"]["number"] or hook.message["data"]["address"]


def _own(stack: Stack, order: dict[str, Any]) -> list[Order]:
    """The purchase that an order knows of, if any."""
    contact = order["number"] or order["address"]
    return [one for one in stack.provider.bought(stack.posted[order["id"]]) if one.contact == contact]


def _untold(stack: Stack, order: dict[str, Any]) -> set[str]:
    """Codes that the provider showed for the number that the order knows of, and that no webhook told."""
    own = {one.id for one in _own(stack, order)}
    polls = [row for row in stack.provider.seen(stack.posted[order["id"]], "poll") if row.id in own]
    told = {one.message["data"]["otp"] for one in stack.deliveries(order["id"], "order.otp_received")}
    return set(codes_shown(polls)) - told


def _left(stack: Stack, placed: Placed) -> list[Order]:
    """Numbers that were paid for, brought no code to anybody, and were not given back."""
    told = {one.message["data"]["otp"] for one in stack.deliveries(placed.id, "order.otp_received")}
    charged = stack.provider.bought(placed.server)
    used = [one for one in charged if one.state is State.FINISHED or (one.code is not None and one.code in told)]
    return [one for one in charged if one.state is not State.CANCELLED and one not in used]


def _measured(stack: Stack, power: PowerCuts, placed: Sequence[Placed], forgotten: int) -> Measured:
    price = {one.server: PRICES[one.product] for one in placed}
    asked = [row for row in stack.provider.seen_by_all("buy") if row.query["stage"] in price]
    struck = power.struck(asked)
    charged = [stack.provider.bought(one.server) for one in placed]
    untold = sum(len(_untold(stack, stack.order(one.id))) for one in placed)
    left = [bought for one in placed for bought in _left(stack, one)]
    risked = sum(price[row.query["stage"]] for row in struck)
    interval = float(stack.settings["RINGBACK_POLL_INTERVAL"])
    early = [gap for gap in gaps(stack.provider.seen_by_all("poll")) if gap < interval - 0.15]
    rows = [
        ("power cuts", f"{len(power.spans)}, each with the last {LOST:g} s of writes lost"),
        ("orders", counted(Counter(one.product for one in placed))),
        ("… accepted and forgotten: placed again by their callers", str(forgotten)),
        ("purchases under way in the lost spans", str(len(struck))),
        ("orders bought twice", str(sum(len(one) > 1 for one in charged))),
        ("numbers paid for and left so", f"{len(left)}, PKR {sum(one.price for one in left)}"),
        ("… the most that it may cost: the purchases under way in the lost spans", f"PKR {risked}"),
        ("codes shown for a known number and not delivered", str(untold)),
        ("polls that came early, because the one before was forgotten", str(len(early))),
    ]
    return Measured(rows)
