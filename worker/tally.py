"""What a change of an order adds to the metrics, whoever made it: a worker's step or the web."""

from __future__ import annotations

from worker.metrics import Counters
from worker.order import Acquisition, Order, Settlement, Status
from worker.tracing import exemplar_of


def accepted(counters: Counters, order: Order) -> None:
    """Count a new order."""
    counters.add("caller_orders", caller=order.caller, outcome="accepted")


def changed(counters: Counters, before: Acquisition, after: Acquisition) -> None:
    """Count what a change has brought: a number, a code, an end, word of the money."""
    if after.status is not before.status and isinstance(after, Order):
        _entered(counters, after)
    elif after.status is not before.status and after.ended_at is not None:
        counters.add("rentals_ended", status=after.status.value)
    if after.settlement is not before.settlement and after.settlement is not Settlement.PENDING:
        counters.add("settlements", settlement=after.settlement.value)


def _entered(counters: Counters, order: Order) -> None:
    """Count the state that was entered."""
    bought = order.purchase
    if order.status is Status.WAITING and bought is not None:
        _observe(counters, order, "number_wait_seconds", order.created_at, bought.bought_at, product=order.product)
    if order.status is Status.RECEIVED and bought is not None and order.received_at is not None:
        _observe(counters, order, "code_wait_seconds", bought.bought_at, order.received_at, product=order.product)
    if order.ended_at is not None:
        status = order.status.value
        counters.add("orders_ended", status=status)
        counters.add("caller_orders", caller=order.caller, outcome=status)
        _observe(counters, order, "order_duration_seconds", order.created_at, order.ended_at, status=status)
    if order.error is not None:
        counters.add("orders_failed", error=order.error.value)


def _observe(counters: Counters, order: Order, name: str, begun: float, ended: float, **labels: str) -> None:
    counters.histogram(name, **labels).observe(max(0.0, ended - begun), exemplar_of(order.origin))
