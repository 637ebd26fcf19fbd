"""The settings: validated together, told in one message, secrets never shown."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from worker.errors import SettingsInvalid
from worker.settings import Settings, load

KEY = "otpget-key-3f9"
STORE = "redis://:pass-w0rd@127.0.0.1:6379/0"
WORKER = {"RINGBACK_REDIS_URL": STORE, "RINGBACK_OTPGET_API_KEY": KEY}


def problems(role: str = "worker", **changes: str) -> str:
    """What is wrong with an environment."""
    with pytest.raises(SettingsInvalid) as caught:
        load(role, {**WORKER, **changes})  # type: ignore[arg-type]
    return str(caught.value)


def test_nothing_more_than_a_store_and_a_key_is_needed():
    """Everything else has its default."""
    settings = load("worker", WORKER)
    assert settings.store_url == settings.broker == STORE
    assert (settings.poll_interval, settings.order_timeout, settings.webhook_schedule[0]) == (5, 540, 1)
    assert settings.otpget_base_url == "https://www.otpget.com/stubs"


def test_all_problems_are_told_in_one_message():
    """Who mends one thing is not sent back for the next."""
    told = problems(
        RINGBACK_REDIS_URL="http://store",
        RINGBACK_POLL_INTERVAL="often",
        RINGBACK_BUY_BUDGET="-1",
        RINGBACK_WEBHOOK_SCHEDULE="1,soon,5",
        RINGBACK_ENCRYPTION_KEYS="short",
        RINGBACK_CALLBACK_ALLOWED_NETWORKS="10.0.0.0/99",
        RINGBACK_CALLBACK_ALLOWED_PORTS="70000",
        RINGBACK_OTPGET_BASE_URL="ftp://otpget",
        RINGBACK_MIN_BALANCE="NaN",
        RINGBACK_OTPGET_API_KEY="",
    )
    for name in (
        "REDIS_URL", "POLL_INTERVAL", "BUY_BUDGET", "WEBHOOK_SCHEDULE (item 2)", "ENCRYPTION_KEYS",
        "CALLBACK_ALLOWED_NETWORKS", "CALLBACK_ALLOWED_PORTS", "OTPGET_BASE_URL", "MIN_BALANCE", "OTPGET_API_KEY",
    ):  # fmt: skip
        assert f"RINGBACK_{name}" in told
    assert told.count("\n") == 10


def test_problems_show_no_secret():
    """The value of a bad secret stays out of the message and of what caused it."""
    with pytest.raises(SettingsInvalid) as caught:
        load("worker", {"RINGBACK_REDIS_URL": "http://:pass-w0rd@x", "RINGBACK_ENCRYPTION_KEYS": "hunter2"})
    chain = caught.value.__cause__ or caught.value.__context__
    for text in (str(caught.value), str(chain)):
        assert "pass-w0rd" not in text
        assert "hunter2" not in text


def test_worker_without_a_key_does_not_start():
    """Said by name, with who needs it."""
    with pytest.raises(SettingsInvalid, match="RINGBACK_OTPGET_API_KEY: is not set, and the worker process"):
        load("worker", {"RINGBACK_REDIS_URL": STORE})


def test_web_process_runs_without_the_providers_key_and_never_reads_it():
    """Even where it is set, it stays outside."""
    assert load("web", {"RINGBACK_REDIS_URL": STORE}).otpget_api_key is None
    assert load("web", WORKER).otpget_api_key is None


def test_tool_needs_nothing():
    """The command line brings its own store where there is none."""
    assert load("tool", {}).redis_url is None


def test_empty_variable_counts_as_unset():
    """Compose files and unit files like to pass empty strings."""
    assert load("worker", {**WORKER, "RINGBACK_MIN_BALANCE": "", "RINGBACK_POLL_INTERVAL": ""}).poll_interval == 5


def test_environment_is_read_once_by_load(monkeypatch: pytest.MonkeyPatch):
    """What is handed in is all that counts."""
    monkeypatch.setenv("RINGBACK_POLL_INTERVAL", "9")
    monkeypatch.setenv("RINGBACK_OTPGET_API_KEY", "from-outside")
    assert load("web", {"RINGBACK_REDIS_URL": STORE}).poll_interval == 5
    monkeypatch.setenv("RINGBACK_REDIS_URL", STORE)
    assert load("worker").poll_interval == 9


def test_settings_are_frozen():
    """Nobody changes them after the start."""
    with pytest.raises(ValidationError):
        load("worker", WORKER).poll_interval = 1  # type: ignore[misc]


def test_lists_are_split_at_commas():
    """Spaces and a comma at the end do no harm."""
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    settings = load(
        "worker",
        {
            **WORKER,
            "RINGBACK_ENCRYPTION_KEYS": f" {keys[0]}, {keys[1]},",
            "RINGBACK_WEBHOOK_SCHEDULE": "0.3, 1",
            "RINGBACK_CALLBACK_ALLOWED_NETWORKS": "127.0.0.0/8,10.1.2.3/8",
        },
    )
    assert [key.get_secret_value() for key in settings.encryption_keys] == keys
    assert list(settings.webhook_schedule) == [0.3, 1]
    assert settings.callback_allowed_networks == ("127.0.0.0/8", "10.1.2.3/8")


def test_schedule_has_a_sane_length():
    """A typing error does not make a thousand attempts."""
    assert "at most 40 waits" in problems(RINGBACK_WEBHOOK_SCHEDULE=",".join("1" * 41))


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///run/redis.sock", "sentinel://h:1,i:2/main"])
def test_every_kind_of_store_is_accepted(url: str):
    """Plain, TLS, socket and Sentinel."""
    assert load("worker", {**WORKER, "RINGBACK_REDIS_URL": url}).store_url == url


def test_broker_may_be_another_one():
    """Celery's traffic can be kept off the store."""
    assert load("worker", {**WORKER, "RINGBACK_BROKER_URL": "redis://broker"}).broker == "redis://broker"


