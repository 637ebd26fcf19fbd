"""Events: what webhooks are owed, how each attempt went, and sending one again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.authentication import confirm, own
from web.api.callbacks import told
from web.api.orders import Judge
from web.api.problems import CODES, Problem
from web.api.requests import takes
from web.api.responses import answer, unreadable
from web.client import has_left
from web.middleware import about
from web.parts import current_caller, parts
from worker import announce
from worker.caller import Caller
from worker.event import Event, EventStatus
from worker.order import rfc3339
from worker.schedule import last_delivery
from worker.webhooks.guard import CallbackRefused, Refusal
from worker.webhooks.message import signature_headers
from worker.webhooks.signing import sign

NO_ADDRESS = "dns"
"""The error of an attempt whose host led to no address that may be called."""
MOST_TRIES = 3
"""Times that a redelivery is tried anew because an attempt ended meanwhile."""
GONE = (
    "this event is not yours or no longer kept: check your orders (GET /v1/orders), "
    "then continue from the oldest event that is kept (`after=`, empty)"
)


@cache
def routes() -> APIBlueprint:
    """The routes under /v1/events."""
    api = APIBlueprint("events", __name__, url_prefix="/v1", abp_tags=[openapi.EVENTS], abp_security=openapi.BEARER)
    api.get("/events", responses=openapi.answers(200, schemas.Events, 404, 410, 422))(index)
    api.get("/events/<event:event_id>", responses=openapi.answers(200, schemas.Event, 404, 422))(show)
    api.post("/events/<event:event_id>/redeliver", responses=openapi.answers(202, "Event", 404, 409, 422))(redeliver)
    api.post("/events/ping", responses=openapi.answers(202, "Event", 400, 409, 413, 415, 422, 503))(ping)
    return api


@takes(query=schemas.EventsQuery)
def index() -> Response:
    """List events, newest first; with `after`, the events after that one, oldest first.

    Without a receiver, follow this list: pass the last event that you have handled as `after`, with `wait` and
    `payload=true`. No event is left out, and `next_cursor` keeps the direction.
    """
    asked = requests.query(schemas.EventsQuery)
    skipped: list[str] = []
    look = _look(asked, skipped)
    found, cursor = look()
    if asked.wait and not found:
        found, cursor = _awaited(look, asked.wait)
    page = {"data": _all_shown(found, payload=asked.payload == "true"), "next_cursor": cursor}
    return answer(page | unreadable(skipped))


Page = tuple[list[Event], str | None]


def _awaited(look: Callable[[], Page], seconds: int) -> Page:
    """The page once there is something on it, or an empty one when the wait is over."""
    store, caller = parts().store, current_caller()
    spot = store.last_event_of(caller.id)
    with parts().waiting.place(caller.id, seconds, partial(has_left, request.environ)) as wait:
        newest, page = store.peek([spot])[0], look()
        while not page[0] and wait.until_changed(spot, newest):
            newest, page = store.peek([spot])[0], look()
    confirm()
    return page


def _look(asked: schemas.EventsQuery, skipped: list[str]) -> Callable[[], Page]:
    """What reads the page that was asked for, as often as it is called."""
    cursor, caller, store = asked.cursor or "", current_caller().id, parts().store
    if asked.after is None and not cursor.startswith(schemas.FORWARD):
        return lambda: store.events(
            caller,
            order=asked.order,
            status=asked.status,
            fits=asked.fits,
            limit=asked.limit,
            before=asked.cursor,
            skipped=skipped,
        )
    start = _place(cursor or asked.after or "")

    def forward() -> Page:
        found, last = store.events_after(caller, start, asked.limit, asked.fits)
        return found, schemas.FORWARD + last if last else None

    return forward


def _place(after: str) -> int:
    """Where a walk forward begins: behind an event, or (empty) before the first that is kept."""
    if not after:
        return 0
    event = parts().store.load_event(after.removeprefix(schemas.FORWARD))
    if event is None or event.caller != current_caller().id:
        raise Problem(410, "event_gone", GONE)
    return event.sequence


def _all_shown(events: list[Event], *, payload: bool) -> list[dict[str, Any]]:
    if not payload:
        return [_shown(event) for event in events]
    caller, now = current_caller(), parts().clock()
    secrets, timestamp = caller.live_secrets(now), int(now)
    return [
        {
            **_shown(event),
            "payload": event.body.decode(),
            "headers": signature_headers(event.id, timestamp, sign(secrets, event.id, timestamp, event.body)),
        }
        for event in events
    ]


@takes(path=schemas.EventPath)
def show(event_id: str) -> Response:
    """Read an event with all its attempts.

    Each attempt has its time, its status or error, its duration and the first KiB of the response.
    """
    return answer(_shown(_own(event_id)))


@takes(path=schemas.EventPath)
def redeliver(event_id: str) -> Response:
    """Send an event's webhook once more, with the same id.

    The schedule starts over. An attempt that is under way is not interrupted. An event without a callback is a 409.
    """
    _own(event_id)
    _counted()
    for _ in range(MOST_TRIES):
        event, now = _own(event_id), parts().clock()
        if not event.pushed:
            raise Problem(409, "no_callback", "this event's order has no callback: read the event with `payload=true`")
        if parts().store.redeliver(event, now):
            return answer(_shown(event.again(now)), 202)
    # An attempt is under way: it is what was asked for.
    return answer(_shown(_own(event_id)), 202)


@takes(body=schemas.Ping)
def ping() -> Response:
    """Send a `webhook.ping` to the caller's callback, or to the one given.

    Use it to test whether your receiver can be reached and verifies webhooks. If a callback must be proven, answer the
    challenge in its ping (docs/webhooks.md).
    """
    _counted()
    caller = current_caller()
    judge = Judge(parts(), caller)
    asked = requests.checked(schemas.Ping, requests.body() if request.get_data() else {}, context=judge)
    event = announce.ping(caller.id, asked.callback_url or _callback_of(caller), parts().clock())
    parts().store.add_event(event)
    about(webhook=event.id)
    return answer(_shown(event), 202)


def _callback_of(caller: Caller) -> str:
    """The caller's own callback. Raises Problem (409) where it has none, or none that may be called."""
    if caller.callback_url is None:
        raise Problem(409, "no_callback", CODES["no_callback"])
    try:
        parts().callbacks.check(caller.callback_url, caller.id)
    except CallbackRefused as refused:
        _, why = told(refused)
        about(callback=refused.code.value)
        raise Problem(409, "callback_refused", f"this caller's default callback {why}") from None
    return caller.callback_url


def _counted() -> None:
    """Count a webhook that is asked for. Raises Problem (429)."""
    quota = parts().limits.webhook(current_caller().id)
    if not quota.allowed:
        raise Problem(429, "webhooks_per_minute", CODES["webhooks_per_minute"], retry_after=quota.reset)


def _shown(event: Event) -> dict[str, Any]:
    """The event as callers see it: like a POST, it does not tell a host that leads inside from one that is none."""
    public = {**event.public(), "callback_url": event.url or None, "tried_until": None}
    if event.status is EventStatus.PENDING and event.due_at is not None:
        waits = event.retries(parts().settings.webhook_schedule)
        public["tried_until"] = rfc3339(last_delivery(waits, event.tries, event.due_at))
    for attempt in public["attempts"]:
        if attempt["error"] == Refusal.BLOCKED_ADDRESS:
            attempt["error"] = NO_ADDRESS
    return public


def _own(event_id: str) -> Event:
    """The caller's event; somebody else's looks like none."""
    event = own(parts().store.load_event(event_id), "event")
    about(webhook=event_id)
    return event
