"""The ledger: journal against balances."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import count

import pytest

from worker.reconciliation import Fate, reconcile


def play(*moves, now=None, **known):
    """The report over moves like "500" (a reading of the balance), "buy a", "refund a", a second apart."""
    ticks = count(1000)
    lines = [(float(next(ticks)), line) for move in moves for line in _lines(move)]
    return reconcile(lines, lines[-1][0] + 5 if now is None else now, **known)


def _lines(move):
    word, _, order = move.partition(" ")
    kinds = {"buy": ["intent", "bought"], "refund": ["cancel", "refunded"], "code": ["received", "finished"]}
    if not order:
        return [{"kind": "balance", "balance": word}]
    status = {"status": "received"} if word == "unconfirmed-finish" else {}
    return [
        {"kind": kind, "order": order, "caller": "c", **status} for kind in kinds.get(word, [word.partition("-")[0]])
    ]


def verdicts(report):
    return [stretch.verdict for stretch in report.stretches]


def test_one_purchase_between_two_readings_shows_its_price():
    """A fall of the balance with exactly one purchase in it is that purchase's price."""
    report = play("500", "buy a", "490.50", "code a")
    assert report.price == Decimal("9.50")
    assert report.spent == Decimal("9.50")
    assert report.clean


def test_refund_gives_the_price_back():
    """A purchase that was refunded costs nothing, and both changes are explained."""
    report = play("500", "buy a", "490", "refund a", "500")
    assert (report.spent, report.fates[Fate.REFUNDED]) == (0, 1)
    assert report.clean
    assert len(report.stretches) == 2


def test_purchase_and_refund_between_two_readings_leave_no_trace():
    """What was bought and refunded between two readings needs no price."""
    report = play("500", "buy a", "490", "code a", "buy b", "refund b", "buy c", "480", "code c")
    assert report.clean
    assert report.spent == 20


def test_several_purchases_are_explained_at_the_usual_price():
    """Where every inferred price is the same, it explains what cannot be told one by one."""
    report = play("500", "buy a", "490", "code a", "buy b", "buy c", "470", "code b", "code c")
    assert verdicts(report)[1] == "explained: 2 purchases, 0 refunds at the usual price"
    assert report.clean


def test_prices_found_later_explain_what_came_before():
    """A refund shows the price that its purchase, bought with others, did not show."""
    report = play("500", "buy a", "buy b", "475", "refund b", "485", "code a")
    assert report.clean
    assert report.spent == 15


def test_several_purchases_without_a_known_price_cannot_be_told():
    """Nothing is guessed: the report says that it cannot be told."""
    report = play("500", "buy a", "buy b", "475", "code a", "code b")
    assert report.stretches[0].unexplained is None
    assert "of unknown price" in verdicts(report)[0]
    assert (report.unpriced, report.price) == (2, None)
    assert not report.clean


def test_fall_without_a_purchase_is_listed():
    """Money that went out with no purchase of ours is unaccounted for, to the last digit."""
    report = play("500", "buy a", "490", "code a", "487.25")
    assert report.unaccounted[0].unexplained == Decimal("-2.75")
    assert verdicts(report)[1] == "2.75 was spent that no purchase explains"


def test_rise_without_a_refund_is_called_a_top_up():
    """Money that came in without a refund is listed as what it most likely is."""
    assert "top-up" in verdicts(play("100", "600"))[0]


def test_unknown_purchase_that_the_balance_shows_is_called_charged():
    """A fall by the usual price with one unknown purchase in it shows that it was charged."""
    report = play("500", "buy a", "490", "code a", "purchase_unknown b", "480")
    assert "b was charged" in verdicts(report)[1]
    assert [doubt.order for doubt in report.doubts] == ["b"]
    assert "it was charged" in report.doubts[0].why
    assert report.spent == 20


