"""README and docs/ say what is so: short where they begin, settings as the code has them, links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offhook.adapters.commands.settings import as_markdown

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench" / "README.md", ROOT / "recordings" / "README.md"]
LINKS = [
    (page, link) for page in PAGES for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))
]
MOST_LINES = 130
MOST_PICTURE_BYTES = 250_000


def test_the_page_of_settings_is_the_codes() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == f"{as_markdown()}\n", "run `.venv/bin/flask settings --markdown > docs/settings.md`"


def test_readme_is_short_and_opens_with_a_picture_that_says_what_it_shows() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    before_any_section = "\n".join(lines).split("\n## ")[0]
    [(alternative, picture)] = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", before_any_section)
    assert len(alternative) > 40
    assert (ROOT / picture).stat().st_size < MOST_PICTURE_BYTES


SECTIONS = [
    "The two commands",
    "Twilio",
    "Rockerbox",
    "Customers",
    "Rules",
    "Why is this call not there?",
    "Deploy",
    "More",
]


def test_readme_goes_from_the_first_command_to_the_deployment_in_the_order_in_which_one_needs_it() -> None:
    assert re.findall(r"^## (.+)", README.read_text(encoding="utf-8"), re.MULTILINE) == SECTIONS


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page.stem}-{link}" for page, link in LINKS])
def test_each_link_leads_to_a_file(page: Path, link: str) -> None:
    assert (page.parent / link).exists()


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=lambda page: page.stem)
def test_each_page_can_be_reached(page: Path) -> None:
    """By a link of README, or of a page that README links to."""
    reached = {
        (other.parent / link).resolve() for other, link in LINKS if other in (README, page.parent / "operating.md")
    }
    assert page.resolve() in reached