def test_summary_shows_secrets_as_set_or_unset():
    """The line at start names every setting and gives no secret away."""
    keys = Fernet.generate_key().decode()
    shown = load("worker", {**WORKER, "RINGBACK_ENCRYPTION_KEYS": keys}).masked()
    assert shown["RINGBACK_OTPGET_API_KEY"] == shown["RINGBACK_REDIS_URL"] == "set"
    assert shown["RINGBACK_ENCRYPTION_KEYS"] == "set (1)"
    assert shown["RINGBACK_BROKER_URL"] == shown["RINGBACK_MIN_BALANCE"] == "unset"
    assert set(shown) == {"RINGBACK_" + name.upper() for name in Settings.model_fields}
    assert not any(secret in str(shown) for secret in (KEY, "pass-w0rd", keys))
    assert not any(secret in repr(load("worker", WORKER)) for secret in (KEY, "pass-w0rd"))


def test_status_call_ends_inside_the_interval():
    """Two polls of one order never overlap, whatever is set."""
    hasty = load("worker", {**WORKER, "RINGBACK_POLL_INTERVAL": "2"})
    assert hasty.status_deadline == pytest.approx(1.6)
    assert load("worker", WORKER).status_deadline == 4


def test_what_is_allowed_but_odd_is_warned_of():
    """One sentence each, naming the setting."""
    odd = {
        **WORKER,
        "RINGBACK_POLL_INTERVAL": "1",
        "RINGBACK_EARLIEST_CANCEL": "10",
        "RINGBACK_CALLBACK_ALLOW_HTTP": "true",
    }
    told = " ".join(load("worker", odd).warnings())
    for name in ("POLL_INTERVAL", "POLL_DEADLINE", "EARLIEST_CANCEL", "CALLBACK_ALLOW_HTTP", "ENCRYPTION_KEYS"):
        assert f"RINGBACK_{name}" in told
    keys = Fernet.generate_key().decode()
    assert load("worker", {**WORKER, "RINGBACK_ENCRYPTION_KEYS": keys}).warnings() == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RINGBACK_POLL_INTERVALL", "did you mean RINGBACK_POLL_INTERVAL?"),
        ("RINGBACK_REDIS_URI", "did you mean RINGBACK_REDIS_URL?"),
        ("RINGBACK_XYZZY", "nothing reads it"),
    ],
)
def test_a_mistyped_setting_is_warned_about(name: str, said: str):
    """Else a typing error leaves the default in force without a word; its value is not shown."""
    warnings = " ".join(load("tool", {name: "hush"}).warnings())
    assert name in warnings
    assert said in warnings
    assert "hush" not in warnings


def test_variables_that_others_read_are_not_warned_about():
    """The command line's, the web server's, and those without our prefix."""
    other = {"RINGBACK_URL": "x", "RINGBACK_API_KEY": "x", "RINGBACK_BIND": "x", "PORT": "8000", "RING": "x"}
    assert not any("no setting" in one for one in load("tool", other).warnings())
