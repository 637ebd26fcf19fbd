"""A provider to develop against: OTPGet's face, a real ledger behind it, and faults by script.

Run it with `python -m web.sandbox --port 9000`, or start a `Sandbox` inside a test. Everything is kept in
memory.

Reading order: `orders` and `ledger` (the money), `vendor` (the provider's words), `faults` and `kinds` (what
can go wrong), `stage` (all of that behind one lock), `server` and `wire` (the same on a port), `control` and
`page` (the director's chair under /sandbox/).
"""

from __future__ import annotations

from web.sandbox.faults import Fault
from web.sandbox.ledger import Ledger
from web.sandbox.log import Seen
from web.sandbox.orders import Order, State
from web.sandbox.rules import Rules
from web.sandbox.server import Sandbox

__all__ = ["Fault", "Ledger", "Order", "Rules", "Sandbox", "Seen", "State"]
