"""What is measured in a storm, as text, and its place in docs/reliability.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.fates import FATES, UNKNOWN
from tests.chaos.storm import Damage
from tests.e2e.stack import ROOT, Stack
from web.sandbox import Order, Seen, State

PAGE = ROOT / "docs" / "reliability.md"
AFTER = 2.0
"""Seconds after a freeze or an outage that are still its own: what was held up has to be caught up."""
SHOWN = (
    "RINGBACK_POLL_INTERVAL", "RINGBACK_EARLIEST_CANCEL", "RINGBACK_CANCEL_RETRY", "RINGBACK_BUY_DEADLINE",
    "RINGBACK_BUY_BUDGET", "RINGBACK_WEBHOOK_TIMEOUT", "RINGBACK_WEBHOOK_SCHEDULE",
)  # fmt: skip

BY_FATE, AWAY, UNSENT = "as their fate had it", "sent into the outage, not charged", "never sent: nothing charged"
GIVEN_BACK, LEFT = "charged, recorded late and given back", "charged and left so: the answer died with a process"
WHY_UNKNOWN = (BY_FATE, AWAY, UNSENT, GIVEN_BACK, LEFT)

UNKNOWN_BY_FATE = {fate.name for fate in FATES if fate.ends == UNKNOWN}

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """A storm's figures."""

    rows: Sequence[tuple[str, str]]

    def table(self) -> str:
        """As Markdown."""
        return "\n".join(["| what | how much |", "|---|---|", *(f"| {what} | {much} |" for what, much in self.rows)])


def measure(
    stack: Stack, orders: Mapping[str, dict[str, Any]], damage: Damage, *, storm: float, rest: float, repeated: int
) -> Measured:
    """Count and measure what happened."""
    ends = Counter(f"{order['status']}, {order['settlement']}" for order in orders.values())
    unknown = Counter(
        _why_unknown(stack, one) for one in orders.values() if (one["error"] or {}).get("code") == "purchase_unknown"
    )
    polls = stack.provider.seen_by_all("poll")
    all_gaps, calm_gaps = _gaps(polls, []), _gaps(polls, _held_up(damage))
    kinds = Counter(order["product"] for order in orders.values())
    kept = money_kept(stack.provider.ledger.orders())
    rows = [
        ("storm", f"{storm:.0f} s, then {rest:.0f} s until every order was settled and every webhook delivered"),
        ("SIGKILLs", counted(damage.kills)),
        ("freezes (SIGSTOP)", ", ".join(f"{name} {span:g} s" for _, span, name in damage.freezes) or "none"),
        ("outage of the provider", ", ".join(f"{span:g} s {kind}" for _, span, kind in damage.outages) or "none"),
        ("processes that ended by themselves", counted(damage.ended_alone)),
        ("orders", counted(kinds)),
        *((f"… {end}", str(count)) for end, count in sorted(ends.items(), key=lambda one: -one[1])),
        ("orders that ended `purchase_unknown`", str(unknown.total())),
        *((f"… {why}", str(unknown[why])) for why in WHY_UNKNOWN),
        ("charged and not given back, in PKR", ", ".join(f"{name} {kept[name]}" for name in sorted(kept))),
        ("requests of callers repeated with the same key", str(repeated)),
        ("calls that the provider saw", str(len(stack.provider.requests()))),
        ("polls of one order, largest gap", f"{max(all_gaps, default=0):.1f} s"),
        ("… outside freezes and outages", f"{max(calm_gaps, default=0):.1f} s"),
        ("… median", f"{median(calm_gaps):.2f} s" if calm_gaps else "-"),
        ("code at the provider → webhook received", _spread(_code_to_webhook(stack, orders))),
        ("webhooks received, and how many more than once", _deliveries(stack)),
    ]
    return Measured(rows)


def _why_unknown(stack: Stack, order: Mapping[str, Any]) -> str:
    """What made an order `purchase_unknown`."""
    if order["metadata"]["fate"] in UNKNOWN_BY_FATE:
        return BY_FATE
    server = stack.posted[order["id"]]
    if stack.provider.bought(server):
        return GIVEN_BACK if order["settlement"] == "refunded" else LEFT
    return AWAY if any(row.fault for row in stack.provider.seen(server, "buy")[-1:]) else UNSENT


def money_kept(bought: Iterable[Order]) -> dict[str, Decimal]:
    """What the provider's books charged and did not give back, by product, in PKR."""
    kept: dict[str, Decimal] = {}
    for one in bought:
        kept[one.product] = kept.get(one.product, Decimal(0)) + (0 if one.state is State.CANCELLED else one.price)
    return kept


def conditions(stack: Stack, workers: int, fsync: str = "always") -> str:
    """Under which settings it was measured."""
    settings = ", ".join(f"`{name}={stack.settings[name]}`" for name in SHOWN if name in stack.settings)
    return (
        f"{stack.store.kind} with `appendfsync {fsync}`, one web process, {workers} workers, one machine; {settings}."
    )


def write(text: str, place: str, page: Path = PAGE) -> None:
    """Put figures in their place on the page: between `<!-- place -->` and `<!-- /place -->`."""
    start, end = f"<!-- {place} -->", f"<!-- /{place} -->"
    marked = re.compile(f"{start}.*?{end}", re.DOTALL)
    written, places = marked.subn(lambda _: f"{start}\n{text}\n{end}", page.read_text())
    assert places == 1, f"{page.name} has {places} places for {place}"
    page.write_text(written)


def _held_up(damage: Damage) -> list[Span]:
    """When nothing could be polled: the store or a worker stood still, or the provider was away."""
    return [(at, at + span + AFTER) for at, span, _ in [*damage.freezes, *damage.outages]]


def _gaps(polls: Iterable[Seen], but: Sequence[Span]) -> list[float]:
    """Seconds between two polls of one number, those that overlap a span left out."""
    times: dict[str, list[float]] = {}
    for row in polls:
        times.setdefault(row.id, []).append(row.arrived)
    pairs = [pair for one in times.values() for pair in pairwise(one)]
    return [end - start for start, end in pairs if not any(start < b and a < end for a, b in but)]


def _code_to_webhook(stack: Stack, orders: Mapping[str, dict[str, Any]]) -> list[float]:
    spans = []
    for order_id in orders:
        came = stack.deliveries(order_id, "order.otp_received")
        bought = stack.provider.bought(stack.posted[order_id])
        if came and bought and bought[0].code_at is not None:
            spans.append(came[0].at - bought[0].code_at)
    return spans


def _deliveries(stack: Stack) -> str:
    times = Counter(one.id for one in stack.receiver.deliveries())
    return f"{len(times)}, {sum(count > 1 for count in times.values())}"


def counted(counts: Counter[str]) -> str:
    """A total with what it is made of."""
    named = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{counts.total()} ({named})" if named else "0"


def _spread(spans: Sequence[float]) -> str:
    return f"median {median(spans):.1f} s, largest {max(spans):.1f} s" if spans else "-"
