"""Events: what webhooks are owed, how each attempt went, and sending one again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.problems import CODES, Problem, not_found
from web.api.requests import takes
from web.api.responses import answer
from web.middleware import about
from web.parts import current_caller, parts
from worker import announce
from worker.event import Event
from worker.webhooks.guard import CallbackRefused
from worker.webhooks.message import signature_headers
from worker.webhooks.signing import sign

MOST_TRIES = 3
"""Times that a redelivery is tried anew because an attempt ended meanwhile."""
GONE = (
    "this event is not, or no longer, among yours: see what became of your orders (GET /v1/orders), "
    "then go on from the first event that is kept (`after=`, empty)"
)


def routes() -> APIBlueprint:
    """The routes under /v1/events."""
    api = APIBlueprint("events", __name__, url_prefix="/v1", abp_tags=[openapi.EVENTS], abp_security=openapi.BEARER)
    api.get("/events", responses=openapi.answers(200, schemas.Events, 404, 410, 422))(index)
    api.get("/events/<event:event_id>", responses=openapi.answers(200, schemas.Event, 404, 422))(show)
    api.post("/events/<event:event_id>/redeliver", responses=openapi.answers(202, "Event", 404, 409, 422))(redeliver)
    api.post("/events/ping", responses=openapi.answers(202, "Event", 409, 422))(ping)
    return api


@takes(query=schemas.EventsQuery)
def index() -> Response:
    """List events, newest first; with `after`, what came after that event, oldest first."""
    asked = requests.query(schemas.EventsQuery)
    look = _look(asked)
    page = look()
    if asked.wait and not page[0]:

        def came() -> bool:
            nonlocal page
            page = look()
            return bool(page[0])

        parts().waiting.until(came, asked.wait)
    found, cursor = page
    return answer({"data": _shown(found, payload=asked.payload == "true"), "next_cursor": cursor})


Page = tuple[list[Event], str | None]


def _look(asked: schemas.EventsQuery) -> Callable[[], Page]:
    """What reads the page that was asked for, as often as it is called."""
    cursor, caller, store = asked.cursor or "", current_caller().id, parts().store
    if asked.after is None and not cursor.startswith(schemas.FORWARD):
        return lambda: store.events(
            caller, order=asked.order, status=asked.status, type=asked.type, limit=asked.limit, before=asked.cursor
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


def _shown(events: list[Event], *, payload: bool) -> list[dict[str, Any]]:
    if not payload:
        return [event.public() for event in events]
    caller, now = current_caller(), parts().clock()
    secrets, timestamp = caller.live_secrets(now), int(now)
    return [
        {
            **event.public(),
            "payload": event.body.decode(),
            "headers": signature_headers(event.id, timestamp, sign(secrets, event.id, timestamp, event.body)),
        }
        for event in events
    ]


@takes(path=schemas.EventPath)
def show(event_id: str) -> Response:
    """Read an event with all its attempts."""
    return answer(_own(event_id).public())


@takes(path=schemas.EventPath)
def redeliver(event_id: str) -> Response:
    """Send an event's webhook once more, with the same id."""
    for _ in range(MOST_TRIES):
        event, now = _own(event_id), parts().clock()
        if not event.pushed:
            raise Problem(409, "no_callback", "this event's order has no callback: read the event with `payload=true`")
        if parts().store.redeliver(event, now):
            return answer(event.again(now).public(), 202)
    # An attempt is under way: it is what was asked for.
    return answer(_own(event_id).public(), 202)


@takes()
def ping() -> Response:
    """Send a `webhook.ping` to the caller's callback."""
    event = announce.ping(current_caller().id, _callback(), parts().clock())
    parts().store.add_event(event)
    about(webhook=event.id)
    return answer(event.public(), 202)


def _callback() -> str:
    callback = current_caller().callback_url
    if callback is None:
        raise Problem(409, "no_callback", CODES["no_callback"])
    try:
        parts().callbacks.check(callback)
    except CallbackRefused as refused:
        raise Problem(409, "callback_refused", refused.message) from None
    return callback


def _own(event_id: str) -> Event:
    """The caller's event; somebody else's looks like none."""
    event = parts().store.load_event(event_id)
    if event is None or event.caller != current_caller().id:
        raise not_found()
    about(webhook=event_id)
    return event
