"""The sandbox provider's books, its words and its script, without a socket."""

from __future__ import annotations

import contextlib
import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.sandbox import Fault, Ledger, Rules, State
from web.sandbox.faults import Script, read_faults
from web.sandbox.kinds import KINDS, Scene, answer_for
from web.sandbox.ledger import NoSuchOrder, OrderEnded, Refused
from web.sandbox.orders import Order
from web.sandbox.stage import Stage
from web.sandbox.vendor import speak

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def books(clock: Clock, balance: str = "500", seed: int = 1, **rules: Any) -> Ledger:
    return Ledger(Decimal(balance), Rules().changed(**rules), clock, random.Random(seed))


def bought(ledger: Ledger) -> Order:
    return ledger.buy("1", "1")


def refusal(ledger: Ledger, call: str, order: Order) -> str:
    with pytest.raises(Refused) as refused:
        getattr(ledger, call)(order.id)
    return refused.value.word


# The money


def test_purchase_is_charged_at_once(clock: Clock) -> None:
    """Buying takes the price from the balance and writes it in the journal."""
    ledger = books(clock, price="12.50")
    order = bought(ledger)
    assert ledger.balance == Decimal("487.50")
    assert [(entry.order_id, entry.kind) for entry in ledger.journal] == [(order.id, "charge")]


def test_empty_account_buys_nothing(clock: Clock) -> None:
    """A balance below the price is refused with LOW_BALANCE and stays as it is."""
    ledger = books(clock, balance="9.99")
    with pytest.raises(Refused, match="LOW_BALANCE"):
        bought(ledger)
    assert ledger.balance == Decimal("9.99")
    assert ledger.orders() == ()


def test_running_out_refunds_nothing(clock: Clock) -> None:
    """Nobody cancels for us: an order past its life is gone, and so is its price."""
    ledger = books(clock, code_after=None)
    order = bought(ledger)
    clock.pass_by(900)
    assert ledger.order(order.id).state is State.EXPIRED
    assert refusal(ledger, "status", order) == "NO_ACTIVATION"
    assert refusal(ledger, "cancel", order) == "NO_ACTIVATION"
    assert ledger.refunds() == 0


def test_price_change_leaves_old_refunds_alone(clock: Clock) -> None:
    """An order is refunded what it cost, whatever a number costs by then."""
    ledger = books(clock, code_after=None)
    order = bought(ledger)
    ledger.rules = ledger.rules.changed(price="99")
    clock.pass_by(120)
    ledger.cancel(order.id)
    assert ledger.balance == Decimal(500)


def test_set_balance_keeps_books_balanced(clock: Clock) -> None:
    """Setting the balance counts as having opened the account with that much more or less."""
    ledger = books(clock)
    bought(ledger)
    ledger.set_balance(Decimal(1000))
    assert (ledger.balance, ledger.start_balance) == (Decimal(1000), Decimal(1010))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.just(0)),
        st.tuples(st.just("pass"), st.integers(0, 400)),
        st.tuples(st.sampled_from(["cancel", "finish", "status", "arrive"]), st.integers(0, 7)),
        st.tuples(st.just("price"), st.integers(0, 30)),
    ),
    max_size=60,
)


def play(ledger: Ledger, clock: Clock, step: str, value: int) -> None:
    """One step; what the provider or the ledger refuses changes nothing."""
    orders = ledger.orders()
    if step == "pass":
        clock.pass_by(value)
    elif step == "price":
        ledger.rules = ledger.rules.changed(price=value)
    elif step == "buy":
        bought(ledger)
    elif orders:
        order_id = orders[value % len(orders)].id
        ledger.arrive(order_id, "4711") if step == "arrive" else getattr(ledger, step)(order_id)


@given(STEPS, st.integers(0, 2**32), st.sampled_from([0, 0.3, 1]))
def test_money_is_conserved(steps: list[tuple[str, int]], seed: int, share: float) -> None:
    """Whatever happens: start = balance + charges - refunds, and the balance is never negative."""
    clock = Clock()
    ledger = books(clock, balance="100", seed=seed, no_code_share=share)
    for step, value in steps:
        with contextlib.suppress(Refused, OrderEnded):
            play(ledger, clock, step, value)
        assert ledger.start_balance == ledger.balance + ledger.charges() - ledger.refunds()
        assert ledger.balance >= 0


