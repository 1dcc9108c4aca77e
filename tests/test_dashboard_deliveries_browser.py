"""The pages of deliveries, rules and Rockerbox in a real Chromium: axe, the console, 360 px, and sending again without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.job_kinds import BacktestRules, QaFile, enqueue
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import Role
from offhook.service import job_runner
from tests.conftest import give_tables
from tests.support.browser import axe_findings, holds_in_every_look, lists_cut_off, page_of
from tests.support.browsing import ANN, BO, RULES, Browsing, browsing, sid
from tests.support.dashboard import Site

POLICY = RetryPolicy()
PAGES = ("/deliveries", "/deliveries?show=done", "/rules", "/rules/<version>", "/rockerbox")
MOST_REQUESTS, MOST_BYTES = 3, 150_000


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Browsing]]:
    """1 and 2 are in Rockerbox, 3 and 4 were refused, 5 may have arrived, 6 is on its way; 7 is too short, 8 somebody unknown."""
    folder = tmp_path_factory.mktemp("deliveries")
    url = give_tables(f"sqlite:///{folder}/offhook.db", request)
    site, inside = Site(url, folder, OFFHOOK_RULES=RULES), browsing(url)
    inside.know(ANN, "ann@example.com", "C-77")
    refused = Outcome(Result.REFUSED, "http_422", 422, '{"error": "no such ann@example.com"}')
    for number, outcome, days in (
        (1, Outcome(Result.DELIVERED, "delivered", 200, '{"ok": true}'), 0),
        (2, Outcome(Result.DELIVERED, "delivered", 200, '{"ok": true}'), 0),
        (3, refused, 0),
        (4, refused, 0),
        (5, Outcome(Result.MAYBE_SENT, "deadline"), 4),
    ):
        inside.call(number)
        now = datetime.now(UTC)
        late = now + timedelta(days=days)
        [claimed] = inside.service.ledger.claim(now, 1, 60, POLICY).taken
        inside.service.ledger.finish([attempt(claimed, outcome, now, late, POLICY)], late)
    inside.call(6)
    inside.call(7, seconds=5)
    inside.call(8, caller=BO)
    ledger, now = inside.service.ledger, inside.service.ledger.clock()
    enqueue(ledger.jobs, BacktestRules(now - timedelta(days=7), "min_duration_seconds = 3\n"), "ann@example.com", now)
    enqueue(ledger.jobs, QaFile(f"{now:%Y-%m}"), "ann@example.com", now)
    runner = job_runner(inside.service.settings, ledger, inside.service.judge)
    while runner.once():
        pass
    site.web.start()
    yield site, inside
    site.close()
    ledger.close()


def address(path: str, inside: Browsing) -> str:
    return path.replace("<version>", inside.service.judge().rules.version)


@pytest.mark.parametrize("path", PAGES)
def test_a_filled_page_has_no_finding_of_axe_no_console_error_and_fits_its_window(
    browser: Any, filled: tuple[Site, Browsing], path: str
) -> None:
    with page_of(browser, filled[0], Role.ADMIN, is_first=True) as page:
        sizes = []
        page.on("requestfinished", lambda request: sizes.append(request.sizes()))
        page.goto(address(path, filled[1]), wait_until="networkidle")
        assert len([url for url in page.requests if not url.startswith("data:")]) <= MOST_REQUESTS
        assert sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) <= MOST_BYTES
        holds_in_every_look(page, path.strip("/").replace("?", "-"))
        page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
        holds_in_every_look(page, f"{path.strip('/').replace('?', '-')}-open")


def test_on_a_phone_no_list_is_cut_off(browser: Any, filled: tuple[Site, Browsing]) -> None:
    with page_of(browser, filled[0], Role.ADMIN, width=360) as page:
        for path in (*PAGES, "/setup", "/audit", "/account", "/customers", "/customers/imports"):
            page.goto(address(path, filled[1]))
            assert lists_cut_off(page) == [], path


@pytest.mark.parametrize("scripts", [True, False])
def test_picked_ones_are_sent_again_after_a_preview(browser: Any, filled: tuple[Site, Browsing], scripts: bool) -> None:
    site, inside = filled
    number = 3 if scripts else 4
    with page_of(browser, site, Role.OPERATOR, scripts=scripts) as page:
        page.goto("/deliveries")
        page.get_by_label(f"Pick {sid(number)}").check()
        page.get_by_label(f"Pick {sid(5)}").check()
        page.get_by_role("button", name="Send the picked ones again").click()
        page.wait_for_url("**/deliveries/preview")
        figures = {one.get_attribute("data-figure"): one.inner_text() for one in page.locator("[data-figure]").all()}
        assert figures == {"safe": "1", "could_count_twice": "1", "stay": "0"}
        if scripts:
            holds_in_every_look(page, "deliveries-preview")
        page.get_by_role("button", name="Send again").click()
        page.wait_for_selector(".flash")
        assert "1 is sent again in a moment. 1 may be in Rockerbox already" in page.locator(".flash").inner_text()
    keys = {sid(each): "" for each in (number, 5)}
    for one in inside.service.ledger.stories.conversions([], 50):
        keys |= {one.key.call_sid: one.state} if one.key.call_sid in keys else {}
    assert list(keys.values()) == ["pending", "ambiguous"]


def test_other_rules_are_tried_by_an_admin_who_chooses_a_file(
    browser: Any, filled: tuple[Site, Browsing], tmp_path: Path
) -> None:
    file = tmp_path / "new.toml"
    file.write_text("min_duration = 3\n")
    with page_of(browser, filled[0], Role.ADMIN, expects=["422"]) as page:
        page.goto("/rules")
        page.set_input_files("input[type=file]", file)
        page.get_by_role("button", name="Try them").click()
        page.wait_for_selector("[role=alert]")
        assert "Line 1:" in page.locator("main").inner_text()
        file.write_text("min_duration_seconds = 3\n")
        page.set_input_files("input[type=file]", file)
        page.get_by_role("button", name="Try them").click()
        page.wait_for_selector(".flash:not(.bad)")
        assert "waits for a worker" in page.locator("#work-trials").inner_text()


def test_a_list_of_work_goes_on_by_itself_while_it_is_looked_at(browser: Any, filled: tuple[Site, Browsing]) -> None:
    site, inside = filled
    ledger = inside.service.ledger
    enqueue(ledger.jobs, QaFile("2026-09"), "ann@example.com", ledger.clock())
    with page_of(browser, site, Role.OPERATOR) as page:
        page.goto("/rockerbox")
        newest = page.locator("#work-qa tbody tr").first
        newest.get_by_text("waits for a worker").wait_for()
        runner = job_runner(inside.service.settings, ledger, inside.service.judge)
        while runner.once():
            pass
        newest.get_by_text("done", exact=True).wait_for()
        newest.get_by_text("Download rockerbox-qa-2026-09.csv").wait_for()
        assert page.locator("#work-qa[data-live]").count() == 0
        assert axe_findings(page) == []
