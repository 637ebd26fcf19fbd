"""The product table: what it says, what a file may put in its place, and who may not know any product by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.builders import PRODUCTS
from worker.errors import SettingsInvalid
from worker.provider.products import Meaning, load, warnings
from worker.provider.replies import Word

ROOT = Path(__file__).parents[2]
UNKNOWING = [
    "worker/lifecycle",
    "worker/engine",
    "worker/store",
    "worker/webhooks",
    "worker/outbox.py",
    "worker/tasks.py",
]
"""Where an order of any product is the same."""


def written(tmp_path: Path, text: str) -> Path:
    """A file that replaces entries."""
    file = tmp_path / "products.toml"
    file.write_text(text)
    return file


def test_the_built_in_table_is_the_contract_s():
    """Handlers, fields and lives as contract.md has them; only the documented ones are called verified."""
    told = {name: (one.handler, one.life, one.verified) for name, one in PRODUCTS.items()}
    assert told == {
        "cheap": ("cheap_handler.php", 900, True),
        "sms": ("handler_api.php", 1200, True),
        "email": ("email_handler.php", 1200, False),
        "rental": ("rental-handler.php", 2_592_000, False),
    }
    assert PRODUCTS["sms"].fields == ("service", "country", "type")
    assert PRODUCTS["email"].fields == ("service", "domain")


def test_an_entry_is_replaced_alone(tmp_path: Path):
    """What the file does not name stays as it was; a call and a list are replaced as a whole."""
    table = load(written(tmp_path, """
        [email]
        handler = "mail.php"
        [email.actions]
        finish = { action = "finishEmail", email_id = "{id}" }
        status = { action = "getCode", id = "{id}" }
        [email.words]
        "No emails left" = "NO_NUMBERS"
        [email.status]
        rejected = ["999"]
    """))  # fmt: skip
    email = table["email"]
    assert email.handler == "mail.php"
    assert email.query("status", {"id": "7"}) == "action=getCode&id=7"
    assert email.query("buy", {"service": "tg", "domain": "x.y"}) == PRODUCTS["email"].query(
        "buy", {"service": "tg", "domain": "x.y"}
    )
    assert email.word("No emails left") is Word.NO_NUMBERS
    assert email.word("ERR_PRICE_CHANGED") is Word.PRICE_CHANGED
    assert (email.statuses.get("999"), email.statuses.get("400")) == (Meaning.REJECTED, None)
    assert table["sms"] == PRODUCTS["sms"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sms]\nlife = -1", "sms.life: "),
        ('[sms]\nhandler = "../../etc/passwd"', "sms.handler: "),
        ("[sms]\nhandel = 1", "sms.handel: "),
        ('[sms]\ntime_zone = "Asia/Karachi"', "sms.time_zone: "),
        ('[sms.words]\nFOO = "BAR"', "sms.words.FOO: "),
        ('[sms.actions]\nstatus = { action = "getStatus", id = "{number}" }', "which no order has"),
        ('[sms.actions]\nbuy = { service = "{service}" }', "buy names no action"),
        ('[sms.readings]\nservers = [{ type = "1" }]', "readings.servers has no call"),
        ("[fresh]\nverified = true", "fresh.handler: "),
    ],
)
def test_a_table_that_does_not_hold_together_says_where(tmp_path: Path, text: str, told: str):
    """Each problem by its entry, under the name of the setting."""
    with pytest.raises(SettingsInvalid, match="RINGBACK_PRODUCTS_FILE") as invalid:
        load(written(tmp_path, text))
    assert told in str(invalid.value)


def test_all_problems_come_at_once(tmp_path: Path):
    """One message for all of them."""
    with pytest.raises(SettingsInvalid) as invalid:
        load(written(tmp_path, "[sms]\nlife = -1\n[email]\nlife = 0"))
    assert "sms.life" in str(invalid.value)
    assert "email.life" in str(invalid.value)


@pytest.mark.parametrize("text", ["[sms", "\x00"])
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, text: str):
    """With its name."""
    with pytest.raises(SettingsInvalid, match="not valid TOML"):
        load(written(tmp_path, text))


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    """With what the system says."""
    with pytest.raises(SettingsInvalid, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.toml")


def test_only_what_the_vendor_does_not_document_is_warned_of():
    """With the advice to calibrate."""
    assert warnings(PRODUCTS, ["cheap", "sms"]) == []
    (warning,) = warnings(PRODUCTS, ["cheap", "email"])
    assert "ringback calibrate --product email" in warning


@pytest.mark.parametrize("place", UNKNOWING)
def test_whoever_moves_orders_knows_no_product_by_name(place: str):
    """No step, script or webhook asks which product it has."""
    path = ROOT / place
    for file in [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.lua")]:
        named = re.findall(rf"""["']({"|".join(PRODUCTS)})["']""", file.read_text())
        assert not named, f"{file} knows {named}"
