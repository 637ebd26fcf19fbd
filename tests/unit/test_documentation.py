"""What the pages say is there, is there: commands, routes, states, queues, layers, figures, tests and links."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import fakeredis
import pytest

from web.api.metrics import GAUGES
from web.app import create_app
from worker.alerts import Alert
from worker.cli import app as command_line
from worker.engine.lanes import IN_FLIGHT
from worker.metrics import COUNTERS
from worker.order import TERMINAL, EventType, Status
from worker.schedule import Lane
from worker.settings import load
from worker.store import Store, Vault

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DEPLOY = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file() and path.suffix != ".pyc"]
LONGEST_ADR = 45


def read(name: str) -> str:
    return (ROOT / name).read_text()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def app() -> Any:
    """The web on an empty store."""
    settings = load("web", {"RINGBACK_REDIS_URL": "redis://nowhere"})
    store = Store(fakeredis.FakeRedis(), Vault(), retention=settings.retention, otp_ttl=settings.otp_ttl)
    return create_app(settings, store=store)


def generator() -> ModuleType:
    return loaded("docs/generate.py")


def loaded(path: str) -> ModuleType:
    """A program of ours that lies in no package."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


# The pages.


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path):
    """Every link into the project is a file or folder of it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not link.startswith("#")]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_are_named_exist(page: Path):
    """A page that names a test as its proof names one that is there."""
    proofs = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text())
    assert [proof for proof in proofs if not _is_a_test(*proof)] == []


@pytest.mark.parametrize("title", ["Isolation of callers", "Promises, and the tests", "What was attacked"])
def test_every_promise_and_every_attack_has_its_test(title: str):
    """No row of docs/security.md stands on its word alone."""
    section = read("docs/security.md").partition(f"## {title}")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 3
    assert [row for row in rows if "`tests/" not in row.rpartition(" | ")[2]] == []


def _is_a_test(path: str, name: str) -> bool:
    file = ROOT / path
    return file.exists() and (not name or re.search(rf"(def|class) {name}\b", file.read_text()) is not None)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path):
    """A module, script or folder of ours that a page names is there."""
    paths = re.findall(r"`((?:worker|web|deploy|docs|requirements)/[\w./-]*)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page: Path):
    """Every `make` command on a page is a target."""
    targets = set(re.findall(r"^([a-z]+):.*##", read("Makefile"), re.MULTILINE))
    used = re.findall(r"(?:^    |`|&& )make ([a-z]+)", page.read_text(), re.MULTILINE)
    assert set(used) <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_ringback_commands_exist(page: Path):
    """Every `ringback` command on a page is one of the command line."""
    used = re.findall(r"(?:^    |`|\()ringback ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", page.read_text(), re.MULTILINE)
    assert [words for words in used if not _is_a_command(words.split())] == []


def _is_a_command(words: list[str]) -> bool:
    groups = {group.name: group.typer_instance for group in command_line.registered_groups}
    if words[0] in groups:
        return len(words) == 1 or words[1] in _commands(groups[words[0]])
    return words[0] in _commands(command_line)


def _commands(group: Any) -> set[str]:
    return {one.name or one.callback.__name__.rstrip("_").replace("_", "-") for one in group.registered_commands}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_routes_exist(page: Path, app: Any):
    """Every call on a page is a route of the web, with that method."""
    routes = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule)) for rule in app.url_map.iter_rules() for method in rule.methods
    }
    calls = re.findall(r"\b(GET|POST|PUT|DELETE) (/(?:v1|healthz|readyz|metrics)[\w/{}.-]*)", page.read_text())
    assert [call for call in calls if (call[0], re.sub(r"{\w+}", "{}", call[1].rstrip("."))) not in routes] == []


def test_every_page_is_linked_to():
    """A reader comes to each page from another one."""
    links = {page: re.findall(r"\]\(([^)\s]+)\)", page.read_text()) for page in PAGES}
    linked = {(page.parent / link).resolve() for page, found in links.items() for link in found if "://" not in link}
    assert [named(page) for page in PAGES if page.name != "README.md" and page not in linked] == []


# One page each.


def test_lifecycle_page_is_current():
    """The picture and the tables are what the code makes of itself; `python docs/generate.py` writes them."""
    page = read("docs/order-lifecycle.md")
    assert generator().current(page) == page


def test_metrics_page_is_current():
    """Each metric has its row, with meaning, labels and an example query."""
    page = read("docs/metrics.md")
    assert generator().current_metrics(page) == page


def test_lifecycle_page_shows_every_state():
    """Each state is in the picture, and each terminal one leads out of it."""
    picture = generator().picture()
    assert all(f" {status}" in picture for status in Status)
    assert re.findall(r"(\w+) --> \[\*\]", picture) == [status for status in Status if status in TERMINAL]


def test_webhook_page_explains_every_event():
    """Each type of event has a row."""
    rows = re.findall(r"^\| `([\w.]+)` \|", read("docs/webhooks.md"), re.MULTILINE)
    assert sorted(rows) == sorted(EventType)


def test_architecture_page_lists_the_queues():
    """Queues and how much is under way at once are the code's."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", read("docs/architecture.md"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(Lane)
    assert {name: int(most) for name, most in rows} == IN_FLIGHT


