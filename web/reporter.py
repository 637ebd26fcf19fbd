"""Hands a web process's metrics over to the store once a second, from its first request to its end."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from worker.errors import StoreUnavailable


class Reporter:
    """A thread that is started with the first request: by then a server that forks has done so."""

    def __init__(self, report: Callable[..., None], every: float) -> None:
        """`report` hands over, with `last=True` for the last time; `every` is in seconds."""
        self._report = report
        self._every = every
        self._process = 0
        self._ended = threading.Event()

    def start(self) -> None:
        """Start, unless this process has started it already."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        atexit.register(self.end)
        threading.Thread(target=self._run, name="ringback-report", daemon=True).start()

    def end(self) -> None:
        """Hand over what is left."""
        self._ended.set()
        with suppress(StoreUnavailable):
            self._report()
            self._report(last=True)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            with suppress(StoreUnavailable):
                self._report()
