"""`make check` asks for known weaknesses of what is pinned. A stand-in for pip-audit says what the database would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.unit

SOUND = {"name": "flask", "version": "3.1.3", "vulns": []}
WEAK = {
    "name": "jinja2",
    "version": "3.1.6",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1.7"], "aliases": ["CVE-1"]}],
}
UNKNOWN = {"name": "honcho", "skip_reason": "Dependency not found on PyPI and could not be audited: honcho (2.0.0)"}


def audited(folder: Path, said: str) -> subprocess.CompletedProcess[str]:
    (folder / "pip_audit.py").write_text(f"print({said!r})")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, str(REPOSITORY / ".ci" / "audit.py")]
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=HANGS_AFTER_SECONDS)


@pytest.mark.parametrize(
    ("packages", "code", "printed"),
    [
        ([SOUND, WEAK], 1, "jinja2 3.1.6: PYSEC-1, mended in 3.1.7\n"),
        ([SOUND, UNKNOWN], 0, "No known weakness in 1 of 2 pinned packages"),
        ([UNKNOWN, UNKNOWN], 0, "Known weaknesses were left out"),
    ],
    ids=["a weakness fails", "all is well", "nobody could be asked"],
)
def test_only_what_was_asked_is_said_to_be_well(
    packages: list[object], code: int, printed: str, tmp_path: Path
) -> None:
    done = audited(tmp_path, json.dumps({"dependencies": packages, "fixes": []}))
    assert (done.returncode, printed in done.stdout) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize("said", ["", "ERROR: no network", '{"another": "form"}'])
def test_an_auditor_that_cannot_answer_is_said_and_fails_nothing(said: str, tmp_path: Path) -> None:
    done = audited(tmp_path, said)
    assert (done.returncode, done.stdout) == (0, "Known weaknesses were left out: their database gave no answer.\n")
