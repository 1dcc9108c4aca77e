"""Makes the pictures of the dashboard in docs/: `python -m tests.support.screenshots`. Starts the demonstration and looks at it.

What is in the pictures is the demonstration's own: made-up calls of numbers that are kept for fiction.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.browser import PATIENCE_MS, chromium
from tests.support.processes import REPOSITORY, Up, bare_environment


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as the reader sees it: `opens` is what is clicked on it first."""

    name: str
    address: str
    width: int
    height: int
    scheme: str = "light"
    opens: str = ""


# The first one opens README.
PICTURES = (
    Picture("overview", "/?range=30d", 1120, 1320),
    Picture("call", "/calls?outcome=unknown_caller&range=30d", 1120, 820, opens="tbody a"),
    Picture("unknown", "/unknown", 1120, 740),
)
LINK = re.compile(r"http://127\.0\.0\.1:\d+/invite/\S+")


def take(folder: Path) -> list[Path]:
    """Write each picture of PICTURES into the folder."""
    with tempfile.TemporaryDirectory() as scratch, Up(bare_environment(), Path(scratch)) as up, chromium() as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        come_in(page, up.log)
        return [picture(page, folder, one) for one in PICTURES]


def come_in(page: Any, said: str) -> None:
    """By the link that the demonstration has printed. Afterwards the page is the overview."""
    found = LINK.search(said)
    assert found, f"no link in what was printed:\n{said}"
    page.goto(found[0])
    page.click("button.main")
    page.wait_for_selector("[data-figure=calls]")


def picture(page: Any, folder: Path, one: Picture) -> Path:
    """Its file in the folder."""
    page.set_viewport_size({"width": one.width, "height": one.height})
    page.emulate_media(color_scheme=one.scheme)
    page.goto(page.evaluate("location.origin") + one.address, wait_until="networkidle")
    if one.opens:
        page.click(one.opens)
        page.wait_for_load_state("networkidle")
    path = folder / f"{one.name}.png"
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    for taken in take(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs"):
        print(f"{taken} {taken.stat().st_size:,} bytes")