@given(STEPS, st.integers(0, 2**32))
def test_refund_means_cancelled_without_code(steps: list[tuple[str, int]], seed: int) -> None:
    """Every order is charged once, and refunded once exactly if it was cancelled while it had no code."""
    clock = Clock()
    ledger = books(clock, balance="100", seed=seed)
    for step, value in steps:
        with contextlib.suppress(Refused, OrderEnded):
            play(ledger, clock, step, value)
    for order in ledger.orders():
        kinds = [entry.kind for entry in ledger.journal if entry.order_id == order.id]
        cancelled = order.state is State.CANCELLED
        assert kinds == (["charge", "refund"] if cancelled else ["charge"])
        assert not (cancelled and order.code)
        assert (order.refunded_at is not None) == cancelled


# The life of an order


def test_code_arrives_when_due(clock: Clock) -> None:
    """An order waits until its code is due and then shows the same code on every poll."""
    ledger = books(clock, code_after=8)
    order = bought(ledger)
    clock.pass_by(7.9)
    assert ledger.status(order.id) == "STATUS_WAIT_CODE"
    clock.pass_by(0.1)
    seen = ledger.order(order.id)
    assert ledger.status(order.id) == ledger.status(order.id) == f"STATUS_OK:{seen.code}"
    assert seen.code_at == START + 8


def test_some_orders_never_get_a_code(clock: Clock) -> None:
    """The share of code-less orders is about what the rules say."""
    ledger = books(clock, balance="100000", no_code_share=0.25)
    for _ in range(400):
        bought(ledger)
    clock.pass_by(10)
    assert 70 <= sum(order.state is State.WAITING for order in ledger.orders()) <= 130


def test_early_cancel_is_denied(clock: Clock) -> None:
    """A cancel is refused until the order has its age, and granted from then on."""
    ledger = books(clock, code_after=None, cancel_after=120)
    order = bought(ledger)
    clock.pass_by(119)
    assert refusal(ledger, "cancel", order) == "EARLY_CANCEL_DENIED"
    clock.pass_by(1)
    assert ledger.cancel(order.id) == "ACCESS_CANCEL"
    assert ledger.status(order.id) == "STATUS_CANCEL"


def test_second_cancel_refunds_nothing_more(clock: Clock) -> None:
    """Cancelling is safe to repeat."""
    ledger = books(clock, code_after=None, cancel_after=0)
    order = bought(ledger)
    assert [ledger.cancel(order.id), ledger.cancel(order.id)] == ["ACCESS_CANCEL", "ACCESS_CANCEL_ALREADY"]
    assert ledger.balance == ledger.start_balance


@pytest.mark.parametrize("word", ["OTP_RECEIVED", "BAD_STATUS"])
def test_cancel_after_code_is_refused(clock: Clock, word: str) -> None:
    """Once a code has arrived a cancel is refused with the configured word, however old the order."""
    ledger = books(clock, code_after=0, late_cancel=word)
    order = bought(ledger)
    clock.pass_by(200)
    assert refusal(ledger, "cancel", order) == word


def test_finish_needs_a_code(clock: Clock) -> None:
    """Finish is refused before the code, granted after it, and safe to repeat."""
    ledger = books(clock, code_after=8)
    order = bought(ledger)
    assert refusal(ledger, "finish", order) == "BAD_STATUS"
    clock.pass_by(8)
    assert [ledger.finish(order.id), ledger.finish(order.id)] == ["ACCESS_FINISH", "ACCESS_FINISH"]
    assert refusal(ledger, "cancel", order) == "BAD_STATUS"


def test_cancelled_order_takes_no_code(clock: Clock) -> None:
    """A code that was on its way to a cancelled order is lost, and no new one can be sent."""
    ledger = books(clock, code_after=200, cancel_after=0)
    order = bought(ledger)
    ledger.cancel(order.id)
    clock.pass_by(300)
    assert ledger.status(order.id) == "STATUS_CANCEL"
    with pytest.raises(OrderEnded):
        ledger.arrive(order.id, "1")


