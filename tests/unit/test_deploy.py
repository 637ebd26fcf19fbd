"""The files in deploy/ keep what docs/security.md promises of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.mark.parametrize("name", ["compose.yaml", "k8s/redis.yaml"])
def test_redis_has_a_password_a_bound_and_no_eviction(name: str):
    """Whoever can write to it can have codes sent anywhere; and one without a bound takes the machine."""
    text = (DEPLOY / name).read_text()
    for option in ("--requirepass", "--maxmemory ", "--maxmemory-policy", "noeviction", "--appendonly"):
        assert option in text.replace("\n", " "), option


@pytest.mark.parametrize("part", ["redis", "web", "worker"])
def test_every_part_has_a_network_policy_for_both_ways(part: str):
    """Who may reach it, and whom it may reach."""
    policies = (DEPLOY / "k8s" / "network.yaml").read_text().split("---")
    (policy,) = [one for one in policies if re.search(rf"^  name: {part}$", one, re.MULTILINE)]
    assert "policyTypes: [Ingress, Egress]" in policy


def test_workers_reach_no_private_address():
    """The address guard's second line."""
    policy = (DEPLOY / "k8s" / "network.yaml").read_text()
    for network in ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"):
        assert network in policy


def test_web_and_workers_are_different_users():
    """The web cannot read what the workers' environment holds."""
    web, worker = (
        (DEPLOY / "systemd" / name).read_text() for name in ("ringback-web.service", "ringback-worker@.service")
    )
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


@pytest.mark.parametrize("name", ["deploy/common.env", "deploy/provider.env", "deploy/.env"])
def test_files_with_keys_are_not_committed(name: str):
    """Git passes them over."""
    asked = subprocess.run(["git", "check-ignore", name], cwd=ROOT, capture_output=True, check=False)  # noqa: S607 - wherever git is
    if asked.returncode == 128:
        pytest.skip("this is no checkout")
    assert asked.returncode == 0
