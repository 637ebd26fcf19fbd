"""Events: what webhooks are owed, how each attempt went, and sending one again."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from web.api import openapi, requests, schemas
from web.api.problems import CODES, Problem, not_found
from web.api.requests import takes
from web.api.responses import answer, unreadable
from web.middleware import about
from web.parts import current_caller, parts
from worker import announce
from worker.event import Event
from worker.webhooks.guard import CallbackRefused

MOST_TRIES = 3
"""Times that a redelivery is tried anew because an attempt ended meanwhile."""


def routes() -> APIBlueprint:
    """The routes under /v1/events."""
    api = APIBlueprint("events", __name__, url_prefix="/v1", abp_tags=[openapi.EVENTS], abp_security=openapi.BEARER)
    api.get("/events", responses=openapi.answers(200, schemas.Events, 404, 422))(index)
    api.get("/events/<event:event_id>", responses=openapi.answers(200, schemas.Event, 404, 422))(show)
    api.post("/events/<event:event_id>/redeliver", responses=openapi.answers(202, "Event", 404, 422))(redeliver)
    api.post("/events/ping", responses=openapi.answers(202, "Event", 409, 422))(ping)
    return api


@takes(query=schemas.EventsQuery)
def index() -> Response:
    """List events, newest first; with `after`, what came after that event, oldest first."""
    asked = requests.query(schemas.EventsQuery)
    if asked.after is not None:
        return _after(asked.cursor or asked.after, asked)
    skipped: list[str] = []
    found, cursor = parts().store.events(
        current_caller().id,
        order=asked.order,
        status=asked.status,
        limit=asked.limit,
        before=asked.cursor,
        skipped=skipped,
    )
    return _page(found, cursor, skipped)


def _after(event_id: str, asked: schemas.EventsQuery) -> Response:
    """Oldest first. What the other fields leave out makes a page shorter, not the walk."""
    last = _own(event_id)
    walked = parts().store.events_after(current_caller().id, last.sequence, asked.limit)
    fitting = [one for one in walked if asked.order in (None, one.order) and asked.status in (None, one.status)]
    return _page(fitting, walked[-1].id if len(walked) == asked.limit else None)


def _page(found: list[Event], cursor: str | None, skipped: Sequence[str] = ()) -> Response:
    return answer({"data": [event.public() for event in found], "next_cursor": cursor, **unreadable(skipped)})


@takes(path=schemas.EventPath)
def show(event_id: str) -> Response:
    """Read an event with all its attempts."""
    return answer(_own(event_id).public())


@takes(path=schemas.EventPath)
def redeliver(event_id: str) -> Response:
    """Send an event's webhook once more, with the same id."""
    for _ in range(MOST_TRIES):
        event, now = _own(event_id), parts().clock()
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
