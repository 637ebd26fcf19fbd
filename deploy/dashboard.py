"""Writes deploy/dashboard.json, the Grafana board: `python deploy/dashboard.py`. A test fails while it is not current.

Every web process tells the figures of all, so a query takes the max of what several of them tell, and sums after that.
What happens rarely is shown as a count in an hour: as a rate it would always look like 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

BOARD = Path(__file__).with_name("dashboard.json")
WIDE = 24
"""Columns of a Grafana board."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its unit as Grafana names it, and its queries, each with the name of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _stat(title: str, unit: str, expression: str) -> Panel:
    return Panel(title, unit, ((expression, title.lower()),))


def _rates(title: str, metric: str, by: str, unit: str = "ops") -> Panel:
    return Panel(title, unit, ((f"max by ({by}) (rate(ringback_{metric}_total[5m]))", f"{{{{{by}}}}}"),))


def _hourly(title: str, *metrics: tuple[str, str]) -> Panel:
    """Counts in an hour, each by a label or (`""`) by its name."""
    queries = []
    for metric, by in metrics:
        grouped, legend = (f"max by ({by}) ", f"{{{{{by}}}}}") if by else ("max ", metric.replace("_", " "))
        queries.append((f"{grouped}(increase(ringback_{metric}_total[1h]))", legend))
    return Panel(title, "short", tuple(queries))


def _quantiles(title: str, metric: str, by: str = "") -> Panel:
    labels, name = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
    rates = f"max by ({labels}) (rate(ringback_{metric}_bucket[5m]))"
    return Panel(title, "s", tuple((f"histogram_quantile({q}, {rates})", f"{name}p{q * 100:g}") for q in (0.5, 0.99)))


def _share(title: str, *queries: tuple[str, str]) -> Panel:
    return Panel(title, "percentunit", queries)


STATS = (
    _stat("Store up", "bool_yes_no", "max(ringback_store_up)"),
    _stat("Clock last ticked", "s", "time() - max(ringback_clock_tick_timestamp_seconds)"),
    _stat("Workers", "short", "max(ringback_workers)"),
    _stat("Balance (PKR)", "short", "max(ringback_balance_pkr)"),
    _stat("Balance read", "s", "time() - max(ringback_balance_read_timestamp_seconds)"),
    Panel("Version", "short", (("max by (version) (ringback_build_info)", "{{version}}"),)),
)
PANELS = (
    _quantiles("Code to webhook", "code_to_webhook_seconds"),
    _quantiles("Polls late by", "poll_lateness_seconds"),
    _quantiles("Time to answer, without what was held back", "http_request_seconds", "route"),
    _quantiles("Order to number", "number_wait_seconds", "product"),
    _quantiles("Number to code", "code_wait_seconds", "product"),
    _quantiles("Order to end, by how it ended", "order_duration_seconds", "status"),
    _quantiles("Provider's answers", "provider_request_duration_seconds", "action"),
    _quantiles("Webhook attempts", "webhook_attempt_duration_seconds", "outcome"),
    Panel("Mean from code to webhook", "s", ((
        "max(rate(ringback_otp_to_webhook_seconds_total[5m])) / (max(rate(ringback_otp_to_webhook_total[5m])) > 0)",
        "mean",
    ),)),
    Panel("Held per lane", "short", (("max by (lane) (ringback_lane_held)", "{{lane}}"),)),
    Panel("Due now per lane", "short", (("max by (lane) (ringback_lane_due)", "{{lane}}"),)),
    Panel("Oldest due entry is late by", "s", (("max by (lane) (ringback_lane_late)", "{{lane}}"),)),
    _share("Fullness: lanes, connections, held answers", (
        "max by (lane) (ringback_lane_running) / (max by (lane) (ringback_lane_capacity) > 0)", "{{lane}}",
    ), (
        "max(ringback_store_connections_busy) / (max(ringback_store_connections) > 0)", "connections to the store",
    ), (
        "max(ringback_http_held) / (max(ringback_http_held_capacity) > 0)", "held answers",
    )),
    Panel("Requests under way", "short", (("max(ringback_http_requests_in_progress)", "under way"),)),
    Panel("Requests by status", "reqps", (
        ("sum by (status) (max by (method, route, status) (rate(ringback_http_requests_total[5m])))", "{{status}}"),
    )),
    _rates("Orders ended", "orders_ended", "status"),
    _rates("Rentals ended", "rentals_ended", "status"),
    _rates("Readings of rentals", "rental_readings", "reply"),
    _hourly("Why orders failed, in an hour", ("orders_failed", "error")),
    _hourly("Orders refused, in an hour", ("orders_refused", "reason")),
    _hourly("What became of the money, in an hour", ("settlements", "settlement")),
    Panel("Orders accepted, by caller", "ops", (
        ('max by (caller) (rate(ringback_caller_orders_total{outcome="accepted"}[5m]))', "{{caller}}"),
    )),
    _hourly("Purchases by reply, in an hour", ("purchases", "reply")),
    Panel("Buying paused", "bool_yes_no", (("max by (reason) (ringback_buying_paused)", "{{reason}}"),)),
    _rates("Polls by reply", "polls", "reply"),
    _hourly("Cancels and finishes by reply, in an hour", ("cancels", "reply"), ("finishes", "reply")),
    _hourly("Provider asked for less, in an hour", ("throttled", "")),
    _rates("Webhook attempts by verdict", "deliveries", "verdict"),
    _hourly("Webhooks given up, codes erased, in an hour", ("events_exhausted", ""), ("otps_erased", "")),
    _hourly("Alerts by kind, in an hour", ("alerts", "kind")),
    _hourly("Steps that failed, wake-ups mended, in an hour", ("failures", "lane"), ("mended", "")),
    Panel("The store's memory", "bytes", (
        ("max(ringback_store_memory_bytes)", "used"), ("max(ringback_store_memory_limit_bytes) > 0", "limit"),
    )),
    Panel("The store's round trip", "s", (("max(ringback_store_round_trip_seconds)", "round trip"),)),
    Panel("The store's append-only file", "bool_yes_no", (
        ("min(ringback_store_append_only)", "kept"), ("min(ringback_store_append_only_ok)", "written"),
    )),
)  # fmt: skip


def board() -> dict[str, Any]:
    """The board as Grafana imports it."""
    numbers = count(1)
    placed = [_drawn(one, next(numbers), "stat", at, 0, WIDE // len(STATS), 4) for at, one in enumerate(STATS)]
    placed += [_drawn(one, next(numbers), "timeseries", at % 3, 4 + at // 3 * 7, 8, 7) for at, one in enumerate(PANELS)]
    return {
        "title": "ringback", "uid": "ringback", "schemaVersion": 39, "version": 2, "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"}, "tags": ["ringback"],
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": placed,
    }  # fmt: skip


def _drawn(panel: Panel, number: int, kind: str, column: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {
        "id": number, "title": panel.title, "type": kind,
        "gridPos": {"x": column * width, "y": y, "w": width, "h": height},
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def text() -> str:
    """The file's text."""
    return json.dumps(board(), indent=1) + "\n"


if __name__ == "__main__":
    BOARD.write_text(text())
