"""The invariants I1 to I9, judged from outside: the provider's ledger and log, the webhooks, the API, the logs.

`check_order` judges one order that has come to rest, `check_stack` what all processes left behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis

from tests.e2e.stack import TERMINAL, Stack, running_stack
from web.sandbox import Order, Seen, State
from worker.provider.replies import WORDS

PROOFS_OF_NO_PURCHASE = frozenset({"NO_NUMBERS", "CHANNELS_LIMIT", "PRICE_CHANGED", "ERR_PRICE_CHANGED"})
"""Whole answers after which the worker may ask again; 429 and the edge's own page are the others."""
JITTER = 0.02
"""Seconds by which a request may seem early: it is sent a moment after its claim, the next one perhaps at once."""
TERMINAL_TYPES = frozenset({"order.otp_received", "order.expired", "order.cancelled", "order.failed"})
UNREADABLE = frozenset({"cut", "chunked_cut", "slow_drip", "huge"})
"""Kinds of answers that no client reads to their end here; `huge` is used beyond the cap on a body."""
LEDGER = {"refunded": [State.CANCELLED], "finished": [State.FINISHED]}
NO_FINISH = {**LEDGER, "finished": [State.RECEIVED]}
"""The books of a product whose purchases nobody finishes."""


@dataclass(frozen=True, slots=True)
class Leeway:
    """How exactly times are judged, in seconds."""

    pace: float = 0.25
    """By which a single poll may seem early: the one before it was late, on a machine with more to do than it can."""
    asking: float = 3.0
    """Past the buy budget, for the last purchase: it is sent at the budget's end."""
    thawed: tuple[tuple[float, float], ...] = ()
    """Spans of monotonic time in which a request may be one that a stopped worker was about to send."""

    def excuses(self, row: Seen) -> bool:
        """Whether a request's moment is not its worker's doing."""
        return any(start <= row.arrived <= end for start, end in self.thawed)


EXACT = Leeway()


def check_order(stack: Stack, order_id: str, leeway: Leeway = EXACT) -> None:
    """I1 to I4, I6, I7 and I9 for one order that has ended and whose webhooks have been delivered."""
    order, server = stack.order(order_id), stack.posted[order_id]
    assert order["status"] in TERMINAL, order
    charged = stack.provider.bought(server)
    _charged_once(charged)
    _bought_after_proof_only(stack.provider.seen(server, "buy"))
    _bought_within_budget(stack, server, leeway)
    _cancelled_in_time(stack, order, server, charged)
    _codes_delivered(stack, order, server)
    _money_is_as_said(order, charged)
    _polled_in_measure(stack, stack.provider.seen(server, "poll"), leeway)
    _told_once(stack, order)


def check_stack(stack: Stack) -> None:
    """I5 over all logs and keys, and what no order may have left behind."""
    check_leaks(stack)
    for name, text in stack.logs().items():
        assert "Traceback" not in text, f"{name} logged a traceback"


def checked_stack(folder: Path, **options: Any) -> Iterator[Stack]:
    """A stack for a fixture, judged as a whole before it is stopped."""
    for stack in running_stack(folder, **options):
        yield stack
        check_stack(stack)


def check_leaks(stack: Stack) -> None:
    """I5 over all logs and keys."""
    leaks = list(leaked(stack, stack.logs().items()))
    assert not leaks, f"I5: {leaks}"
    keys = "\n".join(_keys(stack))
    assert not list(leaked(stack, [("key names", keys)])), "I5: in the names of keys"


# I1, I2: buying.


def _charged_once(charged: list[Order]) -> None:
    assert len(charged) <= 1, f"I1: {len(charged)} purchases for one job"


def _bought_after_proof_only(asked: list[Seen]) -> None:
    unproven = [row for row in asked[:-1] if not _proves_no_purchase(row)]
    assert not unproven, f"I2: asked again after {unproven}"


def _proves_no_purchase(row: Seen) -> bool:
    answer = _stripped(row.answer)
    if answer.startswith("{"):
        told = json.loads(answer)
        answer = told.get("message", "") if str(told.get("status", "")).strip() == "400" else ""
    return answer in PROOFS_OF_NO_PURCHASE or answer.startswith("BANNED:'") or row.status in (429, 403)


def _stripped(answer: str) -> str:
    return answer.strip("\ufeff \t\r\n").removeprefix('"').removesuffix('"')


def _bought_within_budget(stack: Stack, server: str, leeway: Leeway) -> None:
    asked = stack.provider.seen(server, "buy")
    budget = float(stack.settings["RINGBACK_BUY_BUDGET"])
    if asked:
        assert asked[-1].arrived - asked[0].arrived <= budget + leeway.asking, "I2: asked past the budget"
    assert len(asked) <= 2 + budget, f"I2: asked {len(asked)} times"


# I3: the cancel duty.


def _cancelled_in_time(stack: Stack, order: dict[str, Any], server: str, charged: list[Order]) -> None:
    tries, earliest = stack.provider.seen(server, "cancel"), float(stack.settings["RINGBACK_EARLIEST_CANCEL"])
    for bought in charged:
        assert all(row.at >= bought.charged_at + earliest - JITTER for row in tries), "I3: too early"
        known = order["bought_at"] is not None
        if known and bought.code is None and not codes_shown(stack.provider.seen(server, "poll")):
            in_time = [row for row in tries if row.at < bought.expires_at]
            assert in_time, f"I3: {bought.id} has no code and was never cancelled"
    done = [row for row in tries if row.answer == "ACCESS_CANCEL" and row.fault is None]
    assert len(done) <= 1, "I3: cancelled twice"


