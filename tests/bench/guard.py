"""The check for CI: `python -m tests.bench.guard [--record]`.

Measures CPU per poll of ringback and of the bare loop one after the other on the same machine, and fails when
their ratio has grown by half over the one in `recorded.json`. It compares ratios, never times, so a slow or
busy machine passes. `--record` writes the ratio of this run, for when it has changed on purpose.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from tests.bench import engine, rivals
from tests.bench.figures import Window
from tests.bench.stage import NotReady, Stage, end_on_terminate

RECORDED = Path(__file__).with_name("recorded.json")
GROWTH = 1.5
"""By this much the ratio may exceed the recorded one: noise of shared machines stays below it."""
ORDERS = 10_000
SECONDS = 10.0
TRIES = 2
"""A ratio that is too large is measured once more, and the smaller one counts."""

console = Console()


def ratio() -> float:
    """Worker CPU per poll of ringback, in units of the bare loop's on asyncio."""
    return ours().worker_micros / rivals.bare("asyncio", ORDERS, seconds=SECONDS).worker_micros


def ours() -> Window:
    """Ringback polling `ORDERS` orders."""
    with Stage() as stage:
        running = engine.Engine(stage)
        running.start()
        running.seed(ORDERS)
        return running.window(seconds=SECONDS)


def recorded() -> float:
    """The ratio to compare with."""
    return float(json.loads(RECORDED.read_text())["ratio"])


def judge(measured: float, reference: float) -> bool:
    """Whether `measured` is within what `reference` allows."""
    return measured <= reference * GROWTH


def record(measured: float) -> None:
    """Make `measured` the reference."""
    RECORDED.write_text(json.dumps({"ratio": round(measured, 2), "orders": ORDERS}, indent=2) + "\n")


def check() -> int:
    """0 when the ratio holds, 1 when it has grown."""
    reference, best = recorded(), float("inf")
    for _ in range(TRIES):
        best = min(best, ratio())
        if judge(best, reference):
            break
    fine = judge(best, reference)
    limit = f"{GROWTH:g} times the recorded {reference:.2f}"
    console.print(f"CPU per poll: {best:.2f} times the bare loop's, {'within' if fine else 'ABOVE'} {limit}")
    return 0 if fine else 1


def main(argv: list[str] | None = None) -> int:
    """Check or record."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.guard", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write this run's ratio as the reference")
    asked = parser.parse_args(argv)
    end_on_terminate()
    try:
        if not asked.record:
            return check()
        record(ratio())
        console.print(f"recorded: {recorded():.2f}")
        return 0
    except NotReady as error:
        console.print(f"not measured: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
