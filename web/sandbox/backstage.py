"""Behind the stage: the state that requests act on, and what a test or the control face may do to it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from web.sandbox.catalogue import Catalogue, Item, Place
from web.sandbox.faults import ALWAYS, Fault, Script, read_faults
from web.sandbox.ledger import Ledger, OrderEnded
from web.sandbox.log import RequestLog, Seen
from web.sandbox.messages import message, received
from web.sandbox.orders import EMAIL, RENTAL, SMS, Message, Order, State
from web.sandbox.plays import Plays, Wish
from web.sandbox.rules import Rules
from web.sandbox.shapes import Shapes
from web.sandbox.shop import Shop
from web.sandbox.stories import items_of, named
from web.sandbox.values import money, seconds

OUTAGES = {
    "502": Fault("http_error", times=ALWAYS),
    "reset": Fault("reset", times=ALWAYS),
    "hang": Fault("hang", times=ALWAYS),
}
"""What every request gets during an outage, by kind."""


class Backstage:
    """Ledger, catalogue, script, stories, outage and log behind one lock.

    All methods may be called from any thread. The options are told at `Stage`.
    """

    def __init__(
        self,
        *,
        balance: object = "500",
        api_key: str | None = None,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
        **rules: Any,
    ) -> None:
        self._lock = threading.RLock()
        self._api_key = api_key
        self._clock = clock
        self._chance = random.Random(seed)
        self._opening_balance = money(balance)
        self._log = RequestLog()
        self._script = Script()
        self._outage: tuple[float, Fault] | None = None
        self._shapes = Shapes()
        self.ledger = self._fresh_ledger(Rules().changed(**rules))
        self.catalogue = self._fresh_catalogue()
        self.plays = Plays()

    @property
    def shop(self) -> Shop:
        """What the handlers sell from."""
        return Shop(self.ledger, self.catalogue, self._shapes, self._clock, self._chance)

    def script(self, *faults: Fault | Mapping[str, Any]) -> None:
        """Put faults at the end of the script; raises ValueError for a bad one, and then adds none."""
        read = read_faults(faults)
        with self._lock:
            self._script.add(read)

    def clear_faults(self) -> None:
        """Forget the script and end an outage."""
        with self._lock:
            self._script.clear()
            self._outage = None

    def faults(self) -> list[dict[str, Any]]:
        """The script's entries with what is left of them."""
        with self._lock:
            return self._script.as_json()

    def arrive(self, order_id: str | None, text: str, after: float = 0.0, *, late: bool = False) -> Order:
        """Send a text to an order (`None`: the newest waiting), in `after` seconds; see `Ledger.arrive`."""
        with self._lock:
            return self.ledger.arrive(order_id, text, seconds(after), late=late)

    def message(self, order_id: str | None, text: str, after: float = 0.0, *, times: int = 1, **more: str) -> Order:
        """Send a message to a rental (`None`: the newest that runs), `times` over; `more`: `code`, `sender`."""
        with self._lock:
            at = self._clock() + seconds(after)
            return self.ledger.tell(order_id, *[message(text, at, **more)] * times)

    def story(self, name: str, product: str | None = None, times: int = 1) -> None:
        """Let the next purchases play a story; raises ValueError for one that there is not."""
        with self._lock:
            self.plays.wish(Wish(named(name, product), product, times))

    def stories(self) -> list[dict[str, Any]]:
        """The stories asked for ahead."""
        with self._lock:
            return self.plays.as_json()

    def clear_stories(self) -> None:
        """Forget the stories asked for ahead; orders that play one go on."""
        with self._lock:
            self.plays.clear()

    def play(self, order_id: str, name: str) -> Order:
        """Let an order that waits play a story from now on.

        Raises NoSuchOrder, OrderEnded for an order that waits no more, ValueError for a story that begins with
        the purchase or is none of the product's.
        """
        with self._lock:
            order = self.ledger.order(order_id)
            story = named(name, order.product)
            if story.at_purchase:
                raise ValueError(f"{story.name} begins with the purchase; ask for it ahead")
            if order.state not in (State.WAITING, State.RENTED):
                raise OrderEnded(f"order {order.id} is {order.state}")
            self.plays.begin(self.shop, order, story)
            return order

    def orders(self) -> tuple[Order, ...]:
        """All orders as of now, oldest first."""
        with self._lock:
            return self.ledger.orders()

    def order(self, order_id: str) -> Order:
        """One order as of now; raises NoSuchOrder."""
        with self._lock:
            return self.ledger.order(order_id)

    def story_of(self, order_id: str) -> str | None:
        """The story that an order plays."""
        with self._lock:
            return self.plays.story_of(order_id)

    def messages(self, order_id: str) -> list[Message]:
        """What a rental has received, oldest first; raises NoSuchOrder."""
        with self._lock:
            return received(self.ledger.order(order_id), self.ledger.rules, self._clock())

    def items(self) -> list[dict[str, Any]]:
        """The whole catalogue, ready for JSON."""
        with self._lock:
            return self.catalogue.as_json()

    def change_items(self, product: str, place: Place, code: str, changes: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Change what is for sale wherever it matches, and show it; raises ValueError when nothing does."""
        with self._lock:
            return [self.catalogue.plain(item) for item in self.catalogue.change(product, place, code, changes)]

    def add_item(self, item: Item) -> dict[str, Any]:
        """Offer something new; raises ValueError when it is there."""
        with self._lock:
            self.catalogue.add(item)
            return self.catalogue.plain(item)

    def remove_items(self, product: str, place: Place, code: str | None) -> None:
        """Sell these no more."""
        with self._lock:
            self.catalogue.remove(product, place, code)

    def shape(self, **shapes: str) -> Shapes:
        """Change the shapes of JSON answers from now on; raises ValueError for a bad one."""
        with self._lock:
            self._shapes = self._shapes.changed(**shapes)
            return self._shapes

    def refill(self, amount: object) -> None:
        """Pay into the account; raises ValueError for no amount, or for too much."""
        with self._lock:
            self.ledger.set_balance(money(self.ledger.balance + money(amount)))

    def set_balance(self, balance: object) -> None:
        """Make the balance what it says; raises ValueError for no amount."""
        with self._lock:
            self.ledger.set_balance(money(balance))

    def outage(self, span: float, kind: str = "reset") -> None:
        """Refuse every request for `span` seconds, by `reset`, `502` or `hang`; the ledger does nothing."""
        if kind not in OUTAGES:
            raise ValueError(f"an outage must be one of {', '.join(sorted(OUTAGES))}")
        with self._lock:
            self._outage = (self._clock() + seconds(span), OUTAGES[kind])

    def configure(self, **rules: Any) -> Rules:
        """Change rules for what happens from now on; raises ValueError for a bad one."""
        with self._lock:
            self.ledger.rules = self.ledger.rules.changed(**rules)
            return self.ledger.rules

    def reset(self, balance: object = None) -> None:
        """Fresh books and catalogue, no script, story, log or outage; rules and shapes stay.

        Raises ValueError for a bad balance.
        """
        with self._lock:
            self._opening_balance = self._opening_balance if balance is None else money(balance)
            self.ledger = self._fresh_ledger(self.ledger.rules)
            self.catalogue, self.plays = self._fresh_catalogue(), Plays()
            self.clear_faults()
            self._log.clear()

    def requests(self, action: str | None = None, order_id: str | None = None) -> list[Seen]:
        """The requests seen, oldest first, of one action or about one order if asked."""
        with self._lock:
            return self._log.rows(action, order_id)

    def counters(self) -> dict[str, Any]:
        """How many requests, of what kind, and how many at once."""
        with self._lock:
            return self._log.counters()

    def books(self) -> dict[str, Any]:
        """The ledger, ready for JSON."""
        with self._lock:
            return self.ledger.as_json()

    def _fresh_ledger(self, rules: Rules) -> Ledger:
        return Ledger(self._opening_balance, rules, self._clock, self._chance)

    def _fresh_catalogue(self) -> Catalogue:
        return Catalogue(self._clock, {product: items_of(product) for product in (SMS, EMAIL, RENTAL)})
