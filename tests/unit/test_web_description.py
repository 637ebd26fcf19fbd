"""What the description is made of: names of operations, examples, words, Markdown, samples."""

from __future__ import annotations

from typing import Any

import pytest

from web.api import requests, schemas
from web.api.description import operation_id
from web.api.markdown import rendered
from web.api.samples import CLIENT
from web.api.words import ATTEMPT_ERRORS, FLAGS
from web.app import create_app
from worker.order import EventType
from worker.outbox import NO_SECRET
from worker.settings import load
from worker.webhooks import delivery
from worker.webhooks.target import Refusal

SENT = ("CheapOrder", "SmsOrder", "EmailOrder", "NewRental", "Renewal")
"""The bodies of requests."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description."""
    app = create_app(load("web", {"RINGBACK_REDIS_URL": "redis://nowhere.example"}))
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("post", "/v1/orders", "createOrder"),
        ("get", "/v1/orders", "listOrders"),
        ("get", "/v1/orders/{order_id}", "getOrder"),
        ("post", "/v1/orders/{order_id}/cancel", "cancelOrder"),
        ("get", "/v1/balance", "getBalance"),
        ("get", "/v1/rentals/{rental_id}/messages", "listRentalMessages"),
        ("get", "/v1/rental-prices", "listRentalPrices"),
        ("post", "/v1/events/ping", "sendPing"),
    ],
)
def test_operations_have_good_names(method, path, name):
    """A verb and what it is about, whichever call is added."""
    assert operation_id(method, path) == name


def test_every_body_has_an_example(described):
    """Each request and each answer shows what it looks like."""
    bodies = [
        (operation["operationId"], media)
        for item in described["paths"].values()
        for operation in item.values()
        for part in (operation.get("requestBody"), *operation["responses"].values())
        for media in (part or {}).get("content", {}).values()
    ]
    bodies += [
        (name, media)
        for name, response in described["components"]["responses"].items()
        for media in response["content"].values()
    ]
    assert [name for name, media in bodies if not {"example", "examples"} & set(media)] == []


def test_everything_has_a_description(described):
    """Each schema, each field of it, each parameter and each header says what it means."""
    known = described["components"]["schemas"]
    silent = [name for name, one in known.items() if not one.get("description")]
    silent += [f"{name}.{where}" for name, one in known.items() for where, told in _fields(one) if not told]
    for item in (*described["paths"].values(), *described["webhooks"].values()):
        for operation in item.values():
            names = [one["name"] for one in operation.get("parameters", ()) if not one.get("description")]
            silent += [f"{operation['operationId']}: {name}" for name in names]
    silent += [name for name, one in described["components"]["headers"].items() if not one.get("description")]
    assert silent == []


def _fields(schema):
    """The names of an object's fields, those inside of them too, and what each says."""
    for name, field in schema.get("properties", {}).items():
        yield name, field.get("description")
        yield from ((f"{name}.{inner}", told) for inner, told in _fields(field))


def test_every_form_has_its_words(described):
    """A field that has not the expected form is told which: the caller needs not read a regular expression."""
    given = [field for name in SENT for field in described["components"]["schemas"][name]["properties"].values()]
    for item in described["paths"].values():
        for operation in item.values():
            given += [parameter["schema"] for parameter in operation.get("parameters", ())]
    patterns = {one["pattern"] for one in given if "pattern" in one}
    judged_otherwise = {schemas.PRICE, "^https?://[!-~]+$"}
    assert patterns - judged_otherwise == set(requests.SHAPES)


def test_every_operation_has_a_sample_for_the_client(described):
    """The page shows the client's call for everything under /v1."""
    names = {op["operationId"] for path, item in described["paths"].items() for op in item.values() if "/v1" in path}
    assert names == set(CLIENT)


def test_null_is_a_type_and_no_default(described):
    """Generators read `anyOf` with null and `default: null` as something else than an optional field."""
    fields = described["components"]["schemas"]["CheapOrder"]["properties"]
    assert fields["callback_url"]["type"] == ["string", "null"]
    assert fields["metadata"]["type"] == ["object", "null"]
    assert not any(one.get("default", 1) is None for one in fields.values())


def test_webhook_is_told_by_its_type(described):
    """Each type of event leads to the schema of its body."""
    schemas = described["components"]["schemas"]
    mapping = schemas["WebhookEvent"]["discriminator"]["mapping"]
    assert set(mapping) == {kind.value for kind in EventType}
    for kind, target in mapping.items():
        assert kind in schemas[target.rpartition("/")[2]]["properties"]["type"]["enum"]


def test_what_needs_no_key_says_so(described):
    """Health and webhooks carry no bearer key; everything under /v1 does."""
    for path, item in described["paths"].items():
        for operation in item.values():
            assert (operation["security"] == []) is not path.startswith("/v1")
    assert all(item["post"]["security"] == [] for item in described["webhooks"].values())


def test_every_error_of_an_attempt_has_a_meaning():
    """Whatever an attempt's error can be is among the words that the description closes."""
    words = {word for _, word in delivery._WORDS} | set(Refusal) | {NO_SECRET, "timeout", "connect_timeout", "protocol"}
    assert {str(word) for word in words} | {"redirect"} == set(ATTEMPT_ERRORS)


def test_every_flag_is_one_that_is_set():
    """No flag is made up: each stands in the code that sets it."""
    from pathlib import Path

    code = "".join(path.read_text() for path in (Path(__file__).parents[2] / "worker").rglob("*.py"))
    assert [flag for flag in FLAGS if f'"{flag}"' not in code] == []


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("send `a < b`", "send <code>a &lt; b</code>"),
        ("**never** twice", "<b>never</b> twice"),
        ("see [it](/docs)", 'see <a href="/docs">it</a>'),
        ("<script>", "&lt;script&gt;"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
    ],
)
def test_markdown_becomes_html_and_nothing_else_does(text, html):
    """Three rules, and everything else stays text."""
    assert str(rendered(text)) == html
