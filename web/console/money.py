"""Money: what was bought, refunded and is in doubt, by day, caller, product and purpose; and whether it adds up."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from flask import Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from web.console import access, words
from web.console.page import render
from web.parts import parts
from worker import reconciliation
from worker.callers import Callers
from worker.journal import Entry
from worker.operator import Act
from worker.order import rfc3339
from worker.store.queries import Moved, OrderFilter, day_of

DAY = 86_400.0
SPANS = (1, 7, 30, 90)
"""Days that can be looked at."""
MOST_LINES = 200_000
"""Lines of the journal that one reconciliation from the console reads; the command line reads all."""
KINDS: Mapping[str, tuple[Entry, ...]] = {
    "bought": (Entry.BOUGHT, Entry.RENTED),
    "finished": (Entry.FINISHED,),
    "refunded": (Entry.REFUNDED,),
    "unconfirmed": (Entry.UNCONFIRMED,),
    "purchase_unknown": (Entry.PURCHASE_UNKNOWN,),
}
"""What became of money, each with the journal's lines that say so."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the purchases of one day, caller or product: counts, and PKR where prices are known."""

    name: str
    counts: dict[str, int]
    pkr: dict[str, Decimal | None]

    @property
    def doubtful(self) -> int:
        """Lines that say that nobody knows."""
        return self.counts["unconfirmed"] + self.counts["purchase_unknown"]


def show() -> str:
    """The money of the last days."""
    store, now, days = parts().store, parts().clock(), _days()
    moved = store.queries.money(now - (days - 1) * DAY, now)
    names = {one.id: one.name for one in Callers(store).all()}
    purposes, walked = store.queries.purposes(OrderFilter(since=now - days * DAY))
    return render(
        "money.html", title="Money", days=days, spans=SPANS, total=_row("all", moved),
        by_day=rows(moved, lambda one: day_of(one.day))[::-1], by_caller=rows(moved, lambda one: one.caller),
        by_product=rows(moved, lambda one: one.product), names=names, purposes=_table(purposes), walked=walked,
        doubtful=store.queries.doubtful(), doubtful_rentals=store.queries.doubtful_rentals(),
        kept=store.queries.reconciliation(), balance=store.reading("balance"),
        most_lines=MOST_LINES,
    )  # fmt: skip


def rows(moved: Sequence[Moved], by: Callable[[Moved], str]) -> list[Row]:
    """The lines summed by what `by` says of each."""
    groups: defaultdict[str, list[Moved]] = defaultdict(list)
    for one in moved:
        groups[by(one)].append(one)
    return [_row(name, group) for name, group in sorted(groups.items())]


def _row(name: str, moved: Sequence[Moved]) -> Row:
    return Row(
        name,
        {kind: sum(one.count for one in moved if one.kind in lines) for kind, lines in KINDS.items()},
        {kind: words.summed(one.pkr for one in moved if one.kind in lines) for kind, lines in KINDS.items()},
    )


def _table(purposes: dict[tuple[str, str], int]) -> list[tuple[str, dict[str, int]]]:
    groups: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (purpose, settlement), count in purposes.items():
        groups[purpose][settlement] = count
    return sorted(groups.items())


def as_csv() -> Response:
    """The same, a line per day, caller, product and kind."""
    store, now = parts().store, parts().clock()
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["day", "caller", "product", "kind", "count", "pkr"])
    for one in store.queries.money(now - (_days() - 1) * DAY, now):
        pkr = "" if one.pkr is None else str(one.pkr)
        table.writerow([day_of(one.day), one.caller, one.product, one.kind, one.count, pkr])
    answer = Response(out.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = 'attachment; filename="ringback-money.csv"'
    return answer


def reconcile() -> BaseResponse:
    """Hold the journal against the balances, and keep what was found."""
    store, now, days = parts().store, parts().clock(), _days()
    access.audit(Act.RECONCILE, f"{days} days")
    lines = list(islice(store.journal(now - days * DAY), MOST_LINES))
    learnt = store.account().get(reconciliation.LEARNT_PRICE)
    report = reconciliation.reconcile(lines, now, remembered=Decimal(learnt) if learnt else None)
    store.queries.keep_reconciliation({
        "at": rfc3339(now), "by": access.current().name, "days": days, "lines": len(lines),
        "cut": len(lines) == MOST_LINES, "report": report.public(),
    })  # fmt: skip
    return redirect(f"/console/money?days={days}&done=reconciled#reconciliation", 303)


def _days() -> int:
    asked = request.values.get("days", "7")
    return int(asked) if asked.isdigit() and int(asked) in SPANS else 7
