"""Who gets into the console, and what each may do there."""

from __future__ import annotations

import re

import pytest

from tests.console_stage import Console, log_in
from tests.fakes import ManualClock
from web.console import access, routes
from worker.event import EventStatus
from worker.operator import NEEDS, Act, Operator, Role
from worker.store.queries import EventFilter

HERE = {"Sec-Fetch-Site": "same-origin"}
RANK = list(Role)


@pytest.fixture
def console(clock: ManualClock) -> Console:
    return Console(clock)


@pytest.fixture
def links(console: Console) -> dict[str, str]:
    """What stands for the variable parts of the routes."""
    order = console.received()
    console.waiting()
    return {
        "<order:order_id>": order.id,
        "<rental:rental_id>": console.rented("hello").id,
        "<event:event_id>": console.events(order)[0].id,
        "<caller_id>": console.caller,
        "<operator_id>": console.operators.create("somebody", Role.VIEWER, console.clock()).id,
        "<job_id>": console.store.jobs.start(
            "alice", "all", EventFilter(status=EventStatus.EXHAUSTED), 1, console.clock()
        ),
        "<token>": "none",
    }


def filled(path: str, links: dict[str, str]) -> str:
    return "/console" + re.sub(r"<[^>]+>", lambda found: links[found[0]], path)


# Logging in.


def test_opening_a_login_link_uses_nothing_up(console: Console):
    """A mail scanner that opens the link logs nobody in and takes the link from nobody."""
    operator = console.operators.create("alice", Role.VIEWER, console.clock())
    token, client = console.operators.link(operator.id), console.api.app.test_client()
    for _ in range(3):
        opened = client.get(f"/console/login/{token}")
        assert opened.status_code == 200
        assert "Set-Cookie" not in opened.headers
    assert log_in(client, token).status_code == 303
    assert client.get("/console").status_code == 200


def test_login_link_works_once(console: Console):
    """The second press finds it used."""
    token = console.operators.link(console.operators.create("alice", Role.VIEWER, console.clock()).id)
    assert log_in(console.api.app.test_client(), token).status_code == 303
    assert log_in(console.api.app.test_client(), token).status_code == 401


def test_login_link_lasts_ten_minutes(console: Console):
    """An older one logs nobody in."""
    token = console.operators.link(console.operators.create("alice", Role.VIEWER, console.clock()).id)
    console.clock.advance(601)
    assert log_in(console.api.app.test_client(), token).status_code == 401


def test_session_lasts_twelve_hours(console: Console):
    """A session is over by itself."""
    viewer = console.operator(Role.VIEWER)
    console.clock.advance(43_190)
    assert viewer.get("/console").status_code == 200
    console.clock.advance(20)
    assert viewer.get("/console").status_code == 401


def test_revoked_operator_is_out_at_once(console: Console):
    """Neither the session nor a link that is still out works any more."""
    visitor = console.operator(Role.ADMIN)
    token = console.operators.link(visitor.operator.id)
    console.operators.revoke(visitor.operator.id, console.clock())
    assert visitor.get("/console").status_code == 401
    assert log_in(console.api.app.test_client(), token).status_code == 401


def test_logging_out_ends_the_session(console: Console):
    """The cookie of somebody who logged out opens nothing, even when it was kept."""
    viewer = console.operator(Role.VIEWER)
    cookie = viewer.client.get_cookie(access.COOKIE, path="/console")
    assert cookie is not None
    assert viewer.post("/console/logout").status_code == 200
    again = console.api.app.test_client()
    again.set_cookie(access.COOKIE, cookie.value, path="/console")
    assert again.get("/console").status_code == 401


def test_new_role_holds_from_the_next_request(console: Console):
    """Rights are read anew for each request."""
    visitor = console.operator(Role.OPERATOR)
    console.operators.change_role(visitor.operator.id, Role.VIEWER)
    assert visitor.post("/console/provider/refresh").status_code == 403


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("http", False)])
def test_cookie_is_kept_from_scripts_other_sites_and_plain_connections(console: Console, proto: str, secure: bool):
    """HttpOnly, SameSite=Strict, below /console, and Secure where TLS ends in front of the web."""
    token = console.operators.link(console.operators.create("alice", Role.VIEWER, console.clock()).id)
    headers = {**HERE, "X-Forwarded-Proto": proto}
    cookie = console.api.app.test_client().post(f"/console/login/{token}", headers=headers).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=43200"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) is secure


def test_store_keeps_neither_links_nor_sessions_in_clear(console: Console):
    """Whoever reads the store logs in with nothing that stands there."""
    visitor = console.operator(Role.VIEWER)
    token = console.operators.link(visitor.operator.id)
    cookie = visitor.client.get_cookie(access.COOKIE, path="/console")
    assert cookie is not None
    kept = str(console.api.raw.keys("*"))
    assert "rb:session:" in kept
    assert token not in kept
    assert cookie.value not in kept