def test_code_goes_to_newest_waiting_order(clock: Clock) -> None:
    """Without an id a code reaches the newest order that has none."""
    ledger = books(clock, code_after=None)
    older, newer = bought(ledger), bought(ledger)
    assert [ledger.arrive(None, "1").id, ledger.arrive(None, "2").id] == [newer.id, older.id]
    with pytest.raises(NoSuchOrder):
        ledger.arrive(None, "3")


def test_code_is_kept_to_the_letter(clock: Clock) -> None:
    """Leading zeros, colons and line breaks of a text are the provider's business to pass on."""
    ledger = books(clock, code_after=None)
    order = bought(ledger)
    ledger.arrive(order.id, "Code: 001234\n<b>: yes")
    assert ledger.status(order.id) == "STATUS_OK:Code: 001234\n<b>: yes"


def test_later_text_takes_the_place_of_the_first(clock: Clock) -> None:
    """A second SMS to the same number shows in the status when it is due."""
    ledger = books(clock, code_after=None)
    order = bought(ledger)
    ledger.arrive(order.id, "first")
    ledger.arrive(order.id, "second", after=5)
    assert ledger.status(order.id) == "STATUS_OK:first"
    clock.pass_by(5)
    assert ledger.status(order.id) == "STATUS_OK:second"


def test_seed_repeats_the_same_orders(clock: Clock) -> None:
    """The same seed draws the same ids, numbers and codes; another one does not."""
    first, same, other = (books(clock, seed=seed) for seed in (7, 7, 8))
    assert bought(first) == bought(same) != bought(other)


def test_repr_shows_no_code(clock: Clock) -> None:
    """Neither a code nor a number shows when an order is printed."""
    ledger = books(clock, code_after=None)
    order = ledger.arrive(bought(ledger).id, "847293")
    assert "847293" not in repr(order)
    assert order.number not in repr(order)


# Rules


@pytest.mark.parametrize(
    "rules",
    [
        {"price": "NaN"},
        {"price": "-1"},
        {"price": "1e400"},
        {"life": float("inf")},
        {"no_code_share": 1.5},
        {"cancel_after": True},
        {"code_after": "soon"},
        {"colour": "red"},
    ],
)
def test_bad_rule_is_refused(rules: dict[str, Any]) -> None:
    """A rule that makes no sense raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        Rules().changed(**rules)


# The vendor's words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"action": "getBalance"}, "ACCESS_BALANCE:500.00"),
        ({"action": "noSuch"}, "BAD_ACTION"),
        ({}, "BAD_ACTION"),
        ({"action": "getServers", "type": "9"}, "BAD_TYPE"),
        ({"action": "buyNumber", "server": "1"}, "BAD_TYPE"),
        ({"action": "buyNumber", "server": "99", "type": "1"}, "BAD_SERVER"),
        ({"action": "buyNumber", "type": "1"}, "BAD_SERVER"),
        ({"action": "getStatus", "id": "nobody"}, "NO_ACTIVATION"),
        ({"action": "setStatus", "id": "nobody", "status": "8"}, "NO_ACTIVATION"),
        ({"action": "setStatus", "id": "nobody", "status": "5"}, "BAD_STATUS"),
    ],
)
def test_vendor_words(clock: Clock, query: dict[str, str], words: str) -> None:
    """Each call is answered with the word of the vendor's page."""
    assert speak(books(clock), query) == words


def test_purchase_line(clock: Clock) -> None:
    """buyNumber answers id, number and seconds left, with commas between."""
    ledger = books(clock)
    order_id, number, left = speak(ledger, {"action": "buyNumber", "server": "3", "type": "2"}).split(",")
    assert (order_id, left) == (ledger.orders()[0].id, "900")
    assert number.startswith("+92300")


def test_servers_are_listed_by_type(clock: Clock) -> None:
    """getServers lists the servers under the type asked for."""
    listed = json.loads(speak(books(clock), {"action": "getServers", "type": "1"}))
    assert [server["name"] for server in listed["1"]] == ["Pakistan Server 1", "Pakistan Server 2"]


@pytest.mark.parametrize("status", ["3", "6"])
def test_finish_has_two_numbers(clock: Clock, status: str) -> None:
    """3 and 6 both finish."""
    ledger = books(clock, code_after=0)
    order = bought(ledger)
    assert speak(ledger, {"action": "setStatus", "id": order.id, "status": status}) == "ACCESS_FINISH"


