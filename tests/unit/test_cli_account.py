"""`ringback balance`, `servers`, `settings`, `keygen`, the kill switch, and what happens when nothing is there."""

from __future__ import annotations

import json

import fakeredis
import pytest
from cryptography.fernet import Fernet
from typer.main import get_command

from tests.unit.cli_stage import Stage
from worker.callers import Callers
from worker.cli import account, app, context
from worker.errors import SettingsInvalid
from worker.local import up
from worker.store import Store, Vault


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A folder without a running service."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_balance_is_what_the_workers_last_read(stage):
    """The balance comes with its time, whether a later reading failed, and what pauses buying."""
    stage.redis.hset("rb:account", mapping={"balance": "490.00", "balance:at": 1000_000, "balance:asked": 1060_000})
    stage.store.pause("provider_auth", {})
    told = stage.json("balance")
    assert told == {
        "balance": "490.00",
        "as_of": "1970-01-01T00:16:40.000Z",
        "stale": True,
        "paused": ["provider_auth"],
        "paused_items": [],
    }


def test_balance_is_unknown_before_the_first_reading(stage):
    """Without a reading the balance is null, not zero."""
    assert stage.json("balance")["balance"] is None
    assert stage.run("balance").exit_code == 0


def test_refresh_asks_a_worker_and_says_when_none_answers(stage, monkeypatch):
    """--refresh leaves a wish for the workers, and falls back to the last reading."""
    monkeypatch.setattr(account, "PATIENCE", 0.0)
    result = stage.run("balance", "--refresh")
    assert "no worker" in result.stderr
    assert stage.redis.hexists("rb:refresh_requests", "balance")


def test_servers_are_listed_without_control_characters(stage):
    """The provider's text cannot steer the terminal."""
    listed = json.dumps([{"id": "1", "name": "Server \x1b[31mone"}])
    stage.redis.hset("rb:account", mapping={"servers:1": listed, "servers:1:at": 5, "servers:1:asked": 5})
    assert stage.json("servers")["servers"] == json.loads(listed)
    for result in (stage.run("servers"), stage.run("servers", "--json")):
        assert "\x1b" not in result.stdout
        assert "one" in result.stdout


def test_settings_show_secrets_as_set_or_unset(stage):
    """No secret's value is shown."""
    key = Fernet.generate_key().decode()
    result = stage.run("settings", "--json", RINGBACK_OTPGET_API_KEY="hush", RINGBACK_ENCRYPTION_KEYS=key)
    shown = json.loads(result.stdout)
    assert shown["RINGBACK_OTPGET_API_KEY"] == "set"
    assert shown["RINGBACK_POLL_INTERVAL"] == 5.0
    assert "hush" not in result.output
    assert key not in result.output


def test_bad_settings_are_all_named_at_once(stage):
    """Every problem is listed, on stderr, with exit code 1."""
    result = stage.run("balance", RINGBACK_POLL_INTERVAL="soon", RINGBACK_ENCRYPTION_KEYS="short")
    assert result.exit_code == 1
    assert "RINGBACK_POLL_INTERVAL" in result.stderr
    assert "RINGBACK_ENCRYPTION_KEYS" in result.stderr
    assert result.stdout == ""


def test_keygen_makes_a_key_that_encrypts(stage):
    """The key is one that RINGBACK_ENCRYPTION_KEYS takes, and a new one each time."""
    first, second = stage.run("keygen").stdout.strip(), stage.json("keygen")["encryption_key"]
    assert first != second
    Fernet(first)
    Fernet(second)


def test_buying_is_switched_off_and_on(stage):
    """The kill switch sets one pause with its reason and lifts only that one."""
    assert stage.json("buying", "off", "--reason", "audit")["paused"]["switched_off"]["reason"] == "audit"
    stage.store.pause("provider_auth", {})
    assert stage.json("buying", "on") == {"buying": False, "paused": {"provider_auth": {}}}
    stage.store.resume("provider_auth")
    assert "Buying is on." in stage.run("buying", "status").stdout


def test_a_dead_store_says_what_to_check(stage, monkeypatch):
    """A store that does not answer is one line with the setting to look at, its password left out."""
    server = fakeredis.FakeServer()
    server.connected = False
    monkeypatch.setattr(context, "connect", lambda _: fakeredis.FakeRedis(server=server))
    result = stage.run("caller", "list", RINGBACK_REDIS_URL="redis://:hush@db.example:6379/0")
    assert result.exit_code == 1
    assert "RINGBACK_REDIS_URL (redis://db.example:6379/0)" in result.stderr
    assert "hush" not in result.output


def test_an_address_that_is_none_is_no_traceback(monkeypatch, nowhere):
    """A store's address that cannot be read is named as such."""
    monkeypatch.setenv("RINGBACK_REDIS_URL", "redis://host:port:more/0")
    with pytest.raises(SettingsInvalid, match="not the address"):
        context.open_context().store  # noqa: B018 - the property connects


def test_records_sealed_with_another_key_are_one_line(stage):
    """When the encryption keys do not fit, the command says so."""
    stage.vault = Vault([Fernet.generate_key().decode()])
    Callers(Store(stage.redis, stage.vault, retention=1.0, otp_ttl=1.0)).create("shop", 1000.0)
    result = stage.run("caller", "list")
    assert result.exit_code == 1
    assert "RINGBACK_ENCRYPTION_KEYS" in result.stderr


def test_without_a_store_it_says_how_to_get_one(stage, nowhere):
    """No setting and no running service: one line that names both ways out."""
    result = stage.run("caller", "list", RINGBACK_REDIS_URL="")
    assert result.exit_code == 1
    assert "ringback up" in result.stderr


def test_the_running_service_of_this_folder_is_used(stage, nowhere, monkeypatch):
    """With `ringback up` running here its store and keys are used, which stderr says and stdout does not."""
    (nowhere / ".ringback").mkdir()
    (nowhere / ".ringback" / "up.json").write_text("{}")
    found = {"RINGBACK_REDIS_URL": "redis://127.0.0.1:7001", "RINGBACK_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    monkeypatch.setattr(up, "environment", lambda: found)
    result = stage.run("caller", "create", "shop", "--json", RINGBACK_REDIS_URL="", RINGBACK_ENCRYPTION_KEYS="")
    assert result.exit_code == 0, result.output
    assert "ringback up" in result.stderr
    assert set(json.loads(result.stdout)) == {"id", "name", "api_key", "webhook_secret"}


def _commands(command, path=()):
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(one, (*path, name))
    if not hasattr(command, "commands"):
        yield path


@pytest.mark.parametrize("path", [p for p in _commands(get_command(app)) if p != ("sandbox",)], ids=" ".join)
def test_every_command_has_help_with_an_example(stage, path):
    """--help of every command answers without a store and shows an example."""
    result = stage.run(*path, "--help", RINGBACK_REDIS_URL="")
    assert result.exit_code == 0
    assert "Example:" in result.stdout
