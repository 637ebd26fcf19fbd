"""A sandbox provider on a stage with a clock of its own, asked as a worker asks."""

from __future__ import annotations

import json
from typing import Any

from web.sandbox.handlers import CHEAP_HANDLER, EMAIL_HANDLER, RENTAL_HANDLER, SMS_HANDLER
from web.sandbox.orders import Order
from web.sandbox.stage import Stage

START = 1_700_000_000.0

CHEAP = {"server": "1", "type": "1"}
SMS = {"service": "tg", "country": "33", "type": "4"}
EMAIL = {"service_id": "tg", "domain": "gmail.com"}
RENTAL = {"pricing_id": "101"}
PURCHASES = {
    "cheap": (CHEAP_HANDLER, "buyNumber", CHEAP, "server"),
    "sms": (SMS_HANDLER, "getNumber", SMS, "service"),
    "email": (EMAIL_HANDLER, "buyEmail", EMAIL, "service_id"),
    "rental": (RENTAL_HANDLER, "rentNumber", RENTAL, "pricing_id"),
}


class Theatre:
    """A stage, its clock, and short ways to ask."""

    def __init__(self, **options: Any) -> None:
        self.now = START
        self.stage = Stage(clock=lambda: self.now, seed=1, **{"balance": "10000", "stories": True, **options})

    def ask(self, handler: str, action: str, **query: str) -> str:
        """The body of an answer."""
        return self.stage.answer({"api_key": "k", "action": action, **query}, handler).body.decode()

    def sms(self, action: str, **query: str) -> str:
        """Ask the handler of SMS OTP."""
        return self.ask(SMS_HANDLER, action, **query)

    def email(self, action: str, **query: str) -> Any:
        """Ask the handler of Email OTP; its JSON."""
        return json.loads(self.ask(EMAIL_HANDLER, action, **query))

    def rental(self, action: str, **query: str) -> Any:
        """Ask the handler of rentals; its JSON."""
        return json.loads(self.ask(RENTAL_HANDLER, action, **query))

    def buy(self, product: str, item: str | None = None) -> str:
        """Buy something, or the item of that name; the answer's body."""
        handler, action, query, name = PURCHASES[product]
        return self.ask(handler, action, **(query if item is None else {**query, name: item}))

    def bought(self, product: str, item: str | None = None) -> Order:
        """Buy something and look it up in the books."""
        before = self.stage.ledger.newest_id()
        answer = self.buy(product, item)
        assert self.stage.ledger.newest_id() != before, answer
        return self.order()

    def order(self, order_id: str | None = None) -> Order:
        """An order as of now; the newest unless it is named."""
        return self.stage.ledger.order(order_id or self.stage.ledger.newest_id())

    def poll(self, order: Order) -> str:
        """What the order's handler says when it is asked for a code."""
        if order.product == "email":
            return self.ask(EMAIL_HANDLER, "getEmailCode", email_id=order.id)
        if order.product == "rental":
            return self.ask(RENTAL_HANDLER, "getRentalSMS", order_id=order.id)
        return self.ask(PURCHASES[order.product][0], "getStatus", id=order.id)

    def cancel(self, order: Order) -> str:
        """What the order's handler says to a cancel."""
        if order.product == "email":
            return self.ask(EMAIL_HANDLER, "cancelEmail", email_id=order.id)
        return self.ask(PURCHASES[order.product][0], "setStatus", id=order.id, status="8")
