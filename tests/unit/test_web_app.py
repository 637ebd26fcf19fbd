"""What every request meets: keys, limits, problems, headers, log lines, health, figures, the description."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from structlog.testing import capture_logs

from tests.api_stage import Api, code
from web.api.problems import CODES
from web.api.rate_limits import RateLimits
from web.app import create_app
from worker.errors import StoreFull, StoreUnavailable
from worker.store.codec import FORMAT, ms

WRONG = "rbk_" + "x" * 43


@pytest.fixture
def api(clock):
    return Api(clock, console=True)


@pytest.fixture
def anyone(api):
    """Somebody without a key."""
    return api.app.test_client()


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/balance", "/v1/nothing", "/v1/orders/ord_1/cancel"])
def test_without_a_key_everything_is_closed(anyone, path):
    """Under /v1 even what does not exist asks for a key first."""
    answer = anyone.get(path)
    assert code(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "header", [f"Bearer {WRONG}", "Bearer", "Basic eDp5", "Bearer é", "rbk_", "Bearer " + "x" * 999]
)
def test_wrong_key_is_refused(anyone, header):
    """Wrong, empty or oddly shaped keys get the same answer."""
    assert code(anyone.get("/v1/orders", headers={"Authorization": header})) == (401, "unauthorized")


def test_revoked_key_stops_working_within_two_seconds(api):
    """A key that was remembered is forgotten in time."""
    assert api.shop.get("/v1/orders").status_code == 200
    api.callers.revoke(api.shop.id, api.clock())
    api.clock.advance(2.01)
    assert code(api.shop.get("/v1/orders")) == (401, "unauthorized")


def test_rotated_key_replaces_the_old_one(api):
    """The new key is good, the old one is not."""
    old, api.shop.api_key = api.shop.api_key, api.callers.rotate_key(api.shop.id)
    assert api.shop.get("/v1/orders").status_code == 200
    api.shop.api_key = old
    assert api.shop.get("/v1/orders").status_code == 401


def test_many_wrong_keys_are_told_to_wait(api, anyone):
    """The 21st wrong key of a minute gets 429, and a good one from the same address still passes."""
    answers = [anyone.get("/v1/orders", headers={"Authorization": f"Bearer {WRONG}"}) for _ in range(21)]
    assert {one.status_code for one in answers[:20]} == {401}
    assert code(answers[20]) == (429, "too_many_failed_logins")
    assert 0 < int(answers[20].headers["Retry-After"]) <= 60
    assert api.shop.get("/v1/orders").status_code == 200


def test_caller_past_its_limit_is_told_to_wait(clock):
    """Each answer shows what is left; past it comes 429, for this caller alone."""
    api = Api(clock, limits=RateLimits(requests=2, clock=clock))
    other = api.new_caller("Other")
    answers = [api.shop.get("/v1/orders") for _ in range(3)]
    assert [re.findall(r"r=(\d+)", one.headers["RateLimit"]) for one in answers] == [["1"], ["0"], ["0"]]
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert code(answers[2]) == (429, "rate_limited")
    assert other.get("/v1/orders").status_code == 200
    api.clock.advance(int(answers[2].headers["Retry-After"]))
    assert api.shop.get("/v1/orders").status_code == 200


def test_unknown_paths_and_methods_are_problems(api, anyone):
    """404 and 405 look like every other error; 405 says what there is."""
    assert code(anyone.get("/nothing")) == (404, "not_found")
    answer = api.shop.ask("DELETE", "/v1/orders")
    assert code(answer) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_trailing_slash_changes_nothing(api):
    """The path with a slash behind it is the same, without a redirect."""
    assert api.shop.get("/v1/orders/").status_code == 200
    assert api.shop.ask("HEAD", "/v1/orders").status_code == 200


def test_unexpected_error_tells_nothing_but_its_id(api, monkeypatch):
    """What fails inside is in the log under the request's id, and not in the answer."""

    def broken(*_args, **_more):
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(api.store, "orders", broken)
    with capture_logs() as lines:
        answer = api.shop.get("/v1/orders", headers={"X-Request-Id": "abc-1"})
    assert code(answer) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert [line["event"] for line in lines if line.get("request_id") == "abc-1"] == ["request_failed", "request"]


