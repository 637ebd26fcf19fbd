"""`ringback events`: the webhooks, their attempts, and sending one again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from worker.cli.context import (
    AsJson,
    Context,
    Reveal,
    name_skipped,
    open_context,
    say,
    show_fields,
    show_json,
    show_table,
    without_query,
)
from worker.errors import NotFound, RingbackError
from worker.event import Event, EventStatus
from worker.order import rfc3339

app = typer.Typer(no_args_is_help=True, help="Show webhooks and send them again.")

Id = Annotated[str, typer.Argument(help="The event's id, evt_...", metavar="ID")]


class AttemptUnderWay(RingbackError):
    """The event is being sent at the moment."""


class NoCallback(RingbackError):
    """The event's order has no callback."""


@app.command("list")
def list_(
    caller: Annotated[str | None, typer.Option(help="Only this caller's.", metavar="ID")] = None,
    order: Annotated[str | None, typer.Option(help="Only this order's.", metavar="ID")] = None,
    status: Annotated[EventStatus | None, typer.Option(help="Only those with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")] = 20,
    reveal: Reveal = False,
    as_json: AsJson = False,
) -> None:
    """List webhooks of all callers, newest first.

    Example: ringback events list --status exhausted
    """
    events = _newest(open_context(), caller, order, status, limit)
    if as_json:
        return show_json([_payload(event, reveal) for event in events])
    rows = [
        (
            e.id,
            e.type,
            e.order,
            e.status,
            rfc3339(e.created_at),
            len(e.attempts),
            _last(e),
            e.public()["next_attempt_at"],
        )
        for e in events
    ]
    head = ["id", "type", "order", "status", "created", "attempts", "last result", "next attempt"]
    show_table(head, rows, empty="There are no such webhooks.")
    return None


@app.command()
def show(id: Id, reveal: Reveal = False, as_json: AsJson = False) -> None:
    """Show a webhook with all its attempts.

    Example: ringback events show evt_9d2e
    """
    event = _found(open_context(), id)
    payload = _payload(event, reveal)
    if as_json:
        return show_json(payload)
    attempts = payload.pop("attempts")
    show_fields(payload)
    show_table(
        ["at", "status", "error", "seconds", "response"],
        [(one["at"], one["status_code"], one["error"], one["duration"], one["response"]) for one in attempts],
        empty="No attempt yet.",
    )
    return None


@app.command()
def redeliver(
    id: Annotated[
        str | None, typer.Argument(help="The event's id, evt_...; not needed with --status.", metavar="ID")
    ] = None,
    caller: Annotated[str | None, typer.Option(help="All of this caller's, with --status.", metavar="ID")] = None,
    status: Annotated[
        EventStatus | None, typer.Option(help="All with this status, like exhausted, instead of one by its id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Send webhooks again now, each with the same webhook-id.

    Example: ringback events redeliver --caller cal_1f0c --status exhausted
    """
    if (id is None) == (status is None) or (id is not None and caller is not None):
        raise typer.BadParameter("give one event's id, or --status (and --caller) for many")
    context = open_context()
    if id is not None:
        return _redeliver_one(context, id, as_json)
    found = [one for one in _newest(context, caller, None, status, limit) if one.pushed]
    sent = [one.id for one in found if _sent_again(context, one)]
    if as_json:
        return show_json({"redelivered": sent})
    say(f"{len(sent)} webhooks are being sent again: ringback events list --status pending")
    return None


def _redeliver_one(context: Context, id: str, as_json: bool) -> None:
    event = _found(context, id)
    if not event.pushed:
        raise NoCallback(f"{id} cannot be sent: its order has no callback")
    if not _sent_again(context, event):
        raise AttemptUnderWay(f"{id} is being sent at the moment; look at it again when that attempt has ended")
    if as_json:
        return show_json({"id": id, "status": EventStatus.PENDING.value})
    say(f"{id} is being sent again: ringback events show {id}")
    return None


def _sent_again(context: Context, event: Event) -> bool:
    return context.store.redeliver(event, context.now())


def _found(context: Context, event_id: str) -> Event:
    event = context.store.load_event(event_id)
    if event is None:
        raise NotFound(f"event {event_id!r} does not exist or is no longer kept")
    return event


def _newest(
    context: Context, caller: str | None, order: str | None, status: EventStatus | None, limit: int
) -> list[Event]:
    if order is not None and caller is None and (known := context.store.load(order)):
        caller = known.caller
    found: list[Event] = []
    skipped: list[str] = []
    for one in context.chosen(caller):
        found += context.store.events(one.id, order=order, status=status, limit=limit, before=None, skipped=skipped)[0]
    name_skipped(skipped)
    return sorted(found, key=lambda event: event.created_at, reverse=True)[:limit]


def _payload(event: Event, reveal: bool) -> dict[str, Any]:
    """The event as an operator sees it; what a receiver answered may echo the code, so it is masked."""
    payload = {"caller": event.caller, **event.public(), "url": event.url if reveal else without_query(event.url)}
    if not reveal:
        payload["attempts"] = [{**one, "response": "***" if one["response"] else ""} for one in payload["attempts"]]
    return payload


def _last(event: Event) -> str:
    if not event.attempts:
        return ""
    last = event.attempts[-1]
    return str(last.status or last.error)
