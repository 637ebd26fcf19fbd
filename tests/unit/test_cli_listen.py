"""`ringback listen`: in order, to the byte, nothing lost, whoever is away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.builders import NOW
from tests.fakes import ManualClock
from worker.cli import app
from worker.cli.api import Refused
from worker.cli.listening import FRESH, Forwarded, Listener, Local, Place
from worker.order import rfc3339

HOOK = "http://127.0.0.1:5050/hooks/a%2Fb/../c?x=%20y&x=2"
AWAY = Refused("http://ringback.test does not answer")


class Feed:
    """A feed that holds events and, before its answers, what is scripted: an error to raise, or a call."""

    url = "http://ringback.test"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.kept: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.script: list[Refused | Callable[[], None] | None] = []

    def add(self, *numbers: int, type: str = "order.otp_received", at: float | None = None) -> None:
        """Let events happen."""
        for n in numbers:
            moment = rfc3339(self.clock() if at is None else at)
            self.kept.append({"id": f"evt_{n}", "type": type, "order": "ord_1", "created_at": moment})

    def events(self, **query: str | int) -> dict[str, Any]:
        """A page, signed at this moment."""
        self.asked.append(query)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Refused):
            raise step
        if step is not None:
            step()
        if "after" not in query:
            return {"data": self.kept[::-1], "next_cursor": None}
        ids = ["", *(one["id"] for one in self.kept)]
        if query["after"] not in ids:
            raise Refused("gone", 410)
        page = self.kept[ids.index(str(query["after"])) :][:20]
        if not page:
            raise KeyboardInterrupt  # the end of a test's play: a real feed would hold its answer
        return {"data": [self._signed(one) for one in page], "next_cursor": None}

    def _signed(self, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "payload": f'{{"é":"{one["id"]}"}}', "headers": {"webhook-timestamp": str(int(self.clock()))}}


class Play:
    """A listener between a scripted feed and a scripted local address."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.feed = Feed(clock)
        self.folder = folder
        self.requests: list[httpx.Request] = []
        self.shown: list[Forwarded] = []
        self.told: list[str] = []
        self.answers: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(204)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers(request)
        self.requests.append(request)
        return answer

    def listen(self, **options: Any) -> Forwarded | None:
        """Listen until everything is forwarded, or until the listener ends by itself."""
        local = Local(HOOK, "ringback/test", httpx.MockTransport(self._handle))
        listener = Listener(
            self.feed, local, Place(self.folder, "url", "key", HOOK), show=self.shown.append, tell=self.told.append,
            sleep=self.clock.advance, clock=self.clock, **options,
        )  # fmt: skip
        try:
            return listener.run()
        except KeyboardInterrupt:
            return None

    def ids(self) -> list[str]:
        """The events forwarded so far."""
        return [one.id for one in self.shown]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path, ManualClock(NOW))


def failing(times: int) -> Callable[[httpx.Request], httpx.Response]:
    """A local address that is not up for so many tries."""
    left = times

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal left
        left -= 1
        if left >= 0:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(204)

    return answer


def test_event_arrives_as_its_webhook_would(play):
    """The exact bytes, the caller's headers, and path and query to the letter."""
    play.feed.add(1)
    play.listen()
    (request,) = play.requests
    assert request.content == '{"é":"evt_1"}'.encode()
    assert request.headers["webhook-timestamp"] == str(int(NOW))
    assert request.headers["content-type"] == "application/json"
    assert request.extensions["target"] == b"/hooks/a%2Fb/../c?x=%20y&x=2"


def test_connected_is_said_after_an_answer_only(play):
    """While the service does not answer, one line says so; the first answer is the connection."""
    play.feed.add(1)
    play.feed.script = [AWAY, AWAY, AWAY]
    play.listen()
    assert [line.partition(" ")[0] for line in play.told] == ["http://ringback.test", "connected"]
    assert "does not answer (trying again" in play.told[0]
    assert play.ids() == ["evt_1"]


def test_restarted_service_loses_nothing(play):
    """Whatever happened while it was away is read when it is back."""
    play.feed.add(1)
    play.feed.script = [None, None, Refused("refused with 503", 503, 2.0), lambda: play.feed.add(2, 3)]
    play.listen()
    assert play.ids() == ["evt_1", "evt_2", "evt_3"]
    assert [line.partition(" ")[0] for line in play.told] == ["connected", "refused", "connected"]


def test_restarted_listener_goes_on_after_the_last_event_forwarded(play):
    """What was forwarded does not come again; what happened meanwhile does."""
    play.feed.add(1, 2)
    play.listen()
    play.feed.add(3, 4)
    play.listen()
    assert play.ids() == ["evt_1", "evt_2", "evt_3", "evt_4"]


def test_local_address_that_is_not_up_gets_everything_later(play):
    """The event is kept and sent again; one clear line says what waits."""
    play.feed.add(1, 2)
    play.answers = failing(3)
    play.listen()
    assert play.ids() == ["evt_1", "evt_2"]
    assert [line for line in play.told if line.startswith("nothing responds at http://127.0.0.1:5050")] == play.told[1:]
    assert "order.otp_received evt_1 waits" in play.told[1]


def test_what_waited_for_long_is_signed_anew(play):
    """A receiver refuses old signatures: after a minute the event is read again."""
    play.feed.add(1)
    play.answers = failing(20)
    play.listen()
    assert play.ids() == ["evt_1"]
    assert play.clock() - int(play.requests[-1].headers["webhook-timestamp"]) <= FRESH


