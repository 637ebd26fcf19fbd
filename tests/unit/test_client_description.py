"""The client knows every call, every parameter, every field and every word that /openapi.json has."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ringback
from ringback import errors, models
from ringback._operations import NewOrder, NewRental
from ringback._reading import ALSO
from tests.client_stage import Stage, order, page
from web.app import create_app
from worker.settings import load

EVENT = {"id": "evt_1", "type": "webhook.ping", "created_at": "2026-11-22T10:00:00.000Z"}
RENTAL = order(id="rnt_1")

CALLS: dict[tuple[str, str], tuple[str, dict[str, Any], Any]] = {
    ("post", "/v1/orders"): ("orders.create", {"server": "1"}, order()),
    ("get", "/v1/orders"): ("orders.list", {}, page()),
    ("get", "/v1/orders/{order_id}"): ("orders.get", {"order_id": "ord_1"}, order()),
    ("post", "/v1/orders/{order_id}/cancel"): ("orders.cancel", {"order_id": "ord_1"}, order()),
    ("get", "/v1/events"): ("events.list", {}, page()),
    ("get", "/v1/events/{event_id}"): ("events.get", {"event_id": "evt_1"}, EVENT),
    ("post", "/v1/events/{event_id}/redeliver"): ("events.redeliver", {"event_id": "evt_1"}, EVENT),
    ("post", "/v1/events/ping"): ("events.ping", {}, EVENT),
    ("get", "/v1/balance"): ("balance", {}, {}),
    ("get", "/v1/servers"): ("servers", {}, {}),
    ("get", "/v1/countries"): ("countries", {}, {}),
    ("get", "/v1/services"): ("services", {}, {}),
    ("get", "/v1/products"): ("products", {}, {}),
    ("post", "/v1/rentals"): ("rentals.create", {"pricing": "1"}, RENTAL),
    ("get", "/v1/rentals"): ("rentals.list", {}, page()),
    ("get", "/v1/rentals/{rental_id}"): ("rentals.get", {"rental_id": "rnt_1"}, RENTAL),
    ("get", "/v1/rentals/{rental_id}/messages"): ("rentals.messages", {"rental_id": "rnt_1"}, page()),
    ("post", "/v1/rentals/{rental_id}/renew"): ("rentals.renew", {"rental_id": "rnt_1", "duration": 24}, RENTAL),
    ("get", "/v1/rental-countries"): ("rentals.countries", {}, {}),
    ("get", "/v1/rental-prices"): ("rentals.prices", {"country": "us"}, {}),
}
"""Each call: the client's method for it, what to call it with, and an answer."""

SENT_OTHERWISE = {
    "cursor": "the iterators page by themselves",
    "Idempotency-Key": "`idempotency_key`",
    "If-None-Match": "`known`, an order",
}
"""Parameters that the methods have under another name, or see to themselves."""
FOLLOWED = {("get", "/v1/events"): "events.follow"}
"""A second method for the same call."""

SCHEMAS: dict[str, Any] = {
    "OrderError": models.Failure,
    "RentalError": models.Failure,
    "Event": models.Delivery,
    "Problem": errors.Problem,
    "FieldError": errors.FieldError,
}
"""Answers that the client calls something else than the description does."""
NOT_ANSWERS = {
    "CheapOrder",
    "SmsOrder",
    "EmailOrder",
    "NewRental",
    "Renewal",
    "Ping",
    "Orders",
    "Events",
    "Rentals",
    "Messages",
    "Health",
}
"""What is sent (looked at by itself), pages (read by the iterators), and what is for monitoring."""
NOT_KEPT = {"Problem": {"type", "title"}}
"""Fields without a meaning of their own: `about:blank` and the status in words."""
WORDS: dict[str, Any] = {"Status": models.OrderStatus}
"""Closed sets that the client calls something else."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description."""
    app = create_app(load("web", {"RINGBACK_REDIS_URL": "redis://nowhere.example"}))
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


def operations(described):
    """Method, path and operation of every call that callers make."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if path.startswith("/v1"):
                yield (method, path), operation


def method_of(client, name):
    """A client's method by its dotted name."""
    for part in name.split("."):
        client = getattr(client, part)
    return client


def called(name, given, client):
    """What a client's method gives."""
    return method_of(client, name)(**given)


def known_to(name) -> set[str]:
    """What a method can be given."""
    return set(inspect.signature(method_of(ringback.Client("http://x", "k"), name)).parameters)


# Calls.


