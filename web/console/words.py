"""What is found, in words: what needs a person, and of an order or a rental: did it run, is it stuck, where is the
money. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from worker.alerts import Alert
from worker.event import Event, EventStatus
from worker.order import Acquisition, ErrorCode, Order, Settlement, Status
from worker.pause import Pause
from worker.rental import MESSAGES_ERASED, RenewalState, Rental, RentalStatus
from worker.schedule import Wake
from worker.store.queries import Failing, answered

LATE = 5.0
"""Seconds past its time from which something counts as stuck."""


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that needs a person: how bad (fail, warn), what, what to do, and where to look."""

    level: str
    what: str
    advice: str
    link: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one of the three questions: in short, and in a sentence or two."""

    tone: str
    short: str
    text: str


# What needs a person.


def of_endpoint(one: Failing, clock: str, good: str | None) -> Matter:
    """An endpoint that fails: "12 webhooks to shop.example fail with 401 since 10:02, last acknowledged 09:58"."""
    owed = _count(one.owed + one.given_up, "webhook")
    verb = "fails" if one.owed + one.given_up == 1 else "fail"
    last = f"last acknowledged {good}" if good else "none acknowledged in a week"
    what = f"{owed} to {one.host} {verb} with {one.error} since {clock}, {last}"
    if one.given_up:
        what += f"; {one.given_up} given up"
    advice = "They are retried automatically." if not one.given_up else "Once it responds again, redeliver them."
    status = "exhausted" if one.given_up else "pending"
    return Matter(
        "fail" if one.given_up else "warn", f"{what}.", f"{_told_by(one.error)} {advice}",
        f"/console/webhooks?status={status}&host={one.host}&error={one.error}",
    )  # fmt: skip


def _told_by(error: str) -> str:
    if error in ("401", "403"):
        return "The receiver rejects the signature or our IP address: ask its owner whether its secret is current."
    if error == "404":
        return "There is nothing at that path: ask its owner for the right callback."
    if error.isdigit() and error.startswith("5"):
        return "The receiver has an error of its own: its log says why."
    return "The receiver cannot be reached, or does not respond in time."


def of_pause(reason: str, since: str | None, why: str) -> Matter:
    """Buying that is paused."""
    known = Pause(reason) if reason in set(Pause) else None
    said = f" ({why})" if why else ""
    advice = _sentence(known.advice) if known else "See the workers' log."
    level = "warn" if known in (Pause.SWITCHED_OFF, Pause.PROVIDER_BANNED) else "fail"
    what = f"Buying is paused: {reason.replace('_', ' ')}{said}, since {since or 'an unknown time'}."
    return Matter(level, what, advice, "/console/provider")


def of_alert(kind: str, count: float) -> Matter | None:
    """What the workers have counted; pauses and exhausted webhooks are said elsewhere, by what they are now."""
    alert = next((one for one in Alert if one.value == kind), None)
    if alert is None or alert in (Alert.BUYING_PAUSED, Alert.EVENT_EXHAUSTED):
        return None
    what = f"{alert.meaning.rstrip('.')}: {_count(round(count), 'time')} in the last hour."
    return Matter("warn", what, _sentence(alert.advice), "/console/money")


def of_doubt(count: int) -> Matter | None:
    """Orders and rentals whose money is in doubt."""
    if not count:
        return None
    what = f"It became unclear in the last day what happened to the money of {_count(count, 'purchase')}."
    return Matter("fail", what, "Reconcile, then ask the provider about the purchases listed.", "/console/money")


# One order, or one rental.


def did_it_run(order: Order) -> Answer:
    """How far it came."""
    thing = "address" if order.purchase and order.purchase.address else "number"
    match order.status:
        case Status.QUEUED | Status.BUYING:
            return _before_it_is_bought(order)
        case Status.WAITING:
            return Answer("busy", "Halfway", f"The {thing} is bought; the provider is being polled for the code.")
        case Status.CANCELLING:
            return Answer("busy", "Giving back", f"No code came; the {thing} is being given back.")
        case Status.RECEIVED:
            return Answer("good", "Yes", "The code arrived.")
        case Status.EXPIRED:
            return Answer("odd", "Without a code", f"The {thing} was bought, but no code came in time.")
        case Status.CANCELLED:
            return Answer("idle", "Cancelled", "The caller or an operator cancelled it.")
        case _:
            return Answer("bad", "No", _sentence(order.error_message or str(order.error or "it failed")))


def did_it_rent(rental: Rental) -> Answer:
    """How far a rental came."""
    came = f"{_count(len(rental.messages), 'message')} came"
    match rental.status:
        case RentalStatus.QUEUED | RentalStatus.BUYING:
            return _before_it_is_bought(rental)
        case RentalStatus.ACTIVE:
            renewal = RENEWALS[rental.renewal.state] if rental.renewal else ""
            return Answer("good", "Yes", f"The number is rented; {came} so far. {renewal}".rstrip())
        case RentalStatus.ENDED:
            return Answer("good", "Yes", f"Its time is over; {came}.")
        case _:
            return Answer("bad", "No", _sentence(rental.error_message or str(rental.error or "it failed")))


RENEWALS: Mapping[str, str] = {
    RenewalState.ASKED: "A renewal is waiting to be bought.",
    RenewalState.SENT: "A renewal may be on its way to the provider.",
    RenewalState.DONE: "It was renewed.",
    RenewalState.REFUSED: "The last renewal was not bought.",
    RenewalState.UNKNOWN: "It is unclear whether the last renewal was bought.",
}
"""What happened to the last renewal."""


def _before_it_is_bought(order: Acquisition) -> Answer:
    if order.status == Status.BUYING:
        return Answer("busy", "Buying", "A purchase may be on its way to the provider.")
    if order.attempts:
        tries = _count(order.attempts, "purchase")
        return Answer("busy", "Not yet", f"{tries} without success so far; retried until the buy budget is spent.")
    return Answer("idle", "Not yet", "It is accepted, but nothing has been bought yet.")


def is_it_stuck(order: Acquisition, wake: Wake | None, events: Sequence[Event], now: float) -> Answer:
    """Whether somebody still has to do something, and when it is done next."""
    undelivered = [one for one in events if one.status not in (EventStatus.DELIVERED, EventStatus.RECORDED)]
    if wake is not None and wake.at is not None and now - wake.at > LATE:
        late = f"It is due in {wake.lane} and {now - wake.at:.0f} s late: no worker has taken it up."
        return Answer("bad", "Yes", f"{late} Check the workers.")
    if wake is None and not order.ended:
        return Answer("bad", "Yes", "It is open but has lost its wake-up; a worker will give it a new one.")
    if undelivered:
        return _webhook_stuck(undelivered[0], now)
    if wake is not None and wake.at is None:
        return Answer("busy", "No", "It is waiting for its turn; callers take turns at buying.")
    if wake is not None and wake.at is not None:
        return Answer("busy", "No", f"A worker will look at it in {max(0.0, wake.at - now):.0f} s ({wake.lane}).")
    pushed = any(one.status is EventStatus.DELIVERED for one in events)
    told = "Its webhooks were acknowledged." if pushed else "It has no webhooks to send."
    return Answer("good", "No", f"It has ended. {told}")


def _webhook_stuck(event: Event, now: float) -> Answer:
    error = answered(event)
    if event.status is EventStatus.GONE:
        return Answer("odd", "Not wanted", f"The receiver responded to {event.type} with 410, so it is not retried.")
    if event.status is EventStatus.EXHAUSTED:
        tries = _count(len(event.attempts), "attempt")
        return Answer(
            "bad", "Given up", f"{event.type} was given up after {tries}; the last one got {error}. Redeliver it."
        )
    if error is None:
        return Answer("busy", "No", f"{event.type} is on its way.")
    wait = max(0.0, (event.due_at or now) - now)
    return Answer("odd", "Webhook fails", f"{event.type} got {error}; it is tried again in {wait:.0f} s.")


def where_is_the_money(order: Order) -> Answer:
    """What became of it, by the provider's word alone."""
    price = order.purchase.price if order.purchase else None
    worth = f"{price} PKR" if price is not None else "Its price (not named by the provider)"
    match order.settlement:
        case Settlement.NONE if order.status in (Status.QUEUED, Status.BUYING):
            return Answer("idle", "Unspent", "Nothing has been bought so far.")
        case Settlement.NONE:
            return Answer("good", "Unspent", "Nothing was bought.")
        case Settlement.PENDING:
            return Answer("busy", "Spent, open", f"{worth} is with the provider; the finish or refund is yet to come.")
        case Settlement.FINISHED:
            return Answer("good", "Spent", f"{worth} was paid for a code that arrived.")
        case Settlement.UNCONFIRMED if not order.doubtful:
            return Answer("odd", "Spent", f"{worth} was paid for a code that arrived; the finish was not confirmed.")
        case Settlement.REFUNDED:
            return Answer("good", "Refunded", f"{worth} came back: the provider confirmed the cancel.")
        case _:
            return Answer("bad", "In doubt", _doubt(order))


