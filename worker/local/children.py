"""Running several processes as one: what dies comes back, what runs stops together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from worker.local.processes import ends_with_parent

ROOT = Path(__file__).resolve().parents[2]
"""Where the packages lie: the checkout, or the folder that they are installed in."""

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Seconds before a child that died is started again: doubled each time, from the first to the longest."""
STEADY = 10.0
"""Seconds after which a child counts as running well: its next restart waits the shortest time again."""
GRACE = 30.0
"""Seconds between TERM and KILL: a worker finishes the calls it has out, a buy among them."""
TICK = 0.1
"""Seconds between two looks at the children."""

COLOURS = ("36", "35", "33", "32", "34")


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running. `env` comes on top of ours; None takes a name away.

    `ready_url`: it counts as ready once this address answers with a 2xx.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    stop_grace: float = GRACE
    ready_url: str | None = None


class Supervisor:
    """Starts children, starts them again when they die, prefixes their output, stops them together."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        out: TextIO | None = None,
        on_ready: Callable[[], None] = lambda: None,
        each_tick: Callable[[], object] = lambda: None,
    ) -> None:
        self._out = out or sys.stdout
        self._on_ready = on_ready
        self._each_tick = each_tick
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._printing = threading.Lock()
        self._watched = [_Watched(child, self._printer(child, place)) for place, child in enumerate(children)]
        self._width = max((len(child.name) for child in children), default=0)

    def run(self) -> int:
        """Run until asked to stop (`stop`, Ctrl-C, TERM; a second time: at once). Returns the exit code."""
        before = self._take_signals()
        try:
            self._watch()
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def stop(self) -> None:
        """Ask for the end; a second call does not wait for the children."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _watch(self) -> None:
        waiting = True
        while not self._stop.is_set():
            for watched in self._watched:
                watched.keep_running(time.monotonic())
            self._each_tick()
            if waiting and all(watched.is_ready() for watched in self._watched):
                waiting = False
                self._on_ready()
            self._stop.wait(TICK)

    def _stop_all(self) -> None:
        for watched in self._watched:
            watched.signal(signal.SIGTERM)
        asked = time.monotonic()
        for watched in self._watched:
            while watched.lives() and not self._hurry.is_set() and time.monotonic() < asked + watched.child.stop_grace:
                time.sleep(TICK / 2)
            watched.finish()

    def _take_signals(self) -> dict[int, Callable[[int, FrameType | None], object] | int | None]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        asked = (signal.SIGINT, signal.SIGTERM)
        return {number: signal.signal(number, lambda *_: self.stop()) for number in asked}

    def _printer(self, child: Child, place: int) -> Callable[[str], None]:
        colour = COLOURS[place % len(COLOURS)] if self._out.isatty() else ""

        def say(line: str) -> None:
            prefix = f"{child.name:<{self._width}} | "
            with self._printing, contextlib.suppress(OSError, ValueError):
                print(
                    f"\x1b[{colour}m{prefix}\x1b[0m{line}" if colour else prefix + line,
                    file=self._out,
                    flush=True,
                )

        return say


class _Watched:
    """One child and what became of it so far."""

    def __init__(self, child: Child, say: Callable[[str], None]) -> None:
        self.child = child
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._started = 0.0
        self._start_at = 0.0
        self._wait = FIRST_WAIT
        self._ready = child.ready_url is None

    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def keep_running(self, now: float) -> None:
        """Notice a death, and start (again) when its time has come."""
        if self.lives():
            return
        if self._process is not None:
            if now - self._started >= STEADY:
                self._wait = FIRST_WAIT
            code = self._process.returncode
            ending = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            self._hold_off(now, f"ended with {ending}")
            self.finish()
        if now >= self._start_at:
            self._start(now)

    def _hold_off(self, now: float, why: str) -> None:
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        self._start_at = now + wait
        self._say(f"{why}; again in {wait:g} s")

    def _start(self, now: float) -> None:
        self._started = now
        try:
            self._process = self._spawn()
        except OSError as error:
            self._hold_off(now, f"cannot be started ({error.strerror})")
            return
        self._reader = threading.Thread(target=self._pass_on, args=(self._process,), daemon=True)
        self._reader.start()

    def _spawn(self) -> subprocess.Popen[str]:
        env = {**os.environ, **self.child.env}
        return subprocess.Popen(
            list(self.child.argv),
            env={name: value for name, value in env.items() if value is not None},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the others in order
            preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
        )

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
        with contextlib.suppress(ValueError):
            for line in process.stdout:
                self._say(line.rstrip("\n"))

    def is_ready(self) -> bool:
        """Whether it has been ready once."""
        if not self._ready and self.lives():
            self._ready = answers(self.child.ready_url or "")
        return self._ready

    def signal(self, number: signal.Signals) -> None:
        if self._process and self.lives():
            self._process.send_signal(number)

    def finish(self) -> None:
        """Kill what is left of it, its own children included, and forget it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._reader:
            self._reader.join(timeout=1)
        self._process = self._reader = None


def answers(url: str, timeout: float = 0.5) -> bool:
    """Whether the address answers with a 2xx."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def run(children: Sequence[Child]) -> int:
    """Supervise until Ctrl-C or TERM; returns the exit code."""
    return Supervisor(children).run()
