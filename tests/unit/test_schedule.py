"""When an order or a webhook next needs attention."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOW
from worker import schedule

WAITS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
spans = st.floats(1, 10_000)


@pytest.mark.parametrize(
    ("timeout", "life", "after"),
    [
        (540, 900, 540),
        (60, 900, 125),
        (10_000, 900, 870),
        (0, 900, 125),
        (540, 200, 170),
        (540, 140, 125),
        (540, 100, 100),
        (540, 50, 50),
    ],
)
def test_cancel_begins_between_the_earliest_and_the_end(timeout: float, life: float, after: float):
    """At the timeout, not before the provider allows it, with a reserve before the number's end."""
    assert schedule.cancel_after(timeout, life, 125) == after


@given(spans, spans, st.floats(0, 10_000))
def test_cancel_never_lies_past_the_numbers_life(timeout: float, life: float, earliest: float):
    """An order always gets its cancel while there is something to cancel."""
    after = schedule.cancel_after(timeout, life, earliest)
    assert min(earliest, life) <= after <= life


@pytest.mark.parametrize(("asks", "wait"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 20), (60, 20)])
def test_asking_for_a_number_backs_off(asks: int, wait: float):
    """Doubling from one second to twenty."""
    assert schedule.next_attempt(asks, NOW, NOW + 1000, lambda: 0.0) == NOW + wait


def test_last_ask_is_at_the_budgets_end():
    """The budget is used up, not overrun."""
    assert schedule.next_attempt(5, NOW, NOW + 3, lambda: 0.5) == NOW + 3
    assert schedule.next_attempt(5, NOW, NOW, lambda: 0.5) is None


@given(st.integers(0, 100), st.floats(0, 500), st.floats(0, 0.999))
def test_next_ask_lies_ahead_and_within_the_budget(asks: int, left: float, chance: float):
    """Never now again, never past the end, at most a quarter of jitter."""
    at = schedule.next_attempt(asks, NOW, NOW + left, lambda: chance)
    if left == 0:
        assert at is None
    elif at is not None:
        assert NOW < at <= NOW + min(left, schedule.SLOWEST_ATTEMPT * 1.25) + 1e-6


@pytest.mark.parametrize(("failures", "wait"), list(enumerate(WAITS, 1)))
def test_delivery_follows_the_contracts_schedule(failures: int, wait: float):
    """Each failed attempt has its wait."""
    assert schedule.next_delivery(WAITS, failures, NOW, None, lambda: 0.0) == NOW + wait


def test_schedule_ends():
    """Thirteen attempts, then it is given up."""
    assert schedule.next_delivery(WAITS, 13, NOW, None, lambda: 0.0) is None
    assert schedule.next_delivery((), 1, NOW, None, lambda: 0.0) is None


def test_last_attempt_is_due_when_all_before_it_have_failed():
    """Told ahead from wherever a delivery stands, it is where the schedule itself arrives without jitter."""
    at = NOW
    for failures in range(1, len(WAITS) + 1):
        told = schedule.last_delivery(WAITS, failures - 1, at)
        assert told == NOW + sum(WAITS)
        at = schedule.next_delivery(WAITS, failures, at, None, lambda: 0.0) or 0.0
    assert schedule.last_delivery(WAITS, len(WAITS), at) == at == NOW + sum(WAITS)


def test_retry_after_moves_an_attempt_later_within_the_schedule():
    """Obeyed, but not beyond the longest wait; never used to come earlier."""
    assert schedule.next_delivery(WAITS, 1, NOW, 90, lambda: 0.0) == NOW + 90
    assert schedule.next_delivery(WAITS, 1, NOW, 9_000, lambda: 0.0) == NOW + 1800
    assert schedule.next_delivery(WAITS, 8, NOW, 1, lambda: 0.0) == NOW + 120


@given(st.integers(1, 12), st.one_of(st.none(), st.floats(0, 4000)), st.floats(0, 0.999))
def test_jitter_only_adds(failures: int, asked: float | None, chance: float):
    """Never earlier than the schedule's wait, at most a fifth later."""
    at = schedule.next_delivery(WAITS, failures, NOW, asked, lambda: chance)
    wait = max(WAITS[failures - 1], min(asked or 0, 1800))
    assert at is not None
    assert wait - 1e-6 <= at - NOW <= wait * 1.2 + 1e-6
