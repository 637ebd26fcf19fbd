"""What a change of an order adds to the metrics, whoever made it: a worker's step or the web."""

from __future__ import annotations

from worker.metrics import Counters
from worker.order import Order, Settlement, Status

PRODUCT = "cheap"
"""The product of every order."""


def accepted(counters: Counters, order: Order) -> None:
    """Count a new order."""
    counters.add("caller_orders", caller=order.caller, outcome="accepted")


def changed(counters: Counters, before: Order, after: Order) -> None:
    """Count what a change has brought: a number, a code, an end, word of the money."""
    if after.status is not before.status:
        _entered(counters, after)
    if after.settlement is not before.settlement and after.settlement is not Settlement.PENDING:
        counters.add("settlements", settlement=after.settlement.value)


def _entered(counters: Counters, order: Order) -> None:
    """Count the state that was entered."""
    if order.status is Status.WAITING and order.bought_at is not None:
        _observe(counters, "number_wait_seconds", order, order.created_at, order.bought_at, product=PRODUCT)
    if order.status is Status.RECEIVED and order.bought_at is not None and order.received_at is not None:
        _observe(counters, "code_wait_seconds", order, order.bought_at, order.received_at, product=PRODUCT)
    if order.ended_at is not None:
        status = order.status.value
        counters.add("orders_ended", status=status)
        counters.add("caller_orders", caller=order.caller, outcome=status)
        _observe(counters, "order_duration_seconds", order, order.created_at, order.ended_at, status=status)
    if order.error is not None:
        counters.add("orders_failed", error=order.error.value)


def _observe(counters: Counters, name: str, order: Order, begun: float, ended: float, **labels: str) -> None:
    counters.histogram(name, **labels).observe(max(0.0, ended - begun))
