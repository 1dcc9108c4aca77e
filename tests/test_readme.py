"""README says what is so: its table of settings is the code's, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offhook.adapters.commands.settings import as_markdown

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_codes() -> None:
    assert as_markdown() in README, "run `.venv/bin/flask settings --markdown` and put its table into README.md"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_each_link_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).exists()