def test_every_request_has_one_line_without_its_body(api):
    """The line names method, route, status, duration, caller and order, and neither query, body nor key."""
    with capture_logs() as lines:
        order_id = api.shop.order(metadata={"x": "private"}).json["id"]
        api.shop.get(f"/v1/orders/{order_id}?wait=0")
    posted, read = [line for line in lines if line["event"] == "request"]
    assert (posted["method"], posted["route"], posted["status"]) == ("POST", "/v1/orders", 202)
    assert (posted["caller"], posted["order"], read["order"]) == (api.shop.id, order_id, order_id)
    assert read["route"] == "/v1/orders/<order:order_id>"
    assert not re.search(r"private|wait|rbk_|caller\.example", repr(lines))


@pytest.mark.parametrize(("given", "echoed"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("<b>", False)])
def test_sane_request_id_is_echoed(anyone, given, echoed):
    """A caller's own id comes back; an odd one is replaced."""
    answered = anyone.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is echoed
    assert answered


@pytest.mark.parametrize("path", ["/v1/orders", "/healthz", "/docs", "/openapi.json", "/nothing", "/static/docs.css"])
def test_security_headers_are_on_every_answer(api, path):
    """No sniffing, no framing, no referrer, nothing loaded from elsewhere."""
    headers = api.shop.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/healthz"), ("HEAD", "/healthz")])
def test_every_kind_of_answer_has_its_headers(anyone, method, path):
    """Refusals and answers without a body have an id, a length and the security headers too, each once."""
    names = [name for name, _ in anyone.open(path, method=method).headers]
    assert {"X-Request-Id", "Content-Length", "Content-Security-Policy", "Cache-Control"} <= set(names)
    assert len(names) == len(set(names))


def test_made_up_methods_share_one_figure(anyone):
    """Whoever invents methods makes no new figures."""
    for method in ("BREW", "WHEN"):
        anyone.open("/healthz", method=method)
    told = re.findall(r'http_requests_total\{method="(\w+)".* (\S+)', anyone.get("/metrics").text)
    assert told == [("other", "2.0")]


def test_sandbox_needs_no_flask():
    """Whoever imports the sandbox out of this package does not build the web with it."""
    look = "import web.sandbox, sys; sys.exit(bool({'flask', 'pydantic', 'web.app'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


def test_answers_are_not_kept_by_anyone(api):
    """Codes and numbers stay out of caches."""
    assert api.shop.get("/v1/orders").headers["Cache-Control"] == "no-store"


def test_alive_needs_no_store(api, anyone, monkeypatch):
    """The process is alive whatever the store does."""
    monkeypatch.setattr(api.store, "now", _gone)
    assert anyone.get("/healthz").json == {"status": "ok"}


def test_ready_while_the_store_answers(anyone):
    """Without workers the web still takes and shows orders: it is not taken away for their sake."""
    assert anyone.get("/readyz").json == {"status": "ready"}


def test_ready_with_workers_while_a_clock_ticks(api, anyone):
    """Asked for workers, a worker's clock must have ticked within ten seconds."""
    api.raw.set("rb:clock:tick", ms(api.clock() - 9))
    assert anyone.get("/readyz?workers=true").json == {"status": "ready"}


@pytest.mark.parametrize(("ago", "said"), [(None, "ever ticked"), (11, "11 seconds")])
def test_unready_says_why(api, anyone, ago, said):
    """Without a worker the answer says so."""
    if ago is not None:
        api.raw.set("rb:clock:tick", ms(api.clock() - ago))
    answer = anyone.get("/readyz?workers=true")
    assert code(answer) == (503, "not_ready")
    assert said in answer.json["detail"]


