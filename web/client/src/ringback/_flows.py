"""What takes several requests: trying again, paging, waiting, following. Pure: flows say what is to be done next.

A flow is a generator. It yields a `Send` and is given a `Reply` or a `Failed`, it yields a `Pause` and goes on once the
time is over, and it yields an `Item` for whoever iterates. The two clients run the same flows, each in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ringback import _operations as operations
from ringback._operations import MOST_PER_PAGE, NOT_MODIFIED, Operation, Page, Reply, Request
from ringback.errors import (
    Conflict,
    ConnectionFailed,
    InvalidFields,
    NoCode,
    NoNumber,
    NotInTime,
    OrderEnded,
    Problem,
    RateLimited,
    RingbackError,
    Unavailable,
)
from ringback.models import Order
from ringback.webhooks import recorded

T = TypeVar("T")
M = TypeVar("M")

FIRST_WAIT, LONGEST_BACKOFF = 0.5, 8.0
"""Seconds before a second try, doubling up to the longest, each shortened by up to half by chance."""
MOST_DOUBLINGS = 10
"""Beyond them the backoff is the longest anyway, and a float would overflow after some days."""
HOLD = 30.0
"""Seconds for which one answer is held while waiting: shorter than what proxies put up with."""
LOOK_EVERY = 2.0
"""Seconds between two looks where the service does not hold its answers."""
SHORT = 1.0
"""Seconds under which an answer was not held; and what an attempt gets at least, however near the deadline."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; `timeout` is how many seconds it may take."""

    request: Request
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item:
    """Hand this to whoever iterates."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """No whole answer came. `sent`: the request may have arrived."""

    error: Exception
    sent: bool


Flow = Generator[Send | Pause, Any, T]
Stream = Generator[Send | Pause | Item, Any, None]


@dataclass(frozen=True, slots=True)
class Goal:
    """What an order is waited for: the API's word, how it shows, and what is raised if the order ends without."""

    word: str
    what: str
    reached: Callable[[Order], bool]
    missed: Callable[[Order], OrderEnded]

    def reached_by(self, order: Order) -> bool:
        """Whether the order has it. Raises OrderEnded if it never will."""
        if not self.reached(order) and order.ended:
            raise self.missed(order)
        return self.reached(order)


NUMBER = Goal("number", "the number", lambda order: order.contact is not None, NoNumber)
CODE = Goal("end", "the code", lambda order: order.otp is not None, NoCode)


@dataclass(frozen=True, slots=True)
class Flows:
    """The flows of one client. `timeout` and `deadline` in seconds, `clock` monotonic, `chance` from 0 to 1."""

    timeout: float
    deadline: float
    clock: Callable[[], float]
    chance: Callable[[], float]

    def perform(self, operation: Operation[T], deadline: float | None = None) -> Flow[T]:
        """One call, tried again while that can help and until `deadline`. Raises Problem, ConnectionFailed."""
        allowed = self.deadline + operation.request.held if deadline is None else deadline
        until = self.clock() + allowed
        tries = 0
        while True:
            left = until - self.clock()
            request = operation.request.within(left)
            reply = yield Send(request, request.held + min(self.timeout, max(SHORT, left - request.held)))
            if isinstance(reply, Reply) and (200 <= reply.status < 300 or reply.status == NOT_MODIFIED):
                return operation.read(reply)
            error = _error(reply, request)
            wait = self._wait(error, tries, until - self.clock()) if _again(error, reply, operation) else None
            if wait is None:
                raise error
            if isinstance(error, RateLimited):  # held answers are few: the next try takes what there is at once
                operation = replace(operation, request=request.within(0))
            yield Pause(wait)
            tries += 1

    def _wait(self, error: RingbackError, tries: int, left: float) -> float | None:
        """Seconds before the next try: what the service asks for, else a growing, random time. None: too long."""
        if left <= 0:
            return None
        if isinstance(error, Problem) and error.retry_after is not None:
            return error.retry_after if error.retry_after < left else None
        backoff = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(tries, MOST_DOUBLINGS))
        return min(left, backoff * (1 - self.chance() / 2))

    def pages(self, page: Callable[[int, str | None], Operation[Page[M]]], limit: int | None) -> Stream:
        """Every item of a list, or the first `limit`; `page` makes the call from a page's size and a cursor."""
        left, cursor = limit, None
        while left is None or left > 0:
            found = yield from self.perform(page(MOST_PER_PAGE if left is None else min(left, MOST_PER_PAGE), cursor))
            for item in found.items[:left]:
                yield Item(item)
            left = None if left is None else left - len(found.items)
            if found.next_cursor in (None, cursor):
                return
            cursor = found.next_cursor

    def wait_for(self, order_id: str, goal: Goal, timeout: float) -> Flow[Order]:
        """The order once it has reached the goal. Raises OrderEnded, NotInTime, and Problem for what stays wrong."""
        until = self.clock() + timeout
        seen: Order | None = None
        holds = True
        while seen is None or self.clock() < until:
            asked = self.clock()
            left = max(0.0, until - asked)
            look = operations.get_order(order_id, wait=min(left, HOLD), wait_for=goal.word)
            try:
                seen = yield from self.perform(look if holds else operations.get_order(order_id), left)
            except InvalidFields as error:
                if not holds or all(one.field != "wait_for" for one in error.errors):
                    raise
                holds = False  # a service from before `wait_for`: look now and then
                continue
            except (ConnectionFailed, Unavailable, RateLimited) as error:
                if until - self.clock() > LONGEST_BACKOFF:  # it asked for more patience than there is
                    raise
                raise NotInTime(goal.what, timeout, seen) from error
            if goal.reached_by(seen):
                return seen
            yield from self._breather(asked, until)
        raise NotInTime(goal.what, timeout, seen)

    def follow(self, after: str | None, patience: float | None) -> Stream:
        """Every event after `after` (None: from the first kept), in order, for ever. Raises Gone, Problem."""
        last = after or ""
        while True:
            asked = self.clock()
            feed = operations.list_events(after=last, payload=True, wait=HOLD)
            page = yield from self.perform(feed, math.inf if patience is None else patience)
            for delivery in page.items:
                last = delivery.id
                yield Item(recorded(delivery))
            if not page.items:
                yield from self._breather(asked)

    def _breather(self, asked: float, until: float = math.inf) -> Flow[None]:
        """A pause where the answer was not held: who asks again at once floods a service that cannot hold any."""
        now = self.clock()
        if now < min(asked + SHORT, until):
            yield Pause(min(LOOK_EVERY, until - now))


def _error(reply: Reply | Failed, request: Request) -> RingbackError:
    if isinstance(reply, Reply):
        return operations.problem(reply, request)
    what = f"{request.method} {request.path}: {type(reply.error).__name__}"
    error = ConnectionFailed(what, request.idempotency_key)
    error.__cause__ = reply.error
    return error


def _again(error: RingbackError, reply: Reply | Failed, operation: Operation[T]) -> bool:
    """Whether trying again can help and does nothing twice."""
    match error:
        case RateLimited():
            return True
        case ConnectionFailed() if isinstance(reply, Failed) and not reply.sent:
            return True
        case ConnectionFailed() | Unavailable():
            return operation.repeatable
        case Conflict():  # the first try with this key is still at work
            return error.code.startswith("idempotency")
        case _:
            return False
