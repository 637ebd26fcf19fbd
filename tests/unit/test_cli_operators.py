"""`ringback operator`, and what the command line writes into the audit."""

from __future__ import annotations

import re

import pytest

from tests.unit.cli_stage import Stage
from worker.operators import Operators


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


def audited(stage):
    """Act, subject and reason of each line, the newest first."""
    return [(line.act, line.on, line.why) for line in stage.store.audit.lines(20)]


def test_create_prints_a_link_that_logs_in_once(stage):
    """Id, name, role and the link stand there; the token in it is good for one login."""
    made = stage.json("operator", "create", "alice", "--role", "operator")
    assert (made["name"], made["role"]) == ("alice", "operator")
    assert made["id"].startswith("op_")
    token = re.fullmatch(r"http://127\.0\.0\.1:8000/console/login/([\w-]+)", made["login_url"])
    assert token is not None
    operators = Operators(stage.store)
    entered = operators.log_in(token[1])
    assert entered is not None
    assert entered[0].id == made["id"]
    assert operators.log_in(token[1]) is None


@pytest.mark.parametrize(
    ("environ", "address"),
    [({"RINGBACK_URL": "https://ringback.example/"}, "https://ringback.example"), ({"PORT": "8123"}, ":8123")],
    ids=["url", "port"],
)
def test_link_leads_to_where_the_web_is(stage, environ, address):
    """RINGBACK_URL names the web's address, else it is on this machine."""
    result = stage.run("operator", "create", "alice", "--role", "viewer", "--json", **environ)
    assert f"{address}/console/login/" in result.stdout


def test_names_are_unique_and_printable(stage):
    """An authenticating proxy says who is there by name."""
    stage.json("operator", "create", "alice", "--role", "viewer")
    for name in ("alice", " ", "a\x1b[31m", "x" * 65):
        result = stage.run("operator", "create", name, "--role", "viewer")
        assert result.exit_code == 1, name
        assert "Traceback" not in result.output


def test_revoke_ends_everything_and_frees_the_name(stage):
    """No session and no new link; somebody else may be called the same."""
    made = stage.json("operator", "create", "alice", "--role", "admin")
    operators = Operators(stage.store)
    entered = operators.log_in(made["login_url"].rpartition("/")[2])
    assert entered is not None
    assert stage.json("operator", "revoke", made["id"])["revoked_at"]
    assert operators.of_session(entered[1]) is None
    assert stage.run("operator", "link", made["id"]).exit_code == 1
    stage.json("operator", "create", "alice", "--role", "viewer")


def test_list_shows_roles_and_no_link(stage):
    """Who there is, the revoked among them."""
    made = stage.json("operator", "create", "alice", "--role", "admin")
    stage.run("operator", "revoke", made["id"])
    listed = stage.json("operator", "list")
    assert [(one["name"], one["role"], bool(one["revoked_at"])) for one in listed] == [("alice", "admin", True)]
    assert "login" not in stage.run("operator", "list").output


def test_unknown_operator_is_an_error(stage):
    """One clear message."""
    for command in ("link", "revoke"):
        result = stage.run("operator", command, "op_none")
        assert (result.exit_code, "there is no operator" in result.output) == (1, True)


def test_switching_buying_is_audited_with_its_reason(stage):
    """Who switched it off, and why, stands where the console's acts stand."""
    stage.run("buying", "off", "--reason", "strange charges")
    stage.run("buying", "on")
    assert audited(stage) == [("switch_buying", "on", ""), ("switch_buying", "off", "strange charges")]
    assert stage.store.audit.lines(1)[0].who.startswith("command line (")


def test_asking_about_buying_is_no_act(stage):
    """Looking leaves no line."""
    stage.run("buying", "status")
    assert audited(stage) == []


def test_changes_of_callers_are_audited_without_their_secrets(stage):
    """Each change of a caller has its line, and no key is in it."""
    made = stage.json("caller", "create", "shop")
    for command in ("rotate-key", "rotate-secret", "revoke"):
        assert stage.run("caller", command, made["id"]).exit_code == 0
    stage.run("caller", "limits", made["id"], "--max-in-flight", "3")
    assert [why for _, _, why in audited(stage)] == [
        "changed its caps", "revoked", "rotated its webhook secret", "rotated its API key", "created",
    ]  # fmt: skip
    assert "rbk_" not in str(stage.store.audit.lines(20))


def test_an_operator_that_cannot_be_opened_hides_no_other(stage):
    """The list shows those that open, and names the one that does not."""
    whole, damaged = (stage.json("operator", "create", name, "--role", "viewer")["id"] for name in ("alice", "bob"))
    stage.redis.set(f"rb:operator:{damaged}:record", b"damaged")
    result = stage.run("operator", "list")
    assert whole in result.stdout
    assert damaged not in result.stdout
    assert f"{damaged} is left out" in result.stderr
