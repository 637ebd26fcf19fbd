"""What a request can reach: the parts that requests share, and who is asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, current_app

from web.api.callbacks import Callbacks
from web.api.keyring import KeyRing
from web.api.long_poll import LongPoll
from web.api.provider_servers import ProviderServers
from web.api.rate_limits import RateLimits
from web.request_state import request_state
from worker.caller import Caller
from worker.metrics import Counters
from worker.provider.products import Products
from worker.settings import Settings
from worker.store import Store

_NAME = "ringback"


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that requests share in one process. `clock` gives epoch seconds."""

    settings: Settings
    store: Store
    keys: KeyRing
    callbacks: Callbacks
    limits: RateLimits
    waiting: LongPoll
    servers: ProviderServers
    clock: Callable[[], float]
    counters: Counters
    products: Products


def install(app: Flask, shared: Parts) -> None:
    """Give the application its parts."""
    app.extensions[_NAME] = shared


def parts() -> Parts:
    """The parts of the application that serves this request."""
    found: Parts = current_app.extensions[_NAME]
    return found


def current_caller() -> Caller:
    """Who is asking; only for requests that were authenticated."""
    caller = request_state().caller
    assert caller is not None  # noqa: S101 - without a caller nothing under /v1 gets this far
    return caller
