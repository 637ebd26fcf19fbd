"""/docs in a real browser: accessible, by keyboard, on a phone, without script; its search and its samples."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PHONE, press_until
from tests.console_stage import Console

PROGRAMS = {
    "curl": ["/bin/sh", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "--eval"],
}
"""What runs a sample that is given as an argument, by its language."""


@pytest.fixture
def docs(context: BrowserContext, console: Console) -> Page:
    """The page, opened."""
    page = context.new_page()
    page.goto(f"{console.address}/docs")
    return page


def laid_open(page: Page) -> Page:
    """The page with every sample and example shown."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(browser: Browser, console: Console, scheme: str):
    """axe finds nothing to complain about in either theme, with everything laid open and during a search."""
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(f"{console.address}/docs")
    assert _violations(laid_open(page)) == []
    page.get_by_label("Find").fill("renew")
    assert _violations(page) == []
    context.close()


def _violations(page: Page) -> list[tuple[str, list[str]]]:
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]


def test_page_loads_nothing_from_elsewhere(context: BrowserContext, console: Console):
    """The page, its style and its script: no other request is made, and the browser complains of nothing."""
    page, asked, complaints = context.new_page(), [], []
    page.on("request", lambda sent: asked.append(sent.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{console.address}/docs", wait_until="networkidle")
    laid_open(page).mouse.wheel(0, 100_000)
    page.get_by_label("Find").fill("order")
    page.wait_for_load_state("networkidle")
    ours = {f"{console.address}/{path}" for path in ("docs", "static/docs.css", "static/docs.js")}
    assert (set(asked) - {f"{console.address}/favicon.ico"}, complaints) == (ours, [])


@pytest.mark.parametrize("hidden", [False, True], ids=["folded", "laid open"])
def test_phone_scrolls_the_page_in_one_direction(browser: Browser, console: Console, hidden: bool):
    """Nothing is wider than the screen; what has to be, a table or a sample, scrolls by itself."""
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.goto(f"{console.address}/docs")
    if hidden:
        laid_open(page)
    too_wide = """(width) => [...document.querySelectorAll("body *")]
      .filter((one) => !one.parentElement.closest("pre, .wide, .skip") && one.getBoundingClientRect().right > width)
      .map((one) => one.outerHTML.slice(0, 200))"""
    assert page.evaluate(too_wide, PHONE["width"]) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()


def test_keyboard_alone_is_enough(context: BrowserContext, docs: Page):
    """Past the contents, to a call through the contents, a sample laid open and copied, the search."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    docs.keyboard.press("Tab")
    assert docs.evaluate("document.activeElement.innerText") == "Skip to the content"
    docs.keyboard.press("Enter")
    docs.wait_for_url("**/docs#content")
    docs.keyboard.press("Tab")
    assert docs.evaluate("document.activeElement.closest('main') !== null")
    docs.reload()
    press_until(docs, "find")
    docs.keyboard.type("servers")
    press_until(docs, "List the provider's servers")
    docs.keyboard.press("Enter")
    expect(docs.locator("#listServers")).to_be_in_viewport()
    press_until(docs, "Python")
    docs.keyboard.press("Enter")
    press_until(docs, "Copy")
    docs.keyboard.press("Enter")
    expect(docs.get_by_role("button", name="Copied Python: List the provider's servers")).to_be_visible()
    assert "client.servers(type=" in docs.evaluate("navigator.clipboard.readText()")


def test_search_leaves_what_has_every_word(docs: Page):
    """Calls, schemas and entries of the contents; how many there are is said, and an empty search shows all again."""
    everything = docs.locator("main section:visible").count()
    docs.get_by_label("Find").fill("renew RENTAL")
    left = docs.locator("main section:visible")
    assert 0 < left.count() < everything
    assert all("renew" in text.lower() and "rental" in text.lower() for text in left.all_text_contents())
    expect(docs.get_by_role("status")).to_have_text(f"{left.count()} found")
    assert docs.locator("nav li:visible").all_text_contents()[0] == "Renew a rental"
    assert "Orders" not in docs.locator("nav h2:visible").all_text_contents()
    docs.get_by_label("Find").fill("no such word")
    expect(docs.get_by_role("status")).to_have_text("nothing found")
    assert (docs.locator("main section:visible").count(), docs.locator("nav li:visible").count()) == (0, 0)
    docs.get_by_label("Find").fill("")
    expect(docs.get_by_role("status")).to_be_empty()
    assert docs.locator("main section:visible").count() == everything


def test_link_to_what_the_search_has_hidden_shows_it(docs: Page):
    """From a call that was found to the schema of its answer."""
    docs.get_by_label("Find").fill("createOrder")
    expect(docs.locator("#schema-Problem")).to_be_hidden()
    docs.locator("#createOrder").get_by_role("link", name="Problem").first.click()
    expect(docs.locator("#schema-Problem")).to_be_in_viewport()


def test_every_link_in_the_page_leads_somewhere(docs: Page):
    """Contents, schemas and the ways to begin."""
    broken = """[...document.querySelectorAll("a[href^='#']")].map((one) => one.hash)
      .filter((hash) => document.getElementById(decodeURIComponent(hash.slice(1))) === null)"""
    assert docs.evaluate(broken) == []


def test_page_is_whole_without_script(browser: Browser, console: Console):
    """Every call and schema can be read; what needs script is not offered."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{console.address}/docs")
    expect(page.locator("#search")).to_be_hidden()
    assert page.get_by_role("button").count() == 0
    assert page.locator("main section:visible").count() == page.locator("main section").count() > 0
    page.locator("#createOrder summary", has_text="Python").click()
    expect(page.locator("#createOrder").get_by_text("client.orders.create(")).to_be_visible()
    context.close()


@pytest.fixture
def terminal(console: Console, tmp_path: Path) -> dict[str, str]:
    """An environment in which a sample runs as it was copied."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "*",
        "RINGBACK_URL": console.address, "RINGBACK_API_KEY": console.api.shop.api_key,
    }  # fmt: skip


@pytest.mark.parametrize("language", PROGRAMS)
def test_copied_sample_works_as_it_stands(
    context: BrowserContext, docs: Page, console: Console, terminal: dict[str, str], language: str
):
    """What the button puts on the clipboard places an order."""
    program, *options = PROGRAMS[language]
    if shutil.which(program) is None or (language == "curl" and shutil.which("curl") is None):
        pytest.skip(f"there is nothing here to run the sample in {language} with")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    call = laid_open(docs).locator("#createOrder")
    call.get_by_role("button", name=f"Copy {language}: Place an order").click()
    expect(call.get_by_role("button", name=f"Copied {language}: Place an order")).to_be_visible()
    copied = docs.evaluate("navigator.clipboard.readText()")
    command = [program, *options, copied]
    done = subprocess.run(command, env=terminal, capture_output=True, text=True, timeout=60, check=False)
    printed = re.search(r"ord_[0-9a-f]{24}", done.stdout)
    assert printed, done.stderr
    assert console.api.kept(printed[0]).metadata == {"user": 42}


def test_every_call_has_samples_that_their_languages_can_read(docs: Page):
    """Each is shell, Python or JavaScript; everything under /v1 has all three."""
    laid_open(docs)
    elsewhere = docs.context.new_page()  # whose policy lets text be compiled
    for call in docs.locator("main section:has(.call)").all():
        languages = call.locator(".request summary").all_text_contents()
        samples = dict(zip(languages, call.locator(".request code").all_text_contents(), strict=True))
        assert "/v1" not in call.locator(".call").inner_text() or set(samples) == set(PROGRAMS)
        subprocess.run(["/bin/sh", "-n", "-c", samples["curl"]], check=True, timeout=60)
        compile(samples.get("Python", ""), "sample", "exec")
        elsewhere.evaluate("(code) => void new (async () => {}).constructor(code)", samples["JavaScript"])
