"""Delivering what is owed: signed, sent, recorded, and what follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.builders import NOW, SECRET, caller, event, order
from tests.fakes import FakeSender, World, drained
from worker import announce
from worker.caller import Secret
from worker.callers import Callers
from worker.event import Attempt, Event, EventStatus, endpoint_of
from worker.outbox import Outbox
from worker.schedule import Lane
from worker.services import secrets_of
from worker.webhooks.message import render
from worker.webhooks.signing import new_secret, sign

pytestmark = pytest.mark.anyio
WAITS = (1.0, 2.0, 5.0)


@pytest.fixture
async def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
async def outbox(world: World, sender: FakeSender) -> Outbox:
    async def of_the_caller(_: str) -> Sequence[str]:
        return [SECRET]

    return Outbox(
        world.store, sender, world.gate, world.counters, secrets_of=of_the_caller, waits=WAITS, chance=lambda: 0.0
    )


async def claimed(world: World) -> Event:
    """The one webhook that is due."""
    (owed,) = await world.store.claim_events(10, 20, "w1")
    return owed


async def owe_a_code(world: World) -> None:
    """An order whose code arrived; the webhook about its number is out already."""
    world.accept(order())
    await world.work(Lane.BUY)
    told = (await claimed(world)).tried(Attempt(NOW, 200, None, 0.1), EventStatus.DELIVERED)
    before = replace(told, version=1)
    await world.store.record_attempt(before, told, endpoint_is_up=True, host_is_up=True, erase_after=None, patience=0)
    world.provider.arrive("847293")
    world.clock.advance(5)
    await world.work(Lane.POLL)


async def test_2xx_acknowledges(world: World, outbox: Outbox, sender: FakeSender):
    """Delivered, recorded, never again."""
    world.blocking.add_event(event(order=None))
    after, _ = await outbox.deliver(await claimed(world))
    assert after.status is EventStatus.DELIVERED
    stored = world.blocking.load_event("evt_1")
    assert stored is not None
    assert (stored.status, stored.attempts[0].status, stored.attempts[0].at) == (EventStatus.DELIVERED, 200, NOW)
    assert world.due("deliver", "evt_1") is None
    assert sender.sent[0][0] == "https://caller.example/hook"


async def test_attempt_is_signed_over_the_very_bytes_that_are_sent(world: World, outbox: Outbox, sender: FakeSender):
    """The official verifier accepts it; the timestamp is the attempt's."""
    world.blocking.add_event(event(order=None, body='{"otp":"é😀"}'.encode()))
    world.clock.advance(7.9)
    await outbox.deliver(await claimed(world))
    _, headers, body = sender.sent[0]
    assert headers["webhook-id"] == "evt_1"
    assert headers["webhook-timestamp"] == str(int(NOW) + 7)
    expected = Webhook(SECRET).sign("evt_1", datetime.fromtimestamp(int(NOW) + 7, UTC), body.decode())
    assert headers["webhook-signature"] == expected


async def test_failed_attempts_follow_the_schedule_with_one_id(world: World, outbox: Outbox, sender: FakeSender):
    """At once, then each wait of the schedule, then given up with an alert."""
    sender.answer(500)
    sender.answer(302)
    sender.answer(None, "timeout")
    sender.answer(404)
    world.blocking.add_event(event(order=None))
    times = []
    for _ in range(4):
        times.append(world.clock() - NOW)
        after, _ = await outbox.deliver(await claimed(world))
        due = world.due("deliver", "evt_1")
        if due is not None:
            world.clock.advance(due - world.clock())
    assert times == [0, 1, 3, 8]
    assert after.status is EventStatus.EXHAUSTED
    assert [one.status for one in after.attempts] == [500, 302, None, 404]
    assert {headers["webhook-id"] for _, headers, _ in sender.sent} == {"evt_1"}
    assert world.due("deliver", "evt_1") is None
    counted = drained(world.counters)
    assert counted["events_exhausted"] == counted['alerts{kind="event_exhausted"}'] == 1


