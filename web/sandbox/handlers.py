"""The handlers under the base URL: which actions each knows, what it sells, and how it says no."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from web.sandbox import email, rental, sms, vendor
from web.sandbox.envelope import Envelope
from web.sandbox.ledger import Refused
from web.sandbox.orders import CHEAP, EMAIL, RENTAL, SMS
from web.sandbox.rules import BOTH
from web.sandbox.shop import Query, Shop

CHEAP_HANDLER, SMS_HANDLER = "cheap_handler.php", "handler_api.php"
EMAIL_HANDLER, RENTAL_HANDLER = "email_handler.php", "rental-handler.php"

Action = Callable[[Shop, Query], str]
PURCHASES = {"buyNumber": CHEAP, "getNumber": SMS, "buyEmail": EMAIL, "rentNumber": RENTAL}
"""The actions that sell something, and what."""
ITEMS = {CHEAP: "server", SMS: "service", EMAIL: "service_id", RENTAL: "pricing_id"}
"""The parameter that names what is asked for."""
IDS = ("id", "email_id", "order_id", "rental_id")
"""The parameters that name an order."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One PHP page of the vendor's."""

    name: str
    product: str
    actions: Mapping[str, Action]
    in_json: bool = False
    rentals: bool = False
    """Whether it knows the rental actions beside its own."""

    def speak(self, shop: Shop, query: Query) -> str:
        """The answer to a query that carried the right key."""
        action = query.get("action", "")
        try:
            if self.rentals and action in rental.ACTIONS and shop.rules.rental_path in (BOTH, self.name):
                return rental.ACTIONS[action](shop, query, self._envelope(shop, action))
            if action in self.actions:
                return self.actions[action](shop, query)
            return self.refuse(shop, action, "BAD_ACTION")
        except Refused as refusal:
            return self.refuse(shop, action, refusal.word)

    def refuse(self, shop: Shop, action: str, word: str) -> str:
        """How a call of that action is refused."""
        if not self.answers_json(action):
            return word
        return self._envelope(shop, action).refuse(word)

    def answers_json(self, action: str) -> bool:
        """Whether an action is answered with an envelope."""
        return self.in_json or (self.rentals and action in rental.ACTIONS)

    def _envelope(self, shop: Shop, action: str) -> Envelope:
        """Rentals at the handler of SMS OTP say their status in words."""
        return Envelope(shop.shapes, wordy=self.name == SMS_HANDLER and action in rental.ACTIONS)


def _cheap(action: str) -> Action:
    return lambda shop, query: vendor.ACTIONS[action](shop.ledger, query)


HANDLERS: Mapping[str, Handler] = {
    handler.name: handler
    for handler in (
        Handler(CHEAP_HANDLER, CHEAP, {action: _cheap(action) for action in vendor.ACTIONS}),
        Handler(SMS_HANDLER, SMS, sms.ACTIONS, rentals=True),
        Handler(EMAIL_HANDLER, EMAIL, email.ACTIONS, in_json=True),
        Handler(RENTAL_HANDLER, RENTAL, {}, in_json=True, rentals=True),
    )
}

KNOWN_ACTIONS = frozenset(action for handler in HANDLERS.values() for action in handler.actions) | set(rental.ACTIONS)
"""What any handler knows."""


def order_id(query: Query) -> str:
    """The order that a query is about, or an empty string."""
    return next((query[name] for name in IDS if query.get(name)), "")


def is_cancel(query: Query) -> bool:
    """Whether a query asks for the money back."""
    action = query.get("action")
    return action == "cancelEmail" or (action == "setStatus" and query.get("status") == sms.CANCEL)