def test_every_call_has_a_method(described):
    """No call of the description is missing in the table."""
    assert {call for call, _ in operations(described)} - set(CALLS) == set()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_method_makes_the_call_that_the_table_says(kind, call):
    """Each method sends that method to that path, and reads the answer."""
    name, given, answer = CALLS[call]
    stage = Stage(kind).answer(200, answer)
    play = stage.items if answer == page() else stage.do
    play(partial(called, name, given))
    method, path = stage.asked()[0]
    template = re.sub(r"(ord|evt|rnt)_1", lambda found: f"{{{_NAMES[found[1]]}}}", path.partition("?")[0])
    assert (method.lower(), template) == call


_NAMES = {"ord": "order_id", "evt": "event_id", "rnt": "rental_id"}


def test_every_parameter_can_be_given(described):
    """Each parameter of a call is one of its method's, or is seen to by the client."""
    for call, operation in operations(described):
        known = known_to(CALLS[call][0]) | (known_to(FOLLOWED[call]) | {"wait"} if call in FOLLOWED else set())
        names = {one["name"] for one in operation.get("parameters", [])}
        assert names - known - set(SENT_OTHERWISE) == set(), call


def test_keys_go_only_where_they_are_known(described):
    """Whatever the client sends with a key, so that it may send it twice, is a call that knows keys."""
    for call, operation in operations(described):
        name, given, answer = CALLS[call]
        if call[0] == "post":
            stage = Stage("sync").answer(200, answer)
            stage.do(partial(called, name, given))
            sends = "idempotency-key" in stage.requests[0].headers
            assert sends == any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", [])), call


@pytest.mark.parametrize(("schema", "sent"), [("NewOrder", NewOrder), ("NewRental", NewRental)])
def test_every_field_of_a_request_can_be_given(described, schema, sent):
    """Each field of an order and of a rental is one of the method's."""
    schemas = described["components"]["schemas"]
    parts = schemas.get(schema, {}).get("anyOf", [{"$ref": schema}])
    properties = {name for one in parts for name in schemas.get(one["$ref"].split("/")[-1], {}).get("properties", {})}
    assert properties - set(sent.__annotations__) == set()
    assert schema != "NewOrder" or properties


# Answers.


def test_every_field_of_an_answer_is_read(described):
    """Each field of each answer's schema is a field of the client's model."""
    for name, schema in described["components"]["schemas"].items():
        if "properties" in schema and name not in NOT_ANSWERS:
            missing = set(schema["properties"]) - _fields(name) - NOT_KEPT.get(name, set())
            assert missing == set(), name


def _fields(name: str) -> set[str]:
    name = name.removesuffix("Reading")
    model = SCHEMAS.get(name) or getattr(ringback, name, None) or getattr(models, name, None)
    assert model is not None, f"the client has no model for {name}"
    if issubclass(model, Exception):
        return set(inspect.signature(model).parameters)
    return {known for one in fields(model) for known in (one.name, *one.metadata.get(ALSO, ()))}


def test_every_page_is_one(described):
    """The lists have the two fields that the iterators read."""
    for name in ("Orders", "Events", "Rentals", "Messages"):
        if schema := described["components"]["schemas"].get(name):
            assert set(schema["properties"]) - {"unreadable"} == {"data", "next_cursor"}, name


def test_every_word_is_known(described):
    """Each word of each closed set that has a name is one of the client's."""
    sets = {name: one["enum"] for name, one in described["components"]["schemas"].items() if "enum" in one}
    assert sets.keys() >= {"Status", "Settlement", "ErrorCode", "EventStatus"}
    for name, words in sets.items():
        known = WORDS.get(name) or getattr(models, name)
        assert set(words) - {str(one) for one in known} == set(), name


def test_every_webhook_has_a_type(described):
    """Each webhook of the description is one of the client's types of event."""
    assert set(described["webhooks"]) - {str(one) for one in models.EventType} == set()


def test_manual_names_every_error_and_every_method():
    """The page of the client has a row for each error and each method."""
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    raised = {name for name, one in vars(ringback).items() if isinstance(one, type) and issubclass(one, Exception)}
    methods = {name.rpartition(".")[2] for name, _, _ in CALLS.values()}
    assert [
        name for name in sorted(raised | methods) if f"`{name}`" not in page and f"ringback.{name}`" not in page
    ] == []


def test_every_error_has_a_class(described):
    """Each status of an error is more than a plain problem, but for what a caller cannot react to."""
    statuses = {int(one) for _, operation in operations(described) for one in operation["responses"] if one >= "400"}
    assert {one for one in statuses if errors.problem_class(one) is errors.Problem} <= {400, 403, 405, 406, 413, 415}