def test_unknown_purchase_that_the_balance_rules_out_is_settled():
    """When other purchases explain the change to the digit, the unknown one was not charged."""
    report = play("500", "buy a", "490", "code a", "purchase_unknown b", "buy c", "480", "code c")
    assert "b was not charged" in verdicts(report)[1]
    assert report.clean


def test_unknown_purchase_without_a_reading_stays_in_doubt():
    """With nothing to compare, an unknown purchase is listed with why."""
    report = play("purchase_unknown b")
    assert [(doubt.order, doubt.caller) for doubt in report.doubts] == [("b", "c")]


@pytest.mark.parametrize(("balance", "doubts"), [("500", []), ("480", ["a"])])
def test_unconfirmed_refund_is_settled_by_the_balance(balance, doubts):
    """An unconfirmed refund that the balance shows is no doubt any more; one that did not come stays."""
    moves = ["500", "buy a", "490", "unconfirmed a"] + (["buy b"] if balance == "480" else []) + [balance]
    report = play(*moves)
    assert [doubt.order for doubt in report.doubts] == doubts


def test_unconfirmed_finish_is_no_doubt_about_money():
    """A number whose code came is paid for, whether its finish was confirmed or not."""
    report = play("500", "buy a", "490", "received a", "unconfirmed-finish a")
    assert report.clean
    assert report.fates[Fate.UNCONFIRMED] == 1


def test_purchase_adopted_after_it_was_given_up_counts_once():
    """An unknown purchase that turns out to be bought moved its money then, and comes back with its refund."""
    report = play("500", "buy x", "490", "code x", "purchase_unknown a", "480", "bought a", "refund a", "490")
    assert report.clean
    assert report.spent == 10


def test_reading_during_a_purchase_is_passed_over():
    """A reading between a purchase's intent and its record may or may not hold its money, so it proves nothing."""
    report = play("500", "intent a", "490", "bought a", "code a", "intent b", "bought b", "480", "code b")
    assert len(report.stretches) == 1
    assert report.stretches[0].change == -20


def test_old_open_purchase_is_listed():
    """A number bought long ago with neither finish nor refund is in doubt; a young one is not."""
    assert not play("buy a").doubts
    assert [doubt.order for doubt in play("buy a", now=1001 + 4000.0).doubts] == ["a"]


def test_announced_purchase_without_outcome_is_listed_after_a_minute():
    """An intent must find its outcome."""
    assert not play("intent a").doubts
    assert [doubt.order for doubt in play("intent a", now=1100.0).doubts] == ["a"]


def test_refusals_move_no_money():
    """What was not bought is counted and needs no explanation."""
    report = play("500", "intent a", "not_bought a")
    assert report.fates[Fate.NOT_BOUGHT] == 1
    assert report.clean


def test_movements_outside_the_readings_are_counted():
    """Purchases before the first and after the last reading are said to be uncovered."""
    assert play("buy a", "490", "code a", "buy b").uncovered == 2


def test_empty_journal_is_clean():
    """Nothing written, nothing owed."""
    report = reconcile([], 0.0)
    assert report.clean
    assert report.public()["orders"] == {fate.value: 0 for fate in Fate}


def test_money_in_json_is_exact():
    """Decimals are strings, digit for digit."""
    change = play("500.10", "buy a", "490.05").public()["balance_changes"][0]
    assert (change["change"], change["unexplained"]) == ("-10.05", "0.00")


def priced(*lines):
    """The report over whole lines of the journal, a second apart."""
    return reconcile([(1000.0 + place, line) for place, line in enumerate(lines)], 1005.0 + len(lines))


def purchase(order, price):
    """The lines of a purchase whose price was read."""
    return [{"kind": kind, "order": order, "caller": "c", "price": price} for kind in ("intent", "bought")]


def test_a_price_that_was_read_explains_its_change():
    """Several purchases at different prices between two readings are told apart by what the journal holds."""
    code = {"kind": "received", "order": "a", "caller": "c"}
    books = [*purchase("a", "45"), *purchase("b", "376.88"), code, {**code, "order": "b"}]
    report = priced({"kind": "balance", "balance": "1000"}, *books, {"kind": "balance", "balance": "578.12"})
    assert report.clean
    assert (report.spent, report.price, report.unpriced) == (Decimal("421.88"), None, 0)


