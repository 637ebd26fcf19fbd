"""The sandbox provider on a port, seen through raw clients."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from web.sandbox import Sandbox, State

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ASK = {"action": "getBalance"}
BUY = {"action": "buyNumber", "server": "1", "type": "1"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, api_key="sesame", seed=1, code_after=None) as running:
        yield running


class Raw(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def wire(sandbox: Sandbox, query: Mapping[str, str], timeout: float = 5) -> bytes:
    """Every byte that one request on a connection of its own brings, until the connection ends."""
    target = "/stubs/cheap_handler.php?" + urlencode({"api_key": "sesame", **query})
    with socket.create_connection((sandbox.host, sandbox.port), timeout) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def raw(sandbox: Sandbox, **query: str) -> Raw:
    head, _, body = wire(sandbox, query).partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(header.split(": ", 1) for header in lines)
    return Raw(int(line.split(" ")[1]), headers, body)


def text(sandbox: Sandbox, **query: str) -> str:
    return raw(sandbox, **query).body.decode()


def control(sandbox: Sandbox, method: str, path: str, body: object = None) -> httpx.Response:
    return httpx.request(method, f"{sandbox.url}/sandbox/{path}", json=body)


def spoil(sandbox: Sandbox, kind: str, **entry: Any) -> None:
    sandbox.script({"action": "getBalance", "kind": kind, **entry})


# The vendor's face

SAMPLE_SERVERS = """
url = "https://www.otpget.com/stubs/cheap_handler.php"
params = {"api_key": "YOUR_API_KEY", "action": "getServers", "type": "1"}
servers = requests.get(url, params=params).json()
for server in servers['1']:
    print(server['name'])
"""

SAMPLE_BUY = """
url = "https://www.otpget.com/stubs/cheap_handler.php"
params = {"api_key": "YOUR_API_KEY", "action": "buyNumber", "server": "1", "type": "1"}
response = requests.get(url, params=params).text
order_id, number, expires = response.split(',')
print(f"Number: {number}, Expires: {expires}s")
"""

SAMPLE_POLL = """
url = "https://www.otpget.com/stubs/cheap_handler.php"
for _ in range(30): # poll for 2.5 minutes
    response = requests.get(url, params={"api_key": "YOUR_API_KEY", "action": "getStatus", "id": "ORDER_ID"}).text
    if 'STATUS_OK:' in response:
        otp = response.split(':')[1]
        print(f'OTP: {otp}')
        break
    time.sleep(5)
"""

SAMPLE_FINISH = """
url = "https://www.otpget.com/stubs/cheap_handler.php"
params = {"api_key": "YOUR_API_KEY", "action": "setStatus", "id": "ORDER_ID", "status": "3"}
print(requests.get(url, params=params).text) # ACCESS_FINISH
"""


def run_sample(sample: str, sandbox: Sandbox, clock: Clock, order_id: str = "") -> dict[str, Any]:
    """The vendor's Python with another host and the placeholder filled in; its sleep moves the clock.

    httpx answers to the two names that the sample uses of `requests`.
    """

    def sleep(seconds: float) -> None:
        clock.now += seconds

    names: dict[str, Any] = {"time": types.SimpleNamespace(sleep=sleep), "requests": httpx}
    source = sample.replace("https://www.otpget.com", sandbox.url).replace('"ORDER_ID"', repr(order_id))
    exec(source, names)  # noqa: S102 - the vendor's own text is what is tested
    return names


def test_vendor_sample_runs(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python of the vendor's page runs from the list of servers to the finish."""
    with Sandbox(clock=clock, api_key="YOUR_API_KEY", code_after=8) as sandbox:
        run_sample(SAMPLE_SERVERS, sandbox, clock)
        order_id = run_sample(SAMPLE_BUY, sandbox, clock)["order_id"]
        otp = run_sample(SAMPLE_POLL, sandbox, clock, order_id)["otp"]
        run_sample(SAMPLE_FINISH, sandbox, clock, order_id)
        assert sandbox.ledger.order(order_id).state is State.FINISHED
        assert sandbox.ledger.order(order_id).code == otp
    printed = capsys.readouterr().out
    assert printed.startswith("Pakistan Server 1\nPakistan Server 2\nNumber: +92300")
    assert printed.endswith(f"Expires: 900s\nOTP: {otp}\nACCESS_FINISH\n")


