"""A real Prometheus with our rules, that scrapes what a test runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import must_be_real
from tests.e2e.stack import ROOT, wait_for
from worker.local.processes import ends_with_parent, free_port


class Prometheus:
    """Debian's Prometheus in a folder of its own; listens on 127.0.0.1 until it is stopped."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        program = shutil.which("prometheus")
        if program is None:
            (pytest.fail if must_be_real() else pytest.skip)("no prometheus: install Debian's prometheus")
        folder.mkdir(parents=True, exist_ok=True)
        rules = [str(ROOT / "deploy" / "rules" / name) for name in ("alerts.yaml", "objectives.yaml")]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "ringback", "static_configs": [{"targets": targets}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        self._log = (folder / "prometheus.log").open("wb")
        self._popen = subprocess.Popen(
            [str(program), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdout=self._log, stderr=subprocess.STDOUT, preexec_fn=ends_with_parent(),  # noqa: PLW1509 - one system call
        )  # fmt: skip
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        wait_for(self._ready, 30, "Prometheus being ready")

    def _ready(self) -> bool:
        try:
            return self._api.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is at this moment. Fails the test when Prometheus cannot evaluate it."""
        answer = self._api.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    def value(self, expression: str) -> float | None:
        """The one value of an expression; None while it has none."""
        found = self.query(expression)
        value = float(found[0]["value"][1]) if found else float("nan")
        return None if value != value else value

    def stop(self) -> None:
        """End it."""
        self._api.close()
        self._popen.terminate()
        self._popen.wait(20)
        self._log.close()
