"""The developer's pages: the orders as they stand, and forms that direct them. No script; all escaped.

They show the provider's ids; the service's own are not known here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path

from web.sandbox.answers import Answer, encoded
from web.sandbox.orders import PRODUCTS, RENTAL, Order, State
from web.sandbox.stage import Stage
from web.sandbox.stories import SHORT, STORIES, WHOLE
from web.sandbox.values import Fields

NEWEST = 100
"""Orders shown."""
SHOWN = 200
"""Characters of a code shown."""
MOST_MESSAGES = 50
"""Messages of a rental shown, the latest."""

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'self'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STYLE = (Path(__file__).with_name("static") / "sandbox.css").read_bytes()

_HELP = """<details><summary>Help</summary>
<p>Play money buys made-up numbers here. Ids on this page are the provider's; the service shows its own.</p>
<p>A story plays a whole sequence of events. Choose one for the next purchase above, or for a waiting order on its own
page (click its id), or buy the item named after it: server, service or rental <code>story-no-code</code>.</p>
<p>Everything on this page and more (faults, prices, shapes of replies) is also available as a call:
<a href="/sandbox/calls">the list of calls</a>, <a href="/sandbox/ledger">the ledger</a>,
<a href="/sandbox/requests?limit=50">the last requests</a>.</p></details>"""


def style(_stage: Stage, _fields: Fields) -> Answer:
    """The pages' style sheet."""
    headers = {"Content-Type": "text/css; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Answer(_STYLE, headers=headers)


def start_page(_stage: Stage, _fields: Fields) -> Answer:
    """The forms, with the orders in a frame that renews itself without taking what is being typed."""
    body = f"""<h1>Sandbox provider</h1>
<form method="post" action="/sandbox/code">
<label>Code or whole SMS <input name="text" required autofocus></label>
<label>to order <input name="id" placeholder="the newest one waiting"></label>
<label>in seconds <input name="after" type="number" min="0" step="any" value="0"></label>
<button>Send</button></form>
<form method="post" action="/sandbox/message">
<label>Message <input name="text" required></label>
<label>to rental <input name="id" placeholder="the newest one running"></label>
<button>Send message</button></form>
<form method="post" action="/sandbox/stories">
<label>Story <select name="story">{_options(*STORIES)}</select></label>
<label>for the next <select name="product"><option value="">purchase</option>{_options(*PRODUCTS)}</select></label>
<button>Request story</button></form>
<form method="post" action="/sandbox/refill">
<label>Refill, in PKR <input name="amount" type="number" min="0.01" step="0.01" value="500"></label>
<button>Refill</button></form>{_HELP}
<iframe src="/sandbox/orders" title="Orders"></iframe>"""
    return _page("Sandbox provider", body)


def orders_page(stage: Stage, _fields: Fields) -> Answer:
    """The newest orders, newest first."""
    orders = stage.orders()
    ahead = "".join(
        f"<p>The next {escape(story['product'] or 'purchase')} plays {escape(story['story'])}.</p>"
        for story in stage.stories()
    )
    rows = "".join(_row(order, stage.story_of(order.id)) for order in reversed(orders[-NEWEST:]))
    body = f"""<p>Balance {stage.ledger.balance:.2f} PKR, {len(orders)} orders.{_spent(stage)}</p>{ahead}
<ul class="orders">{rows}</ul>"""
    return _page("Orders", body, '<meta http-equiv="refresh" content="2">')


def order_page(stage: Stage, fields: Fields) -> Answer:
    """One order, by its `id`, and what can be done to it; raises NoSuchOrder."""
    order = stage.order(fields["id"])
    facts = {
        "Order": _code(order.id),
        "Product": escape(order.product),
        "State": escape(order.state),
        "Bought for": f"{order.price} PKR",
        "Asked for": escape(", ".join(f"{name} {value}" for name, value in order.item.items())),
        "Number" if order.number else "Address": _code(order.contact),
        "Story": escape(stage.story_of(order.id) or "none"),
        "Code": _text(order.code or "") or "none",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    body = f'<p><a href="/sandbox/">All orders</a></p><h1>One order</h1><dl>{rows}</dl>{_forms(stage, order)}'
    return _page("One order", body)


def problem_page(problem: str, status: int) -> Answer:
    """Why a form had no effect."""
    answer = _page("Not done", f'<h1>Not done</h1><p>{escape(problem)}</p><p><a href="/sandbox/">Back</a></p>')
    return Answer(answer.body, status, answer.headers)


def _page(title: str, body: str, head: str = "") -> Answer:
    page = f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{head}
<title>{title}</title><link rel="stylesheet" href="/sandbox/sandbox.css"></head>
<body{' class="framed"' if head else ""}>{body}</body></html>"""
    return Answer(encoded(page), headers=_HEADERS)


def _row(order: Order, story: str | None) -> str:
    bought = f"{datetime.fromtimestamp(order.charged_at, UTC):%H:%M:%S} UTC"
    playing = f"<span>plays {escape(story)}</span>" if story else ""
    came = f"<span>sent: {len(order.messages)}</span>" if order.product == RENTAL else _text((order.code or "")[:SHOWN])
    link = f'<a href="/sandbox/order?id={escape(order.id)}" target="_top">{_code(order.id)}</a>'
    return (
        f'<li>{link}<span>{escape(_item(order))}</span>{_code(order.contact)}<span class="state">{order.state}</span>'
        f"{playing}{came}<span>{bought}</span>{_button(order)}</li>"
    )


def _button(order: Order) -> str:
    """What one press does to an order in the list."""
    call = {State.WAITING: "code", State.RENTED: "message"}.get(order.state)
    if call is None:
        return ""
    fields = _hidden(id=order.id, text=SHORT if call == "code" else f"Your code is {SHORT}.")
    return f'<form method="post" action="/sandbox/{call}?back=orders">{fields}<button>Send {call}</button></form>'


def _forms(stage: Stage, order: Order) -> str:
    if order.product == RENTAL:
        message = f"""<h2>Send a message</h2><form method="post" action="/sandbox/message">{_hidden(id=order.id)}
<label>Text <input name="text" required value="Your code is {SHORT}."></label>
<label>Sender <input name="sender" value="Sandbox"></label>
<label>in seconds <input name="after" type="number" min="0" step="any" value="0"></label>
<button>Send message</button></form>"""
        return message + _story_form(order) + _messages(stage, order)
    late = '<label class="tick"><input type="checkbox" name="late"> only after the order has ended</label>'
    sends = f"""<h2>Send a code</h2><form method="post" action="/sandbox/code">{_hidden(id=order.id)}
<label>Code or whole SMS <input name="text" required value="{SHORT}"></label>
<label>in seconds <input name="after" type="number" min="0" step="any" value="0"></label>{late}
<button>Send code</button></form>
<form method="post" action="/sandbox/code">{_hidden(id=order.id, text=WHOLE)}<button>Send a whole SMS</button></form>"""
    return (sends if order.state is not State.FINISHED else "") + _story_form(order)


def _story_form(order: Order) -> str:
    """The stories that an order can still begin."""
    if order.state not in (State.WAITING, State.RENTED):
        return ""
    known = [story.name for story in STORIES.values() if order.product in story.products and not story.at_purchase]
    return f"""<h2>Play a story from now on</h2><form method="post" action="/sandbox/play">{_hidden(id=order.id)}
<label>Story <select name="story">{_options(*known)}</select></label><button>Play</button></form>"""


def _messages(stage: Stage, order: Order) -> str:
    came = stage.messages(order.id)[-MOST_MESSAGES:]
    rows = "".join(f"<li>{_text(message.text[:SHOWN])}</li>" for message in came)
    return f"<h2>Messages</h2><ul>{rows}</ul>"


def _spent(stage: Stage) -> str:
    """A hint where the play money no longer buys a cheap number."""
    if stage.ledger.balance >= stage.ledger.rules.price:
        return ""
    return " The play money is spent: press Refill, or call POST /sandbox/refill."


def _item(order: Order) -> str:
    return f"{order.product}, " + ", ".join(f"{name} {value}" for name, value in order.item.items())


def _options(*names: str) -> str:
    return "".join(f"<option>{escape(name)}</option>" for name in names)


def _hidden(**fields: str) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _text(text: str) -> str:
    return f'<span class="text">{escape(text)}</span>' if text else ""