def test_order_is_refunded_by_cancel(sandbox: Sandbox, clock: Clock) -> None:
    """Buy, wait, cancel too early, cancel in time: the balance is whole again."""
    order_id = text(sandbox, **BUY).split(",")[0]
    assert text(sandbox, action="getStatus", id=order_id) == "STATUS_WAIT_CODE"
    assert text(sandbox, action="setStatus", id=order_id, status="8") == "EARLY_CANCEL_DENIED"
    clock.now += 120
    assert text(sandbox, action="setStatus", id=order_id, status="8") == "ACCESS_CANCEL"
    assert text(sandbox, action="getBalance") == "ACCESS_BALANCE:500.00"


def test_wrong_key_on_the_wire(sandbox: Sandbox) -> None:
    """The key is looked at first."""
    assert text(sandbox, api_key="wrong", action="getBalance") == "BAD_KEY"


def test_handler_lies_anywhere(sandbox: Sandbox) -> None:
    """Any path that ends in the handler's name is the provider; other paths are nothing."""
    query = "?api_key=sesame&action=getBalance"
    assert httpx.get(f"{sandbox.url}/v2/cheap_handler.php{query}").text == "ACCESS_BALANCE:500.00"
    assert httpx.get(f"{sandbox.url}/elsewhere{query}").status_code == 404


def test_connection_is_kept_alive(sandbox: Sandbox) -> None:
    """One connection carries many requests."""
    connection = http.client.HTTPConnection(sandbox.host, sandbox.port, timeout=60)
    for _ in range(3):
        connection.request("GET", "/stubs/cheap_handler.php?api_key=sesame&action=getBalance")
        first = connection.sock
        assert connection.getresponse().read() == b"ACCESS_BALANCE:500.00"
        assert connection.sock is first is not None
    connection.close()


# Faults whose answer is whole


@pytest.mark.parametrize(
    ("entry", "status", "body"),
    [
        ({"kind": "text", "body": "STATUS_OK:", "status": 500}, 500, b"STATUS_OK:"),
        ({"kind": "word", "body": "ERROR_SQL"}, 200, b"ERROR_SQL"),
        ({"kind": "empty"}, 200, b""),
        ({"kind": "as_is", "status": 500}, 500, b"ACCESS_BALANCE:500.00"),
        ({"kind": "bom_crlf"}, 200, b"\xef\xbb\xbfACCESS_BALANCE:500.00\r\n"),
        ({"kind": "quoted"}, 200, b'"ACCESS_BALANCE:500.00"'),
        ({"kind": "garbage"}, 200, bytes(range(256))),
        ({"kind": "json_error"}, 200, b'{"status":"error","message":"Internal error"}'),
        ({"kind": "huge", "size": 70_000}, 200, b"7" * 70_000),
    ],
)
def test_fault_with_a_whole_answer(sandbox: Sandbox, entry: Any, status: int, body: bytes) -> None:
    """The answer arrives as scripted, and the next one is the true one again."""
    spoil(sandbox, **entry)
    answer = raw(sandbox, action="getBalance")
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Content-Length"] == str(len(body))
    assert text(sandbox, action="getBalance") == "ACCESS_BALANCE:500.00"


