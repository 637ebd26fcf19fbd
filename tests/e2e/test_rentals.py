"""Rentals from POST to `rental.ended`, through killed workers, by the vendor's words and by those of its clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.invariants import checked_stack
from tests.e2e.receiver import Delivery
from tests.e2e.stack import Stack, wait_for
from web.sandbox import Order

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SETTINGS = {"RINGBACK_PRODUCTS": "cheap,rental", "RINGBACK_RENTAL_POLL_INTERVAL": "1"}
LASTING = 15.0
"""Seconds that a rental lasts here, and that a renewal adds."""
OFFER = {"pricing": "101", "country": "PK", "max_price": "350.00"}
ELSEWHERE = """
[rental]
handler = "handler_api.php"

[rental.status]
success = ["success"]
waiting = ["waiting"]
rejected = ["error"]
"""
"""The handler and the words that public clients use."""
TEXTS = ("Your code is 111222", "Your code is 333444", "Your code is 333444")


@pytest.fixture(scope="module", params=["vendor", "clients"])
def stack(
    request: pytest.FixtureRequest, real_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that rents numbers out: as the vendor's page has it, and as public clients do."""
    folder = tmp_path_factory.mktemp("rentals")
    for stack in checked_stack(folder, settings=SETTINGS | _table(folder, request.param)):
        path = {"vendor": "rental-handler.php", "clients": "handler_api.php"}[request.param]
        stack.provider.configure(rental_seconds=LASTING, rental_path=path, message_order="shuffled", earlier_messages=2)
        yield stack


def _table(folder: Path, spoken: str) -> dict[str, str]:
    if spoken == "vendor":
        return {}
    file = folder / "products.toml"
    file.write_text(ELSEWHERE)
    return {"RINGBACK_PRODUCTS_FILE": str(file)}


