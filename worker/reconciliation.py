"""Reconciliation: what became of every purchase by the journal, and whether the balances bear it out. Pure.

A purchase whose price was read stands in the journal with it. The others' prices are inferred: a balance that fell
between two readings with exactly one such purchase in between fell by its price. Under load there is hardly ever just
one; then a price that was inferred before, or that an operator gives, explains the rest. Where it cannot be told, the
report says so and guesses nothing.

Under load there is no reading without a purchase or a cancel under way, either: the money of an order that is astride a
reading may lie on both of its sides. So what such orders and those in doubt may have moved is kept as a set of sums,
each reading rules some out, and a stretch ends with the reading that leaves one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from worker.journal import Entry
from worker.order import rfc3339

Line = tuple[float, Mapping[str, str]]
"""One line of the journal: epoch seconds, and its fields."""

LEARNT_PRICE = "price"
"""The field of the account (`worker.store.keys.ACCOUNT`) that holds the price of a number as it was last inferred."""
LONGEST_LIFE = 3600.0
"""Seconds after which a purchase without an end is listed: no number is known to live as long."""
LONGEST_CALL = 60.0
"""Seconds after which a purchase that was announced must have an outcome."""
READING_SLACK = 0.25
"""Seconds by which a reading may be older than its line says: the way into the journal."""
MOST_SUMS = 2_000
"""Sums that are told apart; beyond them (many in doubt, at many prices) only a reading with none under way counts."""

Astride = list[tuple[str, int]]
"""Orders whose money may lie on either side of a reading, and what of it is in the balance and not in the journal, or
the other way round: -1 a price less, 1 a price more."""


class Chance(NamedTuple):
    """A possibility: what was astride the beginning of a stretch, and what moved in it that is not in the journal."""

    start: Decimal
    doubted: Decimal = Decimal(0)
    """By orders in doubt."""
    lost: Decimal = Decimal(0)
    """By nothing that is known."""

    def end(self, rest: Decimal) -> Decimal:
        """What is astride the end, by what of the change the journal does not have."""
        return rest + self.start - self.doubted - self.lost


Chances = set[Chance] | None
"""All that the readings so far leave; None: a price is missing, or there are too many."""


class Fate(StrEnum):
    """What became of an order's money."""

    UNDER_WAY = "under_way"
    """The purchase was announced; its outcome is not in the journal (yet)."""
    NOT_BOUGHT = "not_bought"
    OPEN = "open"
    """Bought, neither finished nor given back yet."""
    FINISHED = "finished"
    """Bought, and its code arrived; or rented."""
    REFUNDED = "refunded"
    UNCONFIRMED = "unconfirmed"
    """Bought; whether the money came back is not known."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was bought."""


_FATES: Mapping[str, Fate] = {
    Entry.INTENT: Fate.UNDER_WAY,
    Entry.NOT_BOUGHT: Fate.NOT_BOUGHT,
    Entry.BOUGHT: Fate.OPEN,
    Entry.RENTED: Fate.FINISHED,
    Entry.PURCHASE_UNKNOWN: Fate.UNKNOWN,
    Entry.FINISHED: Fate.FINISHED,
    Entry.REFUNDED: Fate.REFUNDED,
    Entry.UNCONFIRMED: Fate.UNCONFIRMED,
}
"""The last of these lines decides."""
_DOUBTS = {
    Fate.UNKNOWN: "the purchase was sent and its reply could not be read: it may have been charged",
    Fate.UNCONFIRMED: "bought, but the provider confirmed neither a finish nor a refund",
    Fate.OPEN: "bought long ago, but the journal has neither a finish nor a refund",
    Fate.UNDER_WAY: "the journal has an intent to buy, but no outcome",
}


