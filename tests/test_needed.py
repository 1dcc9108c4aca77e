"""What a machine lacks keeps a test from running with a plain word, and CI may lack nothing but what is named, with its reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needed import MAY_LACK, may_lack, require
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.unit

# What there is nothing to try of, which is no lack of the machine.
NOTHING_TO_TRY = {
    "there is one writer at a time; each index is a turn of its own",
    "there is one writer at a time",
    "an index of SQLite is there or not",
    "a transaction's advisory lock cannot be deleted",
    "nobody can lock a reader out for long",
    "nobody can lock a reader out of a WAL database",
    "one machine, one clock",
    "the same on both",
    "Python's own SQLite {sqlite3.sqlite_version} is a mended one",
}


@pytest.mark.parametrize(("ci", "ends"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_is_said_and_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, ci: str, ends: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    assert require("there", "never said") == "there"
    with pytest.raises(ends, match="no such command"):
        require(None, "no such command")


@pytest.mark.parametrize("ci", ["true", ""])
@pytest.mark.parametrize("what", MAY_LACK)
def test_what_no_ci_needs_to_have_is_left_out_there_too_for_the_reason_that_is_named(
    monkeypatch: pytest.MonkeyPatch, ci: str, what: str
) -> None:
    monkeypatch.setenv("CI", ci)
    assert may_lack("there", what) == "there"
    with pytest.raises(pytest.skip.Exception, match=f"{re.escape(MAY_LACK[what])} \\(it said no\\)"):
        may_lack(None, what, "it said\n   no\n")


def test_nothing_else_is_left_out() -> None:
    """A test that skips by itself is green in CI, whatever it lacks there."""
    about_skipping = {"tests/support/needed.py", "tests/test_needed.py", "tests/test_recordings_golden.py"}
    found = {
        str(path.relative_to(REPOSITORY)): path.read_text("utf-8") for path in (REPOSITORY / "tests").rglob("*.py")
    }
    skips = {
        (name, reason)
        for name in found.keys() - about_skipping
        for reason in re.findall(r"(?:pytest\.skip|skipif|importorskip)\((.*)", found[name])
    }
    assert {one for one in skips if not any(f'"{known}"' in one[1] for known in NOTHING_TO_TRY)} == set()
    assert {known for known in NOTHING_TO_TRY if not any(known in reason for _, reason in skips)} == set()


ONE_LACKS = """
import pytest
from tests.support.needed import may_lack, require

def test_of_something_else(): pass
def test_of_a_mount(): may_lack(None, "mounts", "must be superuser")
def test_of_a_program(): require(None, "there is no such program")
def test_of_one_database_alone(): pytest.skip("the same on both")
"""


def test_what_was_left_out_is_named_at_the_end_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_lacking.py").write_text(ONE_LACKS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    env = os.environ | {"CI": "", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([*command, "test_lacking.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("left out: ")] == [
        f"left out: test_lacking.py::test_of_a_mount, because {MAY_LACK['mounts']} (must be superuser)",
        "left out: test_lacking.py::test_of_a_program, because there is no such program",
    ], done.stdout + done.stderr


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 error"), ("", "1 skipped")])
def test_without_openssl_tls_is_not_left_out_in_silence(tmp_path: Path, ci: str, outcome: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "it_speaks_tls"]
    done = subprocess.run(
        [*command, "tests/test_rockerbox_client.py"],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout.splitlines()[-1]
    assert "TLS is not tried: there is no `openssl` command" in done.stdout
