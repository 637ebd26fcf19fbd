"""Following a caller's events and handing each to a local address: what `ringback listen` does.

Only outbound connections are made. An event counts as forwarded once the local address has answered it, whatever the
answer; the id of the last one is kept in a file, and the walk goes on from there. Each page is signed when it is
read, so what had to wait is read again: its signature is never older than a receiver puts up with.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

from worker.cli.api import HOLD, Refused
from worker.errors import RingbackError
from worker.local.processes import read_json, write_private

FIRST = "first"
"""What stands for the first event that is kept."""
LOOK_BACK = 300.0
"""Seconds before its first start from which a listener forwards what has happened."""
FRESH = 60.0
"""Seconds for which what was read is forwarded; receivers refuse signatures older than five minutes."""
PAGE = 20
"""Events read at once."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0
"""Seconds before a second try, doubling up to the longest."""
BREATH = 0.5
"""Seconds until the next look at a feed that was empty and did not hold its answer."""
LOCAL_DEADLINE = 60.0
"""Seconds without an answer from the local address after which an event is sent again."""
GONE, TOO_MANY = 410, 429


class Feed(Protocol):
    """What reads events (`worker.cli.api.Api`)."""

    url: str

    def events(self, **query: str | int) -> dict[str, Any]: ...


class PlaceLost(RingbackError):
    """The place in the feed cannot be remembered."""


class Place:
    """The file that keeps which event was forwarded last: one per service, key and local address."""

    def __init__(self, folder: Path, *parts: str) -> None:
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        self._path = folder / f"listen-{digest[:16]}.json"

    def read(self) -> str | None:
        """The last event's id; None before the first."""
        last = read_json(self._path).get("last")
        return last if isinstance(last, str) else None

    def keep(self, event_id: str) -> None:
        """Remember an event as forwarded. Raises PlaceLost."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._path, json.dumps({"last": event_id}))
        except OSError as error:
            why = f"{self._path.parent} is not writable ({type(error).__name__})"
            raise PlaceLost(f"{why}: set XDG_STATE_HOME to a folder that is") from None


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One event that the local address has answered; `duration` is in seconds."""

    id: str
    type: str
    order: str | None
    status: int
    duration: float

    @property
    def acknowledged(self) -> bool:
        """Whether the service would have counted it as delivered."""
        return 200 <= self.status < 300


