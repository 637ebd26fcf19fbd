"""What has to hold after the storm: I1 to I9 for every order, an end that its fate allows, and nothing left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx

from tests.chaos.callers import Callers, Placed
from tests.chaos.fates import BY_STORM
from tests.e2e.invariants import Leeway, check_leaks, check_order, spend_counted
from tests.e2e.provider import moment
from tests.e2e.stack import TERMINAL, NotInTime, Stack, wait_for
from web.sandbox import Order

PAGE = 100
"""Orders or events asked for at once."""
PRICES = {"cheap": Decimal(10), "sms": Decimal(45), "email": Decimal(25)}
"""What a purchase of each product costs on every stage."""
SCARS = re.compile(
    r'"event": "(step_failed|delivery_failed|clock_failed|heartbeat_failed)"|"wake_up_lost"|"duplicate_activation"'
)
"""Lines that no storm excuses: a step that broke, an order that had lost its wake-up."""


def listed(stack: Stack, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Everything that a list of the API holds, of every caller."""
    for client in (stack.api, *stack.others):
        yield from _listed(client, path, query)


def _listed(client: httpx.Client, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    cursor: dict[str, Any] = {}
    while True:
        answer = client.get(path, params={"limit": PAGE, **query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield from page["data"]
        if not page["next_cursor"]:
            return
        cursor = {"cursor": page["next_cursor"]}


def until_at_rest(stack: Stack, seconds: float) -> float:
    """Wait until every order has ended, its money is settled and no webhook is owed; returns how long that took."""
    begun = time.monotonic()
    try:
        wait_for(lambda: not _open(stack) and not list(listed(stack, "/v1/events", status="pending")), seconds)
    except NotInTime:
        owed = list(listed(stack, "/v1/events", status="pending"))
        raise NotInTime(f"after {seconds:g} s still open: {_open(stack)}, still owed: {owed}") from None
    return time.monotonic() - begun


def _open(stack: Stack) -> list[dict[str, Any]]:
    return [
        order for order in listed(stack, "/v1/orders")
        if order["status"] not in TERMINAL or order["settlement"] == "pending"
    ]  # fmt: skip


def judge(stack: Stack, callers: Callers, orders: Mapping[str, dict[str, Any]], leeway: Leeway) -> list[str]:
    """Everything that does not hold, a line each."""
    placed = callers.placed
    return [
        *_placed_once(stack, placed, orders), *_orders(stack, placed, orders, leeway),
        *_spend_is_counted(stack, callers, orders), *_left_behind(stack),
    ]  # fmt: skip


def _placed_once(stack: Stack, placed: Sequence[Placed], orders: Mapping[str, Any]) -> Iterator[str]:
    """A repeated POST made no second order, and the ledger's sums are those of its orders."""
    if sorted(orders) != sorted(order.id for order in placed):
        yield f"{len(orders)} orders for {len(placed)} idempotency keys"
    ledger = stack.provider.ledger
    if ledger.start_balance != ledger.balance + ledger.charges() - ledger.refunds():
        yield "the provider's books do not balance"
    if len(ledger.orders()) != sum(len(stack.provider.bought(one.server)) for one in placed):
        yield "the provider sold something to no order of these"


def _spend_is_counted(stack: Stack, callers: Callers, orders: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """A caller's spend cap counts what may have been paid for its orders, and nothing that was given back."""
    mine = [(one, orders[one.id]) for one in callers.placed if one.client is callers.capped]
    owed = sum(PRICES[one.product] for one, order in mine if order["settlement"] not in ("none", "refunded"))
    counted = spend_counted(stack, "caller-1")
    if counted != owed:
        yield f"the spend cap counts {counted} PKR, and {owed} may have been paid"


def _orders(
    stack: Stack, placed: Sequence[Placed], orders: Mapping[str, dict[str, Any]], leeway: Leeway
) -> Iterator[str]:
    for one in placed:
        order = orders[one.id]
        try:
            check_order(stack, one.id, leeway)
            _ended_as_it_may(order, one)
            _paid_as_told(order, stack.provider.bought(one.server))
        except AssertionError as broken:
            yield f"{one.fate.name}: {broken}\n    {order}\n    {_history(stack, one.server)}"


def _history(stack: Stack, server: str) -> str:
    """What the provider saw of an order, in seconds from its first request."""
    rows = [row for row in stack.provider.requests() if row.query.get("stage") == server]
    told = (f"{row.arrived - rows[0].arrived:.2f} {moment(row.query)} {row.fault or row.answer[:20]}" for row in rows)
    return " | ".join(told)


def _ended_as_it_may(order: dict[str, Any], placed: Placed) -> None:
    end = (order["status"], order["settlement"])
    if end in placed.fate.ends:
        return
    assert end in BY_STORM, f"ended {end}, may end {sorted(placed.fate.ends)}"
    reasons = ("purchase_unknown", "provider_rejected", "no_numbers", "price_unknown")
    assert order["error"]["code"] in reasons, order["error"]
    recorded = order["bought_at"] is not None and "late_code" not in order["flags"]
    assert not (recorded and order["settlement"] == "unconfirmed"), "a recorded purchase was not settled"


def _paid_as_told(order: dict[str, Any], charged: Sequence[Order]) -> None:
    """What was bought is of the order's product, and was charged at the price that the order tells."""
    for one in charged:
        assert one.product == order["product"], f"bought {one.product}"
        if order["price"] is not None:
            assert Decimal(order["price"]) == one.price, f"told {order['price']}, charged {one.price}"


def _left_behind(stack: Stack) -> Iterator[str]:
    try:
        check_leaks(stack)
    except AssertionError as broken:
        yield str(broken)
    for name, log in stack.logs().items():
        yield from (f"{name}: {line}" for line in log.splitlines() if SCARS.search(line))
