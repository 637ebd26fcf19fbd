"""The scaling model says what was measured, within the error it states, and the page says what the model does."""

from __future__ import annotations

import pytest

from tests.bench import scaling
from tests.bench.model import Check, Cost, Model, simulate
from tests.bench.record import Load, Record, Rhythm

RECORD = Record.read()
CLOCK = Rhythm(batch=200, tick=0.05, linger=0.1)


@pytest.mark.parametrize("check", Model.of(RECORD).checks(), ids=lambda check: f"{check.load.orders}")
def test_the_model_reproduces_what_was_measured(check: Check):
    """Polls per second and both CPU shares of every measured load are within the stated error."""
    assert check.holds(), check.off()


def test_the_largest_loads_are_predictions():
    """The model is calibrated at the two smallest loads, and more were measured."""
    two = Model.of(Record(**{name: getattr(RECORD, name) for name in RECORD.__slots__} | {"loads": RECORD.loads[:2]}))
    assert two.costs == Model.of(RECORD).costs
    assert len(RECORD.loads) >= 4


def test_the_page_shows_what_the_model_prints():
    """The tables in docs/scaling.md are those of the recorded figures."""
    shown = scaling.PAGE.read_text().partition(scaling.BEGIN)[2].partition(scaling.END)[0]
    assert shown.strip() == scaling.tables(RECORD)


def test_a_stated_error_that_is_exceeded_shows():
    """A prediction far from the measured load does not hold."""
    load = Load(orders=1_000, polls=190.0, worker_micros=100.0, redis_micros=30.0)
    assert Check(load, 190.0, load.worker, load.redis).holds()
    assert not Check(load, 190.0, 2 * load.worker, load.redis).holds()
    assert not Check(load, 150.0, load.worker, load.redis).holds()


@pytest.mark.parametrize("orders", [1, 100, 10_000, 1_000_000])
def test_no_order_is_polled_faster_than_its_interval(orders: int):
    """The interval is a floor, and what the clock adds to it stays small."""
    polls = simulate(orders, 5.0, CLOCK)
    assert 0.94 * orders / 5 <= polls <= orders / 5


def test_a_cost_goes_through_the_points_it_was_made_from():
    """Base and cost per poll are solved for exactly."""
    cost = Cost.through((200.0, 0.025), (2_000.0, 0.122))
    assert cost.at(200.0) == pytest.approx(0.025)
    assert cost.at(2_000.0) == pytest.approx(0.122)


def test_a_slow_provider_needs_more_workers():
    """Beyond the answer time at which a worker's calls in flight end it, workers grow with the answer time."""
    model = Model.of(RECORD)
    fast, slow = model.patience() / 2, 2.0
    assert model.processes(1_000_000, slow) > 2 * model.processes(1_000_000, fast)
    assert model.per_process(slow) == 1_000