def test_a_charge_at_another_price_than_was_read_is_unexplained():
    """A provider that takes more than it named is found out."""
    report = priced({"kind": "balance", "balance": "1000"}, *purchase("a", "45"), {"kind": "balance", "balance": "950"})
    assert report.stretches[0].unexplained == Decimal(-5)
    assert not report.clean


def test_the_price_of_the_purchase_that_was_made_counts():
    """After PRICE_CHANGED the second reading stands."""
    changed = {"kind": "not_bought", "order": "a", "caller": "c", "reply": "Declined.PRICE_CHANGED"}
    lines = [*purchase("a", "45")[:1], changed, *purchase("a", "52.50")]
    report = priced({"kind": "balance", "balance": "1000"}, *lines, {"kind": "balance", "balance": "947.50"})
    assert [one.unexplained for one in report.stretches] == [0]


BUSY = (
    "500",
    "buy a",
    "buy b",
    "buy c",
    "code a",
    "470",
    "refund b",
    "buy d",
    "buy e",
    "code c",
    "460",
    "code d",
    "code e",
)
"""A load under which no stretch has a single movement."""


def test_under_load_no_price_can_be_inferred():
    """And nothing is guessed."""
    report = play(*BUSY)
    assert (report.price, report.clean) == (None, False)


@pytest.mark.parametrize("known", [{"price": Decimal(10)}, {"remembered": Decimal(10)}])
def test_a_price_that_is_known_explains_a_load(known):
    """Given by an operator, or learnt in a quieter time."""
    report = play(*BUSY, **known)
    assert (report.clean, report.spent) == (True, Decimal(40))


def test_what_the_balances_show_counts_more_than_what_was_remembered():
    """Prices change; one that was given counts most."""
    moves = ("500", "buy a", "488", "code a")
    assert play(*moves, remembered=Decimal(10)).price == play(*moves, remembered=Decimal(10)).inferred == Decimal(12)
    assert play(*moves, price=Decimal(10)).clean is False


@pytest.mark.parametrize(
    ("after", "charged"), [("480", 0), ("470", 1), ("460", 2), ("450", 3)], ids=["none", "one", "two", "all"]
)
def test_of_several_unknown_purchases_the_balance_shows_how_many_were_charged(after, charged):
    """Every rupee is accounted for, though not every order."""
    moves = ("buy a", "buy b", *(f"purchase_unknown {one}" for one in "xyz"), "code a", "code b")
    report = play("500", *moves, after, price=Decimal(10))
    assert report.unaccounted == []
    assert report.spent == Decimal(20 + 10 * charged)
    assert f"{charged} of 3 in doubt were charged" in "".join(verdicts(report)) or charged in (0, 3)
    assert len(report.doubts) == (0 if charged == 0 else 3)


def test_refunds_and_purchases_in_doubt_add_up_together():
    """What is spent is certain even where it is not certain for which order."""
    moves = ("buy a", "cancel a", "unconfirmed a", "purchase_unknown x", "purchase_unknown y")
    report = play("500", *moves, "480", price=Decimal(10))
    assert (report.unaccounted, report.spent) == ([], Decimal(20))


@pytest.mark.parametrize("after", ["455", "520"])
def test_what_no_order_in_doubt_explains_stays_unexplained(after):
    """Half a price, or more than all refunds."""
    report = play("500", "buy a", "code a", "purchase_unknown x", "purchase_unknown y", after, price=Decimal(10))
    assert len(report.unaccounted) == 1


# Under a load with no quiet moment.


