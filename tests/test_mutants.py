"""The sampler of one-line bugs makes the changes that it says, and prints those alone that no test noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import OFFHOOK, Fate, Project, fate, main, mutants_of, sample

pytestmark = pytest.mark.unit

TOY = '''\
"""A toy."""
import time


def grown_up(age: int, asked: bool = True) -> bool:
    """Says “yes” from 18 on."""
    if not asked:
        raise ValueError(f"{age + 1}")
    return age >= 18 and asked


def halved(number: int) -> int:
    while number > 10:
        number -= 5
    return number
'''
AGES = """\
def grown_up(age):
    return age >= 18


def child(age):
    return age < 18
"""
CONFTEST = """\
from hypothesis import settings

settings.register_profile("mutants")
"""
TESTS = """\
from toy.ages import grown_up


def test_from_18_on():
    assert [grown_up(17), grown_up(18)] == [False, True]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Project:
    """A project of one module, some of which is tested."""
    files = {"toy/ages.py": AGES, "tests/conftest.py": CONFTEST, "tests/deep/test_ages.py": TESTS}
    for path, text in {**files, "pytest.ini": "[pytest]\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    return Project(tmp_path, {"toy/": "ages"})


def _tried(project: Project, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = main(["--seed", "1"], project)
    return code, capsys.readouterr().out.splitlines()


def test_each_change_is_one_place_of_the_text_and_is_python() -> None:
    changed = {(m.line, TOY[m.start : m.end].splitlines()[0], m.new) for m in mutants_of("toy/ages.py", TOY)}
    assert changed == {
        (5, "True", "(False)"),
        (7, "if not asked:", "pass"),
        (7, "not asked", "(asked)"),
        (8, 'raise ValueError(f"{age + 1}")', "pass"),
        (9, "age >= 18 and asked", "(age >= 18 or asked)"),
        (9, "age >= 18", "(age > 18)"),
        (9, "18", "(19)"),
        (13, "number > 10", "(number >= 10)"),
        (13, "10", "(11)"),
        (14, "number -= 5", "pass"),
        (14, "5", "(6)"),
    }
    for mutant in mutants_of("toy/ages.py", TOY):
        compile(mutant.applied(TOY), mutant.file, "exec")


@pytest.mark.soak  # it runs a suite for each change
def test_what_no_test_notices_is_printed_and_what_one_notices_is_not(
    toy: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in toy.root.rglob("*") if path.is_file()}
    code, lines = _tried(toy, capsys)
    assert code == 0
    assert lines[-3:] == [
        "survived (3 of 4) toy/ages.py:6: `age < 18` -> `(age <= 18)`",
        "survived (4 of 4) toy/ages.py:6: `18` -> `(19)`",
        "2 killed, 2 survived, 0 timed out",
    ]
    assert {path: path.read_bytes() for path in toy.root.rglob("*") if path.is_file()} == before, "changed here"


def test_tests_that_hang_are_ended(toy: Project) -> None:
    hanging = "import threading\n\ndef test_hangs():\n    threading.Event().wait()\n"
    (toy.root / "tests/deep/test_ages.py").write_text(hanging, "utf-8")
    assert fate(toy.root, ["tests/deep/test_ages.py"], limit_seconds=1) is Fate.TIMED_OUT


def test_tests_that_fail_without_any_change_are_said_and_nothing_is_tried(
    toy: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy.root / "tests/deep/test_ages.py").write_text("def test_red():\n    assert False\n", "utf-8")
    code, lines = _tried(toy, capsys)
    assert (code, lines[-1]) == (1, "These tests fail without any change: tests/deep/test_ages.py")


def test_a_test_or_a_file_that_is_not_there_is_said_when_it_starts(
    toy: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = _tried(replace(toy, asked={"toy/": "ages sums", "toy/gone": "ages"}), capsys)
    assert code == 2
    assert lines[1:] == ["  toy/gone", "  tests/**/test_sums.py"]


def test_the_longest_beginning_says_who_is_asked_and_a_folder_stands_for_its_tests(toy: Project) -> None:
    project = replace(toy, asked={"toy/": "ages", "toy/ages": "deep ages"})
    assert project.tests_for("toy/ages.py") == ["tests/deep", "tests/deep/test_ages.py"]
    assert project.tests_for("toy/new.py") == ["tests/deep/test_ages.py"]


def test_the_same_seed_draws_the_same(toy: Project) -> None:
    assert [sample(toy, "", 2, seed) == sample(toy, "", 2, seed=1) for seed in range(1, 6)] != [True] * 5
    assert sample(toy, "", 2, seed=1) == sample(toy, "", 2, seed=1)
    assert sample(toy, "toy/other", 5, seed=1) == []


def test_offhooks_own_table_names_what_is_there() -> None:
    assert OFFHOOK.missing() == []
