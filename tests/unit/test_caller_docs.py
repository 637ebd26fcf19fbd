"""docs/outcomes.md and docs/versioning.md, held to the words of the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.unit.test_signing import SECRET
from web.api.problems import CODES
from web.api.words import FLAGS
from worker import announce
from worker.order import TERMINAL, TRANSITIONS, ErrorCode, Settlement, Status
from worker.webhooks.challenge import is_answered
from worker.webhooks.message import headers
from worker.webhooks.signing import sign

DOCS = Path(__file__).parents[2] / "docs"
OUTCOMES = (DOCS / "outcomes.md").read_text()


def rows(title: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = OUTCOMES.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_status_is_at_a_glance_with_its_end_and_its_webhook():
    """Final or not, and the webhook that entering it causes, are the code's."""
    events = {one.target: one.event for one in TRANSITIONS.values() if one.event}
    table = {status.strip("`"): (final, event) for status, final, event, *_ in rows("At a glance")}
    assert list(table) == list(Status)
    for status in Status:
        final, event = table[status]
        assert final == ("yes" if status in TERMINAL else "no")
        assert words(event) == ({events[status].value} if status in events else set())


def test_every_settlement_is_possible_somewhere():
    """No word of the money is missing at a glance, and none is made up; `charged` is for rentals alone."""
    assert set().union(*(words(row[3]) for row in rows("At a glance"))) == set(Settlement) - {Settlement.CHARGED}


def test_every_reason_of_a_failure_says_what_to_do():
    """Was money spent, order again, what to say: for each code."""
    table = rows("Why an order failed")
    assert {row[0].strip("`") for row in table} == {code.value for code in ErrorCode}
    assert all(cell for row in table for cell in row)


def test_every_code_of_a_problem_says_what_to_do():
    """Each code has its row."""
    assert {row[1].strip("`") for row in rows("Errors of requests")} == set(CODES)


def test_every_flag_has_its_meaning():
    """The table is the code's."""
    assert {row[0].strip("`"): row[1] for row in rows("Flags")} == dict(FLAGS)


def test_code_for_verifying_by_hand_believes_the_right_signature_only():
    """The function on the page takes what is signed by us, with any of several signatures, and nothing else."""
    import time

    verify = function_on_the_page("verify")
    now, body, other = int(time.time()), b'{"type":"webhook.ping"}', "whsec_" + "A" * 40
    good = headers("evt_1", now, sign([other, SECRET], "evt_1", now, body))
    assert verify(body, good, SECRET)
    assert not verify(body + b" ", good, SECRET)
    assert not verify(body, good, "whsec_" + "B" * 40)
    old = headers("evt_1", now - 301, sign([SECRET], "evt_1", now - 301, body))
    assert not verify(body, old, SECRET)


def function_on_the_page(name: str) -> Callable[..., object]:
    """A function of docs/webhooks.md, by the file that it stands in."""
    found = re.search(rf"```python {name}.py\n(.*?)```", (DOCS / "webhooks.md").read_text(), re.DOTALL)
    assert found
    page: dict[str, object] = {}
    exec(found[1], page)  # noqa: S102 - our own page
    function = page[name]
    assert callable(function)
    return function


def test_answering_by_hand_proves_a_callback():
    """The function on the page answers a ping's challenge with the right secret, and with no other."""
    ping, at = announce.ping("cal_1", "https://shop.example/hook", 1_795_341_600.5), 1_795_341_601.9
    sent = headers(ping.id, int(at), sign([SECRET], ping.id, int(at), ping.body))
    challenge = json.loads(ping.body)["data"]["challenge"]
    for secret, proven in ((SECRET, True), ("whsec_" + "B" * 40, False)):
        said = function_on_the_page("answer")(challenge, sent, secret)
        assert is_answered(ping, str(said), [SECRET], at) is proven
