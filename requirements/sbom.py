"""Writes worker/sbom.cdx.json, the bill of materials that lies in the wheel: `python requirements/sbom.py`.

CycloneDX 1.6, made from the lock alone: every package with its version and the hashes of the files that may be used.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

LOCK = Path(__file__).with_name("runtime.txt")
SBOM = Path(__file__).parents[1] / "worker" / "sbom.cdx.json"
_PINNED = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL | re.IGNORECASE)


def text() -> str:
    """The file's text."""
    components = [_component(*found.groups()) for found in _PINNED.finditer(LOCK.read_text())]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    return json.dumps(bill, indent=1) + "\n"


def _component(name: str, version: str, rest: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    hashes = [{"alg": "SHA-256", "content": digest} for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)]
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": hashes}


if __name__ == "__main__":
    SBOM.write_text(text())