@dataclass(slots=True)
class OrderMoney:
    """One order's money as the journal tells it."""

    order: str
    caller: str
    fate: Fate
    at: float
    """When its fate was last written, in epoch seconds."""
    refunded: bool = False
    code_came: bool = False
    """A number whose code came is owed for: its finish may fail, its money is not in doubt."""
    price: Decimal | None = None
    known_price: Decimal | None = None
    """The price that was read right before the purchase."""
    shown: str = ""
    """What the balance shows of an order in doubt: charged, not charged, refunded or not refunded."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """An order whose money is not accounted for, and why."""

    order: str
    caller: str
    at: float
    why: str

    def public(self) -> dict[str, Any]:
        """The doubt as JSON shows it."""
        return {"order": self.order, "caller": self.caller, "at": rfc3339(self.at), "why": self.why}


@dataclass(slots=True)
class Stretch:
    """The time between two readings of the balance, and the money that moved in it."""

    start: float
    end: float
    before: Decimal
    after: Decimal
    bought: list[str] = field(default_factory=list)
    refunded: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    """Orders whose money may have moved in it."""
    astride: Astride = field(default_factory=list)
    """Orders whose money may lie beyond its end."""
    unexplained: Decimal | None = Decimal(0)
    """What no order explains; None: it cannot be told."""
    verdict: str = ""
    found: list[str] = field(default_factory=list)
    """What it shows of the orders in doubt, where it does not show of which."""

    @property
    def change(self) -> Decimal:
        """By how much the balance changed."""
        return self.after - self.before

    def absorb(self, next_: Stretch) -> None:
        """Go on to the end of the next."""
        self.end, self.after, self.astride = next_.end, next_.after, next_.astride
        self.bought += next_.bought
        self.refunded += next_.refunded
        self.doubtful += next_.doubtful

    def public(self) -> dict[str, Any]:
        """The stretch as JSON shows it; money as strings of exact decimals."""
        return {
            "from": rfc3339(self.start), "to": rfc3339(self.end),
            "balance_before": str(self.before), "balance_after": str(self.after), "change": str(self.change),
            "purchases": len(self.bought), "refunds": len(self.refunded), "doubtful": self.doubtful,
            "unexplained": None if self.unexplained is None else str(self.unexplained),
            "verdict": self.verdict,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What `reconcile` found."""

    fates: Mapping[Fate, int]
    price: Decimal | None
    """The price of a number, where every price that could be inferred is the same."""
    inferred: Decimal | None
    """The same where these balances show it by themselves: worth remembering."""
    spent: Decimal
    """Prices of the purchases that were not refunded, as far as known."""
    unpriced: int
    """Purchases that were not refunded and whose price is not known."""
    doubts: Sequence[Doubt]
    stretches: Sequence[Stretch]
    uncovered: int
    """Purchases and refunds before the first or after the last usable reading of the balance."""

    @property
    def unaccounted(self) -> list[Stretch]:
        """Stretches whose change is not, or cannot be, explained."""
        return [one for one in self.stretches if one.unexplained != 0]

    @property
    def clean(self) -> bool:
        """Whether every order and every change of the balance is accounted for."""
        return not self.doubts and not self.unaccounted

    def public(self) -> dict[str, Any]:
        """The report as JSON shows it."""
        return {
            "accounted_for": self.clean,
            "orders": {fate.value: self.fates.get(fate, 0) for fate in Fate},
            "price": None if self.price is None else str(self.price),
            "spent": str(self.spent), "purchases_of_unknown_price": self.unpriced,
            "in_doubt": [doubt.public() for doubt in self.doubts],
            "balance_changes": [stretch.public() for stretch in self.stretches],
            "movements_without_readings": self.uncovered,
        }  # fmt: skip


def reconcile(
    lines: Iterable[Line], now: float, *, price: Decimal | None = None, remembered: Decimal | None = None
) -> Report:
    """Go through the journal, oldest line first, and account for every order and change of the balance.

    `price` is the price of a number, where it is known; `remembered` one that was inferred before, which counts where
    these balances show none.
    """
    book = _Book(price, remembered)
    for at, fields in lines:
        book.enter(at, fields)
    book.infer_prices()
    book.judge()
    return book.report(now)