def test_architecture_page_shows_the_layers():
    """The layers on the page are the ones that `make check` keeps."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = "\n".join(f"    {layer}" for layer in contracts[0]["layers"])
    assert layers in read("docs/architecture.md")


def test_map_of_the_worker_names_every_module():
    """`worker/__init__.py` leads to each module beside it."""
    page = read("worker/__init__.py")
    beside = [path.name for path in sorted((ROOT / "worker").iterdir()) if path.suffix == ".py"]
    folders = [f"{path.parent.name}/" for path in sorted((ROOT / "worker").glob("*/__init__.py"))]
    assert [name for name in [*beside, *folders] if name != "__init__.py" and name not in page] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=named)
def test_decisions_are_short_and_numbered(page: Path):
    """A decision fits on a screen, and its title has its number."""
    lines = page.read_text().splitlines()
    assert len(lines) < LONGEST_ADR
    assert lines[0].startswith(f"# {page.name[:4]} ")


def test_changelog_has_the_version():
    """The version that is built has its section."""
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"\n## [{version}]" in read("CHANGELOG.md")


# What is deployed.


def test_figures_that_alerts_and_dashboard_ask_for_are_exported(app: Any):
    """No alert waits for a figure that does not exist."""
    exported = _exported(app)
    asked = {
        name
        for page in ("deploy/rules/alerts.yaml", "deploy/rules/objectives.yaml", "deploy/dashboard.json")
        for name in re.findall(r"\bringback_\w+", read(page))
    }
    assert asked - exported == set()


def test_counters_are_on_the_dashboard():
    """Each counter has a place where somebody sees it."""
    page = read("deploy/dashboard.json")
    assert [name for name in COUNTERS if f"ringback_{name}_total" not in page] == []


def _exported(app: Any) -> set[str]:
    app.test_client().get("/healthz")
    text = app.test_client().get("/metrics").text
    return set(re.findall(r"^(ringback_\w+)", text, re.MULTILINE)) | _WHEN_KNOWN


_WHEN_KNOWN = {f"ringback_{name}" for name in GAUGES} | {f"ringback_{name}_total" for name in COUNTERS}
"""Some are shown only once a worker has read them, or a caller has counted."""


def test_alerts_are_of_kinds_that_are_raised():
    """Each kind that an alert waits for is raised somewhere."""
    kinds = {
        kind for group in re.findall(r'kind=~?"([^"]+)"', read("deploy/rules/alerts.yaml")) for kind in group.split("|")
    }
    assert kinds - {kind.value for kind in Alert} == set()


def test_raised_alerts_have_a_rule():
    """Each kind that is raised is waited for."""
    code = "".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    rules = read("deploy/rules/alerts.yaml")
    assert [kind for kind in re.findall(r'\.alert\(\s*"(\w+)"', code) if kind not in rules] == []


def test_dashboard_is_what_its_table_makes():
    """`python deploy/dashboard.py` writes it."""
    assert loaded("deploy/dashboard.py").text() == read("deploy/dashboard.json")


def test_dashboard_is_json_with_a_query_in_each_panel():
    """The dashboard can be imported."""
    panels = json.loads(read("deploy/dashboard.json"))["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("file", [path for path in DEPLOY if path.suffix == ".yaml"], ids=named)
def test_yaml_can_be_read(file: Path):
    """Each file is YAML."""
    yaml = pytest.importorskip("yaml")
    assert all(document for document in yaml.safe_load_all(file.read_text()))


@pytest.mark.parametrize("name", ["compose.yaml", "k8s/web.yaml", "systemd/ringback-web.service"])
def test_the_web_is_never_given_the_providers_key(name: str):
    """What starts the web reads nothing that holds the provider's key."""
    text = read(f"deploy/{name}")
    api = text.partition("\n  worker:")[0].partition("services:")[2] if name == "compose.yaml" else text
    assert "provider.env" not in api
    assert "ringback-provider" not in api


@pytest.mark.parametrize("line", ["web", "worker"])
def test_processes_are_started_by_their_line_of_the_procfile(line: str):
    """Docker, Kubernetes and systemd run what the Procfile says, by its name."""
    assert re.search(rf"^{line}: ", read("Procfile"), re.MULTILINE)
    assert f"args: [{line}]" in read(f"deploy/k8s/{line}.yaml")
    assert f"command: [{line}]" in read("deploy/compose.yaml")


# Who carries on.


RECIPES = re.split(r"^### ", read("CONTRIBUTING.md"), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda text: text.splitlines()[0])
def test_recipe_names_files_that_exist(recipe: str):
    """Every step of a recipe begins with a file or folder of the project."""
    steps = re.findall(r"^\d\. (.*)$", recipe, re.MULTILINE)
    places = [re.findall(r"`([\w./-]+)`", step.partition(":")[0]) for step in steps]
    assert steps
    assert all(places)
    assert [place for step in places for place in step if not (ROOT / place).exists()] == []
