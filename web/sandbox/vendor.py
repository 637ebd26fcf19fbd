"""The vendor's page as a table: an action's query in, the provider's words out.

Our own reading of the Cheap Numbers API; it shares no code with the worker's, so that one mistake shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from web.sandbox.ledger import Ledger, Refused
from web.sandbox.orders import CHEAP
from web.sandbox.stories import PREFIX, items_of

Query = Mapping[str, str]

SERVERS = {
    "1": [{"id": "1", "name": "Pakistan Server 1"}, {"id": "2", "name": "Pakistan Server 2"}],
    "2": [{"id": "3", "name": "India Server"}],
}
"""What getServers lists, by type; the ids and names are those of the vendor's example."""

STORY_SERVERS = [{"id": item, "name": f"Sandbox {item}"} for item in items_of(CHEAP)]
"""What is listed beside them: a server that plays each story."""

FINISH, FINISH_TOO, CANCEL = "3", "6", "8"


def speak(ledger: Ledger, query: Query) -> str:
    """The provider's answer to a query that carried the right key."""
    action = ACTIONS.get(query.get("action", ""))
    if action is None:
        return "BAD_ACTION"
    try:
        return action(ledger, query)
    except Refused as refusal:
        return refusal.word


def _get_balance(ledger: Ledger, _query: Query) -> str:
    return f"ACCESS_BALANCE:{ledger.balance:.2f}"


def servers(kind: str, stories: bool) -> list[dict[str, str]]:
    """What is listed under a type, a server for each story among it if the rules say so."""
    return SERVERS[kind] + (STORY_SERVERS if stories else [])


def _get_servers(ledger: Ledger, query: Query) -> str:
    kinds = SERVERS if query.get("type") is None else (_known_type(query),)
    return json.dumps({kind: servers(kind, ledger.rules.stories) for kind in kinds})


def _buy_number(ledger: Ledger, query: Query) -> str:
    kind, server = _known_type(query), query.get("server", "")
    if server not in {listed["id"] for listed in servers(kind, ledger.rules.stories)}:
        raise Refused("BAD_SERVER")
    order = ledger.buy(server, kind, ledger.rules.story_life if server.startswith(PREFIX) else None)
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


ACTIONS: Mapping[str, Callable[[Ledger, Query], str]] = {
    "getBalance": _get_balance,
    "getServers": _get_servers,
    "buyNumber": _buy_number,
    "getStatus": _get_status,
    "setStatus": _set_status,
}
