"""The pictures of the documents: the demonstration starts, its link lets in once, and the first page has what it is said to have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.browser import PATIENCE_MS, axe_findings, is_wider_than_window
from tests.support.processes import Up, bare_environment
from tests.support.screenshots import LINK, PICTURES, Picture, come_in, picture
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.mostly("sqlite")


def find_out_why(page: Any) -> None:
    """As docs/dashboard.md has it: why a call is not in Rockerbox, first by clicks alone, then by the caller's number."""
    page.click("a.brand")
    page.click("nav a[href*='range=30d']")
    page.click("td a[href*='reason=caller_not_in_mapping']")
    page.click("tbody tr:first-child td:first-child a")
    assert_says_why(page)
    page.click(".masked button")
    page.fill("input[name=q]", page.inner_text(".revealed"))
    page.press("input[name=q]", "Enter")
    if page.locator("h1.verdict").count() == 0:  # several calls of the caller
        page.click("tbody tr:first-child td:first-child a")
    assert_says_why(page)


def assert_says_why(page: Any) -> None:
    page.wait_for_selector("h1.verdict [data-verdict=unknown_caller]")
    assert "because the caller is not in your customer list" in page.inner_text("h1.verdict")
    assert "Add the customer" in page.inner_text("#to-do")


def test_a_new_user_gets_from_the_printed_link_to_the_pictures_of_the_documents(browser: Any, tmp_path: Path) -> None:
    with Up(bare_environment(), tmp_path) as up:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        come_in(page, up.log)
        assert int(page.inner_text("[data-figure=calls]")) > 0  # those that came in while it started are of today
        looks = (Picture("dark", "/?range=30d", 1280, 900, "dark"), Picture("phone", "/?range=7d", 360, 800))
        for one in (*PICTURES, *looks):
            assert picture(page, tmp_path, one).stat().st_size > 20_000
            assert axe_findings(page) == []
            assert not is_wider_than_window(page)
        assert page.locator("figure canvas").count() == 1
        find_out_why(page)
        assert said == []
        context.close()
        link = LINK.search(up.log)
        assert link is not None
        assert requests.get(link[0], timeout=HANGS_AFTER_SECONDS).status_code == 404  # it was of one use
