"""The stage: a request goes through outage, script, story, handler and log, in this order."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

from web.sandbox.answers import Answer, encoded
from web.sandbox.backstage import Backstage
from web.sandbox.faults import Fault
from web.sandbox.handlers import CHEAP_HANDLER, HANDLERS, PURCHASES, Handler, order_id
from web.sandbox.kinds import JSON_TYPE, Scene, answer_for
from web.sandbox.log import SHOWN, RequestLog, Seen, masked
from web.sandbox.plays import Told

EMPTY_ACCOUNT = {"X-Sandbox-Hint": "the play money is spent; POST /sandbox/refill adds more"}


class Stage(Backstage):
    """One pretended provider, without a socket. All methods may be called from any thread.

    `api_key=None` takes any key but an empty one. `clock` tells seconds since the epoch and rules codes,
    cancels and expiry; a test hands in its own. `rules` are those of `Rules`, by name.
    Raises ValueError for a bad rule.
    """

    def answer(self, query: Mapping[str, str], handler: str = CHEAP_HANDLER) -> Answer:
        """Let the ledger act, the script and the order's story spoil what it says, and the log keep all."""
        with self._lock:
            action = query.get("action", "")
            earlier_id = self.ledger.newest_id(PURCHASES.get(action))
            scripted = self._fault_for(query, handler)
            told = self._tell(query, HANDLERS[handler]) if scripted is None or scripted.executes else Told("")
            fault = scripted or told.fault
            scene = Scene(action, told.genuine, earlier_id, self._clock())
            in_json = HANDLERS[handler].answers_json(action)
            answer = answer_for(fault, scene) if fault else genuine_answer(told.genuine, in_json)
            self._log.write(self._seen(query, handler, told.bought or order_id(query), fault, answer))
            return answer

    def in_flight(self) -> AbstractContextManager[None]:
        """While held, one more request counts as being answered."""
        return _InFlight(self._lock, self._log)

    def _tell(self, query: Mapping[str, str], handler: Handler) -> Told:
        key = query.get("api_key", "")
        if not key or self._api_key not in (None, key):
            return Told(handler.refuse(self.shop, query.get("action", ""), "BAD_KEY"))
        return self.plays.tell(self.shop, handler, query)

    def _fault_for(self, query: Mapping[str, str], handler: str) -> Fault | None:
        if self._outage and self._clock() < self._outage[0]:
            return self._outage[1]
        return self._script.take(query, handler)

    def _seen(self, query: Mapping[str, str], handler: str, order_id: str, fault: Fault | None, answer: Answer) -> Seen:
        return Seen(
            at=self._clock(),
            arrived=time.monotonic(),
            action=query.get("action", ""),
            handler=handler,
            id=order_id,
            query=masked(query),
            concurrency=self._log.in_flight,
            answer="" if answer.says_nothing else answer.sent_body().decode("utf-8", "replace")[:SHOWN],
            fault=fault.kind if fault else None,
            status=None if answer.says_nothing else answer.status,
        )


def genuine_answer(body: str, in_json: bool) -> Answer:
    """A plain 200; an empty account comes with a hint that no client of the vendor's looks at."""
    hint = EMPTY_ACCOUNT if "LOW_BALANCE" in body[:100] else {}
    return Answer(encoded(body), headers={**(JSON_TYPE if in_json else {}), **hint})


class _InFlight(AbstractContextManager[None]):
    def __init__(self, lock: threading.RLock, log: RequestLog) -> None:
        self._lock, self._log = lock, log

    def __enter__(self) -> None:
        with self._lock:
            self._log.enter()

    def __exit__(self, *_exc: object) -> None:
        with self._lock:
            self._log.leave()