def test_rest_of_a_page_is_read_again_when_it_has_grown_old(play):
    """A slow receiver never sees a signature older than a minute."""

    def slow(_: httpx.Request) -> httpx.Response:
        play.clock.advance(25)
        return httpx.Response(204)

    play.feed.add(*range(10))
    play.answers = slow
    play.listen()
    assert play.ids() == [f"evt_{n}" for n in range(10)]
    signed = [int(one.headers["webhook-timestamp"]) for one in play.requests]
    assert all(NOW + 25 * n - at <= FRESH for n, at in enumerate(signed))


def test_killed_before_the_first_event_keeps_its_place(play):
    """The place is kept from the first answer on, so that a later start does not begin later."""
    play.feed.add(1, at=NOW - 4000)
    play.listen()
    assert play.ids() == []
    play.feed.add(2)
    play.clock.advance(4000)
    play.feed.add(3)
    play.listen()
    assert play.ids() == ["evt_2", "evt_3"]


def test_first_start_begins_a_little_earlier(play):
    """Whoever orders and listens a moment later misses nothing, and is not flooded by what is old."""
    play.feed.add(1, at=NOW - 4000)
    play.feed.add(2, at=NOW - 200)
    play.feed.add(3)
    play.listen()
    assert play.ids() == ["evt_2", "evt_3"]


@pytest.mark.parametrize(("since", "ids"), [("first", ["evt_1", "evt_2", "evt_3"]), ("evt_2", ["evt_3"])])
def test_since_says_where_to_begin(play, since, ids):
    """`--since` outranks what is remembered."""
    play.feed.add(1, 2, 3)
    play.listen()
    play.shown.clear()
    play.listen(since=since)
    assert play.ids() == ids


def test_place_that_is_no_longer_kept_is_said(play):
    """Away for longer than events are kept: a line says so, and it goes on."""
    play.feed.add(1)
    play.listen()
    play.feed.kept.clear()
    play.feed.add(7, 8)
    play.listen()
    assert play.ids() == ["evt_1", "evt_7", "evt_8"]
    assert [line for line in play.told if "evt_1 is no longer kept" in line]


def test_since_that_is_no_longer_kept_ends_it(play):
    """Asked for by hand, it is an error."""
    with pytest.raises(Refused):
        play.listen(since="evt_0")


def test_only_wanted_types_are_forwarded_and_the_rest_is_passed(play):
    """What is not wanted does not come later either."""
    play.feed.add(1, type="order.number_assigned")
    play.feed.add(2)
    play.feed.add(3, type="order.failed")
    play.listen(wants={"order.otp_received"})
    play.listen()
    assert play.ids() == ["evt_2"]


@pytest.mark.parametrize(("status", "acknowledged"), [(204, True), (500, False)])
def test_it_ends_after_the_type_asked_for(play, status, acknowledged):
    """The event is forwarded first, and the next start goes on behind it."""
    play.feed.add(1, type="order.number_assigned")
    play.feed.add(2, 3)
    play.answers = lambda _: httpx.Response(status)
    last = play.listen(exit_after="order.otp_received")
    assert (last.id, last.acknowledged) == ("evt_2", acknowledged)
    play.listen()
    assert play.ids() == ["evt_1", "evt_2", "evt_3"]


def test_answer_that_cannot_be_held_is_nothing_to_speak_of(play):
    """Too many held answers: it asks again without a word."""
    play.feed.add(1)
    play.feed.script = [None, Refused("too many", 429, 1.0)]
    play.listen()
    assert play.ids() == ["evt_1"]
    assert len(play.told) == 1


# The command.


def run(*arguments: str, key: str = "rbk_x") -> Any:
    environ = {"RINGBACK_API_KEY": key, "RINGBACK_URL": "http://127.0.0.1:9"}
    return CliRunner().invoke(app, ["listen", *arguments], env=environ)


def test_wrong_key_ends_with_one_clear_line(monkeypatch, tmp_path):
    """It gives up at once, with exit code 1 and no stack trace."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def refuse(*_: Any, **__: Any) -> None:
        raise Refused("refused with 401 unauthorized: this API key is unknown or revoked", 401)

    monkeypatch.setattr("worker.cli.api.Api.events", refuse)
    result = run("--forward-to", HOOK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "refused with 401 unauthorized: this API key is unknown or revoked\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--forward-to", "ftp://x"], "must be an address like"),
        (["--forward-to", "http://127.0.0.1:99999/"], "must be an address like"),
        (["--forward-to", HOOK, "--events", "order.odd"], "unknown event type: order.odd"),
        (["--forward-to", HOOK, "--exit-after", "nothing"], "unknown event type: nothing"),
    ],
)
def test_bad_option_is_a_usage_error(arguments, said):
    """What cannot be meant is said before anything is asked."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_place_that_cannot_be_kept_is_said(monkeypatch, tmp_path):
    """A folder that cannot be written ends it before anything is forwarded."""
    (tmp_path / "ringback").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("worker.cli.api.Api.events", lambda *_, **__: {"data": [], "next_cursor": None})
    result = run("--forward-to", HOOK)
    assert result.exit_code == 1
    assert "set XDG_STATE_HOME" in result.stderr