@pytest.mark.parametrize(
    ("kind", "status", "header", "value"),
    [
        ("html", 200, "Content-Type", "text/html; charset=UTF-8"),
        ("http_error", 502, "Content-Type", "text/html; charset=UTF-8"),
        ("rate_limited", 429, "Retry-After", "30"),
        ("edge", 403, "cf-mitigated", "challenge"),
        ("redirect", 302, "Location", "https://elsewhere.invalid/stubs/cheap_handler.php"),
    ],
)
def test_fault_with_headers(sandbox: Sandbox, kind: str, status: int, header: str, value: str) -> None:
    """Pages of proxies and edges come with their status and headers."""
    spoil(sandbox, kind)
    answer = raw(sandbox, action="getBalance")
    assert (answer.status, answer.headers[header]) == (status, value)


def test_script_sets_headers(sandbox: Sandbox) -> None:
    """An entry's headers win over the kind's own."""
    spoil(sandbox, "rate_limited", headers={"Retry-After": "2"})
    assert raw(sandbox, action="getBalance").headers["Retry-After"] == "2"


def test_huge_code(sandbox: Sandbox) -> None:
    """A status can carry a code of 20 KB."""
    sandbox.script({"action": "getStatus", "kind": "huge"})
    assert text(sandbox, action="getStatus", id="1") == "STATUS_OK:" + "7" * 20480


@pytest.mark.parametrize(
    "kind", ["no_plus", "sibling_text", "sibling_json", "bad_seconds", "extra_fields", "missing_id"]
)
def test_odd_purchase_is_a_real_one(sandbox: Sandbox, kind: str) -> None:
    """A purchase in an odd format is charged and in the books under its number."""
    sandbox.script({"action": "buyNumber", "kind": kind})
    body = text(sandbox, **BUY)
    (order,) = sandbox.ledger.orders()
    assert order.number.removeprefix("+") in body
    assert (order.id in body) == (kind != "missing_id")


# Faults of the wire


def test_cut_body(sandbox: Sandbox) -> None:
    """Less comes than Content-Length promises; the number was bought."""
    sandbox.script({"action": "buyNumber", "kind": "cut"})
    answer = raw(sandbox, **BUY)
    assert 0 < len(answer.body) < int(answer.headers["Content-Length"])
    assert sandbox.ledger.charges() == 10


def test_cut_behind_the_last_byte(sandbox: Sandbox) -> None:
    """A cut can leave the text whole and break the promise all the same."""
    spoil(sandbox, "cut", size=1000)
    answer = raw(sandbox, action="getBalance")
    assert answer.body == b"ACCESS_BALANCE:500.00"
    assert int(answer.headers["Content-Length"]) > len(answer.body)


def test_chunked_cut(sandbox: Sandbox) -> None:
    """A chunked body ends without its last chunk, which a client must notice."""
    spoil(sandbox, "chunked_cut")
    spoil(sandbox, "chunked_cut")
    assert not wire(sandbox, ASK).endswith(b"0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{sandbox.base_url}/cheap_handler.php?api_key=sesame&action=getBalance")


def test_reset_after_reading(sandbox: Sandbox) -> None:
    """The request is read, then the connection is reset; charged, if so scripted."""
    sandbox.script({"action": "buyNumber", "kind": "reset", "charged": True})
    with pytest.raises(ConnectionResetError):
        wire(sandbox, BUY)
    assert len(sandbox.requests("buyNumber")) == len(sandbox.ledger.orders()) == 1


def test_silence(sandbox: Sandbox) -> None:
    """Not one byte, then the connection ends in order."""
    spoil(sandbox, "silent", delay=0.05)
    started = time.monotonic()
    assert wire(sandbox, ASK) == b""
    assert time.monotonic() - started >= 0.05


def test_hang_until_client_leaves(sandbox: Sandbox) -> None:
    """Not one byte for as long as the client waits; when it leaves, the request is over."""
    spoil(sandbox, "hang")
    with pytest.raises(TimeoutError):
        wire(sandbox, ASK, timeout=0.1)
    assert eventually(lambda: sandbox.counters()["in_flight"] == 0)