class Local:
    """The local address. `post` raises httpx.HTTPError when nothing answers."""

    def __init__(self, url: str, agent: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._agent = agent
        self._target = _target(url)
        self._http = httpx.Client(timeout=LOCAL_DEADLINE, trust_env=False, transport=transport)

    def post(self, event: Mapping[str, Any]) -> Forwarded:
        """Send an event as its webhook is sent: the same bytes, the same headers, the path and query as given."""
        began = time.monotonic()
        answer = self._http.post(
            self.url, content=event["payload"].encode(),
            headers={**event["headers"], "content-type": "application/json", "user-agent": self._agent},
            extensions={"target": self._target},
        )  # fmt: skip
        took = time.monotonic() - began
        return Forwarded(event["id"], event["type"], event.get("order"), answer.status_code, took)

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()


def _target(url: str) -> bytes:
    """Path and query to the letter: a client's own idea of a tidy address is not what a developer typed."""
    after_scheme = url.partition("://")[2].partition("#")[0]
    places = [at for at in (after_scheme.find(char) for char in "/?") if at >= 0]
    resource = after_scheme[min(places) :] if places else "/"
    return (resource if resource.startswith("/") else "/" + resource).encode()


class Listener:
    """Reads, forwards and remembers, for ever. `show` is given what was forwarded, `tell` what else is to be known.

    `wants` are the types of events that are forwarded; None: all.
    """

    def __init__(
        self,
        feed: Feed,
        local: Local,
        place: Place,
        *,
        show: Callable[[Forwarded], None],
        tell: Callable[[str], None],
        wants: Container[str] | None = None,
        exit_after: str | None = None,
        since: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._feed = feed
        self._local = local
        self._place = place
        self._show = show
        self._tell = tell
        self._wants = wants
        self._exit_after = exit_after
        self._since = since
        self._sleep = sleep
        self._clock = clock
        self._connected = False

    def run(self) -> Forwarded:
        """Forward events until one of the type `exit_after` was; without it, for ever.

        Raises Refused when it gives up: a wrong or revoked key, an address that is no ringback, `since` long gone.
        """
        after = self._beginning()
        while True:
            asked = self._clock()
            page = self._page(after)
            after, last = self._forward(page, after)
            if last is not None:
                return last
            if not page and self._clock() - asked < BREATH:
                self._sleep(BREATH)

    # Reading.

    def _beginning(self) -> str:
        """The event to go on from: as asked, as remembered, else what lies a little before the first start."""
        if self._since is not None:
            return "" if self._since == FIRST else self._since
        remembered = self._place.read()
        if remembered is None:
            remembered = self._a_little_ago()
            self._place.keep(remembered)
        return remembered

    def _a_little_ago(self) -> str:
        horizon, cursor = self._clock() - LOOK_BACK, ""
        while True:
            page = self._asked(limit=100, **({"cursor": cursor} if cursor else {}))
            for event in page["data"]:
                if datetime.fromisoformat(event["created_at"]).timestamp() < horizon:
                    return str(event["id"])
            cursor = page["next_cursor"] or ""
            if not cursor:
                return ""

    def _page(self, after: str) -> list[dict[str, Any]]:
        """What came after an event, once something has."""
        try:
            page = self._asked(after=after, payload="true", limit=PAGE, wait=HOLD if self._connected else 0)
        except Refused as refused:
            if refused.status != GONE or self._since is not None:
                raise
            self._tell(
                f"{after} is no longer kept: this listener was away for too long. Continuing with the oldest that is"
            )
            return self._page("")
        return list(page["data"])

    def _asked(self, **query: str | int) -> dict[str, Any]:
        """An answer, however long it takes to get one; only a `Refused` that will stay is raised."""
        wait = FIRST_WAIT
        while True:
            try:
                page = self._feed.events(**query)
            except Refused as refused:
                if not refused.passing:
                    raise
                self._lost(refused, first=wait == FIRST_WAIT)
                query = {**query, "wait": 0} if "wait" in query else query
                self._sleep(refused.retry_after or wait)
                wait = min(LONGEST_WAIT, wait * 2)
            else:
                if not self._connected:
                    self._tell(f"connected to {self._feed.url}, forwarding to {self._local.url}")
                self._connected = True
                return page

    def _lost(self, refused: Refused, *, first: bool) -> None:
        """Say once that the connection is gone; an answer that is only not held is none to speak of."""
        if refused.status == TOO_MANY:
            return
        if self._connected or first:
            self._tell(f"{refused} (trying again until it responds)")
        self._connected = False

    # Forwarding.

    def _forward(self, page: list[dict[str, Any]], after: str) -> tuple[str, Forwarded | None]:
        """Forward a page while its signatures are fresh. Returns the last event done with, and the one to end after."""
        read_at = self._clock()
        for event in page:
            if self._wants is None or event["type"] in self._wants:
                if self._clock() - read_at > FRESH:
                    break
                done = self._posted(event)
                if done is None:
                    break
                self._show(done)
                if event["type"] == self._exit_after:
                    self._place.keep(event["id"])
                    return event["id"], done
            after = event["id"]
            self._place.keep(after)
        return after, None

    def _posted(self, event: dict[str, Any]) -> Forwarded | None:
        """The local address's answer; None when there was none for so long that the event has to be read again."""
        until, wait, told = self._clock() + FRESH, FIRST_WAIT, False
        while self._clock() < until:
            with suppress(httpx.HTTPError):
                return self._local.post(event)
            if not told:
                self._tell(
                    f"nothing responds at {self._local.url}: {event['type']} {event['id']} waits until something does"
                )
                told = True
            self._sleep(wait)
            wait = min(LONGEST_WAIT, wait * 2)
        return None
