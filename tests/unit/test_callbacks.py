"""Looking callbacks up as orders come in: whose fault it is, who waits, and what others notice of it: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref

import pytest

from tests.api_stage import ADDRESSES, HOOK, SILENT, Api, bad_fields, code
from web.api import callbacks
from web.api.callbacks import LOOK_UPS_PER_CALLER, Callbacks
from web.api.problems import Problem
from worker.webhooks.guard import CallbackRefused, Guard
from worker.webhooks.names import NoSuchName

PUBLIC = ["93.184.215.14"]


@pytest.fixture
def api(clock):
    return Api(clock)


class Zone:
    """Names that are answered when the test says so; all others at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name.endswith("silent.example"):
            await asyncio.to_thread(self.released.wait, 10)
        if name.startswith("no."):
            raise NoSuchName
        return PUBLIC


@pytest.fixture
def zone(monkeypatch):
    monkeypatch.setattr(callbacks, "PROMPT", 0.01)
    zone = Zone()
    yield zone
    zone.released.set()


def problem(judge: Callbacks, url: str, caller: str) -> tuple[int, str]:
    """The problem that a caller gets for a callback."""
    with pytest.raises(Problem) as caught:
        judge.check(url, caller)
    return caught.value.status, caught.value.code


def slow(judge: Callbacks, count: int, caller: str = "cal_a", hosts: int | None = None) -> list[threading.Thread]:
    """Requests of a caller that wait for names nobody answers for; returns once they wait."""

    def check(number: int) -> None:
        with_host = f"https://{number % (hosts or count)}.silent.example/"
        with contextlib.suppress(Problem, CallbackRefused):
            judge.check(with_host, caller)

    threads = [threading.Thread(target=check, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def until(true) -> None:
    """Wait for other threads."""
    for _ in range(10_000):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never happened")


def test_name_that_nobody_answers_for_is_a_503_and_no_fault_of_the_order(api):
    """Nothing is known against the callback: the order can be sent again."""
    answer = api.shop.order(callback_url=f"https://{SILENT}/")
    assert code(answer) == (503, "resolver_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert not api.due("buy")


def test_name_inside_and_name_that_is_none_look_the_same(api):
    """No list of internal names can be made by asking."""
    told = [api.shop.order(callback_url=f"https://{host}/").data for host in ("inside.example", "unknown.example")]
    assert told[0] == told[1]
    assert bad_fields(api.shop.order(callback_url="https://10.0.0.1/")) == {"callback_url": "blocked_address"}


def test_failure_is_remembered_for_a_moment(api, monkeypatch):
    """A name just found to be none is not asked about again, until the moment has passed."""
    assert bad_fields(api.shop.order(callback_url="https://unknown.example/"))
    monkeypatch.setitem(ADDRESSES, "unknown.example", PUBLIC)
    assert bad_fields(api.shop.order(callback_url="https://unknown.example/"))
    api.clock.advance(callbacks.REMEMBERED + 1)
    assert api.shop.order(callback_url="https://unknown.example/").status_code == 202


def test_refused_default_callback_is_told_from_one_in_the_request(api):
    """Whose callback is refused stands in the words."""
    shop = api.new_caller("Inside", callback_url="http://caller.example/")
    own = shop.post("/v1/orders", json={"server": "1", "type": "1"}).json
    given = shop.order(callback_url="http://caller.example/").json
    assert own["detail"] == "callback_url: must use https (this caller's default callback)"
    assert given["detail"] == "callback_url: must use https"
    assert shop.order(callback_url=HOOK).status_code == 202


def test_silent_zone_of_one_caller_costs_others_nothing(zone):
    """While one caller's names are waited for, others' are looked up and judged, good and bad."""
    judge = Callbacks(Guard(resolve=zone))
    threads = slow(judge, LOOK_UPS_PER_CALLER)
    until(lambda: len(zone.asked) == LOOK_UPS_PER_CALLER)
    judge.check("https://fine.example/", "cal_b")
    with pytest.raises(CallbackRefused):
        judge.check("https://no.such.example/", "cal_b")
    assert all(thread.is_alive() for thread in threads)


def test_caller_with_its_look_ups_in_use_is_told(zone):
    """One name more is a 429 for that caller, and may be looked up once the others are done."""
    judge = Callbacks(Guard(resolve=zone))
    threads = slow(judge, LOOK_UPS_PER_CALLER)
    until(lambda: len(zone.asked) == LOOK_UPS_PER_CALLER)
    assert problem(judge, "https://fine.example/", "cal_a") == (429, "too_many_look_ups")
    zone.released.set()
    for thread in threads:
        thread.join(10)
    judge.check("https://fine.example/", "cal_a")


def test_burst_for_one_host_looks_it_up_once(zone):
    """Many orders for the same slow host share one look-up, and only a few of them wait long for it."""
    judge = Callbacks(Guard(resolve=zone))
    threads = slow(judge, 12, hosts=1)
    until(lambda: sum(thread.is_alive() for thread in threads) == callbacks.PATIENT_PER_CALLER)
    assert zone.asked == ["0.silent.example"]


def test_process_with_all_its_look_ups_in_use_says_so(zone, monkeypatch):
    """When others use everything up, the reason is ours: 503."""
    monkeypatch.setattr(callbacks, "LOOK_UPS", 1)
    judge = Callbacks(Guard(resolve=zone))
    slow(judge, 1)
    until(lambda: len(zone.asked) == 1)
    assert problem(judge, "https://fine.example/", "cal_b") == (503, "resolver_unavailable")


def test_request_that_looks_up_first_is_not_kept(zone):
    """The loop of the look-ups lives as long as the process; the request that opened it does not, nor its key."""
    judge, request = Callbacks(Guard(resolve=zone)), Zone()
    context, current = contextvars.copy_context(), contextvars.ContextVar[Zone]("current")
    context.run(current.set, request)
    context.run(judge.check, "https://fine.example/", "cal_a")
    kept = weakref.ref(request)
    del context, request
    until(lambda: gc.collect() >= 0 and kept() is None)
