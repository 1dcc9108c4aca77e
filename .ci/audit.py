"""Asks for known weaknesses of all that is pinned. Fails for what is found, never for what cannot be asked.

python .ci/audit.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

FILE = "requirements-dev.txt"  # requirements.txt is in it
SECONDS = 60.0
# Weaknesses that were looked at and cannot touch us, each with the reason: {"CVE-2026-1": "only on Windows"}
KNOWN: dict[str, str] = {}


def ask() -> list[dict[str, Any]]:
    """What pip-audit says of each pinned package; nothing where it does not answer, in time and in its own form."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", FILE, "--require-hashes", "--disable-pip"]
    command += ["--progress-spinner", "off", "--timeout", "5", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return found


def verdict(packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit code and the lines for it. pip-audit skips a package that is unknown to the database, or when that is out of reach."""
    answered = [each for each in packages if "skip_reason" not in each]
    found = [
        f"{each['name']} {each['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for each in answered
        for flaw in each["vulns"]
        if not KNOWN.keys() & {flaw["id"], *flaw["aliases"]}
    ]
    if found:
        return 1, [*found, "`make requirements` takes newer versions; .ci/audit.py lists what cannot touch us."]
    if not answered:
        return 0, ["Known weaknesses were left out: their database gave no answer."]
    return 0, [
        f"No known weakness in {len(answered)} of {len(packages)} pinned packages; the database knows no others."
    ]


def main() -> int:
    code, lines = verdict(ask())
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
