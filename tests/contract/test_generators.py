"""What others' linters and generators say to /openapi.json: not a word, and what they make of it compiles.

Node.js and the packages of tests/contract/node are needed, and the network to install them. Where they are missing
the tests are skipped; in CI, where nobody reads the list of skipped tests, they fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conftest import must_be_real
from web.app import create_app
from worker.settings import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHECKS = Path(__file__).parent / "node"
LOCKED = ROOT / "requirements" / "generators.txt"
PATIENCE = 300
"""Seconds for an installation; a tool needs two."""


def missing(why: str) -> NoReturn:
    """A skip here, a failure where it must not be missing."""
    (pytest.fail if must_be_real() else pytest.skip)(why)
    raise AssertionError(why)


def run(*command: str | Path, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a tool; what it says on both streams comes back in `stdout`."""
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "NO_COLOR": "1", "CI": "true", **environ}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def described() -> dict[str, Any]:
    """The description."""
    app = create_app(load("web", {"RINGBACK_REDIS_URL": "redis://nowhere.example"}))
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


@pytest.fixture(scope="session")
def node(described: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tools, their settings and the description."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("install Node.js and npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(CHECKS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    installed = run("npm", "ci", folder=folder)
    if installed.returncode:
        missing(f"npm ci failed: {installed.stdout[-500:]}")
    (folder / "openapi.json").write_text(json.dumps(described, indent=1))
    return folder


def tool(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the tools that are installed in the folder."""
    return run(folder / "node_modules" / ".bin" / name, *arguments, folder=folder, REDOCLY_TELEMETRY="off")


def test_redocly_has_nothing_to_say(node: Path):
    """Its recommended rules: no error and no warning."""
    done = tool(node, "redocly", "lint", "--format", "json", "openapi.json")
    told = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert [(one["ruleId"], one["location"][0]["pointer"]) for one in told["problems"]] == []
    assert done.returncode == 0


def test_spectral_has_nothing_to_say(node: Path):
    """Its rules for OpenAPI: no error and no warning."""
    done = tool(node, "spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint", "openapi.json")
    assert done.returncode == 0, done.stdout


def test_typescript_of_the_page_compiles_with_generated_types(node: Path):
    """openapi-typescript makes types, and the compiler takes the examples of docs/typescript.md with them, strictly."""
    made = tool(node, "openapi-typescript", "openapi.json", "--output", "ringback.d.ts")
    assert made.returncode == 0, made.stdout
    assert "warn" not in made.stdout.lower()
    page = (ROOT / "docs" / "typescript.md").read_text()
    examples = re.findall(r"^```typescript (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in examples} == {"order.ts", "events.ts"}
    for name, code in examples:
        (node / name).write_text(code)
    assert tool(node, "tsc", "--project", ".").stdout == ""


def test_wrong_use_does_not_compile(node: Path):
    """The types are worth something: a misspelled field is an error."""
    (node / "wrong").mkdir()
    wrong = 'import type { components } from "../ringback.js";\n'
    wrong += 'export const order: components["schemas"]["NewOrder"] = { serve: "1", type: "1" };\n'
    tool(node, "openapi-typescript", "openapi.json", "--output", "ringback.d.ts")
    (node / "wrong" / "order.ts").write_text(wrong)
    done = tool(node, "tsc", "--noEmit", "--strict", "--skipLibCheck", "wrong/order.ts")
    assert "'serve' does not exist in type" in done.stdout


def test_python_client_is_made_without_a_warning(described: dict[str, Any], tmp_path: Path):
    """openapi-python-client leaves nothing out, and what it makes can be imported."""
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", folder=tmp_path)
    installed = run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", "--require-hashes",
        "-r", LOCKED, folder=tmp_path,
    )  # fmt: skip
    if installed.returncode:
        missing(f"pip install failed: {installed.stdout[-500:]}")
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    done = run(
        python.parent / "openapi-python-client", "generate", "--path", "openapi.json", "--output-path", "made",
        "--fail-on-warning", folder=tmp_path, PATH=path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "arning" not in done.stdout
    (package,) = (one.parent.name for one in (tmp_path / "made").glob("*/client.py"))
    everything = f"import pkgutil, {package} as made\nfor one in pkgutil.walk_packages(made.__path__, 'made.'): pass\n"
    use = f"from {package}.api.orders import create_order\nfrom {package}.models import CheapOrder, Order, OrderEvent\n"
    imported = run(python, "-c", everything + use, folder=tmp_path / "made")
    assert imported.returncode == 0, imported.stdout
