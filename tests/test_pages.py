"""What a stranger reads first is so: the links of these pages lead somewhere, and the files and folders that they name are there."""

from __future__ import annotations

import re

import pytest

from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.unit

PAGES = ["ARCHITECTURE.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_names_of_files_lead_somewhere(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    named = re.findall(r"`((?:offhook|adapters|tests|docs|bench)/[\w./-]*)`", text)
    assert [name for name in (*links, *named) if not (REPOSITORY / name).exists()] == []


def test_each_action_of_the_workflow_is_one_that_cannot_be_exchanged() -> None:
    text = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)", text)
    assert used and [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)  # nothing can be published


def test_every_python_that_is_promised_is_tried() -> None:
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    promised = re.findall(r"Python :: (3\.\d+)", (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert re.findall(r'"(3\.\d+)"', workflow) == promised != []
