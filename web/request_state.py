"""One request on its way through the web: what its log line and its answer's headers are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import request

if TYPE_CHECKING:
    from web.api.rate_limits import Quota
    from worker.caller import Caller
    from worker.tracing import Origin

_NAME = "ringback.request_state"


@dataclass(slots=True)
class RequestState:
    """What is known of one request so far; `line` holds the ids that its log line names."""

    request_id: str
    route: str = "-"
    line: dict[str, Any] = field(default_factory=dict)
    caller: Caller | None = None
    quota: Quota | None = None
    origin: Origin | None = None
    """This request's span: what it causes is below it."""
    held: float = 0.0
    """Seconds for which the answer was held back because the caller asked for it (`?wait=`)."""

    def put_into(self, environ: dict[str, Any]) -> None:
        """Go along with a request."""
        environ[_NAME] = self


def request_state() -> RequestState:
    """The state of this request."""
    state: RequestState = request.environ[_NAME]
    return state