def test_many_logins_from_one_address_are_told_to_wait(console: Console):
    """Guessing links gets nowhere."""
    client = console.api.app.test_client()
    answers = [log_in(client, f"guess-{place}").status_code for place in range(access.LOGINS + 1)]
    assert answers == [401] * access.LOGINS + [429]


# Rights.


@pytest.mark.parametrize("route", [one for one in routes.ROUTES if one[2]], ids=lambda route: f"{route[0]} {route[1]}")
def test_only_the_roles_of_the_table_may_act(console: Console, links: dict[str, str], route: routes.Route):
    """Every route by every role: who may not is turned away, and nothing but the audit's silence follows."""
    method, path, act, _ = route
    assert act is not None
    for role in [None, *RANK[: RANK.index(NEEDS[act])]]:
        client = console.operator(role).client if role else console.api.app.test_client()
        lines = len(console.store.audit.lines(100))
        answer = client.open(filled(path, links), method=method, headers=HERE)
        assert answer.status_code == (403 if role else 401), role
        assert len(console.store.audit.lines(100)) == lines, role
    for role in RANK[RANK.index(NEEDS[act]) :]:
        answer = console.operator(role).client.open(filled(path, links), method=method, headers=HERE)
        assert answer.status_code not in (401, 403), role


def test_everything_that_is_posted_changes_something_only_an_operator_may():
    """A viewer can log in and out, and nothing else is a POST that the table gives to viewers."""
    posted = {act for method, _, act, _ in routes.ROUTES if method == "POST"}
    assert {act for act in posted if act and NEEDS[act] is Role.VIEWER} == {Act.LOG_OUT}


def test_every_act_has_a_least_role():
    """The table of rights is whole, and each role may do what the ones before it may."""
    assert set(NEEDS) == set(Act)
    for act in Act:
        allowed = [Operator(id="o", name="n", role=role, created_at=0.0).may(act) for role in Role]
        assert allowed == sorted(allowed)


def test_nothing_is_served_where_the_console_is_switched_off(clock: ManualClock):
    """RINGBACK_CONSOLE=false leaves no path behind."""
    off = Console(clock, RINGBACK_CONSOLE="false")
    assert off.api.app.test_client().get("/console").status_code == 404
    assert not [rule for rule in off.api.app.url_map.iter_rules() if rule.rule.startswith("/console")]


# Requests from elsewhere.


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
    ids=str,
)
def test_request_of_another_origin_changes_nothing(console: Console, headers: dict[str, str]):
    """A page elsewhere that sends a form with the operator's cookie is refused, before anything is looked at."""
    operator, order = console.operator(Role.ADMIN), console.waiting()
    answer = operator.client.post(f"/console/orders/{order.id}/cancel", headers=headers)
    assert answer.status_code == 403
    assert console.api.kept(order.id) == order


@pytest.mark.parametrize("headers", [HERE, {"Sec-Fetch-Site": "none"}, {"Origin": "https://localhost"}, {}], ids=str)
def test_request_of_our_own_pages_is_taken(console: Console, headers: dict[str, str]):
    """Behind TLS the origin has another scheme; what says nothing is kept out by the cookie's SameSite."""
    operator, order = console.operator(Role.OPERATOR), console.waiting()
    assert operator.client.post(f"/console/orders/{order.id}/cancel", headers=headers).status_code == 303


def test_pages_need_nothing_from_elsewhere_and_nothing_inline(console: Console):
    """The policy allows our own files alone, and no page has script, style or handler in it."""
    answer = console.operator(Role.ADMIN).get("/console")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/console/static/)", answer.text)


# A proxy that authenticates.


def test_trusted_header_names_the_operator(clock: ManualClock):
    """With the setting, the proxy's word is a login; an unknown name is none."""
    console = Console(clock, RINGBACK_CONSOLE_TRUSTED_HEADER="X-Remote-User")
    console.operators.create("alice", Role.VIEWER, clock())
    client = console.api.app.test_client()
    assert client.get("/console", headers={"X-Remote-User": "alice"}).status_code == 200
    assert client.get("/console", headers={"X-Remote-User": "mallory"}).status_code == 401
    assert client.post("/console/provider/refresh", headers={"X-Remote-User": "alice", **HERE}).status_code == 403


def test_header_is_not_trusted_unless_set(console: Console):
    """Nobody becomes somebody by saying so."""
    console.operators.create("alice", Role.ADMIN, console.clock())
    answer = console.api.app.test_client().get("/console", headers={"X-Remote-User": "alice"})
    assert answer.status_code == 401
