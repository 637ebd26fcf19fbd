"""How an attempt is judged, and what is kept of the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import retry_after
from worker.webhooks.outcome import Outcome, Verdict, excerpt, verdict

NOW = 1795341600.0  # Sun, 22 Nov 2026 10:00:00 GMT


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_acknowledges(status: int):
    """Receivers answer what their framework gives them."""
    assert verdict(status, None) is Verdict.DELIVERED


@pytest.mark.parametrize("status", [101, 300, 301, 302, 304, 307, 308, 400, 401, 404, 429, 500, 503, 599])
def test_any_other_answer_is_retried(status: int):
    """A redirect is a failure, and so is a client error: deploys get fixed."""
    assert verdict(status, None) is Verdict.RETRY


def test_410_ends_the_event():
    """Gone means gone."""
    assert verdict(410, None) is Verdict.GONE


@pytest.mark.parametrize("status", [None, 200, 410])
def test_answer_that_did_not_come_whole_is_retried(status: int | None):
    """A good status followed by a cut or dripping body is no acknowledgement."""
    assert verdict(status, "timeout") is Verdict.RETRY


@pytest.mark.parametrize("code", ["blocked_address", "port", "not_https", "bad_host", "credentials"])
def test_guards_refusal_is_told_apart(code: str):
    """What our side refused is not the receiver's failure."""
    assert verdict(None, code) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("3600", 3600),
        ("999999", 3600),
        ("9" * 400, 3600),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 15:00:30 +0500", 30),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 09:00:00 GMT", 3600),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 99 Nov 2026 10:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(value: str | None, seconds: float | None):
    """Both spellings of RFC 9110 are obeyed, at most an hour, and nonsense is ignored."""
    assert retry_after.read(value, NOW) == seconds


@given(st.text())
def test_retry_after_never_fails(value: str):
    """A receiver can put anything into a header."""
    seconds = retry_after.read(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


def test_excerpt_keeps_line_feeds_and_tabs_only():
    """Terminal escapes, NULs and the C1 controls do not reach whoever reads the log of attempts."""
    assert excerpt(b"a\r\n\tb\x00\x1b[31mc\x7f\xc2\x9bd") == "a\n\tb[31mcd"


def test_excerpt_is_one_kibibyte_of_possibly_broken_utf_8():
    """A cut in the middle of a character is marked, not an error."""
    assert excerpt(b"x" * 1023 + "é".encode() + b"y") == "x" * 1023 + "\ufffd"


def test_excerpt_is_not_in_the_repr():
    """An answer may echo the code; a log line with an outcome in it must not."""
    assert "493221" not in repr(Outcome(Verdict.RETRY, 500, None, 0.1, "code was 493221"))
