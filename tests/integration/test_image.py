"""The image's steps, replayed in a clean virtual environment: the lock alone is enough to build and to run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.skipif(not os.environ.get("RINGBACK_CI"), reason="installs everything anew: in CI alone")
def test_steps_of_the_image_need_nothing_beyond_the_lock(tmp_path: Path):
    """Each `pip install` of the Dockerfile runs as it stands on what the image is given, and the commands are there."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    for name in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for one in name.split():
            _copy(ROOT / one, tmp_path / one)
    installs = r"(?:RUN|&&) (\S*python -m venv \S+|\.venv/bin/pip install [^&\n]+)"
    steps = [step.split() for step in re.findall(installs, text)]
    assert len(steps) == 3
    for step in steps:
        command = [sys.executable, *step[1:]] if "venv" in step else step
        # What builds the project comes from the lock: from there on pip may look for nothing else.
        offline = {"PIP_NO_INDEX": "1"} if "--no-deps" in step else {}
        done = _ran(command, cwd=tmp_path, env={**os.environ, **offline})
        assert done.returncode == 0, (step, done.stderr[-2000:])
    for command in ("ringback", "gunicorn", "celery"):
        assert _ran([str(tmp_path / ".venv" / "bin" / command), "--help"], cwd=tmp_path).returncode == 0


def _ran(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, **options)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, target)
