"""The web against its own description: whatever /openapi.json allows is served, whatever it does not is refused."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import fakeredis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.builders import NOW
from web.api.rate_limits import RateLimits
from web.app import create_app
from worker.callers import Callers
from worker.order import EventType
from worker.settings import load
from worker.store import Store, Vault, keys
from worker.store.codec import ms
from worker.webhooks.guard import CallbackRefused, Refusal, Target

CALLS = {
    ("post", "/v1/orders"),
    ("get", "/v1/orders"),
    ("get", "/v1/orders/{order_id}"),
    ("post", "/v1/orders/{order_id}/cancel"),
    ("post", "/v1/rentals"),
    ("get", "/v1/rentals"),
    ("get", "/v1/rentals/{rental_id}"),
    ("get", "/v1/rentals/{rental_id}/messages"),
    ("post", "/v1/rentals/{rental_id}/renew"),
    ("get", "/v1/rental-countries"),
    ("get", "/v1/rental-prices"),
    ("get", "/v1/balance"),
    ("get", "/v1/servers"),
    ("get", "/v1/countries"),
    ("get", "/v1/services"),
    ("get", "/v1/products"),
    ("get", "/v1/events"),
    ("get", "/v1/events/{event_id}"),
    ("post", "/v1/events/{event_id}/redeliver"),
    ("post", "/v1/events/ping"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


class AnyCallback:
    """A judge that lets pass what looks like a callback: where one leads is no part of the description."""

    def target(self, url: str) -> Target:
        """Refuse what is no http(s) URL."""
        if not _is_callback(url):
            raise CallbackRefused(Refusal.BAD_URL, "is not a URL")
        return Target("https", "93.184.215.14", 443, "/", literal=True)

    async def resolve(self, host: str, port: int) -> list[str]:
        """Nothing is looked up here."""
        return [host]


def _is_callback(url: str) -> bool:
    try:
        return re.fullmatch("https?://[!-~]+", url) is not None and urlsplit(url).port != 0
    except ValueError:  # the description's pattern lets pass what is no host or no port
        return False


class StillClock:
    """Seconds that pass only where somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


client = fakeredis.FakeRedis()


def _application() -> tuple[Flask, str]:
    client.set(keys.TICK, ms(time.time() + 3600))  # a clock that ticks for as long as this runs
    store = Store(client, Vault(), retention=3600, otp_ttl=3600)
    _, api_key, _ = Callers(store).create("Shop", NOW, callback_url="https://caller.example/hook")
    still, plenty = StillClock(), RateLimits(requests=1_000_000, failed_logins=1_000_000)
    app = create_app(
        load("web", {"RINGBACK_REDIS_URL": "redis://nowhere", "RINGBACK_PRODUCTS": "cheap,sms,email,rental"}),
        store=store, guard=AnyCallback(), sleep=still.sleep, monotonic=still, limits=plenty,
    )  # fmt: skip
    return app, api_key


app, API_KEY = _application()
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"]
"""Answers to a request that is as described: 410, when an event to go on from is no longer kept, is one."""
schema = schemathesis.openapi.from_wsgi(
    "/openapi.json",
    app,
    config=SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}}),
)


def _test_of(method, path):
    @schema.include(method=method.upper(), path=path).parametrize()
    @settings(
        max_examples=40, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    def behaves_as_described(case):
        """Random requests, good and bad, get only answers that the description knows, and never a 500.

        Which parameters a listing of services needs depends on its product, and what a URL is on more than a pattern: a
        description has no words for that.
        """
        for key in client.scan_iter("rb:idem:*"):
            client.delete(key)  # a key used again with another body is rightly refused, and no flaw
        callback = case.body.get("callback_url") if isinstance(case.body, dict) else None
        untold = case.path == "/v1/services" or (isinstance(callback, str) and not _is_callback(callback))
        dependent = [positive_data_acceptance] if untold else []
        case.call_and_validate(headers={"Authorization": f"Bearer {API_KEY}"}, excluded_checks=dependent)

    return behaves_as_described


# A function for each call: schemathesis gives the tests of one function the same id, and pytest-xdist, which tells its
# processes the ids in a file, runs the first of those alone.
for _method, _path in sorted(CALLS):
    _name = re.sub("[^a-z0-9]+", "_", f"{_method} {_path}").strip("_")
    globals()[f"test_{_name}_behaves_as_described"] = _test_of(_method, _path)


@pytest.fixture(scope="module")
def described():
    """The description."""
    return app.test_client().get("/openapi.json").json


def test_every_call_of_the_contract_is_described(described):
    """No call is missing and none is there that the contract does not know."""
    assert described["openapi"].startswith("3.1")
    assert {(method, path) for path, item in described["paths"].items() for method in item} == CALLS


def test_every_error_is_a_described_problem(described):
    """Each error of each call under /v1 is a Problem as application/problem+json."""
    for path, item in described["paths"].items():
        for operation in item.values():
            errors = {code: told for code, told in operation["responses"].items() if code >= "400"}
            assert not path.startswith("/v1") or {"401", "405", "413", "422", "429", "500", "503"} <= set(errors)
            for told in errors.values():
                response = described["components"]["responses"][told["$ref"].rpartition("/")[2]]
                assert list(response["content"]) == ["application/problem+json"]


def test_every_reference_leads_somewhere(described):
    """Nothing refers to what is not there."""
    known = {f"#/components/{part}/{name}" for part, named in described["components"].items() for name in named}
    assert set(_references(described)) <= known


def test_every_webhook_is_described(described):
    """The webhooks that a caller receives stand beside the calls."""
    assert set(described["webhooks"]) == {kind.value for kind in EventType}


def _references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for inside in value.values():
            yield from _references(inside)
    if isinstance(value, list):
        for inside in value:
            yield from _references(inside)
