"""`flask ...` and `offhook ...` before any command is under way: quick, and there whatever the settings say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.adapters.commands.listed import LISTED, PURPOSES
from offhook.pipeline.version import VERSION
from tests.support.processes import bare_environment, environment, flask

pytestmark = pytest.mark.unit

HEAVY = {"sqlalchemy", "alembic", "psycopg", "requests", "pydantic", "twilio"}
MODULES_AT_MOST = 450  # Flask's own are 290; with all of Offhook's it is a thousand, and 1.3 s of a processor
_RUN = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from offhook.main import main
main()
"""


def offhook(*words: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """`offhook WORDS`; the last line of its stderr is the list of all that was imported."""
    command = [sys.executable, "-c", _RUN, *words]
    env = bare_environment() | changes
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["sandbox", "--help"], ["recordings", "--help"], ["version"]]
)
def test_what_needs_no_database_imports_none(words: list[str], tmp_path: Path) -> None:
    done = offhook(*words, folder=tmp_path)
    imported = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 0
    assert HEAVY & set(imported) == set()
    assert len(imported) < MODULES_AT_MOST


@pytest.mark.parametrize("words", [["settings"], ["recordings", "replay", "--help"], ["up", "--help"]])
def test_what_needs_the_settings_alone_imports_no_database(words: list[str], tmp_path: Path) -> None:
    imported = json.loads(offhook(*words, folder=tmp_path).stderr.splitlines()[-1])
    assert {"sqlalchemy", "alembic", "psycopg", "requests"} & set(imported) == set()


def ways_to_ask_for_help(folder: Path) -> dict[str, str]:
    there = environment(f"sqlite:///{folder}/offhook.db")
    return {
        "offhook": offhook("--help", folder=folder).stdout,
        "flask": flask("--help", env=there, folder=folder).stdout,
    }


def test_both_ways_of_asking_open_with_what_offhook_is_and_list_each_command_once_by_its_purpose(
    tmp_path: Path,
) -> None:
    for program, printed in ways_to_ask_for_help(tmp_path).items():
        assert printed.splitlines()[2].strip() == "Offhook turns phone calls into Rockerbox conversions."
        assert f"\n  {program} explain" in printed
        lists = printed[printed.index(f"\n{next(iter(PURPOSES))}:") :]
        assert [printed.count(f"\n  {command.name} ") for command in LISTED] == [1] * len(LISTED)
        assert [purpose for purpose in PURPOSES if f"\n{purpose}:\n" not in lists] == []
        assert "..." not in lists  # no line is cut off


@pytest.mark.parametrize("words", [["conversions"], ["conversions", "list"], ["worker"], ["recordings", "import"]])
def test_the_examples_of_offhook_are_called_as_it_was(words: list[str], tmp_path: Path) -> None:
    printed = offhook(*words, "--help", folder=tmp_path).stdout
    assert f"\n  offhook {words[0]}" in printed
    assert "flask " not in printed


def test_a_command_that_there_is_not_is_no_question_for_help(tmp_path: Path) -> None:
    done = flask("nonsense", env=environment(f"sqlite:///{tmp_path}/offhook.db"), folder=tmp_path)
    assert (done.returncode, "No such command" in done.stderr, "turns phone calls" in done.stderr) == (2, True, False)


def test_a_wrong_setting_hides_no_command_and_is_the_last_thing_said(tmp_path: Path) -> None:
    wrong = environment(f"sqlite:///{tmp_path}/offhook.db", PORT="many", OFFHOOK_SETLE_SECONDS="1")
    there = [
        flask(*words, env=wrong, folder=tmp_path) for words in (["--help"], ["settings"], ["conversions", "--help"])
    ]
    assert [done.returncode for done in there] == [0, 0, 0]
    for words in (["conversions", "list"], ["db", "upgrade"], ["worker"], ["recordings", "export"], ["run"]):
        done = flask(*words, env=wrong, folder=tmp_path)
        lines = done.stderr.splitlines()
        assert (done.returncode, "No such command" in done.stderr) == (2, False), done.stderr
        assert [line.split(":")[0].strip() for line in lines[-2:]] == ["PORT", "OFFHOOK_SETLE_SECONDS"], done.stderr
        assert "Traceback" not in done.stderr


def test_a_worker_says_what_is_wrong_and_what_is_missing_at_once(tmp_path: Path) -> None:
    env = environment(f"sqlite:///{tmp_path}/offhook.db", PORT="many", ROCKERBOX_ADVERTISER_ID="")
    done = flask("worker", env=env, folder=tmp_path)
    assert (done.returncode, "PORT:" in done.stderr, "set ROCKERBOX_ADVERTISER_ID" in done.stderr) == (2, True, True)


@pytest.mark.parametrize("other", ["--json", "--csv", "--format=json"])
def test_a_page_of_settings_in_two_forms_at_once_is_refused(other: str, tmp_path: Path) -> None:
    done = offhook("settings", "--markdown", other, folder=tmp_path)
    assert (done.returncode, done.stdout, "Choose one of" in done.stderr) == (2, "", True)


def test_each_way_of_asking_says_offhooks_version(tmp_path: Path) -> None:
    assert offhook("--version", folder=tmp_path).stdout == f"Offhook {VERSION}\n"
    assert offhook("version", folder=tmp_path).stdout.startswith(f"Offhook  {VERSION}\n")
    assert flask("version", env=bare_environment(), folder=tmp_path).stdout.startswith(f"Offhook  {VERSION}\n")


@pytest.mark.parametrize("revision", ["nonsense", "head+1", "", "0001:0002", "-1", "base"])
@pytest.mark.parametrize("has_tables", [False, True])
def test_a_revision_that_there_is_not_is_one_sentence(revision: str, has_tables: bool, tmp_path: Path) -> None:
    env = environment(f"sqlite:///{tmp_path}/offhook.db")
    if has_tables:
        assert flask("db", "upgrade", env=env, folder=tmp_path).returncode == 0
    done = flask("db", "upgrade", "--", revision, env=env, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f'"{revision}" is no revision' in done.stderr and "flask db history" in done.stderr
    assert has_tables or list(tmp_path.iterdir()) == []
