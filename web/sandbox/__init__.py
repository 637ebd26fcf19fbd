"""A provider to develop against: OTPGet's face, a real ledger behind it, and faults by script.

Run it with `python -m web.sandbox --port 9000`, or start a `Sandbox` inside a test. Everything is kept in
memory.

Reading order: `orders` and `ledger` (the money), `catalogue` and `shop` (what is for sale), then the provider's
words: `vendor` (cheap numbers), `sms`, `email`, `rental`, with `envelope` and `shapes` for JSON, and `handlers` as
the table of them all. What can go wrong: `faults` and `kinds`; whole courses of events: `stories` and `plays`.
`backstage` holds all of that behind one lock, `stage` answers from it, `server` and `wire` put it on a port.
`control`, `calls` and `page` are the director's chair under /sandbox/. docs/sandbox.md tells how to use it.
"""

from __future__ import annotations

from web.sandbox.faults import Fault
from web.sandbox.ledger import Ledger
from web.sandbox.log import Seen
from web.sandbox.orders import Order, State
from web.sandbox.rules import Rules
from web.sandbox.server import Sandbox

__all__ = ["Fault", "Ledger", "Order", "Rules", "Sandbox", "Seen", "State"]
