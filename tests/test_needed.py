"""What a machine lacks keeps a test from running with a plain word, and in CI nothing may be lacking."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needed import require

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("ci", "ends"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_is_said_and_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, ci: str, ends: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    assert require("there", "never said") == "there"
    with pytest.raises(ends, match="no such command"):
        require(None, "no such command")


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 error"), ("", "1 skipped")])
def test_without_openssl_tls_is_not_left_out_in_silence(tmp_path: Path, ci: str, outcome: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "it_speaks_tls"]
    done = subprocess.run(
        [*command, "tests/test_rockerbox_client.py"],
        cwd=ROOT,
        env=os.environ | {"PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout.splitlines()[-1]
    assert "TLS is not tried: there is no `openssl` command" in done.stdout