class _Book:
    """The journal while it is being read."""

    def __init__(self, given: Decimal | None, remembered: Decimal | None) -> None:
        self._given, self._remembered = given, remembered
        self._unnamed = Decimal(0)
        """Money of orders in doubt that the balance shows to be spent, without showing of which."""
        self._accounts: dict[str, OrderMoney] = {}
        self._stretches: list[Stretch] = []
        self._moved: tuple[list[str], list[str], list[str]] = ([], [], [])
        """Orders bought, refunded and doubtful since the last usable reading."""
        self._in_motion: dict[str, tuple[float, int]] = {}
        """Orders with a purchase or cancel under way, since when, and which way it moves the balance."""
        self._recorded: list[tuple[float, str, int]] = []
        """What was written down lately, and which way it moves the balance: a reading may be older than its line."""
        self._astride_first: Astride = []
        self._reading: tuple[float, Decimal] | None = None
        self._uncovered = 0
        self._price: Decimal | None = None
        self.inferred: Decimal | None = None

    # Reading.

    def enter(self, at: float, fields: Mapping[str, str]) -> None:
        kind = fields.get("kind", "")
        if kind == Entry.BALANCE:
            self._read_balance(at, Decimal(fields["balance"]), float(fields.get("took", 0)))
        elif order := fields.get("order"):
            self._note_motion(at, order, kind)
            self._note_money(at, order, kind, fields.get("status", ""))
            account = self._accounts.setdefault(order, OrderMoney(order, fields.get("caller", ""), Fate.UNDER_WAY, at))
            account.fate, account.at = _FATES.get(kind, account.fate), at
            account.refunded |= kind == Entry.REFUNDED
            account.code_came |= kind == Entry.RECEIVED
            if kind == Entry.INTENT:
                # The price that was read right before: a purchase sent at another one supersedes it.
                price = fields.get("price")
                account.price = account.known_price = None if price is None else Decimal(price)

    def _read_balance(self, at: float, balance: Decimal, took: float) -> None:
        self._recorded = [one for one in self._recorded if one[0] >= at - took - READING_SLACK]
        astride = [(order, way) for order, (since, way) in self._in_motion.items() if at - since < LONGEST_LIFE]
        astride += [(order, -way) for _, order, way in self._recorded]
        if self._reading is None:
            self._uncovered += len(self._moved[0]) + len(self._moved[1])
            self._astride_first = astride
        else:
            before, moved = self._reading, self._moved
            self._stretches.append(Stretch(before[0], at, before[1], balance, *moved, astride=astride))
        self._reading, self._moved = (at, balance), ([], [], [])

    def _note_motion(self, at: float, order: str, kind: str) -> None:
        if kind in (Entry.INTENT, Entry.CANCEL):
            self._in_motion.setdefault(order, (at, -1 if kind == Entry.INTENT else 1))
        elif kind not in (Entry.CALLER_CANCEL, Entry.CALLER_RENEWAL):
            self._in_motion.pop(order, None)

    def _note_money(self, at: float, order: str, kind: str, status: str) -> None:
        bought, refunded, doubtful = self._moved
        if kind in (Entry.BOUGHT, Entry.RENTED) and not self._bought_after_all(order):
            moved, way = bought, -1
        elif kind == Entry.REFUNDED:
            moved, way = refunded, 1
        elif kind == Entry.PURCHASE_UNKNOWN or (kind == Entry.UNCONFIRMED and status != "received"):
            moved, way = doubtful, -1 if kind == Entry.PURCHASE_UNKNOWN else 1
        else:
            return
        moved.append(order)
        self._recorded.append((at, order, way))

    def _bought_after_all(self, order: str) -> bool:
        """Whether a purchase was given up as unknown before: its money moved then."""
        known = self._accounts.get(order)
        if known is None or known.fate is not Fate.UNKNOWN:
            return False
        moved = [(one.bought, one.doubtful) for one in self._stretches]
        for bought, doubtful in [*moved, (self._moved[0], self._moved[2])]:
            if order in doubtful:
                doubtful.remove(order)
                bought.append(order)
                return True
        return False

    # Judging.

    def infer_prices(self) -> None:
        """Find the prices that the balances show; each may help to find the next."""
        if self._given is not None:
            self._price = self._given
            return
        quiet = self._between_quiet_readings()
        while sum(map(self._infer_price, quiet)):
            pass
        named = [account for account in self._accounts.values() if account.known_price is None]
        prices = {account.price for account in named if account.price is not None}
        self.inferred = prices.pop() if len(prices) == 1 else None
        self._price = self._remembered if self.inferred is None and not prices else self.inferred

    def _between_quiet_readings(self) -> list[Stretch]:
        """The stretches between readings with nothing astride: their changes are certain."""
        found: list[Stretch] = []
        certain = not self._astride_first
        open_: Stretch | None = None
        for stretch in self._stretches:
            open_ = _joined(open_, stretch)
            if not stretch.astride:
                found += [open_] if certain else []
                certain, open_ = True, None
        return found

    def _infer_price(self, stretch: Stretch) -> bool:
        """A stretch with one movement of unknown price, and nothing doubtful, shows that price."""
        unpriced = self._unpriced(stretch)
        if len(unpriced) != 1 or stretch.doubtful:
            return False
        rest = stretch.change - self._expected(stretch, Decimal(0))
        price = rest if unpriced[0] in stretch.refunded else -rest
        if price > 0:
            self._accounts[unpriced[0]].price = price
        return price > 0

    def judge(self) -> None:
        """Say of every stretch what explains it; one goes on until a reading leaves a single possibility."""
        told: list[Stretch] = []
        open_: Stretch | None = None
        rest, chances = Decimal(0), _beginning(self._sums(self._astride_first))
        for stretch in self._stretches:
            open_ = _joined(open_, stretch)
            rest += self._rest(stretch)
            chances = self._narrowed(chances, stretch, rest)
            if stretch.astride and (chances is None or len({one.end(rest) for one in chances}) > 1):
                continue
            rest, chances = Decimal(0), _beginning({self._judge(open_, chances)})
            told.append(open_)
            open_ = None
        if open_ is not None and (chances is not None or self._unpriced(open_)):
            self._judge(open_, chances)
            told.append(open_)
        elif open_ is not None:
            self._uncovered += len(open_.bought) + len(open_.refunded)
        self._stretches = told

    def _narrowed(self, chances: Chances, latest: Stretch, rest: Decimal) -> Chances:
        """What the latest reading leaves of the possibilities, with those of what is newly in doubt.

        `rest` is what of the change since the last judgement the journal does not have.
        """
        ends = self._sums(latest.astride)
        doubts = self._sums([(one, -1 if self._accounts[one].fate is Fate.UNKNOWN else 1) for one in latest.doubtful])
        if chances is None or ends is None or doubts is None or (self._price is None and self._unpriced(latest)):
            return None
        if len(chances) * len(doubts) > MOST_SUMS:
            return None
        grown = {one._replace(doubted=one.doubted + more) for one in chances for more in doubts}
        left = {one for one in grown if one.end(rest) in ends}
        return left or {Chance(one.start, lost=rest + one.start - end) for one in grown for end in ends}

    def _judge(self, stretch: Stretch, chances: Chances) -> Decimal:
        """Say of a stretch what explains it; returns what is astride its end."""
        unpriced, rest = self._unpriced(stretch), self._rest(stretch)
        if unpriced and self._price is None:
            stretch.unexplained = None
            stretch.verdict = f"unknown: {_count(len(unpriced), 'movement')} of unknown price"
            return Decimal(0)
        likely = min(chances or {Chance(Decimal(0), lost=rest)}, key=_least)
        end = likely.end(rest)
        moved = rest + likely.start - end
        doubted = {one.doubted for one in chances or ()}
        if len(doubted) > 1 and not likely.lost:
            self._unnamed -= likely.doubted
            named = ", ".join(stretch.doubtful)
            stretch.found = [f"unknown so far: those in doubt moved {min(doubted)} to {max(doubted)} PKR: {named}"]
            stretch.unexplained = Decimal(0)
        else:
            stretch.unexplained = Decimal(0) if self._settles_doubt(stretch, moved) else moved
        least = "at least " if len({one.lost for one in chances or ()}) > 1 else ""
        stretch.verdict = least + _verdict(stretch, moved, self._found(stretch), guessed=bool(unpriced))
        return end

    def _sums(self, orders: Astride) -> set[Decimal] | None:
        """All sums that any of the orders may add up to; None: not known, or too many."""
        sums = {Decimal(0)}
        for order, way in orders:
            price = self._accounts[order].price or self._price
            if price is None or len(sums) > MOST_SUMS:
                return None
            sums |= {one + way * price for one in sums}
        return sums

    def _settles_doubt(self, stretch: Stretch, rest: Decimal) -> bool:
        """Whether the rest shows what became of the orders in doubt: of the only one, or of how many of them."""
        if len(stretch.doubtful) > 1:
            return self._settles_doubts(stretch, rest)
        if not stretch.doubtful:
            return False
        account = self._accounts[stretch.doubtful[0]]
        price = account.price or self._price
        if account.fate is Fate.UNKNOWN:
            account.shown = "not charged" if rest == 0 else "charged" if rest == -(price or 0) else ""
        elif account.fate is Fate.UNCONFIRMED:
            account.shown = "not refunded" if rest == 0 else "refunded" if rest == price else ""
        return bool(account.shown)

    def _settles_doubts(self, stretch: Stretch, rest: Decimal) -> bool:
        """Several in doubt: at one price the rest says how many of them, and of all or none also which."""
        price = self._price
        unknown = [one for one in stretch.doubtful if self._accounts[one].fate is Fate.UNKNOWN]
        unconfirmed = [one for one in stretch.doubtful if self._accounts[one].fate is Fate.UNCONFIRMED]
        if not price or rest % price or not -len(unknown) * price <= rest <= len(unconfirmed) * price:
            return False
        if not unconfirmed and rest in (0, -len(unknown) * price):
            for one in unknown:
                self._accounts[one].shown = "charged" if rest else "not charged"
        elif not unknown and rest in (0, len(unconfirmed) * price):
            for one in unconfirmed:
                self._accounts[one].shown = "refunded" if rest else "not refunded"
        else:
            self._unnamed -= rest
            stretch.found = [_shares(unknown, unconfirmed, rest / price)]
        return True

    def _found(self, stretch: Stretch) -> list[str]:
        if stretch.found:
            return stretch.found
        shown_of = [(order, self._accounts[order].shown) for order in stretch.doubtful]
        return [f"{order} was {shown}" for order, shown in shown_of if shown]

    def _rest(self, stretch: Stretch) -> Decimal:
        """What of the change the journal does not have, at the price that is known."""
        return stretch.change - self._expected(stretch, self._price or Decimal(0))

    def _expected(self, stretch: Stretch, otherwise: Decimal) -> Decimal:
        """The change that purchases and refunds make, those of unknown price at `otherwise`."""
        price = {one: self._accounts[one].price for one in _net(stretch)}
        worth = {one: otherwise if known is None else known for one, known in price.items()}
        return sum((worth[one] if one in stretch.refunded else -worth[one] for one in worth), Decimal(0))

    def _unpriced(self, stretch: Stretch) -> list[str]:
        return [one for one in _net(stretch) if self._accounts[one].price is None]

    def report(self, now: float) -> Report:
        kept = [one for one in self._accounts.values() if _paid_for(one)]
        prices = [one.price if one.price is not None else self._price for one in kept]
        return Report(
            fates=Counter(one.fate for one in self._accounts.values()),
            price=self._price,
            inferred=self.inferred,
            spent=sum((price for price in prices if price is not None), self._unnamed),
            unpriced=sum(price is None for price in prices),
            doubts=[_doubt(one) for one in self._accounts.values() if _doubtful(one, now)],
            stretches=self._stretches,
            uncovered=self._uncovered + len(self._moved[0]) + len(self._moved[1]),
        )


