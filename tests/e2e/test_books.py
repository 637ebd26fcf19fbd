"""The journal of money and its reconciliation, written by the real processes and read by the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.invariants import checked_stack, leaked
from tests.e2e.provider import buy
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e

PRICE = Decimal(10)


@pytest.fixture(scope="module")
def books(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker, and a provider whose ledger nobody else writes in."""
    yield from checked_stack(tmp_path_factory.mktemp("books"))


def ended(stack: Stack, order: dict[str, Any], settlement: str) -> str:
    """Wait for an order's end and have the balance read after it; returns its id."""
    stack.until_settled(order["id"], settlement)
    read_balance(stack)
    return str(order["id"])


def read_balance(stack: Stack) -> None:
    """Have a worker read the balance now."""
    answer = stack.api.get("/v1/balance", params={"refresh": "true"}).json()
    assert Decimal(answer["balance"]) == stack.provider.ledger.balance


def test_every_rupee_is_accounted_for(books: Stack) -> None:
    """Used, given back, unknown but shown by the balance: the journal tells them apart, and reconcile says which."""
    read_balance(books)
    used = ended(books, books.play(sms=("141421", 0.3)), "finished")
    assert books.command("reconcile").returncode == 0
    returned = ended(books, books.play(timeout=2), "refunded")
    lost = ended(books, books.play(buy("reset", charged=True)), "unconfirmed")
    spared = ended(books, books.play(buy("reset")), "unconfirmed")
    ended(books, books.play(sms=("173205", 0.3)), "finished")  # only a balance that moved is written down

    journal = books.command("journal", "--since", "1h", "--json")
    lines = [json.loads(line) for line in journal.stdout.splitlines()]
    kinds = {
        one: [line["kind"] for line in lines if line.get("order") == one] for one in (used, returned, lost, spared)
    }
    assert kinds[used] == ["intent", "bought", "received", "finished"]
    assert kinds[returned][:3] == ["intent", "bought", "cancel"]
    assert "refunded" in kinds[returned]
    assert kinds[lost] == kinds[spared] == ["intent", "purchase_unknown"]
    assert not list(leaked(books, [("journal", journal.stdout)]))

    found = books.command("reconcile", "--since", "1h", "--json")
    report = json.loads(found.stdout)
    assert (found.returncode, report["accounted_for"], Decimal(report["price"])) == (1, False, PRICE)
    (doubt,) = report["in_doubt"]
    assert doubt["order"] == lost
    assert "was charged" in doubt["why"]
    assert all(Decimal(change["unexplained"]) == 0 for change in report["balance_changes"])
    charged = sum(1 for order in books.provider.ledger.orders() if order.refunded_at is None)
    assert Decimal(report["spent"]) == charged * PRICE


def test_every_rupee_of_a_load_is_accounted_for(books: Stack) -> None:
    """Five orders a second, two in five unknown and half of those charged: what is spent is what the ledger says.

    No interval between two readings holds a single movement, so the price is the one learnt before. The balance
    is read every second, whatever is on its way at that moment.
    """
    read_balance(books)
    fates: list[tuple[dict[str, Any], tuple[Any, ...], str]] = [
        ({"sms": ("141421", 0.3)}, (), "finished"),
        ({"timeout": 2}, (), "refunded"),
        ({}, (buy("reset", charged=True),), "unconfirmed"),
        ({"sms": ("173205", 0.6)}, (), "finished"),
        ({}, (buy("reset"),), "unconfirmed"),
    ]
    placed = []
    for number in range(25):
        fields, faults, settlement = fates[number % len(fates)]
        placed.append((books.play(*faults, **fields), settlement))
        if number % len(fates) == 0:
            books.api.get("/v1/balance", params={"refresh": "true"})
        time.sleep(0.2)
    for order, settlement in placed:
        books.until_settled(order["id"], settlement)
    read_balance(books)

    for given in ((), ("--price", str(PRICE))):
        report = json.loads(books.command("reconcile", "--since", "1h", "--json", *given).stdout)
        assert Decimal(report["price"]) == PRICE
        assert [one for one in report["balance_changes"] if Decimal(one["unexplained"] or 1) != 0] == []
        charged = sum(1 for order in books.provider.ledger.orders() if order.refunded_at is None)
        assert Decimal(report["spent"]) == charged * PRICE