# I4: codes.


def codes_shown(polls: Iterable[Seen]) -> list[str]:
    """The codes that whole answers showed, as far as the log keeps them (200 characters of the body)."""
    whole = (row.answer for row in polls if row.status is not None and row.fault not in UNREADABLE)
    return list(filter(None, map(_code_in, map(_stripped, whole))))


def _code_in(text: str) -> str:
    if text.startswith("STATUS_OK:"):
        return text[10:] if text[10:].strip() else ""
    found = re.search(r'"(?:code|otp)": "?([^",}]+)', text) if text.startswith('{"status": "200"') else None
    return found[1] if found else ""


def _codes_delivered(stack: Stack, order: dict[str, Any], server: str) -> None:
    shown = codes_shown(stack.provider.seen(server, "poll"))
    told = stack.deliveries(order["id"], "order.otp_received")
    if order["status"] == "received":
        assert any(order["otp"].startswith(code[:180]) for code in shown), "I4: a code nobody showed"
        assert told, "I4: the code was not delivered"
        assert {one.message["data"]["otp"] for one in told} == {order["otp"]}, "I4: another code was delivered"
    else:
        assert not told, "I4: a code was delivered for an order that has none"
        assert not shown or "late_code" in order["flags"], "I4: a code was shown and lost"


# I6: the money.


def _money_is_as_said(order: dict[str, Any], charged: list[Order]) -> None:
    said = order["settlement"]
    assert said != "pending", "I6: not settled"
    if said == "none":
        assert not charged, "I6: charged, and the order says that nothing was bought"
    books = NO_FINISH if order["product"] == "email" else LEDGER
    if said in books:
        assert [one.state for one in charged] == books[said], f"I6: {said}, and the ledger says {charged}"


# I7: the pace.


def _polled_in_measure(stack: Stack, polls: list[Seen], leeway: Leeway) -> None:
    interval = float(stack.settings["RINGBACK_POLL_INTERVAL"])
    found = gaps([row for row in polls if not leeway.excuses(row)])
    for gap in found:
        assert gap >= interval - leeway.pace, f"I7: two polls of one order {gap:.3f} s apart"
    # One poll's lateness makes the next one seem early, and not those after it: only the first may have been late.
    assert sum(found) >= (len(found) - 1) * interval, f"I7: {len(found) + 1} polls in {sum(found):.3f} s"


def gaps(rows: list[Seen]) -> list[float]:
    """Seconds between one request and the next about the same purchase."""
    by_id: dict[str, list[float]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row.arrived)
    return [later - earlier for times in by_id.values() for earlier, later in pairwise(times)]


# I9: the webhooks.


def _told_once(stack: Stack, order: dict[str, Any]) -> None:
    events = stack.events(order["id"])
    terminal = [event for event in events if event["type"] in TERMINAL_TYPES]
    assert len(terminal) == 1, f"I9: {[event['type'] for event in events]}"
    assert len(events) <= 2, f"I9: {[event['type'] for event in events]}"
    came = stack.deliveries(order["id"])
    assert all(one.verified for one in came), "I9: a signature does not verify"
    ends = [one for one in came if one.type in TERMINAL_TYPES]
    assert {one.id for one in ends} == {terminal[0]["id"]}, "I9: another webhook-id"
    assert len({one.raw for one in ends}) == 1, "I9: the same event with another body"
    assert ends[0].message["data"]["status"] == order["status"], "I9: the webhook tells another end"


# I5: what may not leak.


def secrets_of(stack: Stack) -> dict[str, str]:
    """What may stand in no log, by what it is. A code that is a word of the protocol hides nothing."""
    told = {"provider key": stack.provider_key, "caller key": stack.caller["api_key"]}
    told["webhook secret"] = stack.caller["webhook_secret"].removeprefix("whsec_")
    told["store password"] = stack.store.url.split("@")[0].rpartition(":")[2]
    for order in stack.provider.ledger.orders():
        told[f"contact of {order.id}"] = order.contact.removeprefix("+")
        if order.code and len(order.code) >= 6 and order.code not in WORDS:
            told[f"code of {order.id}"] = order.code
    return told


def leaked(stack: Stack, texts: Iterable[tuple[str, str]], **kwargs: str) -> Iterator[str]:
    """Which secret stands in which text. Timestamps are left out: their fractions look like codes."""
    secrets = {**secrets_of(stack), **kwargs}
    found = re.compile("|".join(rf"(?<![0-9A-Za-z]){re.escape(one)}(?![0-9A-Za-z])" for one in set(secrets.values())))
    names = {value: name for name, value in secrets.items()}
    for where, text in texts:
        for hit in found.finditer(_without_timestamps(text)):
            yield f"{names[hit[0]]} in {where}"


def _without_timestamps(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?", "", text)


def spend_counted(stack: Stack, name: str) -> Decimal:
    """What counts against the spend cap of a caller of that name, in PKR, on whatever day."""
    listed = json.loads(stack.command("caller", "list", "--json").stdout)
    (caller,) = (one["id"] for one in listed if one["name"] == name)
    client = redis.Redis.from_url(stack.store.url)
    try:
        days = client.scan_iter(f"rb:caller:{caller}:spent:*", count=1000)
        return Decimal(sum(int(client.get(day) or 0) for day in days)) / 10_000
    finally:
        client.close()


def _keys(stack: Stack) -> list[str]:
    client = redis.Redis.from_url(stack.store.url)
    try:
        return [key.decode("utf-8", "replace") for key in client.scan_iter(count=1000)]
    finally:
        client.close()