class Load:
    """Five orders a second at a provider with a ledger: purchases take a second or two, so that some always are on
    their way, and so does each reading of the balance. Of those whose outcome is unknown half are charged.
    """

    def __init__(self, seed: int, seconds: int, *, unknown: float, stolen: Decimal = Decimal(0)) -> None:
        self.chance, self.unknown, self.readings = random.Random(seed), unknown, 0
        self.moves: list[tuple[float, Decimal]] = [(seconds / 2, -stolen)]
        """When money moved, by the ledger."""
        self.lines: list[tuple[float, dict[str, str]]] = []
        for number in range(5 * seconds):
            self._order(number / 5, f"ord_{number}")
        for asked_at in (-2, *range(0, seconds, 7)):
            self.reading(asked_at)
        self.lines.sort(key=lambda one: one[0])

    @property
    def end(self) -> float:
        """When the last line was written."""
        return self.lines[-1][0]

    @property
    def cost(self) -> Decimal:
        """What the orders cost."""
        return -sum((amount for _, amount in self.moves), Decimal(0))

    def _order(self, at: float, order: str) -> None:
        moved, answered = at + self.chance.uniform(0.1, 0.9), at + self.chance.uniform(1, 2)
        self._line(at, "intent", order)
        fate = self.chance.random()
        if fate < self.unknown:
            self._line(answered, "purchase_unknown", order)
            self.moves += [(moved, -PRICE)] if fate < self.unknown / 2 else []
            return
        self._line(answered, "bought", order)
        self.moves.append((moved, -PRICE))
        if fate > 0.7:
            self._line(answered + 3, "cancel", order)
            self.moves.append((answered + 3 + self.chance.uniform(0.1, 0.9), PRICE))
            self._line(answered + 4, "refunded", order)
        else:
            self._line(answered + 3, "finished", order)

    def _line(self, at: float, kind: str, order: str) -> None:
        self.lines.append((at, {"kind": kind, "order": order, "caller": "c"}))

    def reading(self, asked_at: float) -> None:
        """The balance is that of some moment between question and answer."""
        seen, took = asked_at + self.chance.random(), 1.0
        balance = Decimal(100_000) + sum((amount for at, amount in self.moves if at <= seen), Decimal(0))
        self.readings += 1
        self.lines.append((asked_at + took, {"kind": "balance", "balance": str(balance), "took": str(took)}))


PRICE = Decimal(10)


@pytest.mark.parametrize("seed", range(5))
def test_a_load_without_a_quiet_moment_is_accounted_for(seed):
    """Every rupee, though some purchase is on its way at every reading: what is spent is what the ledger says."""
    load = Load(seed, 300, unknown=0.1)
    load.reading(load.end + 10)
    report = reconcile(load.lines, load.end + 20, price=PRICE)
    assert report.unaccounted == []
    assert report.spent == load.cost


@pytest.mark.parametrize("unknown", [0.0, 0.002, 0.1])
def test_a_load_that_goes_on_is_accounted_for_to_its_last_reading(unknown):
    """Nothing is silently passed over; the fewer are in doubt, the sooner each reading tells what came before it."""
    load = Load(1, 300, unknown=unknown)
    report = reconcile(load.lines, load.end, price=PRICE)
    assert report.unaccounted == []
    assert report.stretches[-1].end > 290


def test_each_reading_of_a_load_tells_what_came_before_it():
    """With nothing in doubt no reading has to wait for a quiet moment."""
    load = Load(1, 300, unknown=0)
    assert len(reconcile(load.lines, load.end, price=PRICE).stretches) == load.readings - 1


@pytest.mark.parametrize("stolen", ["5", "35", "400"])
def test_what_a_load_does_not_explain_is_found(stolen):
    """Money that goes out in the middle of it: that it did, at once, and how much, by a reading in a quiet moment."""
    load = Load(2, 300, unknown=0, stolen=Decimal(stolen))
    assert reconcile(load.lines, load.end, price=PRICE).unaccounted
    load.reading(load.end + 10)
    (found,) = reconcile(load.lines, load.end, price=PRICE).unaccounted
    assert found.start < 150 < found.end
    assert found.unexplained == -Decimal(stolen)