# The script


def spoken(script: Script, *actions: str) -> list[str | None]:
    faults = [script.take({"action": action, "id": "7"}) for action in actions]
    return [fault.kind if fault else None for fault in faults]


def scripted(*entries: dict[str, Any]) -> Script:
    script = Script()
    script.add(read_faults(list(entries)))
    return script


def test_fault_spoils_its_action_only() -> None:
    """An entry waits for its action, fires once and is gone."""
    script = scripted({"action": "getStatus", "kind": "empty"})
    assert spoken(script, "buyNumber", "getStatus", "getStatus") == [None, "empty", None]


def test_fault_skips_then_repeats() -> None:
    """`skip` requests pass first, then `times` are spoiled."""
    script = scripted({"action": "getStatus", "kind": "html", "skip": 1, "times": 2})
    assert spoken(script, *["getStatus"] * 4) == [None, "html", "html", None]


def test_skipped_fault_lets_later_entries_have_the_request() -> None:
    """A request that one entry lets pass may run into the next."""
    script = scripted({"kind": "html", "skip": 1}, {"kind": "empty"})
    assert spoken(script, "a", "b", "c") == ["empty", "html", None]


def test_fault_for_ever() -> None:
    """times=-1 never runs out."""
    assert spoken(scripted({"kind": "reset", "times": -1}), *"abc") == ["reset"] * 3


def test_fault_matches_parameters() -> None:
    """An entry with `match` waits for a request that has those parameters."""
    script = scripted({"kind": "html", "match": {"id": "8"}}, {"kind": "empty", "match": {"id": "7"}})
    assert spoken(script, "getStatus") == ["empty"]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kind": "unheard of"},
        {"kind": "word"},
        {"kind": "quoted", "charged": False},
        {"kind": "empty", "times": -2},
        {"kind": "empty", "times": "2"},
        {"kind": "empty", "delay": -1},
        {"kind": "empty", "delay": "1"},
        {"kind": "empty", "status": 99},
        {"kind": "empty", "headers": {"A": "b\r\nC: d"}},
        {"kind": "empty", "match": ["id"]},
        {"kind": "empty", "charged": "yes"},
        {"kind": "empty", "body": 5},
        {"kind": "empty", "colour": "red"},
        "empty",
    ],
)
def test_bad_entry_is_refused(entry: object) -> None:
    """A script entry that makes no sense raises ValueError with its position."""
    with pytest.raises(ValueError, match="fault 1"):
        read_faults([{"kind": "empty"}, entry])


def test_bad_entry_adds_none() -> None:
    """One bad entry leaves the whole script as it was."""
    stage = Stage()
    with pytest.raises(ValueError, match="fault 1"):
        stage.script(Fault("empty"), {"kind": "no such"})
    assert stage.faults() == []


def test_every_kind_makes_an_answer() -> None:
    """No kind falls over on an ordinary purchase."""
    scene = Scene("buyNumber", "ORDER_ID_2,+923001234567,900", "ORDER_ID_1", START)
    for kind in KINDS:
        body = "x" if kind in ("text", "word") else None
        assert answer_for(Fault(kind, body=body), scene).status >= 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("as_is", "ID,+92300,900"),
        ("bom_crlf", "\ufeffID,+92300,900\r\n"),
        ("quoted", '"ID,+92300,900"'),
        ("no_plus", "ID,92300,900"),
        ("sibling_text", "ACCESS_NUMBER:ID:92300"),
        ("sibling_json", '{"activationId": "ID", "phoneNumber": "92300"}'),
        ("bad_seconds", "ID,+92300,soon"),
        ("extra_fields", "ID,+92300,900,PK,1"),
        ("missing_id", ",+92300,900"),
        ("duplicate_id", "EARLIER,+92300,900"),
        ("banned", "BANNED:'2023-11-14 22-23-20'"),
        ("wait_retry", "STATUS_WAIT_RETRY:000000"),
        ("stale_code", "STATUS_WAIT_RETRY:000000"),
        ("status_cancel", "STATUS_CANCEL"),
        ("no_activation", "NO_ACTIVATION"),
        ("empty", ""),
    ],
)
def test_body_of_a_kind(kind: str, body: str) -> None:
    """Each kind spoils the true purchase line, or replaces it, in its own way."""
    scene = Scene("buyNumber", "ID,+92300,900", "EARLIER", START)
    assert answer_for(Fault(kind), scene).body.decode() == body


