"""The order's states: every transition from every state is decided, and what each changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import pytest

from tests.builders import NOW, NUMBER, bought, lost_order, order, order_in, refunded_order
from worker.order import (
    TERMINAL,
    TRANSITIONS,
    Ending,
    ErrorCode,
    EventType,
    Order,
    Refused,
    Settlement,
    Status,
    caused_event,
    events_by_state,
    rfc3339,
)

LATER = NOW + 60.0
Q, B, W, C = Status.QUEUED, Status.BUYING, Status.WAITING, Status.CANCELLING
R, E, X, F = Status.RECEIVED, Status.EXPIRED, Status.CANCELLED, Status.FAILED


@dataclass(frozen=True)
class Move:
    """A transition as it should be: where from, where to, and exactly which fields it writes."""

    do: Callable[[Order], Order]
    sources: tuple[Status, ...]
    target: Status | None
    writes: dict[str, object]
    of: Callable[[Status], Order] = order_in


def with_ending(ending: Ending) -> Callable[[Status], Order]:
    """The samples, given back for a reason."""
    return lambda status: replace(order_in(status), ending=ending)


def with_code(status: Status) -> Order:
    """An order that holds a code, late or not."""
    return replace(order_in(status), otp="42")


MOVES = {
    "hold_back": Move(lambda o: o.hold_back(LATER), (Q,), None, {"first_attempt_at": LATER}),
    "intend": Move(lambda o: o.intend(LATER), (Q,), B, {"first_attempt_at": LATER, "intended_at": LATER}),
    "put_off": Move(lambda o: o.put_off(), (B,), Q, {"attempts": 1}),
    "reject": Move(
        lambda o: o.reject(ErrorCode.PROVIDER_AUTH, "BAD_KEY", LATER),
        (Q, B),
        F,
        {"error": ErrorCode.PROVIDER_AUTH, "error_message": "BAD_KEY", "ended_at": LATER},
    ),
    "withdraw": Move(
        lambda o: o.withdraw(LATER),
        (Q,),
        X,
        {"ending": Ending.CALLER, "cancel_requested": True, "ended_at": LATER},
    ),
    "assign": Move(
        lambda o: o.assign(bought("act_9", LATER), "odd"),
        (B,),
        W,
        {"purchase": bought("act_9", LATER), "settlement": Settlement.PENDING, "flags": ("odd",)},
    ),
    "lose_purchase": Move(
        lambda o: o.lose_purchase("no answer", LATER, "duplicate_activation"),
        (B,),
        F,
        {
            "error": ErrorCode.PURCHASE_UNKNOWN,
            "error_message": "no answer",
            "settlement": Settlement.UNCONFIRMED,
            "flags": ("duplicate_activation",),
            "ended_at": LATER,
        },
    ),
    "adopt_late": Move(
        lambda o: o.adopt_late(bought("act_9", LATER)),
        (F,),
        None,
        {"purchase": bought("act_9", LATER, cancel_after=0), "flags": ("adopted_late",)},
        lambda status: lost_order() if status is F else order_in(status),
    ),
    "begin_cancel": Move(lambda o: o.begin_cancel(Ending.LOST), (W,), C, {"ending": Ending.LOST}),
    "try_cancel": Move(lambda o: o.try_cancel(LATER), (C, F), None, {"cancels": 1, "cancel_sent_at": LATER}),
    "note_refund": Move(
        lambda o: o.note_refund(LATER),
        (C, F),
        None,
        {"settlement": Settlement.REFUNDED, "refunded_at": LATER},
    ),
    "receive": Move(
        lambda o: o.receive("001234", LATER, "cut"),
        (W, C),
        R,
        {"otp": "001234", "received_at": LATER, "ended_at": LATER, "flags": ("cut",)},
    ),
    "try_finish": Move(lambda o: o.try_finish(), (R,), None, {"finishes": 1}),
    "settle": Move(lambda o: o.settle(Settlement.FINISHED), (R, F), None, {"settlement": Settlement.FINISHED}),
    "expire": Move(
        lambda o: o.conclude(LATER),
        (C,),
        E,
        {"settlement": Settlement.UNCONFIRMED, "ended_at": LATER},
        with_ending(Ending.TIMEOUT),
    ),
    "conclude_cancel": Move(
        lambda o: o.conclude(LATER),
        (C,),
        X,
        {"settlement": Settlement.UNCONFIRMED, "ended_at": LATER},
        with_ending(Ending.CALLER),
    ),
    "lose": Move(
        lambda o: o.lose("gone", LATER),
        (W, C),
        F,
        {
            "error": ErrorCode.ORDER_LOST,
            "error_message": "gone",
            "ending": Ending.LOST,
            "settlement": Settlement.UNCONFIRMED,
            "ended_at": LATER,
        },
    ),
    "keep_late_code": Move(lambda o: o.keep_late_code("42"), (E, X, F), None, {"otp": "42", "flags": ("late_code",)}),
    "erase": Move(lambda o: o.erase(), (R, E, X, F), None, {"otp": None, "flags": ("otp_erased",)}, with_code),
}
ASKED = ("ask_cancel", "caller_cancel")
"""Transitions behind `ask_cancel`, which suits every state and therefore has a table of its own."""


def written(before: Order, after: Order) -> dict[str, object]:
    """The fields that differ, the version and status aside."""
    names = {one.name for one in fields(Order)} - {"version", "status"}
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


PAIRS = [(name, status) for name in MOVES for status in Status]


@pytest.mark.parametrize(("name", "status"), [pair for pair in PAIRS if pair[1] in MOVES[pair[0]].sources])
def test_allowed_transition_changes_what_it_should_and_nothing_else(name: str, status: Status):
    """One step up in version, the state that the table names, and exactly the fields of that moment."""
    move = MOVES[name]
    before = move.of(status)
    after = move.do(before)
    assert after.version == before.version + 1
    assert after.status is (move.target or status)
    unchanged = {k for k, v in move.writes.items() if getattr(before, k) == v}
    assert written(before, after) == {k: v for k, v in move.writes.items() if k not in unchanged}


@pytest.mark.parametrize(("name", "status"), [pair for pair in PAIRS if pair[1] not in MOVES[pair[0]].sources])
def test_every_other_pair_is_refused_and_changes_nothing(name: str, status: Status):
    """A step that comes too late says so, and the order stays as it was."""
    before = MOVES[name].of(status)
    copy = replace(before)
    with pytest.raises(Refused, match=str(status)):
        MOVES[name].do(before)
    assert before == copy


@pytest.mark.parametrize("name", MOVES)
def test_table_of_transitions_says_the_same(name: str):
    """The table that documents the states is the one that decides."""
    assert TRANSITIONS[name].sources == MOVES[name].sources
    assert TRANSITIONS[name].target == MOVES[name].target


def test_no_transition_is_untested():
    """A new transition needs its row here."""
    assert set(MOVES) | set(ASKED) == set(TRANSITIONS)


@pytest.mark.parametrize(
    ("status", "target", "writes"),
    [
        (Q, X, {"cancel_requested": True, "ending": Ending.CALLER, "ended_at": LATER}),
        (B, B, {"cancel_requested": True}),
        (W, C, {"cancel_requested": True, "ending": Ending.CALLER, "purchase": bought(cancel_after=LATER - NOW)}),
        *((status, status, {}) for status in (C, R, E, X, F)),
    ],
)
def test_caller_may_ask_to_cancel_in_every_state(status: Status, target: Status, writes: dict[str, object]):
    """Before the purchase it ends, after it a cancel begins, and what is ending or ended comes back unchanged."""
    before = order_in(status)
    after = before.ask_cancel(LATER)
    assert (after.status, written(before, after)) == (target, writes)
    assert after.version == before.version + bool(writes)


def test_asking_twice_changes_nothing_more():
    """The second cancel of an order whose purchase is under way is the first one again."""
    once = order_in(B).ask_cancel(LATER)
    assert once.ask_cancel(LATER + 1) is once


def test_second_ask_keeps_the_moment_of_the_first():
    """The buy budget runs from the first purchase that was sent."""
    again = order_in(B).put_off().intend(LATER)
    assert again.first_attempt_at == NOW


def test_number_is_adopted_once():
    """An order that has a number takes no other."""
    adopted = lost_order().adopt_late(bought(at=LATER))
    with pytest.raises(Refused):
        adopted.adopt_late(bought("act_2", LATER))


@pytest.mark.parametrize(("ending", "target"), [(Ending.TIMEOUT, E), (Ending.CALLER, X), (Ending.LOST, F), (None, E)])
def test_end_of_a_refunded_order_says_refunded(ending: Ending | None, target: Status):
    """Why it was given back decides the state, the provider's word the settlement."""
    concluded = replace(refunded_order(), ending=ending).conclude(LATER)
    assert (concluded.status, concluded.settlement) == (target, Settlement.REFUNDED)


