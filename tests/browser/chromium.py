"""Where the browser is, and how it is started: alone, without a sandbox of its own, and asking nobody for anything."""

from __future__ import annotations

import shutil

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def find_chromium() -> str | None:
    """Debian's chromium, or another on the PATH."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
