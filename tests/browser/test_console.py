"""The console in a real browser: accessible, by keyboard, on a phone, without script, and with hostile text in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PHONE, logged_in, press_until
from tests.console_stage import CODE, Console
from worker.operator import Role
from worker.order import Status
from worker.rental import RentalStatus
from worker.store.queries import EventFilter, OrderFilter

PAGES = (
    "overview", "orders", "order", "filtered", "rentals", "rental", "webhooks", "given up", "webhook", "callers",
    "caller", "money", "provider", "workers", "audit", "not found",
)  # fmt: skip


def path_of(console: Console, name: str) -> str:
    """A page's address; of those of one order and webhook, the ones with the most on them."""
    queries, now = console.store.queries, console.clock()
    if name == "order":
        orders = queries.orders(OrderFilter(status=Status.FAILED), now)
        return f"/console/orders/{orders.items[-1].id}"
    if name == "webhook":
        return f"/console/webhooks/{queries.events(EventFilter(error='401'), now).items[0].id}"
    if name == "rental":
        rentals = queries.rentals(OrderFilter(status=RentalStatus.ACTIVE), now)
        return f"/console/rentals/{rentals.items[-1].id}"
    return {
        "overview": "/console", "filtered": "/console/orders?status=failed&settlement=none&digits=7",
        "given up": "/console/webhooks?status=exhausted", "caller": f"/console/callers/{console.caller}",
        "not found": "/console/nowhere",
    }.get(name, f"/console/{name}")  # fmt: skip


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, console: Console) -> Iterator[Page]:
    """An admin's page in one of the two themes."""
    context = browser.new_context(color_scheme=request.param)
    yield logged_in(context, console)
    context.close()


@pytest.fixture(scope="module")
def phone(browser: Browser, console: Console) -> Iterator[Page]:
    """An admin's page on a phone."""
    context = browser.new_context(viewport=PHONE)
    yield logged_in(context, console)
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible(themed: Page, console: Console, name: str):
    """axe finds nothing to complain about, with every table and form laid open."""
    themed.goto(console.address + path_of(console, name))
    themed.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(themed).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []


def test_login_page_is_accessible(context: BrowserContext, console: Console):
    """The door, too."""
    page = context.new_page()
    for path in ("/console/login/token", "/console"):
        page.goto(console.address + path)
        assert Axe().run(page).response["violations"] == []


TOO_WIDE = """(width) => [...document.querySelectorAll("main *")]
  .filter((one) => !one.closest("thead, .hush") && one.getBoundingClientRect().right > width)
  .map((one) => one.outerHTML.slice(0, 200))"""
"""What reaches over the edge; heads of tables that became cards are for screen readers alone."""


@pytest.mark.parametrize("name", PAGES)
def test_phone_scrolls_in_one_direction_and_folds_no_id(phone: Page, console: Console, name: str):
    """Nothing is wider than the screen, and every id stands in one line."""
    phone.goto(console.address + path_of(console, name))
    phone.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert phone.evaluate(TOO_WIDE, PHONE["width"]) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    folded = "[...document.querySelectorAll('.id')].filter((one) => one.getClientRects().length > 1).length"
    assert phone.evaluate(folded) == 0


def test_header_stands_in_one_line_on_a_small_laptop(browser: Browser, console: Console):
    """Name, pages, interval and operator side by side at 1200 pixels, with every page among them."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = logged_in(context, console, name="somebody with a long name")
    tops = "[...document.querySelectorAll('header.top a, header.top select, header.top button')]"
    middles = page.evaluate(f"{tops}.map((one) => one.getBoundingClientRect()).map((box) => box.top + box.height / 2)")
    assert max(middles) - min(middles) < 10
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    context.close()


def test_hostile_text_runs_nothing(context: BrowserContext, console: Console):
    """No dialog, no error and no request to anywhere else, on any page."""
    page = logged_in(context, console)
    happened: list[str] = []
    page.on("dialog", lambda dialog: happened.append(dialog.message))
    page.on("pageerror", lambda error: happened.append(str(error)))
    page.on("console", lambda said: happened.extend([said.text] if said.type == "error" else []))
    page.on("request", lambda sent: happened.extend([] if sent.url.startswith(console.address) else [sent.url]))
    for name in PAGES[:-1]:
        page.goto(console.address + path_of(console, name))
    assert happened == []


def test_keyboard_alone_is_enough_for_the_main_acts(context: BrowserContext, console: Console):
    """From the overview to an order, a code revealed with a reason, and a webhook sent again."""
    order = console.received()
    page = logged_in(context, console, Role.OPERATOR)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    press_until(page, "Orders")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/orders")
    press_until(page, order.id)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{order.id}")
    press_until(page, "reveal-code")
    page.keyboard.type("a ticket")
    page.keyboard.press("Enter")
    expect(page.locator(".secret")).to_have_text(CODE)
    press_until(page, "Redeliver order.otp_received")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/console/webhooks/evt_"))
    assert console.store.audit.lines(2)[1].act == "reveal"


def test_everything_works_without_script(browser: Browser, console: Console):
    """Filter, page, cancel: forms and links alone; what needs script is not offered."""
    waiting = console.waiting()
    context = browser.new_context(java_script_enabled=False)
    page = logged_in(context, console, Role.OPERATOR)
    expect(page.get_by_label("Renew")).to_be_hidden()
    page.get_by_role("link", name="Orders", exact=True).click()
    page.get_by_role("link", name=re.compile("^waiting")).click()
    page.get_by_role("link", name=waiting.id).click()
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_role("status")).to_contain_text("The cancel is accepted")
    assert console.api.kept(waiting.id).status is Status.CANCELLING
    context.close()


def test_page_renews_itself_but_not_under_the_readers_hands(context: BrowserContext, console: Console):
    """A new order appears by itself; while text is selected, nothing moves."""
    page = logged_in(context, console, Role.VIEWER)
    page.clock.install()
    page.goto(f"{console.address}/console/orders")
    page.get_by_label("Renew").select_option("5")
    first = console.order()
    page.clock.run_for(7_000)
    expect(page.get_by_role("link", name=first.id)).to_be_visible()
    page.evaluate("document.getSelection().selectAllChildren(document.querySelector('h1'))")
    second = console.order()
    page.clock.run_for(20_000)
    assert page.get_by_role("link", name=second.id).count() == 0
    page.evaluate("document.getSelection().removeAllRanges()")
    page.clock.run_for(7_000)
    expect(page.get_by_role("link", name=second.id)).to_be_visible()


def test_viewer_is_offered_nothing_that_acts(context: BrowserContext, console: Console):
    """No page of a viewer has a button but the filters' and the one that logs out."""
    page = logged_in(context, console, Role.VIEWER)
    for name in PAGES[:-1]:
        page.goto(console.address + path_of(console, name))
        assert set(page.locator("form[method=post] button").all_inner_texts()) == {"Log out"}


def test_stranger_finds_why_an_order_has_no_webhook_within_four_clicks(context: BrowserContext, console: Console):
    """From the overview: the endpoint that fails, a webhook to it, its order; the money stands there too."""
    page = logged_in(context, console, Role.VIEWER)
    page.get_by_role("link", name=re.compile("webhooks? to caller.example:443 fail.* with 401")).click()
    page.locator("table .id").last.click()
    expect(page.get_by_text("401").first).to_be_visible()
    page.get_by_role("link", name=re.compile("^ord_")).click()
    expect(page.get_by_role("heading", name="Where is the money?")).to_be_visible()
    expect(page.get_by_text("order.failed got 401; it is tried again", exact=False)).to_be_visible()
