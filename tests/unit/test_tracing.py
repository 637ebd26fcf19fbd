"""One trace per order: what is kept of the caller's, what is told, and what log lines say of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from tests.api_stage import BODY, Api
from tests.builders import NOW, order
from tests.fakes import FakeSender, World
from worker.lifecycle import Lifecycle
from worker.order import Status
from worker.outbox import Outbox
from worker.provider.replies import Unclear
from worker.tracing import Origin, Span, Tracer, log_of, read_origin, read_traceparent

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{CALLER}-01"
ORIGIN = f"{HEADER} req-1"


@pytest.fixture
def spans() -> list[Span]:
    """What was told."""
    return []


@pytest.mark.parametrize(
    ("header", "sampled"),
    [(HEADER, True), (HEADER[:-1] + "0", False), (f"cc-{TRACE}-{CALLER}-01-what-comes-later", True)],
)
def test_traceparent_is_read_as_w3c_defines_it(header: str, sampled: bool):
    """Later versions may say more; the flag says whether somebody records it."""
    assert read_traceparent(header) == Origin(TRACE, CALLER, sampled)


@pytest.mark.parametrize(
    "header",
    ["", "00", HEADER + "-more", f"ff-{TRACE}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01",
     HEADER.upper(), HEADER + "\n00"],
)  # fmt: skip
def test_odd_traceparent_is_none(header: str):
    """Whoever sends one gets a trace of ours."""
    assert read_traceparent(header) is None


def test_origin_comes_back_as_it_was_kept():
    """The span and the request, in one field."""
    kept = read_origin(ORIGIN)
    assert kept == Origin(TRACE, CALLER, True, "req-1")
    assert str(kept) == ORIGIN
    assert log_of(ORIGIN) == {"trace_id": TRACE, "request_id": "req-1"}
    assert log_of("") == {}


def test_order_keeps_the_callers_trace_without_an_endpoint(clock):
    """Nothing is recorded here, and the receiver is still told of the caller's span."""
    api = Api(clock)
    answer = api.shop.post("/v1/orders", json=BODY, headers={"traceparent": HEADER, "X-Request-Id": "req-1"})
    assert api.kept(answer.headers["Location"].rpartition("/")[2]).origin == ORIGIN


def test_trace_and_request_are_on_the_line_of_the_request(clock):
    """Beside the problem's code, the replay and the client, and with its duration in seconds."""
    api = Api(clock)
    headers = {"traceparent": HEADER, "User-Agent": "ringback-client/0.1.0", "Idempotency-Key": "k"}
    with capture_logs() as lines:
        for body in (BODY, BODY, {**BODY, "server": "9"}):
            api.shop.post("/v1/orders", json=body, headers=headers)
    first, again, other = [line for line in lines if line["event"] == "request"]
    assert {line["trace_id"] for line in (first, again, other)} == {TRACE}
    assert (first["client"], first.get("replayed"), again["replayed"]) == ("ringback-client/0.1.0", None, True)
    assert other["problem"] == "idempotency_mismatch"
    assert "duration" in first
    assert "duration_ms" not in first


@pytest.mark.anyio
async def test_life_of_an_order_is_told_below_its_request(world: World, spans: list[Span]):
    """What changes something, and the time in each state; a poll that is still waiting has no span."""
    steps = _traced(world, spans)
    world.accept(order(origin=ORIGIN))
    await steps.buy("ord_1")
    await steps.poll("ord_1", world.see().handle)
    world.provider.arrive("4711")
    world.clock.advance(5)
    await steps.poll("ord_1", world.see().handle)
    await steps.settle("ord_1")
    assert [span.name for span in spans] == ["queued", "provider purchases", "waiting", "provider finishes"]
    assert {(span.trace, span.parent) for span in spans} == {(TRACE, CALLER)}
    assert len({span.span for span in spans}) == len(spans)
    waiting = spans[2]
    assert (waiting.ended - waiting.begun, waiting.attributes["to"]) == (5, "received")


@pytest.mark.anyio
async def test_span_that_cannot_be_told_costs_no_purchase(world: World):
    """What the provider answered is written down all the same."""

    def broken(_: Span) -> None:
        raise RuntimeError("no collector")

    steps = Lifecycle(
        world.store, world.provider, world.gate, _rules(), world.counters, chance=lambda: 0.0, tracer=Tracer(broken)
    )
    world.accept(order(origin=ORIGIN))
    await steps.buy("ord_1")
    assert world.see().status is Status.WAITING


@pytest.mark.anyio
async def test_failed_order_says_why_in_its_span(world: World, spans: list[Span]):
    """A purchase without a readable answer."""
    steps = _traced(world, spans)
    world.provider.answer("buy", Unclear("garbled"))
    world.accept(order(origin=ORIGIN))
    await steps.buy("ord_1")
    assert [(span.name, span.attributes.get("reply")) for span in spans][-1] == ("provider purchases", "Unclear")


@pytest.mark.anyio
async def test_attempt_of_a_webhook_is_a_span_whose_id_is_sent(world: World, spans: list[Span]):
    """So that the receiver's own span is below it."""
    sender, outbox = _outbox(world, Tracer(spans.append))
    sender.answer(500)
    event = await _owed(world)
    await outbox.deliver(event)
    sent = sender.sent[0][1]["traceparent"]
    assert sent == f"00-{TRACE}-{spans[-1].span}-01"
    assert (spans[-1].parent, spans[-1].error) == (CALLER, "HTTP 500")


@pytest.mark.anyio
async def test_without_an_endpoint_the_receiver_gets_the_callers_span(world: World):
    """Handed on as it came."""
    sender, outbox = _outbox(world, Tracer())
    await outbox.deliver(await _owed(world))
    assert sender.sent[0][1]["traceparent"] == HEADER


def test_unsampled_trace_is_handed_on_and_not_told(spans: list[Span]):
    """Its caller has decided so."""
    tracer = Tracer(spans.append)
    tracer.tell_below(f"{HEADER[:-1]}0 req-1", "waiting", NOW, NOW + 1)
    assert spans == []


def test_exporter_is_not_imported_without_an_endpoint():
    """Nobody pays for what is not used. (redis-py imports other parts of OpenTelemetry where it finds them.)"""
    look = "import web.app, worker.services, sys; sys.exit('opentelemetry.exporter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


def _rules():
    from tests.builders import rules

    return rules()


def _traced(world: World, spans: list[Span]) -> Lifecycle:
    return Lifecycle(
        world.store, world.provider, world.gate, _rules(), world.counters, chance=lambda: 0.0,
        tracer=Tracer(spans.append),
    )  # fmt: skip


def _outbox(world: World, tracer: Tracer) -> tuple[FakeSender, Outbox]:
    async def secrets_of(_: str) -> list[str]:
        return ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]

    sender = FakeSender()
    return sender, Outbox(
        world.store, sender, world.gate, world.counters, secrets_of=secrets_of, waits=(1.0,), chance=lambda: 0.0,
        tracer=tracer,
    )  # fmt: skip


async def _owed(world: World):
    world.accept(order(origin=ORIGIN))
    await world.lifecycle.buy("ord_1")
    return (await world.store.claim_events(1, 20, "w1"))[0]
