"""Webhooks: by state and endpoint, one with its attempts and payload, and sending one or many again."""

from __future__ import annotations

from flask import redirect, request
from werkzeug.wrappers import Response

from web.api.events import MOST_TRIES
from web.console import access, filters
from web.console.access import Turned
from web.console.page import masked_answer, masked_payload, render, secrets_of
from web.parts import parts
from worker.callers import Callers
from worker.errors import NotFound
from worker.event import Event, EventStatus
from worker.operator import Act
from worker.order import EventType
from worker.store.queries import answered, host_of


def index() -> str:
    """Webhooks by filter, newest first, and the bulk redeliveries."""
    asked, store = request.args, parts().store
    wanted, now = filters.events(asked), parts().clock()
    page = store.queries.events(wanted, now, cursor=asked.get("cursor"))
    in_bulk = wanted.index is not None
    return render(
        "webhooks.html", title="Webhooks", page=page, asked=asked, address=filters.address, answered=answered,
        host_of=host_of, callers=Callers(store).all(), types=[*EventType], statuses=list(EventStatus),
        failing=store.queries.failing(now), jobs=store.jobs.newest(), in_bulk=in_bulk,
        matching=store.queries.count_matching(wanted, now) if in_bulk else None,
    )  # fmt: skip


def show(event_id: str) -> str:
    """One webhook with its attempts and its payload, masked."""
    event = _found(event_id)
    order = parts().store.load(event.order) if event.order and not event.of_rental else None
    secrets = secrets_of(order, event)
    return render(
        "webhook.html", title=f"Webhook {event.id}", event=event, order=order, payload=masked_payload(event),
        host=host_of(event.url), last_good=parts().store.queries.last_good(event.host),
        caller=parts().store.caller(event.caller), answered=answered(event),
        answer=lambda attempt: masked_answer(attempt.excerpt, secrets),
    )  # fmt: skip


def redeliver(event_id: str) -> Response:
    """Send it once more, under the same webhook-id."""
    if not _found(event_id).pushed:
        raise Turned(422, "this event has no callback to be sent to")
    access.audit(Act.REDELIVER, event_id, access.reason())
    done = any(parts().store.redeliver(_found(event_id), parts().clock()) for _ in range(MOST_TRIES))
    return redirect(f"/console/webhooks/{event_id}?done={'redelivered' if done else 'underway'}", 303)


def redeliver_many() -> Response:
    """Have workers send all that a filter means, in batches; more than the page said (`matching`) are counted first."""
    wanted, store = filters.events(request.form), parts().store
    if wanted.index is None:
        raise Turned(422, "choose webhooks that are pending or were given up")
    what, said = filters.in_words(request.form), request.form.get("matching", 0, type=int)
    access.audit(Act.REDELIVER_MANY, what, f"{said} webhooks" if said else "to be counted first")
    store.jobs.start(access.current().name, what, wanted, said, parts().clock())
    return redirect("/console/webhooks#jobs", 303)


def accept(job_id: str) -> Response:
    """Have a bulk redelivery send what it has counted."""
    job = parts().store.jobs.load(job_id)
    if job is None:
        raise NotFound(f"bulk redelivery {job_id} does not exist or is no longer kept")
    access.audit(Act.REDELIVER_MANY, job.what, f"{job.total} webhooks")
    parts().store.jobs.accept(job_id)
    return redirect("/console/webhooks#jobs", 303)


def stop(job_id: str) -> Response:
    """Stop a bulk redelivery."""
    access.audit(Act.STOP_WORK, job_id)
    parts().store.jobs.stop(job_id)
    return redirect("/console/webhooks?done=stopped#jobs", 303)


def _found(event_id: str) -> Event:
    event = parts().store.load_event(event_id)
    if event is None:
        raise NotFound(f"webhook {event_id} does not exist or is no longer kept")
    return event
