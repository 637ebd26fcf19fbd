"""Takes the pictures in docs/screenshots/ anew: `.venv/bin/python docs/screenshots.py` (needs chromium)."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402 - the repository's root comes first
from werkzeug.serving import make_server  # noqa: E402

from tests.browser.chromium import FLAGS, find_chromium  # noqa: E402
from tests.console_stage import Console, told  # noqa: E402
from tests.fakes import ManualClock, fakeredis_follows  # noqa: E402
from worker.operator import Role  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
IN_THE_MANUAL = ("overview", "order", "webhooks", "money")
SIZE = {"width": 1180, "height": 900}
PHONE = {"width": 390, "height": 844}


def main(folder: Path = FOLDER, *, everything: bool = False) -> None:
    """The pictures of the manual; with `everything`, each page in light, in dark and on a phone."""
    clock = ManualClock()
    with fakeredis_follows(clock), sync_playwright() as playwright:
        console = Console(clock)
        shown = told(console)
        server = make_server("127.0.0.1", 0, console.api.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        looks = [("", SIZE, "light")] + ([("-dark", SIZE, "dark"), ("-phone", PHONE, "light")] if everything else [])
        operator = console.operators.create("alice", Role.ADMIN, clock())
        for suffix, size, scheme in looks:
            context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{server.port}/console/login/{console.operators.link(operator.id)}")
            page.get_by_role("button", name="Log in").click()
            for name in shown if everything else IN_THE_MANUAL:
                page.goto(f"http://127.0.0.1:{server.port}{shown[name]}")
                page.screenshot(path=folder / f"{name}{suffix}.png", full_page=everything)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, everything=len(sys.argv) > 1)