def test_code_after_a_confirmed_refund_keeps_the_refund():
    """ACCESS_CANCEL followed by STATUS_OK: delivered, and the money is back."""
    received = refunded_order().receive("847293", LATER)
    assert (received.status, received.settlement) == (R, Settlement.REFUNDED)


def test_flags_are_kept_once_and_in_order():
    """A flag is a fact: saying it twice adds nothing."""
    flagged = order_in(W, flags=("a",)).receive("1", LATER, "b", "a", "b")
    assert flagged.flags == ("a", "b")


@pytest.mark.parametrize("name", TRANSITIONS)
def test_one_terminal_event_at_most(name: str):
    """Who enters a terminal state owes one webhook; nothing that happens afterwards owes another."""
    transition = TRANSITIONS[name]
    if transition.target in TERMINAL:
        assert transition.event is not None
        assert not set(transition.sources) & TERMINAL
    elif set(transition.sources) & TERMINAL:
        assert transition.target is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (R, EventType.OTP_RECEIVED),
        (E, EventType.EXPIRED),
        (X, EventType.CANCELLED),
        (F, EventType.FAILED),
        (W, EventType.NUMBER_ASSIGNED),
        (Q, None),
        (B, None),
        (C, None),
    ],
)
def test_entering_a_state_causes_its_event(status: Status, kind: EventType | None):
    """The webhook follows from the state entered, and staying there causes none."""
    before = order_in(W if status is B else B)
    assert caused_event(before, order_in(status)) is (kind if before.status is not status else None)
    assert caused_event(order_in(status), order_in(status)) is None


