"""`ringback calibrate` against the sandbox: what it asks, what it says, and what it never does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.builders import NOW, PRODUCTS
from web.sandbox import Sandbox
from web.sandbox.handlers import PURCHASES
from worker.cli import app
from worker.provider.calibration import FREE, Question, _listing, _questions
from worker.provider.transport import Answer

pytestmark = pytest.mark.integration

KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as provider:
        yield provider


def calibrate(sandbox: Sandbox, *arguments: str, **environ: str):
    told = {
        "RINGBACK_OTPGET_BASE_URL": sandbox.base_url,
        "RINGBACK_OTPGET_API_KEY": KEY,
        "RINGBACK_REDIS_URL": "redis://nowhere",
        **environ,
    }
    return CliRunner().invoke(app, ["calibrate", *arguments], env=told)


def test_every_answer_of_the_sandbox_is_read_as_expected(sandbox: Sandbox):
    """The tables and a second reading of the vendor's page agree: nothing is unknown, nothing unexpected."""
    result = calibrate(sandbox, "--json")
    assert result.exit_code == 0, result.output
    findings = json.loads(result.stdout)
    assert {one["product"] for one in findings} == set(PRODUCTS)
    assert [one for one in findings if not (one["known"] and one["as_expected"])] == []
    assert {one["call"] for one in findings} == FREE


def test_nothing_is_bought_cancelled_or_finished(sandbox: Sandbox):
    """The ledger is as it was, and the log knows only questions."""
    calibrate(sandbox)
    assert sandbox.ledger.orders() == ()
    assert sandbox.ledger.balance == Decimal(500)
    asked = {seen.query["action"] for seen in sandbox.requests()}
    assert asked
    assert not asked & {*PURCHASES, "setStatus", "cancelEmail", "renewRental"}


def test_what_is_read_as_unknown_names_the_line_to_change(sandbox: Sandbox):
    """Exit 1, the product's table, and the text that it does not know."""
    sandbox.script({"action": "getEmailCode", "kind": "text", "body": '{"status":"400","message":"Gone fishing"}'})
    result = calibrate(sandbox, "--product", "email")
    assert result.exit_code == 1
    assert '[email.words] "Gone fishing" = "NO_ACTIVATION"' in result.stderr


def test_a_file_in_place_of_the_table_s_line_mends_it(sandbox: Sandbox, tmp_path: Path):
    """What calibrate says to change is what has to be changed."""
    sandbox.script({"action": "getEmailCode", "kind": "text", "body": '{"status":"400","message":"Gone fishing"}'})
    table = tmp_path / "products.toml"
    table.write_text('[email.words]\n"Gone fishing" = "NO_ACTIVATION"\n')
    result = calibrate(sandbox, "--product", "email", RINGBACK_PRODUCTS_FILE=str(table))
    assert result.exit_code == 0, result.output


def test_a_handler_that_answers_with_a_page_is_unknown(sandbox: Sandbox):
    """Whatever the page says."""
    sandbox.script({"action": "*", "kind": "html", "times": -1})
    result = calibrate(sandbox, "--product", "sms", "--json")
    assert result.exit_code == 1
    assert not any(one["known"] for one in json.loads(result.stdout))


def test_recorded_answers_are_masked_and_can_be_read_again(sandbox: Sandbox, tmp_path: Path):
    """A fixture holds no key and no number, and means to the readers what it meant when it was recorded."""
    echo = f'{{"status":"400","message":"NO_ACTIVATION","key":"{KEY}","phone":"+923001234567","mail":"a.b@gmail.com"}}'
    sandbox.script({"action": "getEmailCode", "kind": "text", "body": echo})
    assert calibrate(sandbox, "--record", str(tmp_path)).exit_code == 0
    recorded = [json.loads(file.read_text()) for file in sorted(tmp_path.iterdir())]
    assert len(recorded) > 20
    text = json.dumps(recorded)
    assert not [secret for secret in (KEY, "923001234567", "a.b@gmail") if secret in text]
    for one in recorded:
        reply = question_of(one).read(Answer(one["status"], {}, one["body"].encode()), NOW)
        assert question_of(one).fits(reply) is one["as_expected"], one


def question_of(recorded: dict) -> Question:
    """The question that a recorded answer belongs to."""
    product = PRODUCTS[recorded["product"]]
    if recorded["call"] in ("balance", "status", "messages"):
        return next(one for one in _questions(product) if one.about == recorded["about"])
    return _listing(product, recorded["call"], recorded["values"])


def test_without_a_key_nobody_is_asked(sandbox: Sandbox):
    """It says where to run it."""
    result = calibrate(sandbox, RINGBACK_OTPGET_API_KEY="")
    assert result.exit_code == 1
    assert not sandbox.requests()
