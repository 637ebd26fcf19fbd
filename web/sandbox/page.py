"""The developer's page: the orders as they stand, and a form that sends a code. No script; all escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from web.sandbox.answers import Answer, encoded
from web.sandbox.ledger import Ledger
from web.sandbox.orders import Order

NEWEST = 100
"""Orders shown."""
SHOWN = 200
"""Characters of a code shown."""

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-src 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .8rem .2rem 0 }
td { border-top: 1px solid #ddd; word-break: break-all } iframe { border: 0; width: 100%; height: 70vh }
input, button { font: inherit; padding: .2rem .5rem }
</style>"""

_START = f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title>Sandbox provider</title>{_STYLE}</head><body><h1>Sandbox provider</h1>
<form method="post" action="/sandbox/code">
<label>Code or whole SMS <input name="text" required autofocus></label>
<label>to order <input name="id" placeholder="the newest waiting"></label>
<label>in <input name="after" type="number" min="0" step="any" value="0" size="4"> seconds</label>
<button>Send</button></form>
<iframe src="/sandbox/orders" title="Orders"></iframe></body></html>"""


def start_page() -> Answer:
    """The form, with the orders in a frame that renews itself without taking what is being typed."""
    return Answer(encoded(_START), headers=_HEADERS)


def orders_page(ledger: Ledger) -> Answer:
    """The newest orders, newest first."""
    orders = ledger.orders()
    rows = "".join(_row(order) for order in reversed(orders[-NEWEST:]))
    page = f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="refresh" content="2"><title>Orders</title>{_STYLE}</head>
<body><p>Balance {ledger.balance:.2f} PKR, {len(orders)} orders.</p>
<table><tr><th>Order<th>Number<th>Server<th>State<th>Code<th>Bought (UTC)</tr>{rows}</table></body></html>"""
    return Answer(encoded(page), headers=_HEADERS)


def _row(order: Order) -> str:
    bought = f"{datetime.fromtimestamp(order.charged_at, UTC):%H:%M:%S}"
    server = f"{order.server} (type {order.type})"
    cells = (order.id, order.number, server, str(order.state), (order.code or "")[:SHOWN], bought)
    return "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>"
