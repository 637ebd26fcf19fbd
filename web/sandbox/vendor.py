"""The vendor's page as a table: an action's query in, the provider's words out.

Our own reading of the Cheap Numbers API; it shares no code with the worker's, so that one mistake shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from web.sandbox.ledger import Ledger, Refused

Query = Mapping[str, str]

SERVERS = {
    "1": [{"id": "1", "name": "Pakistan Server 1"}, {"id": "2", "name": "Pakistan Server 2"}],
    "2": [{"id": "3", "name": "India Server"}],
}
"""What getServers lists, by type; the ids and names are those of the vendor's example."""

FINISH, FINISH_TOO, CANCEL = "3", "6", "8"


def speak(ledger: Ledger, query: Query) -> str:
    """The provider's answer to a query that carried the right key."""
    action = _ACTIONS.get(query.get("action", ""))
    if action is None:
        return "BAD_ACTION"
    try:
        return action(ledger, query)
    except Refused as refusal:
        return refusal.word


def _get_balance(ledger: Ledger, _query: Query) -> str:
    return f"ACCESS_BALANCE:{ledger.balance:.2f}"


def _get_servers(_ledger: Ledger, query: Query) -> str:
    wanted = query.get("type")
    if wanted is None:
        return json.dumps(SERVERS)
    return json.dumps({wanted: SERVERS[_known_type(query)]})


def _buy_number(ledger: Ledger, query: Query) -> str:
    kind, server = _known_type(query), query.get("server", "")
    if server not in {listed["id"] for listed in SERVERS[kind]}:
        raise Refused("BAD_SERVER")
    order = ledger.buy(server, kind)
    return f"{order.id},{order.number},{int(order.expires_at - order.charged_at)}"


def _get_status(ledger: Ledger, query: Query) -> str:
    return ledger.status(query.get("id", ""))


def _set_status(ledger: Ledger, query: Query) -> str:
    order_id, status = query.get("id", ""), query.get("status")
    if status in (FINISH, FINISH_TOO):
        return ledger.finish(order_id)
    if status == CANCEL:
        return ledger.cancel(order_id)
    raise Refused("BAD_STATUS")


def _known_type(query: Query) -> str:
    kind = query.get("type", "")
    if kind not in SERVERS:
        raise Refused("BAD_TYPE")
    return kind


_ACTIONS: Mapping[str, Callable[[Ledger, Query], str]] = {
    "getBalance": _get_balance,
    "getServers": _get_servers,
    "buyNumber": _buy_number,
    "getStatus": _get_status,
    "setStatus": _set_status,
}