def test_hang_for_a_while(sandbox: Sandbox) -> None:
    """A hang with a delay ends by itself."""
    spoil(sandbox, "hang", delay=0.05)
    assert wire(sandbox, ASK) == b""


def test_slow_answer(sandbox: Sandbox) -> None:
    """Any answer can be late; the ledger acts on arrival, before the wait."""
    sandbox.script({"action": "buyNumber", "kind": "as_is", "delay": 0.1})
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(text, sandbox, **BUY)
        assert eventually(lambda: len(sandbox.ledger.orders()) == 1)
        assert answer.result().startswith(sandbox.ledger.orders()[0].id)


def test_slow_drip(sandbox: Sandbox) -> None:
    """The body comes byte by byte, so that no single read is slow but the whole is."""
    spoil(sandbox, "slow_drip", pace=0.005)
    started = time.monotonic()
    assert text(sandbox, action="getBalance") == "ACCESS_BALANCE:500.00"
    assert time.monotonic() - started >= 21 * 0.005


def test_outage_resets_everything(sandbox: Sandbox, clock: Clock) -> None:
    """During an outage every connection is reset and nothing is bought; afterwards all is well."""
    control(sandbox, "POST", "outage", {"seconds": 60, "kind": "reset"}).raise_for_status()
    with pytest.raises(ConnectionResetError):
        wire(sandbox, BUY)
    clock.now += 60
    assert text(sandbox, action="getBalance") == "ACCESS_BALANCE:500.00"


# The control face


def test_faults_over_http(sandbox: Sandbox) -> None:
    """Faults are posted one or many, listed with what is left, and cleared."""
    control(sandbox, "POST", "faults", {"action": "getBalance", "kind": "empty", "times": 3}).raise_for_status()
    control(sandbox, "POST", "faults", [{"kind": "html"}, {"kind": "reset"}]).raise_for_status()
    assert text(sandbox, action="getBalance") == ""
    left = control(sandbox, "GET", "faults").json()["faults"]
    assert [(fault["kind"], fault["times"]) for fault in left] == [("empty", 2), ("html", 1), ("reset", 1)]
    assert control(sandbox, "DELETE", "faults").json() == {"faults": []}


def test_ledger_over_http(sandbox: Sandbox) -> None:
    """The books show balance, totals and each order with its state."""
    number = text(sandbox, **BUY).split(",")[1]
    books = control(sandbox, "GET", "ledger").json()
    assert (books["balance"], books["start_balance"]) == ("490.00", "500.00")
    assert (books["charges"], books["refunds"]) == ("10.00", "0.00")
    assert [(order["number"], order["state"]) for order in books["orders"]] == [(number, "waiting")]


def test_code_over_http(sandbox: Sandbox) -> None:
    """A code is sent to an order by id, or to the newest that waits."""
    first, second = (text(sandbox, **BUY).split(",")[0] for _ in range(2))
    assert control(sandbox, "POST", "code", {"id": None, "text": "001234"}).json()["id"] == second
    control(sandbox, "POST", "code", {"id": first, "text": "a:b"}).raise_for_status()
    assert text(sandbox, action="getStatus", id=second) == "STATUS_OK:001234"
    assert text(sandbox, action="getStatus", id=first) == "STATUS_OK:a:b"


def test_code_that_nobody_can_take(sandbox: Sandbox, clock: Clock) -> None:
    """No such order is 404, one that has ended 409, no text 400."""
    order_id = text(sandbox, **BUY).split(",")[0]
    clock.now += 900
    assert control(sandbox, "POST", "code", {"id": "nobody", "text": "1"}).status_code == 404
    assert control(sandbox, "POST", "code", {"id": order_id, "text": "1"}).status_code == 409
    assert control(sandbox, "POST", "code", {"id": order_id}).status_code == 400


