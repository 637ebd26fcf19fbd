"""What reaches a log line, and above all what does not."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from worker.logs import OncePerMinute, _masked, configure, get_logger, mask_number, redact, redact_text

TELLTALES = (
    "http://a HTTPS://a/ ?q=1 api_key APIKEY api\N{KELVIN SIGN}ey = : whsec_ rbk_ bearer BEARER Basic "
    "ba\N{LATIN SMALL LETTER LONG S}ic STATUS_OK: + 12345678 @ //"
).split(" ")
"""What masks look for, whole and in pieces."""


@pytest.fixture(autouse=True)
def logging_put_back() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+923001234567", "+92300*****67"),
        ("923001234567", "92300*****67"),
        ("12345", "*****"),
        ("", ""),
        (None, ""),
    ],
)
def test_numbers_are_masked(number, shown):
    """A number keeps its first digits and its last two, and a short one nothing."""
    assert mask_number(number) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "GET https://x.test/stubs/cheap_handler.php?api_key=K3Y&action=a",
            "GET https://x.test/stubs/cheap_handler.php?***",
        ),
        ("action=getStatus&api_key=K3Y&id=1", "action=getStatus&api_key=***&id=1"),
        ("{'api_key': 'K3Y'}", "{'api_key': '***'}"),
        ("signed with whsec_QUJD+/=", "signed with whsec_***"),
        ("caller rbk_live_1234", "caller rbk_***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("redis://:pa55@127.0.0.1:6379/0 is gone", "redis://***@127.0.0.1:6379/0 is gone"),
        ("rediss://user:p@ss@host/0", "rediss://***@host/0"),
        ("STATUS_OK:847293", "STATUS_OK:***"),
        ("bought +923001234567 today", "bought +92300*****67 today"),
        ("nothing to hide: ord_12345 took 3 ms", "nothing to hide: ord_12345 took 3 ms"),
    ],
)
def test_text_is_redacted(text, shown):
    """Keys, secrets, passwords, queries, codes and numbers leave a text; the rest stays."""
    assert redact_text(text) == shown


def test_secret_fields_are_hidden_at_any_depth():
    """A field named like a secret is hidden wherever it lies, and one without a value says so."""
    line = {"order": {"otp": "847293", "headers": [{"Authorization": "x"}]}, "code": None, "status_code": 200}
    assert redact(line) == {
        "order": {"otp": "***", "headers": [{"Authorization": "***"}]},
        "code": None,
        "status_code": 200,
    }


def test_objects_are_shown_as_redacted_repr():
    """An exception handed in as a field cannot carry a URL past the redaction."""
    assert redact(ValueError("http://x.test/?api_key=K3Y")) == "ValueError('http://x.test/?***')"


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd"]), min_size=1))
def test_no_key_survives(key):
    """Whatever a key is made of, the part behind `api_key=` goes."""
    assert redact_text(f"a?api_key={key}&b=1") == "a?api_key=***&b=1"


@given(st.lists(st.sampled_from([" ", *TELLTALES]) | st.text(max_size=9)).map("".join))
def test_no_text_that_needs_it_goes_unmasked(text):
    """The quick look lets nothing pass that a mask would have changed."""
    assert redact_text(text) == _masked(text)


def test_a_line_is_json_with_its_context(capsys):
    """An event comes out as one JSON object with level, logger, role, time and what was bound."""
    configure("worker", json=True)
    structlog.contextvars.bind_contextvars(order="ord_1")
    get_logger("worker.lifecycle").info("order_bought", number="+923001234567")
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order_bought",
        "level": "info",
        "logger": "worker.lifecycle",
        "role": "worker",
        "order": "ord_1",
        "number": "+92300*****67",
    }


def test_foreign_lines_take_the_same_way(capsys):
    """A line from a library that knows nothing of structlog is JSON and redacted too."""
    configure("worker", json=True)
    logging.getLogger("kombu.connection").warning("lost %s", "redis://:pa55@127.0.0.1:1/0")
    [line] = lines(capsys)
    assert (line["event"], line["logger"]) == ("lost redis://***@127.0.0.1:1/0", "kombu.connection")


@pytest.mark.parametrize("as_json", [True, False])
def test_tracebacks_carry_neither_locals_nor_secrets(capsys, as_json):
    """An exception and its cause are shown without local variables and without the key in their texts."""
    configure("worker", json=as_json)
    hidden_local = "l0cal-value"
    try:
        try:
            raise OSError("GET http://x.test/a?api_key=K3Y failed")
        except OSError as cause:
            raise RuntimeError(f"whsec_S3CRET {len(hidden_local)}") from cause
    except RuntimeError:
        get_logger("a").exception("broken")
        logging.getLogger("b").exception("broken too")
    text = capsys.readouterr().err
    assert text.count("OSError") >= 2
    assert not [secret for secret in ("K3Y", "S3CRET", "l0cal-value") if secret in text]


def test_http_libraries_cannot_print_urls(capsys):
    """At DEBUG the HTTP libraries' own lines, which hold whole URLs, still stay out."""
    configure("worker", level="DEBUG", json=True)
    logging.getLogger("httpx").info("HTTP Request: GET http://x.test/?api_key=K3Y")
    logging.getLogger("httpcore.http11").debug("send_request_headers %s", b"api_key=K3Y")
    assert lines(capsys) == []


