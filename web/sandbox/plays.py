"""Which story each order plays, and what it does to the order's requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from web.sandbox.faults import ALWAYS, Fault
from web.sandbox.handlers import ITEMS, PURCHASES, Handler, is_cancel, order_id
from web.sandbox.messages import message
from web.sandbox.orders import RENTAL, Order
from web.sandbox.shop import Query, Shop
from web.sandbox.stories import PREFIX, STORIES, Story

MOST_WISHES = 1_000
OUTAGE = 3
"""Units of time for which an outage lasts."""
PRICE_WINDOW = 60.0
"""Seconds for which a price stays raised unless somebody buys."""

LOST = Fault("reset", charged=True)
DOWN = Fault("http_error")


@dataclass(frozen=True, slots=True)
class Wish:
    """A story asked for ahead of the next purchases; `product` None: of any product that it is told of."""

    story: Story
    product: str | None = None
    times: int = 1
    """How many purchase requests play it; -1: all."""

    def takes(self, product: str) -> bool:
        """Whether a purchase of that product plays it."""
        return product in self.story.products and self.product in (None, product)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a request: the true answer, the fault with which a story spoils it, the id it bought."""

    genuine: str
    fault: Fault | None = None
    bought: str = ""


class Plays:
    """The wishes, and the orders that play a story. Guarded by the stage's lock."""

    def __init__(self) -> None:
        self._wishes: list[Wish] = []
        self._playing: dict[str, tuple[Story, float]] = {}

    def wish(self, wish: Wish) -> None:
        """Let the next purchases play a story; raises ValueError when too many are asked for."""
        if len(self._wishes) >= MOST_WISHES:
            raise ValueError(f"at most {MOST_WISHES} stories can be requested at a time")
        if wish.times:
            self._wishes.append(wish)

    def clear(self) -> None:
        """Forget what was asked for ahead; orders that play go on."""
        self._wishes.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """What was asked for ahead, ready for JSON."""
        return [{"story": wish.story.name, "product": wish.product, "times": wish.times} for wish in self._wishes]

    def story_of(self, order_id: str) -> str | None:
        """The name of the story that an order plays."""
        return self._playing[order_id][0].name if order_id in self._playing else None

    def tell(self, shop: Shop, handler: Handler, query: Query) -> Told:
        """Answer a request as its story has it, or as the handler does."""
        product = PURCHASES.get(query.get("action", ""))
        if product is not None:
            return self._sell(shop, handler, query, product)
        story, down_until = self._playing.get(order_id(query), (None, 0.0))
        if story is None:
            return Told(handler.speak(shop, query))
        if shop.clock() < down_until:
            return Told("", DOWN)
        if story.keeps_money and is_cancel(query):
            return Told(handler.refuse(shop, query["action"], "BAD_STATUS"))
        return Told(handler.speak(shop, query))

    def begin(self, shop: Shop, order: Order, story: Story) -> None:
        """Let an order that was just bought play a story."""
        pace = shop.rules.story_pace
        wait = pace * (OUTAGE + 1 if story.outage else 1)
        self._playing[order.id] = (story, shop.clock() + pace * OUTAGE if story.outage else 0.0)
        shop.ledger.silence(order.id)
        if story.text is None:
            return
        if order.product == RENTAL:
            at = order.expires_at - 0.001 if story.late else shop.clock() + wait
            shop.ledger.tell(order.id, message(story.text, at))
        else:
            shop.ledger.arrive(order.id, story.text, wait, late=story.late)

    def _sell(self, shop: Shop, handler: Handler, query: Query, product: str) -> Told:
        story = self._story_for(product, query.get(ITEMS[product], ""), shop.rules.stories)
        if story and (word := self._refusal(shop, story, query, product)):
            return Told(handler.refuse(shop, query["action"], word))
        before = shop.ledger.newest_id()
        genuine = handler.speak(shop, query)
        if (bought := shop.ledger.newest_id()) == before:
            return Told(genuine)
        if story:
            self.begin(shop, shop.ledger.order(bought), story)
        return Told(genuine, LOST if story and story.loses_purchase else None, bought)

    def _refusal(self, shop: Shop, story: Story, query: Query, product: str) -> str | None:
        """The word with which a story refuses this purchase."""
        if not story.raises_price:
            return story.refuses
        place = {name: query[name] for name in ("type", "country", "domain") if name in query}
        item = shop.find(product, place, query.get(ITEMS[product], ""))
        if item is None or shop.catalogue.raised(item):
            return None
        shop.catalogue.raise_price(item, PRICE_WINDOW)
        return "PRICE_CHANGED"

    def _story_for(self, product: str, item: str, listed: bool) -> Story | None:
        """The item's story, else the first that was asked for ahead; spends that."""
        if listed and item.startswith(PREFIX):
            return STORIES.get(item.removeprefix(PREFIX))
        for position, wish in enumerate(self._wishes):
            if wish.takes(product):
                if wish.times == 1:
                    del self._wishes[position]
                elif wish.times != ALWAYS:
                    self._wishes[position] = replace(wish, times=wish.times - 1)
                return wish.story
        return None
