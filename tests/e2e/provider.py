"""The sandbox provider as a theatre: every scenario buys from a server of its own and plays on a stage of its own.

So faults and rules of many scenarios, played at once, do not mix, although a purchase carries no order id yet. What is
a server to a cheap number is the country of an SMS number, and the domain of an address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from web.sandbox import Order, Rules, Sandbox, Seen
from web.sandbox.answers import Answer
from web.sandbox.handlers import CHEAP_HANDLER

VENDOR_PLACES = {"server": "1", "country": "33", "domain": "gmail.com"}
"""What every stage is to the vendor's own rules, by the parameter that names it."""
CANCEL, FINISH = "8", "3"
MOMENTS = {
    "buyNumber": "buy", "getNumber": "buy", "buyEmail": "buy", "getStatus": "poll", "getEmailCode": "poll",
    "cancelEmail": "cancel", "getServices": "price", "getEmailServices": "price",
}  # fmt: skip
ACTIONS = {
    "cheap": {},
    "sms": {"buyNumber": "getNumber", "price": "getServices"},
    "email": {"buyNumber": "buyEmail", "getStatus": "getEmailCode", "price": "getEmailServices"},
}
"""The actions of other products for those of cheap numbers."""
STAGES = range(100, 1100)
"""The servers that stages are set on."""

Cue = Callable[[str], object]
"""Called with the provider's order id when a request comes in, before it is answered."""
Script = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one server does. `sms` is a text and the seconds from the purchase to it; `cues` go by `moment()`."""

    rules: Rules
    sms: tuple[str, float] | None = None
    cues: Mapping[str, Cue] = field(default_factory=dict)
    product: str = "cheap"


def price(kind: str, **kwargs: Any) -> Script:
    """A fault of the listing that names the price."""
    return {"action": "price", "kind": kind, **kwargs}


def of_product(product: str, fault: Script) -> Script:
    """A fault of cheap numbers as one of another product's."""
    action, match = fault["action"], dict(fault.get("match", {}))
    if product == "email" and action == "setStatus" and match.pop("status", "") == CANCEL:
        action = "cancelEmail"
    return {**fault, "action": ACTIONS[product].get(action, action), "match": match}


def buy(kind: str, **kwargs: Any) -> Script:
    """A fault of buyNumber."""
    return {"action": "buyNumber", "kind": kind, **kwargs}


def poll(kind: str, **kwargs: Any) -> Script:
    """A fault of getStatus."""
    return {"action": "getStatus", "kind": kind, **kwargs}


def cancel(kind: str, **kwargs: Any) -> Script:
    """A fault of setStatus 8."""
    return {"action": "setStatus", "kind": kind, "match": {"status": CANCEL}, **kwargs}


def finish(kind: str, **kwargs: Any) -> Script:
    """A fault of setStatus 3."""
    return {"action": "setStatus", "kind": kind, "match": {"status": FINISH}, **kwargs}


def moment(query: Mapping[str, str]) -> str:
    """`buy`, `poll`, `cancel`, `finish`, `price`, or another action by its own name."""
    if query.get("action") == "setStatus":
        return {CANCEL: "cancel", FINISH: "finish"}.get(query.get("status", ""), "setStatus")
    return MOMENTS.get(query.get("action", ""), query.get("action", ""))


def _with_stages(listed: Answer) -> Answer:
    """The list of servers with those that stages may be set on, whether one is or not."""
    try:
        servers = json.loads(listed.body)
    except ValueError:
        return listed
    if isinstance(servers, dict) and isinstance(servers.get("1"), list):
        servers["1"] += [{"id": str(one), "name": f"Stage {one}"} for one in STAGES]
    return replace(listed, body=json.dumps(servers).encode())


class Theatre(Sandbox):
    """A sandbox with stages. A request for a server without one is answered as the sandbox does."""

    def __init__(self, **stage: Any) -> None:
        super().__init__(**stage)
        self._house = self.ledger.rules
        self._stages: dict[str, Stage] = {}
        self._stage_of: dict[str, str] = {}

    def stage(
        self,
        server: str,
        *faults: Script,
        rules: Mapping[str, Any] | None = None,
        sms: tuple[str, float] | None = None,
        cues: Mapping[str, Cue] | None = None,
        product: str = "cheap",
    ) -> None:
        """Set a stage; faults already there stay."""
        self._stages[server] = Stage(self._house.changed(**(rules or {})), sms, cues or {}, product)
        self.disturb(server, *faults)

    def disturb(self, server: str, *faults: Script) -> None:
        """Add faults to one stage's script."""
        product = self._stages[server].product
        mine = (of_product(product, fault) for fault in faults)
        self.script(*({**fault, "match": {**fault["match"], "stage": server}} for fault in mine))

    def cue(self, server: str, moment: str, cue: Cue) -> None:
        """Have something happen when such a request comes to a stage."""
        stage = self._stages[server]
        self._stages[server] = replace(stage, cues={**stage.cues, moment: cue})

    def answer(self, query: Mapping[str, str], handler: str = CHEAP_HANDLER) -> Answer:
        """Let the request's stage rule. All requests are answered on the one thread of the sandbox's loop."""
        asked_about = query.get("id") or query.get("email_id") or ""
        named = next((name for name in VENDOR_PLACES if query.get(name)), "")
        server = query.get(named) or self._stage_of.get(asked_about, "")
        stage = self._stages.get(server)
        if stage is None:
            answer = super().answer(query, handler)
            return answer if moment(query) != "getServers" else _with_stages(answer)
        if cue := stage.cues.get(moment(query)):
            cue(asked_about)
        before, self.ledger.rules = self.ledger.newest_id(), stage.rules
        at_the_vendor = {named: VENDOR_PLACES[named]} if named else {}
        answer = super().answer({**query, **at_the_vendor, "stage": server}, handler)
        self.ledger.rules = self._house
        if (bought := self.ledger.newest_id()) != before:
            self._sold(server, stage, bought)
        return answer

    def withdraw(self, order_id: str) -> None:
        """Cancel a number as a provider does by itself: a cue, because the ledger's rules are bent for it."""
        rules, self.ledger.rules = self.ledger.rules, self.ledger.rules.changed(cancel_after=0)
        self.ledger.cancel(order_id)
        self.ledger.rules = rules

    def bought(self, server: str) -> list[Order]:
        """The purchases charged on a stage."""
        return [order for order in self.ledger.orders() if self._stage_of.get(order.id) == server]

    def seen(self, server: str, what: str) -> list[Seen]:
        """The requests that a stage saw, of one moment."""
        return [row for row in self.seen_by_all(what) if row.query.get("stage") == server]

    def seen_by_all(self, what: str) -> list[Seen]:
        """The requests of one moment, about whatever product."""
        return [row for row in self.requests() if moment(row.query) == what]

    def _sold(self, server: str, stage: Stage, order_id: str) -> None:
        self._stage_of[order_id] = server
        if stage.sms:
            self.arrive(order_id, *stage.sms)