def where_is_the_rent(rental: Rental) -> Answer:
    """What became of a rental's money, which never comes back."""
    price = rental.purchase.price if rental.purchase else None
    worth = f"{price} PKR" if price is not None else "Its price (unknown)"
    match rental.settlement:
        case Settlement.NONE:
            return Answer("idle" if rental.queued or rental.buying else "good", "Unspent", "Nothing has been rented.")
        case Settlement.CHARGED:
            more = " Each renewal was paid for as well." if rental.renewals else ""
            return Answer("good", "Spent", f"{worth} was paid. A rental is never refunded.{more}")
        case _:
            return Answer("bad", "In doubt", _doubt(rental))


def _doubt(order: Acquisition) -> str:
    if order.error is ErrorCode.RENEWAL_UNKNOWN:
        return "A renewal may have been charged. Reconcile, then ask the provider."
    if order.error is ErrorCode.PURCHASE_UNKNOWN:
        return Alert.PURCHASE_UNKNOWN.meaning + " Reconcile, then ask the provider."
    return Alert.SETTLEMENT_UNCONFIRMED.meaning + " Reconcile, then ask the provider for it."


def advice_on(flags: Iterable[str]) -> Mapping[str, str]:
    """What an order's flags mean and ask for."""
    known = {**{alert.value: f"{alert.meaning} {_sentence(alert.advice)}" for alert in Alert}, **_FLAGS}
    return {flag: known.get(flag, _ODD) for flag in flags}


_ODD = "Something in the provider's reply was odd, but the reply was understood."
_FLAGS = {
    "otp_erased": "There was a code; it has been erased.",
    MESSAGES_ERASED: "There were messages; their contents have been erased.",
    "address_erased": "There was an address; it has been erased.",
    "late_code": "A code came after the order had ended. It is kept but was not delivered.",
    "adopted_late": "The purchase succeeded after it had been given up; the number is being given back.",
}


def percentile(buckets: Mapping[str, float], share: float) -> str | None:
    """The upper end under which so large a share of the times lies, in words; None without any."""
    total = sum(buckets.values())
    if not total:
        return None
    passed = 0.0
    for end in sorted(buckets, key=lambda one: float(one.replace("+Inf", "inf"))):
        passed += buckets[end]
        if passed >= share * total:
            return "over 5 minutes" if end == "+Inf" else f"≤ {end} s"
    return None


def summed(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Their sum; None when no price is known at all."""
    known = [one for one in amounts if one is not None]
    return sum(known, Decimal(0)) if known else None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
