"""The doctor: each finding says how bad it is and what to do."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.unit.cli_stage import Stage
from worker import doctor
from worker.alerts import Alert
from worker.cli.provider_check import check_provider
from worker.doctor import Level
from worker.errors import StoreUnavailable
from worker.pause import Pause
from worker.provider.protocol import Balance, Declined, Listing, Throttled, Unclear, Unreached, Word
from worker.provider.replies import Choice
from worker.settings import load
from worker.store import Vault

GOOD = {"maxmemory_policy": "noeviction", "aof_enabled": "1", "appendfsync": "always", "version": "9.1"}


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


def settings(**environ):
    return load("tool", {f"RINGBACK_{name.upper()}": value for name, value in environ.items()})


def by_subject(findings):
    return {finding.subject: finding for finding in findings}


def store_saying(stage, monkeypatch, **info):
    monkeypatch.setattr(stage.store, "info", lambda: {k: v for k, v in {**GOOD, **info}.items() if v is not None})
    return by_subject(doctor.check_persistence(stage.store))


def test_healthy_store_is_ok(stage, monkeypatch):
    """noeviction and an append-only file: nothing to say against it."""
    assert {finding.level for finding in store_saying(stage, monkeypatch).values()} == {Level.OK}


@pytest.mark.parametrize(
    ("info", "subject", "level"),
    [
        ({"aof_enabled": "0"}, "store disk", Level.FAIL),
        ({"aof_enabled": None}, "store disk", Level.WARN),
        ({"aof_last_write_status": "err"}, "store", Level.FAIL),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "1000"}, "store memory", Level.FAIL),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, "store memory", Level.WARN),
        ({"maxmemory_policy": None}, "store memory", Level.WARN),
    ],
)
def test_store_that_can_lose_orders_is_told(stage, monkeypatch, info, subject, level):
    """Eviction, a missing append-only file and failed writes are findings with advice."""
    finding = store_saying(stage, monkeypatch, **info)[subject]
    assert finding.level is level
    assert finding.advice


@pytest.mark.parametrize(("here", "level"), [(1001.0, Level.OK), (1010.0, Level.WARN), (1100.0, Level.FAIL)])
def test_clock_skew_is_told(here, level):
    """Two seconds are fine, more is a warning, a minute a failure."""
    assert doctor.check_clocks(1000.0, here).level is level


@pytest.mark.parametrize(("age", "level"), [(None, Level.FAIL), (1, Level.OK), (30, Level.FAIL)])
def test_missing_worker_is_told(stage, age, level):
    """Without a tick in the last ten seconds nothing counts as running."""
    if age is not None:
        stage.redis.set("rb:clock:tick", int((stage.store.now() - age) * 1000))
    assert doctor.check_workers(stage.store).level is level


@pytest.mark.parametrize(("late", "level"), [(0, Level.OK), (20, Level.WARN), (300, Level.FAIL)])
def test_late_lane_is_told(stage, late, level):
    """What is due and not done is a finding that names its lane."""
    stage.redis.zadd("rb:due:poll", {"ord_1": int((stage.store.now() - late) * 1000)})
    findings = list(doctor.check_lanes(stage.store))
    assert [finding.level for finding in findings] == [level]
    assert "poll" in findings[0].subject + findings[0].meaning


def test_every_pause_has_its_advice(stage):
    """Each reason for a pause is known to the doctor."""
    for reason in Pause:
        stage.store.pause(reason, {"reason": "audit"})
    findings = list(doctor.check_pauses(stage.store))
    assert [finding.advice for finding in findings] == [reason.advice for reason in Pause]
    assert all("audit" in finding.meaning for finding in findings)
    assert {finding.level for finding in findings} == {Level.WARN, Level.FAIL}


def test_counted_alerts_come_with_what_to_do(stage):
    """Alerts are shown with their count and advice, harmless counters are not."""
    counters = {'alerts{kind="purchase_unknown"}': 2, 'polls{reply="Waiting"}': 999, "mended": 0}
    stage.redis.hset("rb:counters", mapping=counters)
    findings = list(doctor.check_alerts(stage.store))
    assert len(findings) == 1
    assert "purchase_unknown" in findings[0].meaning
    assert "reconcile" in findings[0].advice


@pytest.mark.parametrize("kind", Alert)
def test_every_alert_comes_with_its_advice(stage, kind: Alert):
    """Whatever kind of alert the workers have counted, the doctor says what to do about it."""
    stage.redis.hset("rb:counters", mapping={f'alerts{{kind="{kind}"}}': 1})
    assert [finding.advice for finding in doctor.check_alerts(stage.store)] == [kind.advice]


def test_alerts_of_long_ago_are_no_finding(stage):
    """A count only grows; what has not been repeated for a day is past."""
    stage.redis.hset("rb:counters", mapping={'alerts{kind="purchase_unknown"}': 2, "failures": 1})
    now = stage.store.now()
    stage.redis.hset("rb:counters:at", mapping={'alerts{kind="purchase_unknown"}': int((now - 7200) * 1000)})
    stage.redis.hset("rb:counters:at", "failures", int((now - 86_500) * 1000))
    findings = list(doctor.check_alerts(stage.store))
    assert [("purchase_unknown" in one.meaning, "2.0 h ago" in one.meaning) for one in findings] == [(True, True)]


def test_a_replica_and_a_store_that_is_nearly_full_are_told(stage, monkeypatch):
    """Before they are an outage."""
    full = store_saying(stage, monkeypatch, used_memory="85000000", maxmemory="100000000")
    assert "85 MB of 100 MB" in "".join(one.meaning for one in doctor.check_persistence(stage.store))
    assert full
    store_saying(stage, monkeypatch, role="slave")
    assert any(one.level is Level.FAIL and "replica" in one.meaning for one in doctor.check_persistence(stage.store))


@pytest.mark.parametrize(
    ("reply", "said"), [(Unclear("timeout"), "hangs"), (Unreached("ConnectError"), "cannot be reached")]
)
def test_a_provider_that_hangs_is_told_from_one_that_is_not_there(reply, said):
    """What to do about them differs."""
    finding, *_ = check_provider(settings(otpget_api_key="k"), lambda _: (reply, reply))
    assert (finding.level, said in finding.meaning) == (Level.FAIL, True)


def test_every_alert_is_raised_somewhere():
    """The table holds no alert that no worker raises."""
    sources = "".join(path.read_text() for path in Path(doctor.__file__).parent.rglob("*.py"))
    assert [kind for kind in Alert if f"alert(Alert.{kind.name}" not in sources] == []


def test_records_that_do_not_open_are_a_failure(stage):
    """A key that is missing here is a failure that says where to add it."""
    stage.store._vault = Vault([Fernet.generate_key().decode()])
    stage.caller()
    stage.store._vault = Vault()
    findings = list(doctor.check_records(stage.store))
    assert [finding.level for finding in findings] == [Level.FAIL]
    assert "RINGBACK_ENCRYPTION_KEYS" in findings[0].advice


def test_no_caller_is_a_warning(stage):
    """A service that nobody can use says how to create a caller."""
    assert [f.advice for f in doctor.check_records(stage.store)] == ["run `ringback caller create NAME`"]


SERVERS = Listing((Choice("1", "One"),))


@pytest.mark.parametrize(
    ("balance", "servers", "level"),
    [
        (Balance(Decimal("500")), SERVERS, Level.OK),
        (Balance(Decimal("50")), SERVERS, Level.FAIL),
        (Balance(Decimal("500")), Unclear("http_502"), Level.WARN),
        (Declined(Word.BAD_KEY), Declined(Word.BAD_KEY), Level.FAIL),
        (Throttled(30), Throttled(30), Level.WARN),
        (Unreached("ConnectError"), Unreached("ConnectError"), Level.FAIL),
    ],
)
def test_provider_is_judged_by_free_calls(balance, servers, level):
    """What the provider answers to getBalance and getServers decides."""
    made = settings(otpget_api_key="k", min_balance="100")
    worst = [finding.level for finding in check_provider(made, lambda _: (balance, servers))]
    assert max(worst, key=list(Level).index) is level


def test_provider_without_a_key_is_not_asked():
    """Without the key the doctor says so and asks nothing."""
    findings = list(check_provider(settings(), lambda _: pytest.fail("asked")))
    assert [finding.level for finding in findings] == [Level.WARN]


def test_open_networks_are_a_warning():
    """A hole in the address guard is pointed out."""
    findings = by_subject(doctor.check_settings(settings(callback_allowed_networks="10.0.0.0/8")))
    assert findings["callback guard"].level is Level.WARN


def test_command_leaves_with_1_when_anything_fails(stage):
    """No worker runs: the doctor fails, in text and in JSON."""
    result = stage.run("doctor", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["healthy"] is False
    assert {"level", "subject", "meaning", "advice"} == set(told["findings"][0])
    assert "FAIL  workers" in stage.run("doctor").stdout


def test_command_leaves_with_0_when_nothing_fails(stage, monkeypatch):
    """Warnings alone are no failure."""
    monkeypatch.setattr("worker.store.Store.info", lambda _: GOOD)
    stage.redis.set("rb:clock:tick", int(stage.store.now() * 1000))
    result = stage.run("doctor")
    assert result.exit_code == 0, result.stdout


def test_bad_settings_and_a_dead_store_are_findings(stage):
    """What ends the examination is reported like any other finding, every bad setting named."""
    result = stage.run("doctor", "--json", RINGBACK_POLL_INTERVAL="soon", RINGBACK_MIN_BALANCE="x")
    finding = json.loads(result.stdout)["findings"][0]
    assert result.exit_code == 1
    assert "RINGBACK_POLL_INTERVAL" in finding["meaning"]
    assert "RINGBACK_MIN_BALANCE" in finding["meaning"]


@pytest.mark.parametrize(("host", "ago", "code"), [("here", -60, 0), ("here", 60, 1), ("elsewhere", -60, 1)])
def test_live_asks_for_the_heart_of_a_worker_on_this_machine(stage, monkeypatch, host, ago, code):
    """One that beats on another machine, or has fallen silent, is none."""
    monkeypatch.setattr("worker.cli.checkup.web_answers", lambda _: False)
    monkeypatch.setattr("worker.cli.checkup.socket.gethostname", lambda: "here")
    stage.redis.zadd("rb:workers", {f"{host}:17:abc": int((stage.store.now() - ago) * 1000)})
    assert stage.run("doctor", "--live").exit_code == code


def test_live_is_content_with_a_web_that_answers(stage, monkeypatch):
    """Whatever the store says."""
    monkeypatch.setattr("worker.cli.checkup.web_answers", lambda _: True)
    assert stage.run("doctor", "--live").exit_code == 0


def test_live_is_no_reason_to_start_anew_while_the_store_is_away(stage, monkeypatch):
    """A worker waits for the store; killing it helps nobody."""

    def gone():
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr("worker.cli.checkup.web_answers", lambda _: False)
    monkeypatch.setattr("worker.cli.checkup.open_context", gone)
    assert stage.run("doctor", "--live").exit_code == 0
