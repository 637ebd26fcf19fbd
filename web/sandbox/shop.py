"""The shop behind the handlers: books, catalogue and shapes, and what selling an item means."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from web.sandbox.catalogue import Catalogue, Item, Place
from web.sandbox.ledger import Ledger, Refused
from web.sandbox.orders import Order, Sale
from web.sandbox.rules import Rules
from web.sandbox.shapes import Shapes

Query = Mapping[str, str]


@dataclass(slots=True)
class Shop:
    """What the handlers share. All of it is guarded by the stage's lock."""

    ledger: Ledger
    catalogue: Catalogue
    shapes: Shapes
    clock: Callable[[], float]
    chance: random.Random

    @property
    def rules(self) -> Rules:
        """How the provider behaves at the moment."""
        return self.ledger.rules

    def find(self, product: str, place: Place, code: str) -> Item | None:
        """What is for sale under a code at a place."""
        return self.catalogue.find(product, place, code, self.rules.stories)

    def sell(self, item: Item, asked: Mapping[str, str], life: float) -> Order:
        """Sell an item for what it costs now.

        Raises Refused with `NO_NUMBERS`, `PRICE_CHANGED` or `LOW_BALANCE`.
        """
        if item.count == 0:
            raise Refused("NO_NUMBERS")
        if self.rules.price_guard and self.catalogue.moved(item):
            raise Refused("PRICE_CHANGED")
        order = self.ledger.sell(Sale(item.product, asked, self.catalogue.price(item), life, item.name))
        self.catalogue.take(item)
        return order
