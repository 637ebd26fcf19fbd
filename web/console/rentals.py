"""Rentals: a list with filters in the URL, and a page for each with its messages masked."""

from __future__ import annotations

from flask import request

from web.console import access, charts, filters, words
from web.console.access import Turned
from web.console.page import masked_answer, render, secrets_of
from web.parts import parts
from worker.callers import Callers
from worker.errors import NotFound
from worker.order import ErrorCode, Settlement
from worker.rental import Rental, RentalStatus, message_id

EVENTS_SHOWN = 50
MESSAGES_SHOWN = 100
SETTLEMENTS = (Settlement.NONE, Settlement.CHARGED, Settlement.UNCONFIRMED)
"""What can happen to a rental's money."""


def index() -> str:
    """Rentals by filter, newest first."""
    asked, store = request.args, parts().store
    wanted = filters.orders(asked, RentalStatus)
    page = store.queries.rentals(wanted, parts().clock(), cursor=asked.get("cursor"))
    return render(
        "rentals.html", title="Rentals", page=page, asked=asked, address=filters.address,
        total=sum(page.counts.values()), callers=Callers(store).all(), settlements=SETTLEMENTS, errors=list(ErrorCode),
    )  # fmt: skip


def show(rental_id: str) -> str:
    """One rental: did it run, is it stuck, where is the money."""
    return _page(_found(rental_id))


def _page(rental: Rental, revealed: tuple[str, str] | None = None) -> str:
    store, now = parts().store, parts().clock()
    events, _ = store.events(rental.caller, order=rental.id, status=None, limit=EVENTS_SHOWN, before=None)
    wake = store.queries.wake_of(rental.id)
    messages = [(message_id(rental, one), one) for one in rental.messages[-MESSAGES_SHOWN:][::-1]]
    return render(
        "rental.html", title=f"Rental {rental.id}", rental=rental, bought=rental.purchase, events=events, wake=wake,
        caller=store.caller(rental.caller), journal=store.queries.journal_of(rental.id),
        course=charts.rented(rental, now), ran=words.did_it_rent(rental),
        stuck=words.is_it_stuck(rental, wake, events, now), money=words.where_is_the_rent(rental),
        flags=words.advice_on(rental.flags), messages=messages, revealed=revealed,
        facts={**rental.item, "highest price": rental.max_price, "purpose": rental.purpose},
        answer=lambda event, attempt: masked_answer(attempt.excerpt, secrets_of(None, event)),
    )  # fmt: skip


def reveal(rental_id: str) -> str:
    """Show the number, or what one message said, once, to somebody who says why."""
    rental, what = _found(rental_id), request.form.get("what", "")
    value = _value(rental, what)
    if not value:
        raise Turned(422, "choose the number or a message that is still kept")
    access.audit_reveal(rental_id, what)
    return _page(rental, revealed=(what, value))


def _value(rental: Rental, what: str) -> str | None:
    """What is masked elsewhere: the number, or a message by its id."""
    if what == "number":
        return rental.purchase.number if rental.purchase else None
    said = next((one for one in rental.messages if one.personal and message_id(rental, one) == what), None)
    return " · ".join(filter(None, (said.sender, said.text, said.code))) if said else None


def _found(rental_id: str) -> Rental:
    rental = parts().store.load_rental(rental_id)
    if rental is None:
        raise NotFound(f"rental {rental_id} does not exist or is no longer kept")
    return rental
