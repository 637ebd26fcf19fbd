"""What can go wrong, as a tree: catch the class that says what you would do about it.

RingbackError
├── BadSignature           the webhook did not come from your ringback: respond with 400, and do not trust it
├── OrderEnded             the order ended without what you waited for; `order` says how
│   ├── NoNumber           nothing was bought
│   └── NoCode             no code came, or it has already been erased
├── NotInTime              what you waited for may still come; `order` is its last known state (a TimeoutError)
├── ConnectionFailed       no complete response, despite retries: the network or the service is down
├── UnexpectedAnswer       the response is not from ringback, or from one that breaks its promises
└── Problem                the service refused; `code` is stable and made for programs
    ├── Unauthorized       401: the key is wrong or revoked
    ├── NotFound           404: it does not exist, or belongs to another caller
    ├── Conflict           409: it conflicts with the current state
    ├── Gone               410: the event is no longer kept; follow from the oldest that is (`after=None`)
    ├── InvalidFields      422: `errors` names every bad field
    ├── RateLimited        429: a limit is reached; `retry_after` says for how long
    └── ServiceFailed      500 and above: not your fault
        └── Unavailable    502, 503, 504: not available now; it was retried until the call's deadline
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback.models import Order


class RingbackError(Exception):
    """The base of all errors about the service and its responses. Can be pickled, as job queues do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[RingbackError], args: tuple[Any, ...], state: dict[str, Any]) -> RingbackError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class BadSignature(RingbackError):
    """A webhook that must not be trusted; the message says why."""


class OrderEnded(RingbackError):
    """An order ended without what you waited for."""

    def __init__(self, order: Order, what: str) -> None:
        why = f": {order.error.code}" if order.error else ""
        super().__init__(f"order {order.id} ended as {order.status} without {what}{why}")
        self.order = order


class NoNumber(OrderEnded):
    """The order ended before it had a number or an address."""

    def __init__(self, order: Order) -> None:
        super().__init__(order, "a number")


class NoCode(OrderEnded):
    """The order ended without a code, or its code has been erased."""

    def __init__(self, order: Order) -> None:
        super().__init__(order, "a code that can still be read")


class NotInTime(RingbackError, TimeoutError):
    """The timeout is over, the order is not; `order` is its last known state, or None."""

    def __init__(self, what: str, seconds: float, order: Order | None = None) -> None:
        super().__init__(f"{what} did not come within {seconds:g} s")
        self.order = order


class ConnectionFailed(RingbackError):
    """There was no complete response; `__cause__` is the last error of the connection.

    `idempotency_key` is what the call was sent with: repeat the call with it, and nothing is bought twice.
    """

    def __init__(self, message: str, idempotency_key: str | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class UnexpectedAnswer(RingbackError):
    """A response that is not what the API promises: is the address that of ringback?"""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request."""

    field: str
    code: str
    message: str


class Problem(RingbackError):
    """An error response, as RFC 9457 defines it.

    `status` is the HTTP status, `code` the stable word for programs, `detail` is for people. `errors` are the bad
    fields of a 422. `retry_after` is in seconds, or None if the response has none. `request_id` finds the request in
    the service's log. `idempotency_key` is the key that the call was sent with, if any.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        fields = "; ".join(f"{one.field}: {one.message}" for one in errors)
        super().__init__(f"{status} {code}: {detail}" + (f" ({fields})" if fields else ""))
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.request_id = request_id
        self.idempotency_key = idempotency_key


class Unauthorized(Problem):
    """401: there is no API key, or it is unknown or revoked."""


class NotFound(Problem):
    """404: it does not exist, or belongs to another caller."""


class Conflict(Problem):
    """409: the request conflicts with the current state."""


class Gone(Problem):
    """410: the event to continue from is no longer kept."""


class InvalidFields(Problem):
    """422: `errors` names every bad field."""


class RateLimited(Problem):
    """429: a limit of rate, number or money is reached; `code` says which."""


class ServiceFailed(Problem):
    """500 and above: the service failed."""


class Unavailable(ServiceFailed):
    """502, 503, 504: the service is not available now."""


_CLASSES: dict[int, type[Problem]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: InvalidFields,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_class(status: int) -> type[Problem]:
    """The class of an error response by its HTTP status."""
    return _CLASSES.get(status, ServiceFailed if status >= 500 else Problem)
