"""What a rented number has received: by hand, over time, and from tenants before this one. Pure."""

from __future__ import annotations

import random
from dataclasses import replace

from web.sandbox.orders import Message, Order
from web.sandbox.rules import Rules

MOST_OVER_TIME = 1_000
"""Messages that come over time to one rental; after that it is left in peace."""
DAY = 86_400.0


def listed(order: Order, rules: Rules, now: float, chance: random.Random) -> list[Message]:
    """Everything so far, in the order and the number that the rules ask for."""
    came = received(order, rules, now)
    if rules.message_limit is not None:
        came = came[max(0, len(came) - rules.message_limit) :]
    if rules.message_order == "shuffled":
        chance.shuffle(came)
    return came[::-1] if rules.message_order == "newest" else came


def received(order: Order, rules: Rules, now: float) -> list[Message]:
    """Everything so far, oldest first."""
    sent = (*order.messages, *_over_time(order, now))
    came = [message for message in sent if message.at <= now and message.at < order.expires_at]
    # The tenants before got one message a day.
    days = range(1, rules.earlier_messages + 1)
    before = [replace(_drawn(order, -n, order.charged_at - n * DAY), sender="Earlier tenant") for n in days]
    return sorted([*before, *came], key=lambda message: message.at)


def message(text: str, at: float, *, code: str | None = None, sender: str = "Sandbox") -> Message:
    """A message; its code is the first run of four to eight digits unless it is said."""
    if code is None:
        runs = "".join(mark if mark.isascii() and mark.isdigit() else " " for mark in text).split()
        code = next((run for run in runs if 4 <= len(run) <= 8), "")
    return Message(text, code, sender, at)


def _over_time(order: Order, now: float) -> list[Message]:
    """One message each `every` seconds; the same ones however often they are listed."""
    if not order.every:
        return []
    until = min(now, order.expires_at)
    count = min(int((until - order.charged_at) / order.every), MOST_OVER_TIME)
    return [_drawn(order, number, order.charged_at + number * order.every) for number in range(1, count + 1)]


def _drawn(order: Order, number: int, at: float) -> Message:
    code = f"{random.Random(f'{order.id} {number}').randrange(10**6):06d}"
    return message(f"Your code is {code}.", at)