# The stage


def ask(stage: Stage, **query: str) -> str:
    return stage.answer({"api_key": "k", **query}).body.decode()


def buy(stage: Stage) -> str:
    return ask(stage, action="buyNumber", server="1", type="1")


@pytest.mark.parametrize(("charged", "orders"), [(True, 1), (False, 0)])
def test_charged_says_whether_the_ledger_acts(charged: bool, orders: int) -> None:
    """A spoiled answer may or may not have been bought for."""
    stage = Stage()
    stage.script({"action": "buyNumber", "kind": "http_error", "charged": charged})
    buy(stage)
    assert len(stage.ledger.orders()) == orders


def test_cancel_may_be_done_though_the_answer_is_lost(clock: Clock) -> None:
    """A spoiled cancel with `charged` has refunded all the same."""
    stage = Stage(clock=clock, code_after=None, cancel_after=0)
    order_id = buy(stage).split(",")[0]
    stage.script({"action": "setStatus", "kind": "reset", "charged": True})
    ask(stage, action="setStatus", id=order_id, status="8")
    assert ask(stage, action="setStatus", id=order_id, status="8") == "ACCESS_CANCEL_ALREADY"


def test_duplicate_id_is_an_earlier_order() -> None:
    """A second purchase can be handed the first one's id, and is charged like any other."""
    stage = Stage()
    first = buy(stage).split(",")[0]
    stage.script({"action": "buyNumber", "kind": "duplicate_id"})
    assert buy(stage).split(",")[0] == first
    assert stage.ledger.charges() == 20


def test_wrong_key_is_refused() -> None:
    """Without the right key every call is answered with BAD_KEY; without a key set, any will do."""
    assert ask(Stage(api_key="right"), action="getBalance") == "BAD_KEY"
    assert Stage().answer({"action": "getBalance"}).body == b"BAD_KEY"
    assert ask(Stage(), action="getBalance") == "ACCESS_BALANCE:500.00"


def test_outage_ends_by_itself(clock: Clock) -> None:
    """During an outage nothing is done; afterwards everything is as before."""
    stage = Stage(clock=clock)
    stage.outage(60, "502")
    assert stage.answer({"api_key": "k", "action": "getBalance"}).status == 502
    clock.pass_by(60)
    assert ask(stage, action="getBalance") == "ACCESS_BALANCE:500.00"


def test_log_masks_the_key(clock: Clock) -> None:
    """The log keeps what was asked and answered, never the key."""
    stage = Stage(clock=clock)
    order_id = buy(stage).split(",")[0]
    seen = stage.requests()[0]
    assert (seen.action, seen.id, seen.at, seen.query["api_key"]) == ("buyNumber", order_id, START, "***")
    assert seen.answer.startswith(order_id)


def test_log_narrows_to_an_order() -> None:
    """The log can be asked for one action, or for all that concerned one order."""
    stage = Stage()
    first, _second = buy(stage).split(",")[0], buy(stage)
    ask(stage, action="getStatus", id=first)
    assert [seen.action for seen in stage.requests(order_id=first)] == ["buyNumber", "getStatus"]
    assert len(stage.requests("buyNumber")) == 2


def test_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log forgets the oldest requests; the counters count them all."""
    monkeypatch.setattr("web.sandbox.log.MAX_REQUESTS", 3)
    stage = Stage()
    for _ in range(5):
        ask(stage, action="getBalance")
    assert len(stage.requests()) == 3
    assert stage.counters()["requests"] == {"getBalance": 5}


def test_reset_gives_fresh_books() -> None:
    """After a reset there are no orders, faults or requests; the rules stay."""
    stage = Stage(price="20")
    buy(stage)
    stage.script(Fault("empty", times=-1))
    stage.reset("70")
    assert (stage.ledger.balance, stage.ledger.orders(), stage.requests()) == (Decimal(70), (), [])
    buy(stage)
    assert stage.ledger.balance == 50