def test_levels_are_obeyed(capsys):
    """A line below the level is not written."""
    configure("web", level="warning", json=True)
    get_logger("a").info("unseen")
    get_logger("a").warning("seen")
    assert [line["event"] for line in lines(capsys)] == ["seen"]


def test_a_stream_that_is_gone_takes_nothing_with_it(monkeypatch):
    """When nobody reads stderr any more, work goes on without its lines."""

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    configure("web", json=True)
    get_logger("a").info("unheard")


def test_odd_values_cannot_break_a_line(capsys):
    """Text that is no Unicode, odd keys and objects: each line is one line of JSON."""
    configure("web", json=True)
    get_logger("a").info("odd", half="\ud800", pairs={1: {"b": {2, 3}}}, lines="x\ny", raw=b"\xff", inf=float("inf"))
    [line] = lines(capsys)
    assert (line["half"], line["lines"], line["raw"]) == ("\ud800", "x\ny", "b'\\xff'")


def test_what_is_away_is_said_once_a_minute():
    """And how often it would have been said in between; all other lines pass."""
    now = [100.0]
    thinned = OncePerMinute(lambda: now[0])
    passed = []
    for seconds in range(0, 122, 2):
        now[0] = 100.0 + seconds
        with contextlib.suppress(structlog.DropEvent):
            passed.append(thinned(None, "warning", {"event": "claim_failed"}))
    assert passed == [
        {"event": "claim_failed"},
        {"event": "claim_failed", "repeated": 29},
        {"event": "claim_failed", "repeated": 29},
    ]
    assert thinned(None, "info", {"event": "order"}) == thinned(None, "info", {"event": "order"})


def test_celery_says_once_a_minute_that_it_cannot_connect():
    """Its other lines pass, and so do those of everybody else."""
    now = [0.0]
    thinned = OncePerMinute(lambda: now[0])

    def line(name: str, level: int) -> logging.LogRecord:
        return logging.LogRecord(name, level, "", 0, "consumer: Cannot connect to %s", ("redis://",), None)

    consumer = "celery.worker.consumer.consumer"
    assert [thinned.lets_pass(line(consumer, logging.ERROR)) for _ in range(3)] == [True, False, False]
    assert thinned.lets_pass(line(consumer, logging.INFO))
    assert all(thinned.lets_pass(line("celery.worker", logging.ERROR)) for _ in range(2))
    now[0] = 60.0
    assert thinned.lets_pass(line(consumer, logging.ERROR))