def _joined(open_: Stretch | None, stretch: Stretch) -> Stretch:
    """A stretch of one's own that goes on to the end of the next."""
    if open_ is None:
        open_ = Stretch(stretch.start, stretch.start, stretch.before, stretch.before)
    open_.absorb(stretch)
    return open_


def _beginning(starts: set[Decimal] | None) -> Chances:
    return None if starts is None else {Chance(start) for start in starts}


def _least(chance: Chance) -> tuple[Decimal, Decimal, Chance]:
    """The likeliest first: the one that supposes least."""
    return abs(chance.lost), abs(chance.doubted), chance


def _paid_for(account: OrderMoney) -> bool:
    """Whether it was charged and, as far as known, not refunded."""
    charged = account.fate in (Fate.OPEN, Fate.FINISHED, Fate.UNCONFIRMED) or account.shown == "charged"
    return charged and not account.refunded and account.shown != "refunded"


def _net(stretch: Stretch) -> list[str]:
    """Orders whose money moved one way only: bought and refunded leaves no trace in the balance."""
    return sorted(set(stretch.bought) ^ set(stretch.refunded))


def _verdict(stretch: Stretch, rest: Decimal, found: Sequence[str], *, guessed: bool) -> str:
    if rest == 0 or found:
        moved = f"{_count(len(stretch.bought), 'purchase')}, {_count(len(stretch.refunded), 'refund')}"
        return "; ".join([f"explained: {moved}" + (" at the usual price" if guessed else ""), *found])
    if stretch.doubtful:
        way = "may have been charged" if rest < 0 else "may have been refunded"
        return f"{abs(rest)} unexplained; {way}: {', '.join(stretch.doubtful)}"
    if rest < 0:
        return f"{abs(rest)} was spent that no purchase explains"
    return f"{rest} came in that no refund explains: a top-up, or a refund that was never confirmed"


def _shares(unknown: Sequence[str], unconfirmed: Sequence[str], net: Decimal) -> str:
    """What a rest of `net` prices shows of several orders in doubt, without showing of which."""
    named = ", ".join([*unknown, *unconfirmed])
    if unknown and unconfirmed:
        return f"of those in doubt, {-net:+f} prices net were charged: {named}"
    count, what = (-net, "charged") if unknown else (net, "refunded")
    return f"{count:f} of {len(unknown) + len(unconfirmed)} in doubt were {what}: {named}"


def _doubtful(account: OrderMoney, now: float) -> bool:
    settled = account.refunded or account.code_came or account.shown in ("not charged", "refunded")
    patience = {Fate.OPEN: LONGEST_LIFE, Fate.UNDER_WAY: LONGEST_CALL}.get(account.fate, 0.0)
    return not settled and account.fate in _DOUBTS and now - account.at >= patience


def _doubt(account: OrderMoney) -> Doubt:
    shown = f"; the balance shows that it was {account.shown}" if account.shown else ""
    return Doubt(account.order, account.caller, account.at, _DOUBTS[account.fate] + shown)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
