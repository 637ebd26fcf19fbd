"""`ringback journal` and `ringback reconcile`."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli_stage import Stage

SPENT = [
    {"kind": "balance", "balance": "500.00"},
    {"kind": "intent", "order": "ord_1", "caller": "cal_1", "status": "buying"},
    {"kind": "bought", "order": "ord_1", "caller": "cal_1", "status": "waiting", "activation": "a1"},
    {"kind": "balance", "balance": "490.00"},
    {"kind": "received", "order": "ord_1", "caller": "cal_1", "status": "received"},
    {"kind": "finished", "order": "ord_1", "caller": "cal_1", "status": "received"},
]


@pytest.fixture
def stage(monkeypatch):
    return Stage(monkeypatch)


def test_journal_prints_one_object_a_line(stage):
    """With --json every line of the journal is one JSON object with its time."""
    stage.write_journal(*SPENT)
    lines = [json.loads(line) for line in stage.run("journal", "--json").stdout.splitlines()]
    assert [line["kind"] for line in lines] == [line["kind"] for line in SPENT]
    assert all(line["at"].endswith("Z") for line in lines)
    assert "activation=a1" in stage.run("journal").stdout


def test_journal_begins_where_it_is_told_to(stage):
    """--since takes a span back from now or a date."""
    stage.write_journal(*SPENT)
    assert stage.run("journal", "--since", "2s", "--json").stdout.count("\n") <= 2
    assert stage.run("journal", "--since", "2000-01-01", "--json").stdout.count("\n") == len(SPENT)
    assert "no lines" in stage.run("journal", "--since", "2999-01-01T00:00:00Z").stdout
    assert stage.run("journal", "--since", "yesterday").exit_code == 2


def test_reconcile_is_content_when_all_is_accounted_for(stage):
    """A purchase that the balance shows and that was finished leaves nothing open: exit code 0."""
    stage.write_journal(*SPENT)
    told = stage.json("reconcile")
    assert told["accounted_for"] is True
    assert (told["price"], told["spent"], told["orders"]["finished"]) == ("10.00", "10.00", 1)
    assert "Everything is accounted for." in stage.run("reconcile").stdout


def test_reconcile_leaves_with_1_when_something_is_open(stage):
    """A purchase of unknown outcome is listed, and the exit code says so."""
    stage.write_journal(*SPENT, {"kind": "purchase_unknown", "order": "ord_2", "caller": "cal_1", "status": "failed"})
    result = stage.run("reconcile")
    assert result.exit_code == 1
    assert "ord_2" in result.stdout
    assert "may have been charged" in result.stdout


def test_a_price_once_learnt_is_remembered(stage):
    """What a quiet hour showed explains a busy one."""
    stage.write_journal(*SPENT)
    assert stage.json("reconcile")["price"] == "10.00"
    stage.redis.delete("rb:journal")
    busy = [{"kind": "balance", "balance": "500.00"}]
    for order in ("ord_8", "ord_9"):
        busy += [
            {"kind": kind, "order": order, "caller": "cal_1"} for kind in ("intent", "bought", "received", "finished")
        ]
    stage.write_journal(*busy, {"kind": "balance", "balance": "480.00"})
    told = stage.json("reconcile")
    assert (told["accounted_for"], told["price"], told["spent"]) == (True, "10.00", "20.00")


def test_a_price_can_be_given(stage):
    """And is checked to be one."""
    stage.write_journal(*SPENT)
    assert stage.json("reconcile", "--price", "10")["accounted_for"] is True
    assert stage.run("reconcile", "--price", "11").exit_code == 1
    for odd in ("-1", "0", "ten", "NaN", "Infinity"):
        assert stage.run("reconcile", "--price", odd).exit_code == 2
