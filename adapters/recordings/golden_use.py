"""Which golden files a run used, and by whom: two tests must not share one, and one that nobody uses is named.

Judges only what it saw whole: the golden files of a test file all of whose tests ran and passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offhook.adapters.recordings.golden import text_of
from offhook.adapters.recordings.golden_values import GoldenError

FOLDER = "golden"


@dataclass(slots=True)
class GoldenUse:
    """One run's, or one of its processes': golden file -> the tests that used it, and for what, test file -> its tests, those that
    were left out of it, and the tests that passed."""

    used: dict[str, dict[str, str]] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)

    def claim(self, path: Path, test: str, content: str) -> str:
        """Note that the test compares `content` with the file. The name of a test that must not share it, else empty.

        The parameters of one test may share a file that they name, as long as all come to the same.
        """
        tests = self.used.setdefault(str(path), {})
        tests[test] = content
        return next((each for each in tests if not _may_share(tests, each, test)), "")

    def as_json(self) -> dict[str, Any]:
        """What a process of pytest-xdist sends to the one that started it."""
        return {"used": self.used, "tests": self.tests, "partial": sorted(self.partial)}

    def add(self, sent: dict[str, Any]) -> None:
        """What another process sent."""
        for path, tests in sent["used"].items():
            for test, content in tests.items():
                self.claim(Path(path), test, content)
        self.tests.update(sent["tests"])
        self.partial.update(sent["partial"])

    def shared(self) -> dict[str, list[str]]:
        """Golden files that several tests use, as processes that do not see one another may."""
        return {path: [*tests] for path, tests in self.used.items() if _clashes(tests)}

    def unused(self) -> list[Path]:
        """Golden files that no test uses, as far as this run can see."""
        folders = [*self._whole_folders(), *self._orphaned_folders()]
        return sorted(path for folder in folders for path in _ours(folder) if str(path) not in self.used)

    def _whole_folders(self) -> Iterator[Path]:
        for name, tests in self.tests.items():
            if name not in self.partial and self.passed.issuperset(tests):
                yield golden_folder(Path(name))

    def _orphaned_folders(self) -> Iterator[Path]:
        """Of test files that are gone, beside those whose golden files were used."""
        parents = {Path(path).parent.parent for path in self.used}
        for folder in (each for parent in parents if parent.is_dir() for each in parent.iterdir() if each.is_dir()):
            if not folder.parent.parent.joinpath(f"{folder.name}.py").exists():
                yield folder


def _may_share(tests: dict[str, str], one: str, other: str) -> bool:
    return one.partition("[")[0] == other.partition("[")[0] and tests[one] == tests[other]


def _clashes(tests: dict[str, str]) -> bool:
    first = next(iter(tests), "")
    return not all(_may_share(tests, first, each) for each in tests)


def golden_folder(test_file: Path) -> Path:
    """Where the golden files of a test file are."""
    return test_file.parent / FOLDER / test_file.stem


def _ours(folder: Path) -> Iterator[Path]:
    """Those that look just as we write them: others may keep files in such a folder, too."""
    for path in folder.glob("*.json") if folder.is_dir() else ():
        try:
            text = path.read_text(encoding="utf-8")
            outcomes = json.loads(text)
            is_ours = isinstance(outcomes, dict) and all(isinstance(each, dict) for each in outcomes.values())
            if is_ours and text_of(outcomes) == text:
                yield path
        except (OSError, ValueError, RecursionError, GoldenError):
            continue


def removed(paths: Iterable[Path]) -> list[Path]:
    """Delete the files, and folders that are empty then. Those that are gone."""
    gone: list[Path] = []
    for path in paths:
        try:
            path.unlink()
            gone.append(path)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError:
            continue
    return gone


def report(unused: list[Path], gone: list[Path], shared: dict[str, list[str]], option: str) -> list[str]:
    """What is to be said at the end of a run, a line each."""
    lines = [f"{path} is used by {' and by '.join(tests)}: give each its name=..." for path, tests in shared.items()]
    if gone:
        lines += [f"{len(gone)} golden files that no test uses were removed:", *(f"  {path}" for path in gone)]
    left = [path for path in unused if path not in gone]
    if left:
        lines += [f"{len(left)} golden files are used by no test:", *(f"  {path}" for path in left)]
        lines.append(f"pytest {option} removes them.")
    return lines
