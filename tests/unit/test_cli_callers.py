"""`ringback caller`."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from cryptography.fernet import Fernet

from tests.unit.cli_stage import Stage
from worker.caller import Caps
from worker.cli.context import seconds
from worker.event import endpoint_of
from worker.store import Store


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


def test_create_prints_exactly_the_four_promised_fields(stage):
    """`caller create --json` prints id, name, api_key and webhook_secret, and they work."""
    made = stage.json("caller", "create", "shop")
    assert list(made) == ["id", "name", "api_key", "webhook_secret"]
    caller = stage.callers.by_key(made["api_key"])
    assert (caller.id, caller.name) == (made["id"], "shop")
    assert caller.live_secrets(0) == [made["webhook_secret"]]


def test_create_keeps_callback_and_caps(stage):
    """What create is told about a caller is whwhen an order is posted goes by."""
    made = stage.json(
        "caller", "create", "shop", "--callback-url", "https://93.184.216.34/hook", "--max-in-flight", "5",
        "--orders-per-day", "100", "--verify-callback",
    )  # fmt: skip
    caller = stage.callers.get(made["id"])
    assert caller.callback_url == "https://93.184.216.34/hook"
    assert (caller.caps.max_in_flight, caller.caps.orders_per_minute, caller.caps.orders_per_day) == (5, None, 100)
    assert caller.verify_callback


def test_create_refuses_an_address_that_is_none(stage):
    """What no settings would let through is refused before anything is stored."""
    result = stage.run("caller", "create", "shop", "--callback-url", "https://user:word@shop.example/hook")
    assert result.exit_code == 1
    assert "credentials" in result.stderr
    assert not stage.callers.all()


def test_create_mentions_what_the_api_would_refuse(stage):
    """A private callback is stored with a word of warning: the web goes by its own settings, at every order."""
    result = stage.run("caller", "create", "shop", "--callback-url", "https://10.0.0.1/hook")
    assert result.exit_code == 0
    assert "blocked_address" in result.stderr


def test_create_takes_a_private_callback_that_the_settings_allow(stage):
    """The guard goes by the settings, as when an order is posted."""
    environ = {"RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8", "RINGBACK_CALLBACK_ALLOW_HTTP": "true"}
    result = stage.run("caller", "create", "demo", "--callback-url", "http://127.0.0.1:8123/x", **environ)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("arguments", [["--verify-callback"], ["--max-in-flight", "0"], ["--max-in-flight", "many"]])
def test_create_calls_bad_options_a_usage_error(stage, arguments):
    """A bad option leaves with 2 and stores nothing."""
    assert stage.run("caller", "create", "shop", *arguments).exit_code == 2
    assert not stage.callers.all()


def test_list_shows_no_secret(stage):
    """The list shows neither keys nor secrets, nor what is behind a callback's question mark."""
    caller, api_key, secret = stage.callers.create("shop", 1000.0, callback_url="https://shop.example/h?token=hush")
    for result in (stage.run("caller", "list"), stage.run("caller", "list", "--json")):
        assert caller.id in result.output
        assert not any(hidden in result.output for hidden in (api_key, secret, "hush", caller.key_hash))


@pytest.mark.parametrize("amount", ["0", "-5", "abc", "1e400", "NaN", "1e12"])
def test_a_spend_cap_is_an_amount(stage, amount):
    """Anything else is a usage error, and nothing is created."""
    assert stage.run("caller", "create", "shop", "--max-spend-per-day", amount).exit_code == 2
    assert stage.callers.all() == []


def test_a_spend_cap_is_set_shown_and_lifted(stage):
    """An exact decimal, and the script that holds purchases against it knows at once."""
    made = stage.json("caller", "create", "shop", "--max-spend-per-day", "37.50")
    assert stage.callers.get(made["id"]).caps.max_spend_per_day == Decimal("37.50")
    assert stage.redis.hget(f"rb:caller:{made['id']}", "m") == b"375000"
    assert stage.json("caller", "limits", made["id"])["max_spend_per_day"] == "37.50"
    assert stage.json("caller", "limits", made["id"], "--max-spend-per-day", "none")["max_spend_per_day"] is None
    assert stage.redis.hget(f"rb:caller:{made['id']}", "m") is None


def test_limits_change_only_what_is_given(stage):
    """A cap that is not named stays, `none` lifts one, and without options the caps are shown."""
    caller = stage.caller()
    stage.json("caller", "limits", caller.id, "--max-in-flight", "9", "--orders-per-day", "50")
    shown = stage.json("caller", "limits", caller.id, "--orders-per-day", "none")
    others = dict.fromkeys(["orders_per_minute", "orders_per_day", "max_spend_per_day"])
    assert shown == {"id": caller.id, "max_in_flight": 9, **others, "weight": 1}
    assert stage.json("caller", "limits", caller.id, "--weight", "3")["weight"] == 3
    assert stage.callers.get(caller.id).weight == 3
    assert stage.json("caller", "limits", caller.id) == {**shown, "weight": 3}