def test_unready_where_a_newer_version_has_worked(api, anyone):
    """A web that runs meanwhile takes itself out of the balancer."""
    api.raw.set("rb:format", FORMAT + 1)
    answer = anyone.get("/readyz")
    assert (answer.status_code, "newer version" in answer.json["detail"]) == (503, True)


def test_figures_and_reasons_can_be_kept_from_strangers(clock):
    """With a token set, `/metrics` answers to it alone, and `/readyz` says why to it alone."""
    api = Api(clock, RINGBACK_METRICS_TOKEN="hush")
    anyone = api.app.test_client()
    inside = {"Authorization": "Bearer hush"}
    for headers in ({}, {"Authorization": "Bearer hus"}, {"Authorization": "Basic hush"}):
        assert code(anyone.get("/metrics", headers=headers)) == (401, "unauthorized")
    assert "ringback_store_up 1.0" in anyone.get("/metrics", headers=inside).text
    assert anyone.get("/readyz").status_code == 200
    assert "clock" not in anyone.get("/readyz?workers=true").text
    assert "clock" in anyone.get("/readyz?workers=true", headers=inside).text


def test_full_store_refuses_what_is_new_with_a_code_of_its_own(api, monkeypatch):
    """Neither an outage nor an error of ours: the caller sends it again later."""
    monkeypatch.setattr(api.store, "create", _full)
    answer = api.shop.order()
    assert code(answer) == (503, "store_full")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_record_that_cannot_be_opened_is_named_and_hides_no_other(api):
    """Lists leave it out; asked for by its id, it is 503 and no 500."""
    good, bad = api.shop.order_id(), api.shop.order_id()
    api.raw.set(f"rb:order:{bad}:record", b"\x02garbage")
    listed = api.shop.get("/v1/orders").json
    assert ([one["id"] for one in listed["data"]], listed["unreadable"]) == ([good], [bad])
    assert code(api.shop.get(f"/v1/orders/{bad}")) == (503, "record_unreadable")


def test_an_order_in_a_state_of_tomorrow_is_shown_and_not_cancelled(api):
    """This version does not know what a cancel would mean to it."""
    made = api.shop.order_id()
    api.raw.hset(f"rb:order:{made}", "s", "reserved")
    assert api.shop.get(f"/v1/orders/{made}").json["status"] == "reserved"
    assert code(api.shop.post(f"/v1/orders/{made}/cancel")) == (503, "busy")


def test_unready_without_the_store(api, anyone, monkeypatch):
    """A store that does not answer is named as the reason."""
    monkeypatch.setattr(api.store, "now", _gone)
    assert "the store" in anyone.get("/readyz").json["detail"]


