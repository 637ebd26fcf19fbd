"""What a request can reach: the door's parts, and who is asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask, current_app

from web.limits import Limits
from web.passage import passage
from web.waiting import Waiting
from worker.callers import Caller
from worker.settings import Settings
from worker.store import Store

if TYPE_CHECKING:
    from web.auth import KeyRing
    from web.callbacks import Callbacks

_NAME = "ringback"


@dataclass(frozen=True, slots=True)
class Door:
    """Everything that requests share in one process. `clock` gives epoch seconds."""

    settings: Settings
    store: Store
    keys: KeyRing
    callbacks: Callbacks
    limits: Limits
    waiting: Waiting
    clock: Callable[[], float]


def install(app: Flask, door: Door) -> None:
    """Give the application its parts."""
    app.extensions[_NAME] = door


def the_door() -> Door:
    """The parts of the application that serves this request."""
    door: Door = current_app.extensions[_NAME]
    return door


def the_caller() -> Caller:
    """Who is asking; only for requests that were authenticated."""
    caller = passage().caller
    assert caller is not None  # noqa: S101 - without a caller nothing under /v1 gets this far
    return caller
