"""What is deployed holds before anybody deploys it: each file by a checker of its kind, without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.conftest import must_be_real
from tests.unit.test_documentation import ROOT, loaded, named, read

BIN = Path(sys.executable).parent
KUBERNETES = "1.30"
MANIFESTS = [path for path in sorted((ROOT / "deploy" / "k8s").rglob("*.yaml")) if path.name != "kustomization.yaml"]
LINES = dict(line.split(": ", 1) for line in read("Procfile").splitlines())


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def tool(name: str, package: str) -> str:
    """Where a checker lies. Without it: a skip here, a failure where it must not be missing."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if must_be_real() else pytest.skip)(f"no {name}: install Debian's {package}")
    return str(found)


def test_dockerfile_has_no_fault_that_hadolint_knows():
    """Nothing unpinned, nothing that a shell reads in another way."""
    done = subprocess.run(
        [BIN / "hadolint", "--no-color", ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_image_installs_nothing_that_is_not_pinned():
    """Each installation is by hash, or without dependencies and without a build environment of its own."""
    steps = re.findall(r"pip install ([^\n]+)", read("deploy/Dockerfile"))
    assert steps
    for step in steps:
        assert "--require-hashes" in step or {"--no-deps", "--no-build-isolation"} <= set(step.split()), step
    locked = read("requirements/image.txt")
    assert all(re.search(rf"^{name}==", locked, re.MULTILINE) for name in ("setuptools", "wheel", "opentelemetry-sdk"))


def test_image_gets_everything_that_it_copies():
    """What the Dockerfile copies is not kept out of the build."""
    let_in = {line[1:] for line in read("deploy/Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", read("deploy/Dockerfile"), re.MULTILINE)
        for name in line.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("path", MANIFESTS, ids=named)
def test_manifest_fits_the_schema_of_its_kind(path: Path):
    """Kubernetes' own kinds by its own schemas, and nothing in them that these do not know."""
    for document in documents(path):
        if document["apiVersion"].split("/")[0] in OTHERS:
            jsonschema.validate(document, OTHERS[document["apiVersion"].split("/")[0]])
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_HEAD = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _closed(["name"], name=_TEXT)}
OTHERS: dict[str, Any] = {
    "keda.sh": _closed(
        ["apiVersion", "kind", "metadata", "spec"], **_HEAD,
        spec=_closed(
            ["scaleTargetRef", "triggers"], scaleTargetRef=_closed(["name"], name=_TEXT), minReplicaCount=_NUMBER,
            maxReplicaCount=_NUMBER, cooldownPeriod=_NUMBER,
            triggers={"type": "array", "items": _closed(
                ["type", "metadata"], type={"const": "prometheus"},
                metadata=_closed(
                    ["serverAddress", "query", "threshold"], serverAddress=_TEXT, query=_TEXT, threshold=_TEXT
                ),
            )},
        ),
    ),
    "monitoring.coreos.com": _closed(
        ["apiVersion", "kind", "metadata", "spec"], **_HEAD,
        spec=_closed(
            ["selector", "podMetricsEndpoints"], selector=_closed(["matchLabels"], matchLabels={"type": "object"}),
            podMetricsEndpoints={"type": "array", "items": _closed(
                ["port", "authorization"], port=_TEXT, path={"const": "/metrics"}, interval=_TEXT,
                authorization=_closed(
                    ["credentials"], credentials=_closed(["name", "key"], name=_TEXT, key=_TEXT)
                ),
            )},
        ),
    ),
}  # fmt: skip
"""The two kinds that are not Kubernetes' own, as far as they are used here, from the documentation of each."""


def manifests(kind: str) -> dict[str, dict[str, Any]]:
    found = [one for path in MANIFESTS for one in documents(path) if one["kind"] == kind]
    return {one["metadata"]["name"]: one for one in found}


def test_kustomizations_name_every_file():
    """None lies there without being applied."""
    for folder in (ROOT / "deploy" / "k8s", ROOT / "deploy" / "k8s" / "extra"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        assert sorted(listed) == sorted(
            path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"
        )


@pytest.mark.parametrize("name", ["web", "worker"])
def test_deployment_survives_nodes_and_runs_within_bounds(name: str):
    """Two or more, spread, kept through evictions, with a bound to memory and a look at whether it lives."""
    deployment = manifests("Deployment")[name]["spec"]
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    assert deployment["replicas"] >= 2
    assert pod["topologySpreadConstraints"]
    assert manifests("PodDisruptionBudget")[name]["spec"]["minAvailable"] == 1
    assert container["resources"]["limits"]["memory"]
    assert container["livenessProbe"]


def test_web_goes_on_serving_while_it_is_taken_out():
    """TERM comes after the endpoints have forgotten the pod."""
    web = manifests("Deployment")["web"]["spec"]["template"]["spec"]["containers"][0]
    assert web["lifecycle"]["preStop"]


def test_units_are_reloaded_and_stopped_without_dropping_anybody():
    """HUP puts new processes in the place of the old; each is left the time to answer what it took, or to buy."""
    web, worker = (read(f"deploy/systemd/{name}") for name in ("ringback-web.service", "ringback-worker@.service"))
    assert "ExecReload=/bin/kill -HUP $MAINPID" in web
    seconds = [int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]) for unit in (web, worker)]
    assert seconds >= [30, 30]


def test_workers_are_scaled_by_lateness_and_never_below_two():
    """The length of a queue says nothing: what is due on time needs nobody more."""
    scaled = manifests("ScaledObject")["worker"]["spec"]
    assert scaled["minReplicaCount"] == 2
    assert [re.findall(r"ringback_\w+", one["metadata"]["query"]) for one in scaled["triggers"]] == [
        ["ringback_lane_late"]
    ]
    assert manifests("HorizontalPodAutoscaler")["web"]["spec"]["minReplicas"] == 2


@pytest.mark.parametrize("unit", ["ringback-web.service", "ringback-worker@.service"])
def test_unit_is_one_that_systemd_understands(unit: str, tmp_path: Path):
    """Every directive, with the paths of this checkout in the place of those of production."""
    analyze = tool("systemd-analyze", "systemd")
    text = read(f"deploy/systemd/{unit}").replace("/opt/ringback", str(ROOT)).replace("User=ringback", "User=root")
    placed = tmp_path / unit.replace("@", "@1")
    placed.write_text(text)
    done = subprocess.run([analyze, "verify", "--man=no", placed], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if placed.name in line or "ringback" in line]
    assert complaints == []


_LIST, _MAP = {"type": "array"}, {"type": "object"}
_SERVICE = _closed(
    ["image"], image=_TEXT, build=_MAP, restart=_TEXT, read_only={"type": "boolean"}, tmpfs=_LIST, cap_drop=_LIST,
    security_opt=_LIST, depends_on=_MAP, command=_LIST, env_file=_LIST, environment=_MAP, ports=_LIST, networks=_LIST,
    stop_grace_period=_TEXT, volumes=_LIST,
    healthcheck=_closed(["test"], test=_LIST, interval=_TEXT, timeout=_TEXT, retries=_NUMBER),
)  # fmt: skip
COMPOSE = {
    **_closed(
        ["services"], name=_TEXT, services={"type": "object", "additionalProperties": _SERVICE},
        networks={"type": "object"}, volumes={"type": "object"},
    ),
    "patternProperties": {"^x-": {}},
}  # fmt: skip
"""Of the Compose specification what is used here; its own schema is in no package that can be had offline."""


def test_compose_file_fits_the_specification():
    """No word that Compose does not know, and every network and volume is there."""
    compose = yaml.safe_load(read("deploy/compose.yaml"))
    jsonschema.validate(compose, COMPOSE)
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert {one.split(":")[0] for one in service.get("volumes", ())} <= set(compose["volumes"])


# Platforms, each held to the Procfile.


def test_heroku_runs_every_line_of_the_procfile():
    """With a number of each; what is installed is the lock, on the Python that it was made for."""
    app = json.loads(read("app.json"))
    assert set(app["formation"]) == set(LINES)
    assert app["formation"]["worker"]["quantity"] >= 2
    assert re.findall(r"^-r (\S+)$", read("requirements.txt"), re.MULTILINE) == ["requirements/image.txt"]
    assert read(".python-version").strip() in read("deploy/Dockerfile")
    secrets = {"RINGBACK_REDIS_URL", "RINGBACK_ENCRYPTION_KEYS", "RINGBACK_OTPGET_API_KEY", "RINGBACK_METRICS_TOKEN"}
    assert secrets == set(app["env"])


def test_render_runs_every_line_of_the_procfile():
    """By name, through `deploy/run`; the web is not given the provider's key, and the store evicts nothing."""
    services = {one["name"]: one for one in yaml.safe_load(read("deploy/render.yaml"))["services"]}
    commands = [one["dockerCommand"] for one in services.values() if "dockerCommand" in one]
    assert commands == [f"/app/deploy/run {line}" for line in LINES]
    assert services["ringback-store"]["maxmemoryPolicy"] == "noeviction"
    keys = {name: {one["key"] for one in service.get("envVars", ())} for name, service in services.items()}
    assert "RINGBACK_OTPGET_API_KEY" in keys["ringback-worker"] - keys["ringback-web"]


def test_fly_runs_every_line_of_the_procfile():
    """The image's entry point takes the line's name."""
    fly = tomllib.loads(read("deploy/fly.toml"))
    assert fly["processes"] == {line: line for line in LINES}
    assert fly["http_service"]["processes"] == ["web"]
    assert (ROOT / "deploy" / fly["build"]["dockerfile"]).exists()
    assert 'ENTRYPOINT ["/app/deploy/run"]' in read("deploy/Dockerfile")


# The bill of materials.


def test_bill_of_materials_is_that_of_the_lock():
    """`make lock` writes it, and it goes into the wheel."""
    assert loaded("requirements/sbom.py").text() == read("worker/sbom.cdx.json")
    locked = set(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", read("requirements/runtime.txt"), re.MULTILINE))
    bill = json.loads(read("worker/sbom.cdx.json"))
    assert {(one["name"], one["version"]) for one in bill["components"]} == locked
    assert all(one["hashes"] for one in bill["components"])
    assert "sbom.cdx.json" in tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["package-data"]["*"]


# Rules.


def rules() -> list[dict[str, Any]]:
    files = [ROOT / "deploy" / "rules" / name for name in ("alerts.yaml", "objectives.yaml")]
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
RULE_TESTS = ["tests.yaml", "objectives-tests.yaml"]
CASES = [case["name"] for name in RULE_TESTS for case in yaml.safe_load(read(f"deploy/rules/{name}"))["tests"]]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_says_what_to_do(alert: dict[str, Any]):
    """It links to its row in docs/operations.md, and has a case in which it fires and one in which it is silent."""
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert f'<a id="{anchor}"></a>`{alert["alert"]}`' in read(page)
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert [name for name in CASES if name.startswith(f"{alert['alert']} fires")]
    assert [name for name in CASES if name.startswith(f"{alert['alert']} is silent")]


def test_rules_fire_and_are_silent_where_they_should():
    """As Prometheus itself evaluates them."""
    promtool = tool("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "test", "rules", *RULE_TESTS],
        cwd=ROOT / "deploy" / "rules",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# What docs/security.md promises.


@pytest.mark.parametrize("name", ["compose.yaml", "k8s/redis.yaml"])
def test_redis_has_a_password_a_bound_and_no_eviction(name: str):
    """Whoever can write to it can have codes sent anywhere; and one without a bound takes the machine."""
    text = read(f"deploy/{name}")
    for option in ("--requirepass", "--maxmemory ", "--maxmemory-policy", "noeviction", "--appendonly"):
        assert option in text.replace("\n", " "), option


@pytest.mark.parametrize("part", ["redis", "web", "worker"])
def test_every_part_has_a_network_policy_for_both_ways(part: str):
    """Who may reach it, and whom it may reach."""
    policies = read("deploy/k8s/network.yaml").split("---")
    (policy,) = [one for one in policies if re.search(rf"^  name: {part}$", one, re.MULTILINE)]
    assert "policyTypes: [Ingress, Egress]" in policy


def test_workers_reach_no_private_address():
    """The address guard's second line."""
    policy = read("deploy/k8s/network.yaml")
    for network in ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"):
        assert network in policy


def test_web_and_workers_are_different_users():
    """The web cannot read what the workers' environment holds."""
    web, worker = (read(f"deploy/systemd/{name}") for name in ("ringback-web.service", "ringback-worker@.service"))
    users = [re.findall(r"^User=(.+)$", unit, re.MULTILINE) for unit in (web, worker)]
    assert users == [["ringback-web"], ["ringback-worker"]]
    for unit in (web, worker):
        for line in (
            "NoNewPrivileges=yes",
            "RestrictNamespaces=yes",
            "SystemCallFilter=@system-service",
            "ProtectProc",
        ):
            assert line in unit


def test_figures_are_kept_from_strangers_wherever_the_web_is_public():
    """`/metrics` lies on the public port: each platform is given the token that it answers to, or is told to be."""
    for name in ("app.json", "deploy/render.yaml", "deploy/fly.toml", "deploy/k8s/config.yaml", "deploy/compose.yaml"):
        assert "RINGBACK_METRICS_TOKEN" in read(name), name
    (scraped,) = manifests("PodMonitor")["ringback"]["spec"]["podMetricsEndpoints"]
    assert scraped["authorization"]["credentials"] == {"name": "ringback-store", "key": "RINGBACK_METRICS_TOKEN"}


@pytest.mark.parametrize("name", ["deploy/common.env", "deploy/provider.env", "deploy/.env"])
def test_files_with_keys_are_not_committed(name: str):
    """Git passes them over."""
    asked = subprocess.run(["git", "check-ignore", name], cwd=ROOT, capture_output=True, check=False)  # noqa: S607 - wherever git is
    if asked.returncode == 128:
        pytest.skip("this is no checkout")
    assert asked.returncode == 0
