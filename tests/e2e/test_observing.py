"""Seeing it run: a real Prometheus over three web processes and two workers, and one trace of one order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.collector import Collector
from tests.e2e.prometheus import Prometheus
from tests.e2e.stack import ROOT, Stack, procfile, running_stack, wait_for
from worker.local.processes import free_port

pytestmark = pytest.mark.e2e

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
P99 = "histogram_quantile(0.99, max by (le) (rate(ringback_code_to_webhook_seconds_bucket[1m])))"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the spans go."""
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def stack(real_server: str, tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """Two workers and a web that tell their spans."""
    folder = tmp_path_factory.mktemp("observed")
    yield from running_stack(folder, workers=2, settings={"RINGBACK_OTLP_ENDPOINT": collector.url})


def test_one_trace_follows_an_order_from_its_caller_to_its_receiver(stack: Stack, collector: Collector):
    """The caller's span, below it the request, below that the order's life; the receiver is told its own parent."""
    server = stack.new_server()
    stack.provider.stage(server, sms=("4711", 1.0))
    answer = stack.api.post(
        "/v1/orders", json={"server": server, "type": "1", "callback_url": stack.hook(server)},
        headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "signup-42"},
    )  # fmt: skip
    order = answer.json()
    stack.posted[order["id"]] = server
    stack.until_settled(order["id"], "finished")
    wanted = {"POST /v1/orders", "queued", "provider purchases", "webhook order.number_assigned", "waiting",
              "webhook order.otp_received", "provider finishes"}  # fmt: skip
    wait_for(lambda: wanted <= {span["name"] for span in collector.trace(TRACE)}, 30, "the whole trace")
    spans = {span["name"]: span for span in collector.trace(TRACE)}
    assert set(spans) == wanted
    request = spans.pop("POST /v1/orders")
    assert (request["service"], request["kind"], request["parent"]) == ("ringback-web", "server", CALLER)
    assert {(span["service"], span["parent"]) for span in spans.values()} == {("ringback-worker", request["span"])}
    told = stack.deliveries(order["id"], "order.otp_received")[0].headers["traceparent"]
    assert told == f"00-{TRACE}-{spans['webhook order.otp_received']['span']}-01"
    _one_grep_follows(stack, order["id"])
    (stack.folder / "trace.txt").write_text(shown(collector))


def _one_grep_follows(stack: Stack, order_id: str) -> None:
    """The trace's id stands on every line of the order, from the POST to the last 2xx."""
    lines = [json.loads(line) for log in stack.logs().values() for line in log.splitlines() if TRACE in line]
    events = {(line["event"], line.get("request_id")) for line in lines}
    assert events == {(event, "signup-42") for event in ("request", "order", "webhook")}
    assert {line["order"] for line in lines} == {order_id}
    assert [line["reply"] for line in lines if line.get("status") == "received" and line["event"] == "order"]


def shown(collector: Collector) -> str:
    """A trace as docs/operations.md shows it."""
    spans = collector.trace(TRACE)
    begun = spans[0]["begun"]
    rows = [f"{'span':<32}{'of':<18}{'from':>8}{'to':>8}  below"]
    for span in spans:
        at, until = span["begun"] - begun, span["ended"] - begun
        rows.append(f"{span['name']:<32}{span['service']:<18}{at:>8.3f}{until:>8.3f}  {span['parent']}")
    return "\n".join(rows) + "\n"


def test_prometheus_shows_one_truth_over_three_webs_and_two_workers(stack: Stack, capsys: pytest.CaptureFixture[str]):
    """p99 from code to webhook, every expression of board and rules, and the same figures whoever is asked."""
    ports = [stack.port, *(_another_web(stack, number) for number in (2, 3))]
    prometheus = Prometheus(stack.folder / "prometheus", [f"127.0.0.1:{port}" for port in ports])
    try:
        wait_for(lambda: prometheus.value("count(ringback_store_up == 1)") == 3, 20, "three webs being scraped")
        orders = [stack.play(sms=("1234", 0.2 * n)) for n in range(6)]
        lost = [stack.play(timeout=2) for _ in range(2)]
        for order in orders:
            stack.until_settled(order["id"], "finished")
        for order in lost:
            stack.until(order["id"], "expired")
        p99 = wait_for(lambda: prometheus.value(P99), 40, "p99 from code to webhook")
        assert wait_for(lambda: _ended(prometheus), 20, "all orders being told")
        unlike = "max by (status) (ringback_orders_ended_total) != min by (status) (ringback_orders_ended_total)"
        wait_for(lambda: prometheus.query(unlike) == [], 20, "every web telling the same")
        for expression in _expressions():
            prometheus.query(expression)
        assert prometheus.query('ALERTS{alertstate="firing",severity="page"}') == []
        with capsys.disabled():
            print(f"\ncode to webhook, p99 as Prometheus shows it: {p99:.3f} s")  # noqa: T201 - a figure for the reader
    finally:
        prometheus.stop()


def _ended(prometheus: Prometheus) -> bool:
    """Whether Prometheus has all orders of this module: seven with a code, two without."""
    found = prometheus.query("max by (status) (ringback_orders_ended_total)")
    ended = {one["metric"]["status"]: float(one["value"][1]) for one in found}
    return (ended["received"], ended["expired"]) == (7, 2)


def _another_web(stack: Stack, number: int) -> int:
    """One more web process on the same store."""
    port = free_port()
    line = procfile()["web"]
    web = stack._process(f"web-{number}", line, {"PORT": str(port), "RINGBACK_BIND": "127.0.0.1"})
    stack.workers.append(web)  # ended with them
    web.start()

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, 60, "another web answering")
    return port


def _expressions() -> list[str]:
    """Every query of the board and of docs/metrics.md."""
    board = json.loads((ROOT / "deploy" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rows = re.findall(r"^\| `ringback_.*\| `([^`]+)` \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert rows
    return [*queries, *rows]
