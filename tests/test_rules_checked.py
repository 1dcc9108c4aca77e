"""`flask rules check --json`: a program is given what a person reads, mistakes too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from offhook.main import commands_alone
from offhook.service import build
from offhook.settings import given

pytestmark = pytest.mark.unit

MISTAKES = 'action = 7\n[[rule]]\nname = "Night"\nwhen.hours = "09:00-17:00"\n'


def checked(folder: Path, **known: str) -> Result:
    app = commands_alone()
    app.extensions["offhook"] = build(given({"DATABASE_URL": f"sqlite:///{folder}/none.db", **known}))
    done: Result = app.test_cli_runner().invoke(args=["rules", "check", "--json"])
    return done


def test_each_mistake_is_in_the_document_with_its_line_and_on_standard_error_as_before(tmp_path: Path) -> None:
    done = checked(tmp_path, OFFHOOK_RULES=MISTAKES)
    found = json.loads(done.stdout)["problems"]
    assert [(one["file"], one["line"]) for one in found] == [("OFFHOOK_RULES", line) for line in (1, 2, 4)]
    beginnings = ["action must be one line", "a rule has one result", "hours needs the time zone"]
    assert all(one["what"].startswith(begins) for one, begins in zip(found, beginnings, strict=True))
    said = [f"OFFHOOK_RULES:{one['line']}: {one['what']}" for one in found]
    assert all(line in done.stderr for line in said)
    assert done.exit_code == 1


def test_a_mistake_of_no_line_has_none(tmp_path: Path) -> None:
    path = tmp_path / "gone.toml"
    done = checked(tmp_path, OFFHOOK_CONFIG=str(path))
    [one] = json.loads(done.stdout)["problems"]
    assert (one["file"], one["line"], done.exit_code) == (str(path), None, 1)
