"""Debian's chromium, driven by Playwright, on a console that is served in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright
from werkzeug.serving import make_server

from tests.browser.chromium import FLAGS, find_chromium
from tests.conftest import must_be_real
from tests.console_stage import Console, furnished
from tests.fakes import ManualClock, fakeredis_follows
from worker.operator import Role

PHONE = ViewportSize(width=360, height=740)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the file: its event loop must end before others run theirs. A skip or a failure without one."""
    program = find_chromium()
    if program is None:
        missing = pytest.fail if must_be_real() else pytest.skip
        missing("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """A console with a bit of everything in its store; the clock stands still."""
    clock = ManualClock()
    with fakeredis_follows(clock):
        made = furnished(Console(clock, RINGBACK_SANDBOX_URL="http://127.0.0.1:9/sandbox/"))
        server = make_server("127.0.0.1", 0, made.api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.address = f"http://127.0.0.1:{server.port}"
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser's window of its own."""
    made = browser.new_context()
    yield made
    made.close()


def logged_in(context: BrowserContext, console: Console, role: Role = Role.ADMIN, name: str | None = None) -> Page:
    """A page of somebody with that role, logged in by pressing the button behind a link."""
    operator = console.operators.create(name or f"{role} {len(console.operators.all())}", role, console.clock())
    page = context.new_page()
    page.goto(f"{console.address}/console/login/{console.operators.link(operator.id)}")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{console.address}/console")
    return page


def press_until(page: Page, name: str, most: int = 120) -> None:
    """Walk with the Tab key until something has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id") == name:
            return
    raise AssertionError(f"the Tab key never came to {name!r}")