async def test_410_ends_the_event(world: World, outbox: Outbox, sender: FakeSender):
    """Nobody wants it there any more."""
    sender.answer(410)
    world.blocking.add_event(event(order=None))
    after, _ = await outbox.deliver(await claimed(world))
    assert after.status is EventStatus.GONE
    assert world.due("deliver", "evt_1") is None


async def test_retry_after_is_obeyed_within_the_schedule(world: World, outbox: Outbox, sender: FakeSender):
    """Later, but not beyond the longest wait."""
    sender.answer(429, retry_after=3.0)
    sender.answer(503, retry_after=900.0)
    world.blocking.add_event(event(order=None))
    after, _ = await outbox.deliver(await claimed(world))
    assert after.due_at == NOW + 3
    world.clock.advance(3)
    after, _ = await outbox.deliver(await claimed(world))
    assert after.due_at == NOW + 3 + 5


async def test_exhausted_event_can_be_redelivered(world: World, outbox: Outbox, sender: FakeSender):
    """Same id, the schedule from its start."""
    for _ in range(4):
        sender.answer(500)
    world.blocking.add_event(event(order=None))
    for _ in range(4):
        await outbox.deliver(await claimed(world))
        world.clock.advance(10)
    exhausted = world.blocking.load_event("evt_1")
    assert exhausted is not None
    assert world.blocking.redeliver(exhausted, world.clock())
    after, _ = await outbox.deliver(await claimed(world))
    assert (after.status, len(after.attempts)) == (EventStatus.DELIVERED, 5)


async def test_acknowledged_code_is_erased_soon(world: World, outbox: Outbox):
    """Fifteen minutes after the acknowledgement, and counted on its way."""
    await owe_a_code(world)
    await outbox.deliver(await claimed(world))
    assert world.raw.zscore("rb:erase", "ord_1") == (world.clock() + 900) * 1000
    assert drained(world.counters)["otp_to_webhook"] == 1


async def test_unacknowledged_code_is_kept(world: World, outbox: Outbox, sender: FakeSender):
    """Until its time to live is over."""
    sender.answer(500)
    await owe_a_code(world)
    await outbox.deliver(await claimed(world))
    assert world.raw.zscore("rb:erase", "ord_1") == (world.clock() + 86_400) * 1000


async def test_guards_refusal_says_nothing_of_the_host(world: World, outbox: Outbox, sender: FakeSender):
    """It is tried again, and the receiver's breaker stays as it was."""
    sender.answer(None, "blocked_address")
    world.blocking.add_event(event(order=None))
    after, _ = await outbox.deliver(await claimed(world))
    assert after.status is EventStatus.PENDING
    assert failures_of(world, after) == (None, None)


@pytest.mark.parametrize(
    ("status", "error", "failures"),
    [
        (404, None, (None, None)),
        (503, None, (b"1", None)),
        (None, "timeout", (b"1", None)),
        (None, "endless_head", (b"1", None)),
        (200, "reset", (None, None)),
        (None, "dns", (None, b"1")),
        (None, "tls", (None, b"1")),
        (None, "connect_refused", (None, b"1")),
        (None, "connect_timeout", (None, b"1")),
    ],
)
async def test_failure_counts_for_what_failed(
    world: World, outbox: Outbox, sender: FakeSender, status: int | None, error: str | None, failures: Any
):
    """The endpoint, once its host is reached; else the host, for all its endpoints; a 404 answers, so for neither."""
    sender.answer(status, error)
    world.blocking.add_event(event(order=None))
    after, _ = await outbox.deliver(await claimed(world))
    assert failures_of(world, after) == failures


def failures_of(world: World, event: Event) -> tuple[bytes | None, bytes | None]:
    """The failures in a row of an event's endpoint and of its host."""
    return (
        world.raw.get(f"rb:endpoint:{event.endpoint}:failures"),
        world.raw.get(f"rb:host:{event.host}:failures"),
    )