def rent(stack: Stack, **fields: Any) -> dict[str, Any]:
    """Rent a number; its webhooks come to `/hook/rental`."""
    body = {**OFFER, "callback_url": f"{stack.receiver.url}/hook/rental", **fields}
    answer = stack.api.post("/v1/rentals", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def rental(stack: Stack, rental_id: str) -> dict[str, Any]:
    """The rental as the web shows it."""
    answer = stack.api.get(f"/v1/rentals/{rental_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def until(stack: Stack, rental_id: str, status: str, seconds: float = 60.0) -> dict[str, Any]:
    """Wait until the rental has a status."""

    def look() -> dict[str, Any] | None:
        seen = rental(stack, rental_id)
        return seen if seen["status"] == status else None

    return wait_for(look, seconds, f"rental {rental_id} becoming {status}")


def told(stack: Stack, rental_id: str) -> list[Delivery]:
    """The webhooks about a rental, each once however often it was sent."""
    about = {one.id: one for one in stack.receiver.deliveries("/hook/rental") if one.message["data"]["id"] == rental_id}
    return list(about.values())


def until_told(stack: Stack, rental_id: str, number: int) -> None:
    """Wait until so many messages were told."""
    wait_for(lambda: rental(stack, rental_id)["messages"] >= number, 30, f"message {number}")


def rented(stack: Stack) -> list[Order]:
    """The rentals in the provider's books."""
    return [order for order in stack.provider.ledger.orders() if order.product == "rental"]


def test_three_messages_are_told_once_each_through_two_kills_of_the_worker(stack: Stack):
    """From POST to `rental.ended`: equal texts are two messages, earlier tenants' are none, one renewal is charged."""
    before = len(rented(stack))
    rental_id = rent(stack)["id"]
    active = until(stack, rental_id, "active")
    assert (active["settlement"], active["price"], len(rented(stack))) == ("charged", "350.00", before + 1)

    (at_the_provider,) = rented(stack)[before:]
    for number, text in enumerate(TEXTS, 1):
        stack.provider.message(at_the_provider.id, text)
        until_told(stack, rental_id, number)
        if number < len(TEXTS):
            stack.restart(stack.workers[0])

    renewal = {"duration": 24, "max_price": "400"}
    for _ in range(2):
        answer = stack.api.post(f"/v1/rentals/{rental_id}/renew", json=renewal, headers={"Idempotency-Key": "once"})
        assert answer.status_code == 202, answer.text
    assert answer.headers["Idempotency-Replayed"] == "true"

    ended = until(stack, rental_id, "ended")
    wait_for(lambda: any(one.type == "rental.ended" for one in told(stack, rental_id)), 20, "rental.ended")
    assert Counter(one.type for one in told(stack, rental_id)) == {
        "rental.started": 1, "rental.message_received": 3, "rental.renewed": 1, "rental.ended": 1,
    }  # fmt: skip
    texts = [one.message["message"]["text"] for one in told(stack, rental_id) if "message" in one.message]
    assert sorted(texts) == sorted(TEXTS)
    assert (ended["messages"], ended["error"]) == (3, None)
    assert "earlier_messages_left_out" in ended["flags"]
    assert ended["ends_at"] > active["ends_at"]
    assert len(rented(stack)) == before + 1
    assert len(stack.provider.requests("renewRental", at_the_provider.id)) == 1
    listed = stack.api.get(f"/v1/rentals/{rental_id}/messages").json()["data"]
    assert sorted(one["text"] for one in listed) == sorted(TEXTS)


def test_purchase_of_unknown_outcome_is_never_sent_again(stack: Stack):
    """Charged and cut off: `purchase_unknown`, told once, one request, whatever the caller repeats under its key."""
    before = len(rented(stack))
    stack.provider.script({"action": "rentNumber", "kind": "reset", "charged": True})
    rental_id = rent(stack)["id"]
    failed = until(stack, rental_id, "failed")
    assert (failed["error"]["code"], failed["settlement"]) == ("purchase_unknown", "unconfirmed")
    wait_for(lambda: told(stack, rental_id), 20, "rental.failed")
    assert [one.type for one in told(stack, rental_id)] == ["rental.failed"]
    assert len(rented(stack)) == before + 1


def test_renewal_of_unknown_outcome_is_never_sent_again(stack: Stack):
    """Charged and cut off, and its worker killed: the rental goes on to its end with `renewal_unknown`."""
    before = len(rented(stack))
    rental_id = rent(stack)["id"]
    active = until(stack, rental_id, "active")
    (at_the_provider,) = rented(stack)[before:]
    stack.provider.script({"action": "renewRental", "kind": "reset", "charged": True})
    key = {"Idempotency-Key": f"renew {rental_id}"}
    assert stack.api.post(f"/v1/rentals/{rental_id}/renew", json={"duration": 24}, headers=key).status_code == 202

    def unknown() -> bool:
        return (rental(stack, rental_id)["error"] or {}).get("code") == "renewal_unknown"

    wait_for(unknown, 30, "renewal_unknown")
    stack.restart(stack.workers[0])
    ended = until(stack, rental_id, "ended")
    assert (ended["ends_at"], ended["settlement"]) == (active["ends_at"], "unconfirmed")
    assert len(stack.provider.requests("renewRental", at_the_provider.id)) == 1


def test_price_above_max_rents_nothing(stack: Stack):
    """The price is read right before, and nothing is sent."""
    before = len(stack.provider.requests("rentNumber"))
    failed = until(stack, rent(stack, max_price="349.99")["id"], "failed")
    assert (failed["error"]["code"], failed["settlement"]) == ("price_above_max", "none")
    assert len(stack.provider.requests("rentNumber")) == before


def test_workers_read_what_can_be_rented(stack: Stack):
    """Countries and offers come through the store, as exact decimals; the command line shows rentals masked."""
    countries = stack.api.get("/v1/rental-countries?refresh=true").json()
    assert {"code": "PK", "name": "Pakistan"} in countries["countries"]
    offers = stack.api.get("/v1/rental-prices?country=PK&refresh=true").json()["prices"]
    assert {"id": "102", "service": "Telegram", "price": "1240.75", "duration": 168} in offers
    rental_id = rent(stack)["id"]
    number = until(stack, rental_id, "active")["number"]
    shown = stack.ringback("rental", "show", rental_id)
    assert shown["status"] == "active"
    assert number not in str(shown)
