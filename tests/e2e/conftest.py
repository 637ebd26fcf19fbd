"""Stacks that scenarios share, because starting one costs seconds; their logs are shown where a test fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.e2e.invariants", "tests.e2e.plays", "tests.e2e.stack")

from tests.e2e.invariants import checked_stack  # noqa: E402
from tests.e2e.stack import RUNNING, Stack  # noqa: E402 - the line above has to come first

LAST = 40
"""Lines shown of each log."""


@pytest.fixture(scope="session")
def playhouse(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers and fast settings, for scenarios that play at once."""
    yield from checked_stack(tmp_path_factory.mktemp("playhouse"), workers=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the ends of all logs beside a failure."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        for stack in RUNNING:
            for name, text in stack.logs().items():
                report.sections.append((f"{stack.folder.name}: {name}", _end(text)))  # type: ignore[attr-defined]
    return report


def _end(log: str) -> str:
    """The last lines of a log, without the web's line for each request."""
    lines = [line for line in log.splitlines() if '"event": "request' not in line]
    return "\n".join(lines[-LAST:])
