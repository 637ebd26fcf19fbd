"""The whole service in a storm: whatever is killed, stopped or away, the money and the codes come out right."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.callers import LIFE, Callers
from tests.chaos.fates import draw, drawn_seed
from tests.chaos.figures import Measured, conditions, measure, write
from tests.chaos.storm import Damage, Storm, Weather
from tests.chaos.verdict import judge, listed, until_at_rest
from tests.e2e.invariants import Leeway
from tests.e2e.stack import running_stack

WORKERS = 2
SETTINGS = {
    "RINGBACK_POLL_INTERVAL": "1",
    "RINGBACK_EARLIEST_CANCEL": "3",
    "RINGBACK_CANCEL_RETRY": "2",
    "RINGBACK_BUY_DEADLINE": "3",
    "RINGBACK_BUY_BUDGET": "20",
    "RINGBACK_WEBHOOK_TIMEOUT": "3",
    "RINGBACK_CHEAP_PRICE": "10",
    "RINGBACK_WEBHOOK_SCHEDULE": "0.5,1,1,2,2,3,3,5,5,5",
}
LIVES = f"[sms]\nlife = {LIFE:g}\n\n[email]\nlife = {LIFE:g}\n"
"""The product table's lifetimes here: no answer to such a purchase says how long it lives."""
REST = 240.0
"""Seconds after the storm within which everything has to be settled: several leases of steps killed in the middle."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A storm and the orders that are placed in it, over `placing` seconds; `short_life` as in `Callers`."""

    orders: int
    placing: float
    short_life: float
    weather: Weather


LONG = Trial(
    orders=240,
    placing=50.0,
    short_life=70.0,
    weather=Weather(
        span=110.0,
        kill_every=2.5,
        freezes=((12.0, 10.0, "store"), (28.0, 10.0, "worker-1"), (65.0, 10.0, "worker-2"), (88.0, 10.0, "store")),
        outages=((45.0, 20.0, "hang"), (65.0, 20.0, "502"), (85.0, 20.0, "refused")),
    ),
)
SHORT = Trial(
    orders=40,
    placing=10.0,
    short_life=16.0,
    weather=Weather(
        span=14.0,
        kill_every=1.8,
        freezes=((3.0, 3.0, "worker-1"), (8.0, 3.0, "store")),
        outages=((9.0, 3.0, "502"),),
    ),
)


@pytest.mark.chaos
def test_money_and_codes_survive_a_storm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills every few seconds, freezes of 10 s and an outage of a minute break none of I1 to I9 for any order."""
    with storming(LONG, tmp_path) as (told, where):
        text = f"{where}\n\n{told.table()}"
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 - the figures are what this is run for
        write(text, "storm")


@pytest.mark.e2e
@pytest.mark.slow
def test_a_short_storm(tmp_path: Path) -> None:
    """The same machine with fewer orders and blows: none of I1 to I9 breaks."""
    with storming(SHORT, tmp_path):
        pass


@contextmanager
def storming(trial: Trial, folder: Path) -> Iterator[tuple[Measured, str]]:
    """Weather a storm, wait until all is at rest, and judge it; returns the figures and their conditions."""
    seed = drawn_seed()
    chance = random.Random(seed)
    for stack in running_stack(folder, workers=WORKERS, fsync="always", settings=short_lived(folder)):
        callers = Callers(
            stack, draw(trial.orders, chance), span=trial.placing, short_life=trial.short_life, chance=chance
        )
        storm = Storm(stack, trial.weather, chance)
        begun = time.monotonic()
        callers.start()
        storm.rage()
        callers.finish()
        raged = time.monotonic() - begun
        stack.wait_until_ready()
        rest = until_at_rest(stack, REST)
        orders = {order["id"]: order for order in listed(stack, "/v1/orders")}
        told = measure(stack, orders, storm.damage, storm=raged, rest=rest, repeated=callers.repeated)
        (folder / "figures.md").write_text(told.table())
        broken = judge(stack, callers, orders, leeway(storm.damage))
        assert not broken, f"seed {seed}, {len(broken)} broken:\n" + "\n".join(broken) + f"\n{told.table()}"
        yield told, conditions(stack, WORKERS)


def short_lived(folder: Path) -> dict[str, str]:
    """The settings, with a product table in this folder."""
    table = folder / "products.toml"
    table.write_text(LIVES)
    return {**SETTINGS, "RINGBACK_PRODUCTS_FILE": str(table)}


def leeway(damage: Damage) -> Leeway:
    """What a storm excuses: requests held up on their way, and a last purchase that was due while nobody could buy."""
    thawed = [(at + span, at + span + 1.0) for at, span, name in damage.freezes if name != "store"]
    return Leeway(pace=0.4, asking=25.0, thawed=tuple(thawed))
