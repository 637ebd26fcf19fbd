"""`ringback keys`: which key the records need, and letting an old one go."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from tests.unit.cli_stage import Stage
from worker import doctor
from worker.caller import Caps
from worker.doctor import Level
from worker.operator import Operator, Role
from worker.store import Idempotency, Vault, codec

OPERATOR = Operator(id="op_1", name="Asma", role=Role.ADMIN, created_at=0.0)
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def seal_with(stage: Stage, *keys: str) -> None:
    """What is written from now on is sealed with the first key."""
    stage.store._vault = stage.store.operators._vault = Vault(keys)


def fill(stage: Stage) -> str:
    """A caller, an order, a webhook, an operator and an idempotency record; returns the order's id."""
    stage.store.operators.save(None, OPERATOR)
    caller = stage.caller()
    order = stage.order(caller)
    stage.received(order)
    again = stage.store.load(order.id)
    assert again is not None
    stage.store.create(replace(order, id="ord_2"), Caps(), Idempotency("k" * 64, "b" * 64, b'{"id":"ord_2"}'))
    return order.id


def status(stage: Stage, keys: str) -> tuple[int, dict]:
    """What `keys status` says."""
    result = stage.run("keys", "status", "--json", RINGBACK_ENCRYPTION_KEYS=keys)
    return result.exit_code, json.loads(result.stdout)


def test_records_are_counted_by_the_key_that_they_need(stage: Stage):
    """Orders, webhooks, callers, operators and the answers of idempotency keys."""
    seal_with(stage, OLD)
    fill(stage)
    code, told = status(stage, f"{NEW},{OLD}")
    assert (code, told["records"], told["unreadable"]) == (0, 6, [])
    assert [one["records"] for one in told["keys"]] == [0, 6]
    assert [one["here"] for one in told["keys"]] == ["seals and opens", "opens"]


def test_records_whose_key_is_missing_are_named(stage: Stage):
    """By kind and id, with exit code 1."""
    seal_with(stage, OLD)
    order_id = fill(stage)
    code, told = status(stage, NEW)
    assert code == 1
    assert f"order {order_id}" in told["unreadable"]
    assert {"here": "missing", "records": 6, "key": Vault([OLD]).key_ids[0]} in told["keys"]


def test_reseal_lets_an_old_encryption_key_go(stage: Stage):
    """After it everything opens with the new key alone; a second time there is nothing to do."""
    seal_with(stage, OLD)
    order_id = fill(stage)
    both = f"{NEW},{OLD}"
    assert json.loads(stage.run("keys", "reseal", "--json", RINGBACK_ENCRYPTION_KEYS=both).stdout)["resealed"] == 6
    assert status(stage, NEW)[0] == 0
    assert json.loads(stage.run("keys", "reseal", "--json", RINGBACK_ENCRYPTION_KEYS=NEW).stdout)["resealed"] == 0
    seal_with(stage, NEW)
    assert stage.store.load(order_id) is not None
    assert stage.store.operators.load("op_1") == OPERATOR
    assert stage.run("caller", "list", RINGBACK_ENCRYPTION_KEYS=NEW).stdout.count("cal_") == 1


def test_reseal_needs_the_flag_for_what_is_not_sealed(stage: Stage):
    """Encryption is switched on with the migration flag, resealed, and the flag taken away."""
    order_id = fill(stage)
    refused = stage.run("keys", "reseal", RINGBACK_ENCRYPTION_KEYS=NEW)
    assert (refused.exit_code, "left unchanged" in refused.stderr) == (1, True)
    done = stage.run("keys", "reseal", RINGBACK_ENCRYPTION_KEYS=NEW, RINGBACK_SEALING_MIGRATION="true")
    assert done.exit_code == 0
    assert status(stage, NEW)[0] == 0
    seal_with(stage, NEW)
    assert stage.store.load(order_id) is not None


def test_reseal_overwrites_nothing_that_was_written_meanwhile(stage: Stage):
    """A record that a worker wrote after it was read stays the worker's."""
    seal_with(stage, NEW, OLD)
    order = stage.order(stage.caller())
    stage.redis.set(f"rb:order:{order.id}:record", old_record(stage, order.id))
    record = next(one for one in stage.store.records() if one.place.kind == "order")
    stage.received(order)
    assert stage.store.reseal(record) is False
    kept = stage.store.load(order.id)
    assert kept is not None
    assert kept.otp == "847293"


def old_record(stage: Stage, order_id: str) -> bytes:
    """An order's record under the old key."""
    order = stage.store.load(order_id)
    assert order is not None
    return codec.pack(order, Vault([OLD]))


def test_doctor_finds_an_old_open_order_that_does_not_open(stage: Stage):
    """However many newer ones do: what is open must be readable."""
    seal_with(stage, OLD)
    caller = stage.caller()
    stage.order(caller, "ord_old", created_at=1.0)
    seal_with(stage, NEW, OLD)
    for number in range(25):
        stage.order(caller, f"ord_{number}", created_at=1000.0 + number)
    stage.store._vault = Vault([NEW])
    finding = next(iter(doctor.check_records(stage.store)))
    assert finding.level is Level.FAIL
    assert "ord_old" in finding.meaning
    stage.store._vault = Vault([NEW, OLD])
    assert [one.level for one in doctor.check_records(stage.store)] == [Level.OK]