def test_rotated_secret_signs_beside_the_old_one(stage):
    """During the overlap both secrets are live, the new one first."""
    caller = stage.caller()
    old, now = caller.live_secrets(0)[0], stage.store.now()
    made = stage.json("caller", "rotate-secret", caller.id, "--overlap", "1h")
    rotated = stage.callers.get(caller.id)
    assert rotated.live_secrets(now + 10) == [made["webhook_secret"], old]
    assert rotated.live_secrets(now + 3700) == [made["webhook_secret"]]


def test_rotated_key_replaces_the_old_one_at_once(stage):
    """After rotate-key only the new key lets it in."""
    caller, old, _ = stage.callers.create("shop", 1000.0)
    new = stage.json("caller", "rotate-key", caller.id)["api_key"]
    assert stage.callers.by_key(old) is None
    assert stage.callers.by_key(new).id == caller.id


def test_revoked_caller_is_locked_out(stage):
    """After revoke the key opens nothing, and the list says revoked."""
    caller, api_key, _ = stage.callers.create("shop", 1000.0)
    stage.json("caller", "revoke", caller.id)
    assert stage.callers.by_key(api_key) is None
    assert stage.json("caller", "list")[0]["state"] == "revoked"


def test_ping_is_owed_to_the_callback(stage):
    """`caller ping` puts a webhook.ping into the caller's events."""
    caller = stage.caller(callback_url="https://shop.example/hook")
    event = stage.store.load_event(stage.json("caller", "ping", caller.id)["event"])
    assert (event.type, event.caller, event.order) == ("webhook.ping", caller.id, None)


def test_ping_goes_to_another_callback_if_one_is_given(stage):
    """Each callback of a caller that has to prove them is proven by a ping of its own."""
    caller, other = stage.caller(), "https://192.0.2.7/hook"
    told = stage.run("caller", "ping", caller.id, "--callback-url", other, "--json")
    assert stage.store.load_event(json.loads(told.stdout)["event"]).url == other


def test_a_caller_is_unverified_until_its_own_callback_is_proven(stage):
    """`caller list` says so."""
    caller = stage.caller(callback_url="https://shop.example/hook", verify_callback=True)
    assert stage.json("caller", "list")[0]["state"] == "unverified"
    stage.store.save_caller(caller, caller.with_verified(endpoint_of(caller.id, caller.callback_url)))
    assert stage.json("caller", "list")[0]["state"] == "active"


def test_a_caller_that_cannot_be_opened_is_named(stage):
    """The others are listed all the same."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    locked = json.loads(stage.run("caller", "create", "old", "--json", RINGBACK_ENCRYPTION_KEYS=old).stdout)["id"]
    listed = json.loads(stage.run("caller", "create", "new", "--json", RINGBACK_ENCRYPTION_KEYS=new).stdout)["id"]
    told = stage.run("caller", "list", RINGBACK_ENCRYPTION_KEYS=new)
    assert (told.exit_code, listed in told.stdout, locked in told.stderr) == (0, True, True)


def test_two_changes_of_caps_at_once_both_hold(stage, monkeypatch):
    """A change that lost the race is made to what is there by then."""
    caller = stage.caller()
    real = stage.store.save_caller
    raced: list[object] = []

    def beaten(self, before, after):
        if not raced:
            raced.append(stage.callers.limit(caller.id, Caps(orders_per_day=7)))
        return real(before, after)

    monkeypatch.setattr(Store, "save_caller", beaten)
    monkeypatch.setattr(stage.store, "save_caller", real)
    assert stage.run("caller", "limits", caller.id, "--max-in-flight", "5").exit_code == 0
    assert stage.callers.get(caller.id).caps == Caps(max_in_flight=5, orders_per_day=7)


def test_unknown_caller_is_one_line_on_stderr(stage):
    """An id that nobody has leaves with 1 and one line, without a traceback."""
    for command in ("limits", "rotate-secret", "rotate-key", "revoke", "ping"):
        result = stage.run("caller", command, "cal_none")
        assert result.exit_code == 1
        assert result.stderr.strip().splitlines() == ["there is no caller 'cal_none'"]


@pytest.mark.parametrize(("text", "span"), [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_spans_are_read(text, span):
    """Spans are numbers with an optional unit."""
    assert seconds(text) == span


@pytest.mark.parametrize("text", ["", "h", "-5", "1.5h", "24 h", "9999999999", "٣h"])
def test_odd_spans_are_refused(text):
    """What is no plain span is a ValueError, which the command line turns into a usage error."""
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