def test_metrics_show_what_the_workers_counted(api, anyone):
    """Counters with their labels, lanes, pauses, balance and this process' requests."""
    api.raw.hset("rb:counters", mapping={'polls{reply="Waiting"}': 5, "mended": 0})
    api.raw.hset("rb:account", "balance", "500.50")
    api.shop.order_id()
    api.store.pause("switched_off", {})
    now = int(api.store.now() * 1000)
    api.raw.zadd("rb:workers", {"w1": now, "w2": now - 1000, "died": now - 5000})
    text = anyone.get("/metrics").text
    for line in (
        'ringback_polls_total{reply="Waiting"} 5.0', "ringback_mended_total 0.0", "ringback_balance_pkr 500.5",
        'ringback_buying_paused{reason="switched_off"} 1.0', 'ringback_lane_held{lane="buy"} 1.0',
        "ringback_store_up 1.0", "ringback_workers 2.0",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert re.search(r'ringback_http_requests_total\{.*route="/v1/orders",status="202"\} 1.0', text)


def test_metrics_stay_up_without_the_store(api, anyone, monkeypatch):
    """A dead store is a figure, not an error."""
    monkeypatch.setattr(api.store, "counters", _gone)
    answer = anyone.get("/metrics")
    assert answer.status_code == 200
    assert "ringback_store_up 0.0" in answer.text


def _full(*_: object, **__: object) -> None:
    raise StoreFull("the store is full")


def _gone(*_args):
    raise StoreUnavailable("the store does not answer")


def test_page_needs_nothing_from_elsewhere(anyone):
    """The page for people loads nothing from another host, and no script but its own file."""
    found: list[tuple[str, str | None]] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend((tag, value) for name, value in attrs if name in ("src", "href"))

    page = anyone.get("/docs").text
    Links().feed(page)
    assert re.findall(r"<script[^>]*>[^<]*", page) == ['<script src="/static/docs.js" defer>']
    assert not re.search(r"<[^>]+ (on\w+|style)=", page)
    assert all(value and value.startswith(("/", "#")) for _, value in found)
    assert "/v1/orders/{order_id}/cancel" in page


def test_front_door_leads_to_the_page(anyone):
    """Whoever opens the address in a browser is not met by an error."""
    answer = anyone.get("/")
    assert (answer.status_code, answer.location) == (302, "/docs")


def test_page_begins_with_placing_an_order(anyone):
    """What a reader wants first comes first, with a request to copy in each language."""
    page = anyone.get("/docs").text
    assert re.findall(r'<section id="(\w+)"', page)[0] == "createOrder"
    first = page.partition('id="createOrder"')[2].partition("</section>")[0]
    assert re.findall(r"<summary>(\w+)</summary>", first)[:3] == ["curl", "Python", "JavaScript"]
    assert "client.orders.create(" in first


def test_every_place_that_the_page_refers_to_is_on_it(anyone):
    """No link of the contents or of a type leads nowhere."""
    page = anyone.get("/docs").text
    assert set(re.findall(r'href="#([^"]+)"', page)) - set(re.findall(r'id="([^"]+)"', page)) == set()


def test_page_shows_limits_and_no_raw_markdown(anyone):
    """Limits and defaults of fields are there; backticks have become code."""
    page = anyone.get("/docs").text
    assert "1 to 64 characters" in page
    assert "default <code>20</code>" in page
    outside = re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert "`" not in outside
    assert "&lt;br" not in outside
    assert "<code>Idempotency-Key</code>" in outside


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_the_page_stands_out(anyone, scheme):
    """Text, small text and links have a contrast of 4.5 to 1 at least on both grounds (WCAG 2.2, AA)."""
    sheets = re.findall(r":root {([^}]*)}", anyone.get("/static/docs.css").text)
    colours = dict(re.findall(r"--(\w+): (#\w+);", sheets[0 if scheme == "light" else 1]))
    for ground in ("back", "soft"):
        for text in ("text", "faint", "accent"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_every_code_raised_is_documented(anyone):
    """The page lists every error code."""
    page = anyone.get("/docs").text
    assert all(f"<code>{one}</code>" in page for one in CODES)


def test_bad_settings_end_the_process_with_one_message(monkeypatch, capsys):
    """All problems at once, no traceback, and a status at which gunicorn stops for good."""
    monkeypatch.setattr("web.app.load", _unset)
    with pytest.raises(SystemExit) as left:
        create_app()
    assert left.value.code == 4
    said = capsys.readouterr().err
    assert "RINGBACK_REDIS_URL" in said
    assert "Traceback" not in said


def _unset(role):
    from worker.settings import load

    return load(role, {})


def test_web_never_loads_what_talks_to_the_provider(api):
    """The web process neither holds the provider's key nor the code that would send it."""
    import subprocess

    told = subprocess.run(
        [sys.executable, "-c", "import sys, web; print([n for n in sys.modules if n.startswith('worker.')])"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for forbidden in ("worker.provider", "worker.lifecycle", "worker.tasks", "worker.services", "worker.queue"):
        assert f"'{forbidden}" not in told
