"""One plain word for one thing: what is read says sent, delivered, held, refused, reported, and not "told" for all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documented import pages
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.unit

OLD = re.compile(r"\b(told|tells?|telling|vouch\w*|heard\s+of)\b", re.IGNORECASE)
CODE = sorted(path for folder in ("offhook", "adapters") for path in (REPOSITORY / folder).rglob("*.py"))
AT_THE_ROOT = (path.name for path in REPOSITORY.glob("*.md"))
FILES = sorted({*pages(REPOSITORY), *AT_THE_ROOT, "offhook.toml.example", ".env.example", "Makefile", "app.json"})


def texts(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each string of a program: what it may print, and its docstrings, which are read just as well."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_module_prints_and_what_its_docstrings_say_is_in_plain_words(path: Path) -> None:
    assert [(line, text) for line, text in texts(path.read_text(encoding="utf-8")) if OLD.search(text)] == []


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_for_users_is_in_plain_words(name: str) -> None:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    assert [(number, line) for number, line in enumerate(lines, 1) if OLD.search(line)] == []
