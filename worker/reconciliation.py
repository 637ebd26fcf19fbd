"""Reconciliation: what became of every purchase by the journal, and whether the balances bear it out. Pure.

A purchase whose price was read stands in the journal with it. The others' prices are inferred: a balance that fell
between two readings with exactly one such purchase in between fell by its price. Under load there is hardly ever just
one; then a price that was inferred before, or that an operator gives, explains the rest. Where it cannot be told, the
report says so and guesses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from worker.journal import Entry
from worker.order import rfc3339

Line = tuple[float, Mapping[str, str]]
"""One line of the journal: epoch seconds, and its fields."""

LONGEST_LIFE = 3600.0
"""Seconds after which a purchase without an end is listed: no number is known to live as long."""
LONGEST_CALL = 60.0
"""Seconds after which a purchase that was announced must have an outcome."""


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
    unexplained: Decimal | None = Decimal(0)
    """What no order explains; None: it cannot be told."""
    verdict: str = ""
    found: list[str] = field(default_factory=list)
    """What it shows of the orders in doubt, where it does not show of which."""

    @property
    def change(self) -> Decimal:
        """By how much the balance changed."""
        return self.after - self.before

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
        self._in_motion: dict[str, float] = {}
        """Orders with a purchase or cancel under way, since when: a reading meanwhile may miss their money."""
        self._reading: tuple[float, Decimal] | None = None
        self._uncovered = 0
        self._price: Decimal | None = None
        self.inferred: Decimal | None = None

    # Reading.

    def enter(self, at: float, fields: Mapping[str, str]) -> None:
        kind = fields.get("kind", "")
        if kind == Entry.BALANCE:
            self._read_balance(at, Decimal(fields["balance"]))
        elif order := fields.get("order"):
            self._note_motion(at, order, kind)
            self._note_money(order, kind, fields.get("status", ""))
            account = self._accounts.setdefault(order, OrderMoney(order, fields.get("caller", ""), Fate.UNDER_WAY, at))
            account.fate, account.at = _FATES.get(kind, account.fate), at
            account.refunded |= kind == Entry.REFUNDED
            account.code_came |= kind == Entry.RECEIVED
            if kind == Entry.INTENT:
                # The price that was read right before: a purchase sent at another one supersedes it.
                price = fields.get("price")
                account.price = account.known_price = None if price is None else Decimal(price)

    def _read_balance(self, at: float, balance: Decimal) -> None:
        if any(at - since < LONGEST_LIFE for since in self._in_motion.values()):
            return
        if self._reading is None:
            self._uncovered += len(self._moved[0]) + len(self._moved[1])
        else:
            self._stretches.append(Stretch(self._reading[0], at, self._reading[1], balance, *self._moved))
        self._reading, self._moved = (at, balance), ([], [], [])

    def _note_motion(self, at: float, order: str, kind: str) -> None:
        if kind in (Entry.INTENT, Entry.CANCEL):
            self._in_motion.setdefault(order, at)
        elif kind not in (Entry.CALLER_CANCEL, Entry.CALLER_RENEWAL):
            self._in_motion.pop(order, None)

    def _note_money(self, order: str, kind: str, status: str) -> None:
        bought, refunded, doubtful = self._moved
        if kind in (Entry.BOUGHT, Entry.RENTED) and not self._bought_after_all(order):
            bought.append(order)
        elif kind == Entry.REFUNDED:
            refunded.append(order)
        elif kind == Entry.PURCHASE_UNKNOWN or (kind == Entry.UNCONFIRMED and status != "received"):
            doubtful.append(order)

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
        while sum(map(self._infer_price, self._stretches)):
            pass
        named = [account for account in self._accounts.values() if account.known_price is None]
        prices = {account.price for account in named if account.price is not None}
        self.inferred = prices.pop() if len(prices) == 1 else None
        self._price = self._remembered if self.inferred is None and not prices else self.inferred

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
        """Say of every stretch what explains it."""
        for stretch in self._stretches:
            unpriced = self._unpriced(stretch)
            if unpriced and self._price is None:
                stretch.unexplained = None
                stretch.verdict = f"unknown: {_count(len(unpriced), 'movement')} of unknown price"
                continue
            rest = stretch.change - self._expected(stretch, self._price or Decimal(0))
            stretch.unexplained = Decimal(0) if self._settles_doubt(stretch, rest) else rest
            stretch.verdict = _verdict(stretch, rest, self._found(stretch), guessed=bool(unpriced))

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