def test_public_shape_is_the_contracts():
    """The fields of the contract's example, in its order, and no others."""
    shown = order_in(W).public()
    assert shown == {
        "id": "ord_1",
        "product": "cheap",
        "status": "waiting",
        "server": "1",
        "type": "1",
        "service": None,
        "country": None,
        "domain": None,
        "number": NUMBER,
        "address": None,
        "price": None,
        "max_price": None,
        "otp": None,
        "callback_url": "https://caller.example/hook",
        "metadata": {},
        "purpose": None,
        "settlement": "pending",
        "error": None,
        "flags": [],
        "created_at": "2026-11-22T10:00:00.000Z",
        "bought_at": "2026-11-22T10:00:00.000Z",
        "expires_at": "2026-11-22T10:15:00.000Z",
        "received_at": None,
        "ended_at": None,
    }
    assert list(shown)[:9] == [
        "id", "product", "status", "server", "type", "service", "country", "domain", "number",
    ]  # fmt: skip


def test_error_is_shown_with_its_code_and_message():
    """What failed carries a stable code beside the sentence."""
    assert order_in(F).public()["error"] == {"code": "no_numbers", "message": "the provider had no numbers"}


@pytest.mark.parametrize("status", Status)
def test_repr_shows_neither_code_nor_number(status: Status):
    """An order in a traceback or a log line gives nothing away."""
    shown = repr(replace(order_in(status), otp="847293"))
    assert "847293" not in shown
    assert NUMBER not in shown


@pytest.mark.parametrize(
    ("at", "text"), [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (NOW + 0.5, "2026-11-22T10:00:00.500Z")]
)
def test_times_are_rfc_3339_in_utc(at: float | None, text: str | None):
    """Milliseconds and a Z, whatever the machine's zone."""
    assert rfc3339(at) == text


def test_states_are_the_contracts():
    """The eight states of the contract, four of them terminal."""
    assert [s.value for s in Status] == [
        "queued", "buying", "waiting", "cancelling", "received", "expired", "cancelled", "failed",
    ]  # fmt: skip
    assert {status for status in Status if order_in(status).ended} == TERMINAL == {R, E, X, F}


def test_charged_means_that_a_number_is_known():
    """An unknown purchase is not called charged: nobody knows."""
    assert order_in(W).charged
    assert not lost_order().charged
    assert not order().charged


@pytest.mark.parametrize("change", [{"event": EventType.PING}, {"target": W, "event": EventType.PING}])
def test_transition_whose_event_would_never_be_sent_is_refused(change):
    """The table says what is sent: no event on a row that stays, none that others entering the state do not have."""
    row = replace(TRANSITIONS["ask_cancel"], **change)
    with pytest.raises(ValueError, match="ask_cancel"):
        events_by_state([*TRANSITIONS.values(), row])
