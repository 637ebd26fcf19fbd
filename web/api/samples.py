"""Requests to copy, for the page made from the description: curl, the Python client, JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CLIENT = {
    "createOrder": 'order = client.orders.create(server="1", type="1", metadata={"user": 42})\nprint(order.id)',
    "listOrders": 'for order in client.orders.list(status="waiting"):\n    print(order.id)',
    "getOrder": "order = client.orders.wait_for_code(order.id, timeout=600)\nprint(order.otp)",
    "cancelOrder": "order = client.orders.cancel(order.id)",
    "listEvents": "for event in client.events.follow(after=last_id):\n    print(event.type)",
    "getEvent": 'delivery = client.events.get("evt_…")',
    "redeliverEvent": 'delivery = client.events.redeliver("evt_…")',
    "sendPing": "delivery = client.events.ping()",
    "createRental": 'rental = client.rentals.create(pricing="101", country="PK", max_price="400.00")',
    "listRentals": "for rental in client.rentals.list():\n    print(rental.id)",
    "getRental": 'print(client.rentals.get("rnt_…").number)',
    "listRentalMessages": 'for message in client.rentals.messages("rnt_…"):\n    print(message.code)',
    "renewRental": 'rental = client.rentals.renew("rnt_…", duration=24)',
    "listRentalCountries": "print(client.rentals.countries().countries)",
    "listRentalPrices": 'print(client.rentals.prices(country="PK").prices)',
    "getBalance": "print(client.balance().balance)",
    "listCountries": 'print(client.countries(type="4").countries)',
    "listServices": 'print(client.services(product="sms", type="4", country="33").services)',
    "listProducts": "print(client.products().products)",
    "listServers": 'print(client.servers(type="1").servers)',
}
"""What the Python client has for an operation."""


def samples(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, str]:
    """The request of an operation in each language that has one."""
    for parameter in operation.get("parameters", ()):
        path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example", "")))
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = next((one["value"] for one in media.get("examples", {}).values()), None)
    guarded = operation.get("security") != []
    found = {"curl": _curl(method, path, body, guarded)}
    if call := CLIENT.get(operation["operationId"]):
        found["Python"] = f"import ringback\n\nclient = ringback.Client()\n{call}"
    return found | {"JavaScript": _javascript(method, path, body, guarded)}


def _curl(method: str, path: str, body: Any, guarded: bool) -> str:
    lines = [f'curl "$RINGBACK_URL{path}"' if method == "get" else f'curl --request POST "$RINGBACK_URL{path}"']
    if guarded:
        lines.append('--header "Authorization: Bearer $RINGBACK_API_KEY"')
    if body is not None:
        lines += ['--header "Content-Type: application/json"', '--header "Idempotency-Key: signup-42"']
        lines.append(f"--data '{json.dumps(body)}'")
    return " \\\n  ".join(lines)


def _javascript(method: str, path: str, body: Any, guarded: bool) -> str:
    headers = ["Authorization: `Bearer ${process.env.RINGBACK_API_KEY}`"] if guarded else []
    if body is not None:
        headers += ['"Content-Type": "application/json"', '"Idempotency-Key": "signup-42"']
    options = [f'method: "{method.upper()}"'] if method != "get" else []
    options += ["headers: {\n    " + ",\n    ".join(headers) + ",\n  }"] if headers else []
    options += [f"body: JSON.stringify({json.dumps(body)})"] if body is not None else []
    given = ", {\n  " + ",\n  ".join(options) + ",\n}" if options else ""
    return (
        f"const answer = await fetch(`${{process.env.RINGBACK_URL}}{path}`{given});\nconsole.log(await answer.json());"
    )