def test_requests_over_http(sandbox: Sandbox) -> None:
    """The log shows action, answer and fault, narrows and limits, and never shows the key."""
    spoil(sandbox, "quoted")
    for action in ("getBalance", "getServers", "getBalance"):
        raw(sandbox, action=action)
    log = control(sandbox, "GET", "requests?action=getBalance")
    assert [seen["fault"] for seen in log.json()["requests"]] == ["quoted", None]
    assert "sesame" not in log.text
    assert len(control(sandbox, "GET", "requests?limit=1").json()["requests"]) == 1
    assert control(sandbox, "GET", "requests?limit=0").json()["requests"] == []


def test_counters_over_http(sandbox: Sandbox) -> None:
    """The counters know how many requests were answered at once."""
    spoil(sandbox, "hang", times=3)
    with ThreadPoolExecutor() as pool:
        for _ in range(3):
            pool.submit(pytest.raises, TimeoutError, wire, sandbox, ASK, timeout=2)
        assert eventually(lambda: sandbox.counters()["max_concurrent"] == 3)
    counters = control(sandbox, "GET", "counters").json()
    assert (counters["requests"], counters["faults"]) == ({"getBalance": 3}, {"hang": 3})


def test_config_and_balance_over_http(sandbox: Sandbox) -> None:
    """Rules and balance change while the provider runs."""
    rules = control(sandbox, "POST", "config", {"price": "2.50", "code_after": 0, "life": 60}).json()
    assert (rules["price"], rules["life"], rules["cancel_after"]) == ("2.50", 60, 120)
    control(sandbox, "POST", "balance", {"balance": "2.50"}).raise_for_status()
    order_id, _, left = text(sandbox, **BUY).split(",")
    assert left == "60"
    assert text(sandbox, action="getStatus", id=order_id).startswith("STATUS_OK:")
    assert text(sandbox, **BUY) == "LOW_BALANCE"


def test_reset_over_http(sandbox: Sandbox) -> None:
    """A reset gives fresh books."""
    text(sandbox, **BUY)
    assert control(sandbox, "POST", "reset").json()["orders"] == []
    assert sandbox.ledger.balance == 500


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "nonsense"}),
        ("config", {"price": "NaN"}),
        ("config", {"colour": 1}),
        ("balance", {}),
        ("outage", {"seconds": 1, "kind": "flood"}),
        ("reset", []),
        ("code", {"text": "1", "to": "me"}),
    ],
)
def test_bad_control_call(sandbox: Sandbox, path: str, body: object) -> None:
    """A control call that makes no sense is a 400 that says why."""
    answer = control(sandbox, "POST", path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_broken_json_is_a_400(sandbox: Sandbox) -> None:
    """Bytes that are no JSON are refused, not fallen over."""
    for content in (b"{", b"\xff\xfe"):
        assert httpx.post(f"{sandbox.url}/sandbox/faults", content=content).status_code == 400


def test_unknown_control_call(sandbox: Sandbox) -> None:
    """There is no other call."""
    assert control(sandbox, "POST", "nothing", {}).status_code == 404


# The page


def test_page_escapes_what_it_shows(sandbox: Sandbox) -> None:
    """A hostile code is shown as text, and the page allows no script at all."""
    text(sandbox, **BUY)
    sandbox.arrive(None, "<script>alert(1)</script>")
    page = control(sandbox, "GET", "orders")
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_form_sends_a_code(sandbox: Sandbox) -> None:
    """The page's form sends a code to the newest waiting order and comes back to the page."""
    order_id = text(sandbox, **BUY).split(",")[0]
    form = {"text": "12 34", "id": "", "after": "0"}
    answer = httpx.post(f"{sandbox.url}/sandbox/code", data=form, headers={"Origin": sandbox.url})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sandbox/")
    assert sandbox.ledger.order(order_id).code == "12 34"
    assert '<form method="post" action="/sandbox/code">' in control(sandbox, "GET", "").text


def test_foreign_page_may_not_direct(sandbox: Sandbox) -> None:
    """A form on another site that posts here is refused."""
    text(sandbox, **BUY)
    headers = {"Origin": "https://elsewhere.invalid"}
    answer = httpx.post(f"{sandbox.url}/sandbox/code", data={"text": "1"}, headers=headers)
    assert answer.status_code == 403


# The server


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"POST /sandbox/faults HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n",
        b"POST /sandbox/faults HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /sandbox/faults HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_bad_request_is_a_400(sandbox: Sandbox, sent: bytes) -> None:
    """What is no HTTP gets a 400 and a closed connection; the server goes on."""
    with socket.create_connection((sandbox.host, sandbox.port), 5) as connection:
        connection.sendall(sent)
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 400 ")
    assert text(sandbox, action="getBalance") == "ACCESS_BALANCE:500.00"


def test_stop_and_start_keep_port_and_books(clock: Clock) -> None:
    """A provider that was away comes back on its port with its orders, and drops whoever was connected."""
    sandbox = Sandbox(clock=clock).start()
    order_id = text(sandbox, **BUY).split(",")[0]
    address = sandbox.base_url
    with socket.create_connection((sandbox.host, sandbox.port), 5) as idle:
        sandbox.stop()
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port), 1)
    with sandbox:
        assert sandbox.base_url == address
        assert text(sandbox, action="getStatus", id=order_id) == "STATUS_WAIT_CODE"


