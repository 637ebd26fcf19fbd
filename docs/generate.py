"""Writes the generated parts of docs/order-lifecycle.md and docs/metrics.md: `python docs/generate.py`.

The picture and the tables stand between `<!-- name -->` and `<!-- /name -->` and are made from `worker/order.py` and
the tables of metrics; a test fails while they are not what this would write.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from web.api.metrics import GAUGES
from worker import order
from worker.metrics import COUNTERS, HISTOGRAMS, Metric
from worker.order import TERMINAL, TRANSITIONS, Status, Transition

PAGE = Path(__file__).with_name("order-lifecycle.md")
METRICS_PAGE = Path(__file__).with_name("metrics.md")


def current_metrics(page: str) -> str:
    """The page of metrics with its tables made anew."""
    page = _replaced(page, "counters", _metrics(COUNTERS, "ringback_{}_total", "max by ({}) (rate({}[5m]))"))
    quantile = "histogram_quantile(0.99, max by ({}) (rate({}_bucket[5m])))"
    page = _replaced(page, "histograms", _metrics(HISTOGRAMS, "ringback_{}", quantile, "le"))
    return _replaced(page, "gauges", _metrics(GAUGES, "ringback_{}", "max by ({}) ({})"))


def _metrics(table: Mapping[str, Metric], named: str, query: str, *more: str) -> str:
    rows = ["| metric | labels | meaning | example |", "|---|---|---|---|"]
    for name, metric in table.items():
        shown = named.format(name)
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        example = query.format(", ".join((*more, *metric.labels)), shown).replace(" by ()", "")
        rows.append(f"| `{shown}` | {labels} | {metric.meaning} | `{example}` |")
    return "\n".join(rows)


def current(page: str) -> str:
    """The page with its generated parts made anew."""
    parts = {
        "picture": picture(),
        "transitions": transitions(),
        "states": meanings("Status"),
        "settlements": meanings("Settlement"),
    }
    for name, text in parts.items():
        page = _replaced(page, name, text)
    return page


def _replaced(page: str, name: str, text: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, after = page.split(start, maxsplit=1)[0], page.split(end)[1]
    return f"{before}{start}\n{text}\n{end}{after}"


def picture() -> str:
    """The moves from state to state as a Mermaid diagram."""
    moves = (f"    {source} --> {t.target}: {t.name}" for t in TRANSITIONS.values() if t.target for source in t.sources)
    ends = (f"    {status} --> [*]" for status in Status if status in TERMINAL)
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> queued", *moves, *ends, "```"])


def transitions() -> str:
    """Every transition: from where, to where, why, and the webhook it causes."""
    head = ["| transition | from | to | why | webhook |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_row, TRANSITIONS.values())])


def meanings(enum: str) -> str:
    """The members of an enum of `worker/order.py` with the sentences that stand below them there."""
    rows = (f"| `{word}` | {meaning} |" for word, meaning in _documented(enum))
    return "\n".join(["| word | meaning |", "|---|---|", *rows])


def _row(t: Transition) -> str:
    sources = ", ".join(t.sources)
    return f"| `{t.name}` | {sources} | {t.target or '(stays)'} | {t.reason} | {f'`{t.event}`' if t.event else ''} |"


def _documented(enum: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(Path(order.__file__).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == enum)
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            yield ast.literal_eval(member.value), ast.literal_eval(text.value)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text()))
    METRICS_PAGE.write_text(current_metrics(METRICS_PAGE.read_text()))
