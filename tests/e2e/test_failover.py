"""The store's primary dies and Sentinel promotes its replica: orders go on there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.failover import Pair
from tests.e2e.invariants import check_order, check_stack
from tests.e2e.stack import running_stack

pytestmark = pytest.mark.e2e


def test_orders_go_on_after_a_failover(real_server: str, tmp_path: Path) -> None:
    """What the replica has is polled, delivered and cancelled, and new orders are accepted; nothing is restarted."""
    with Pair(tmp_path / "stores") as stores:
        for stack in running_stack(tmp_path / "stack", settings={"RINGBACK_REDIS_URL": stores.url}):
            coded, due = stack.play(timeout=60), stack.play(timeout=3)
            for order in (coded, due):
                stack.until(order["id"], "waiting")
            stores.lose_primary()
            stack.provider.arrive(stack.provider.bought(coded["server"])[0].id, "618033")
            stack.wait_until_ready()
            later = stack.play(sms=("271828", 0.3))
            for order, settlement in ((coded, "finished"), (due, "refunded"), (later, "finished")):
                stack.until_settled(order["id"], settlement)
                check_order(stack, order["id"])
            assert stack.order(coded["id"])["otp"] == "618033"
            assert all(process.alive for process in stack.processes)
            check_stack(stack)