def test_hundreds_of_connections(sandbox: Sandbox) -> None:
    """Two hundred clients that keep their connections are all served, and nobody waits for one that hangs."""
    sandbox.script({"action": "getStatus", "kind": "hang", "match": {"id": "stuck"}, "times": -1})
    query = urlsplit(f"{sandbox.base_url}/cheap_handler.php?api_key=sesame&action=getStatus&id=")
    target = f"{query.path}?{query.query}"
    clients = [http.client.HTTPConnection(sandbox.host, sandbox.port, timeout=60) for _ in range(200)]
    for client in clients[:20]:
        client.request("GET", target + "stuck")
    for client in clients[20:] * 3:
        client.request("GET", target + "free")
        assert client.getresponse().read() == b"NO_ACTIVATION"
    assert eventually(lambda: sandbox.counters()["in_flight"] == 20)
    for client in clients:
        client.close()
    assert eventually(lambda: sandbox.counters()["in_flight"] == 0)


def test_module_runs_alone() -> None:
    """`python -m web.sandbox` says where it is, serves, and leaves on SIGTERM with 0."""
    command = [sys.executable, "-m", "web.sandbox", "--port", "0", "--balance", "70", "--api-key", "sesame"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout
        line = process.stdout.readline().strip()
        base_url = line.removeprefix("sandbox provider on ")
        answer = httpx.get(f"{base_url}/cheap_handler.php?api_key=sesame&action=getBalance")
        process.terminate()
        assert (answer.text, process.wait()) == ("ACCESS_BALANCE:70.00", 0)
        watchdog.cancel()


def test_module_says_that_port_is_taken(sandbox: Sandbox) -> None:
    """A taken port and a bad option are one line on stderr and an exit code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for options, code in ((["--port", str(sandbox.port)], 1), (["--price", "NaN"], 2)):
        command = [sys.executable, "-m", "web.sandbox", *options]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert ended.stderr.strip()


def test_log_is_json(sandbox: Sandbox) -> None:
    """Even a code that no encoding can hold comes out of the log as JSON."""
    text(sandbox, **BUY)
    httpx.post(f"{sandbox.url}/sandbox/code", content=json.dumps({"text": "\ud800\u0000"}).encode())
    assert text(sandbox, action="getStatus", id=sandbox.ledger.newest_id()) == "STATUS_OK:?\u0000"
    assert control(sandbox, "GET", "requests").json()["requests"][-1]["action"] == "getStatus"


def eventually(holds: Any, within: float = 60.0) -> bool:
    """Whether something becomes true soon; looks often, never longer than needed."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
