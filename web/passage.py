"""One request on its way through the door: what its log line and its answer's headers are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import request

if TYPE_CHECKING:
    from web.limits import Quota
    from worker.callers import Caller

_NAME = "ringback.passage"


@dataclass(slots=True)
class Passage:
    """What is known of one request so far; `line` holds the ids that its log line names."""

    request_id: str
    route: str = "-"
    line: dict[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    quota: Quota | None = None

    def put_into(self, environ: dict[str, Any]) -> None:
        """Go along with a request."""
        environ[_NAME] = self


def passage() -> Passage:
    """The passage of this request."""
    it: Passage = request.environ[_NAME]
    return it