async def test_ping_is_tried_once(world: World, outbox: Outbox, sender: FakeSender):
    """It asks whether somebody is there now; that nobody is needs no operator."""
    world.blocking.add_event(event(order=None, type="webhook.ping"))
    sender.answer(500)
    after, _ = await outbox.deliver(await claimed(world))
    assert after.status is EventStatus.EXHAUSTED
    assert world.due("deliver", "evt_1") is None
    assert world.alerts() == []


async def test_answered_challenge_proves_the_callback_alone(world: World, outbox: Outbox, sender: FakeSender):
    """What the official library signs over the challenge is the answer; it proves that endpoint and no other."""
    made, _, _ = Callers(world.blocking).create("Shop", NOW, verify_callback=True)
    ping = announce.ping(made.id, f"{SHOP}?token=hush", NOW)
    sender.answer(200, excerpt=f"{answer_to(ping)}\n")
    world.blocking.add_event(ping)
    await outbox.deliver(await claimed(world))
    kept = world.blocking.caller(made.id)
    assert kept is not None
    urls = (SHOP, f"{SHOP}?other=1", f"{SHOP}/other", "https://other.example/hook")
    assert [kept.may_call(endpoint_of(made.id, url)) for url in urls] == [True, True, False, False]


SHOP = "https://shop.example/hook"


def answer_to(ping: Event, secret: str = SECRET) -> str:
    """A receiver's answer to a ping that was sent at NOW."""
    challenge = json.loads(ping.body)["data"]["challenge"]
    return Webhook(secret).sign(ping.id, datetime.fromtimestamp(int(NOW), UTC), challenge)


@pytest.mark.parametrize("how", ["nothing", "all that came", "another secret", "another ping", "no 2xx"])
async def test_what_does_not_answer_the_challenge_proves_nothing(
    world: World, outbox: Outbox, sender: FakeSender, how: str
):
    """Any 2xx acknowledges; only the holder of the secret, asked now, proves a callback."""
    made, _, _ = Callers(world.blocking).create("Shop", NOW, verify_callback=True)
    ping, other = announce.ping(made.id, SHOP, NOW), announce.ping(made.id, SHOP, NOW)
    signature = sign([SECRET], ping.id, int(NOW), ping.body)
    said = {
        "nothing": "",
        "all that came": f"{signature} {ping.body.decode()}",
        "another secret": answer_to(ping, new_secret()),
        "another ping": answer_to(other),
        "no 2xx": answer_to(ping),
    }
    sender.answer(500 if how == "no 2xx" else 200, excerpt=said[how])
    world.blocking.add_event(ping)
    await outbox.deliver(await claimed(world))
    kept = world.blocking.caller(made.id)
    assert kept is not None
    assert kept.verified == ()


async def test_ping_of_a_caller_that_is_gone_makes_up_none(world: World, outbox: Outbox, sender: FakeSender):
    """Its answer proves nothing to anybody."""
    ping = announce.ping("cal_gone", SHOP, NOW)
    sender.answer(200, excerpt=answer_to(ping))
    world.blocking.add_event(ping)
    await outbox.deliver(await claimed(world))
    assert world.blocking.caller("cal_gone") is None


async def test_ping_without_a_challenge_is_a_ping(world: World, outbox: Outbox):
    """One that an earlier version owes is delivered, and proves nothing."""
    made, _, _ = Callers(world.blocking).create("Shop", NOW, verify_callback=True)
    body = render("webhook.ping", NOW, {"caller": made.id})
    world.blocking.add_event(event(order=None, type="webhook.ping", caller=made.id, body=body))
    after, _ = await outbox.deliver(await claimed(world))
    assert after.status is EventStatus.DELIVERED


async def test_every_live_secret_signs(world: World):
    """During a rotation both; a secret whose time is over does not."""
    new, old, dead = new_secret(), new_secret(), new_secret()
    kept = caller(secrets=(Secret(old, NOW + 60), Secret(new), Secret(dead, NOW - 1)))
    world.blocking.save_caller(None, kept)
    look_up = secrets_of(world.store)
    assert list(await look_up("cal_1")) == [new, old]
    assert list(await look_up("cal_0")) == []
