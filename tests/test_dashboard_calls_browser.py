"""The pages of calls in a real Chromium: what axe and the console say, the buttons, the line of new calls that moves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import Role
from tests.conftest import give_tables
from tests.support.browser import holds_in_every_look, page_of
from tests.support.browsing import ANN, BO, RULES, Browsing, browsing, sid
from tests.support.dashboard import Site

POLICY = RetryPolicy()
EVERY_COLUMN = "&".join(
    f"col={one}"
    for one in ("when", "number", "caller", "customer", "length", "outcome", "reason", "state", "status", "legs", "id")
)
PAGES = {
    "calls": "/calls",
    "calls-narrowed": f"/calls?reason=too_short&{EVERY_COLUMN}",
    "calls-empty": "/calls?customer=nobody%40example.com",
    "search": "/search?q=C-77",
    **{f"call-{number}": f"/calls/{sid(number)}" for number in (*range(1, 7), 30)},
}


@pytest.fixture(scope="module")
def calls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Browsing]]:
    """A call of each verdict: 1 in Rockerbox, 2 of somebody unknown, 3 too short, 4 refused, 5 held, 6 on its way. 30 was decided
    by rules of before."""
    folder = tmp_path_factory.mktemp("calls")
    url = give_tables(f"sqlite:///{folder}/offhook.db", request)
    settings = {"OFFHOOK_RULES": RULES, "OFFHOOK_DASHBOARD_LIVE_SECONDS": "1"}
    site, inside = Site(url, folder, **settings), browsing(url)
    before = browsing(
        url,
        OFFHOOK_RULES=f'{RULES.replace("= 30", "= 20")}[[rule]]\nname = "Short ones"\nskip = "short"\nwhen.max_duration_seconds = 9\n',
    )
    before.call(30, seconds=5)
    before.service.ledger.close()
    inside.know(ANN, "ann@example.com", "C-77")
    _sent(inside, 1, Outcome(Result.DELIVERED, "delivered", 200, '{"ok": true}'))
    inside.call(2, caller=BO)
    inside.call(3, seconds=5)
    _sent(inside, 4, Outcome(Result.REFUSED, "http_422", 422, '{"error": "no such ann@example.com"}'))
    _sent(inside, 5, Outcome(Result.MAYBE_SENT, "deadline"), after=timedelta(days=4))
    inside.call(6)
    site.web.start()
    yield site, inside
    site.close()
    inside.service.ledger.close()


def _sent(inside: Browsing, number: int, outcome: Outcome, after: timedelta = timedelta(0)) -> None:
    inside.call(number)
    ledger, now = inside.service.ledger, datetime.now(UTC)
    [claimed] = ledger.claim(now, 1, 60, POLICY).taken
    ledger.finish([attempt(claimed, outcome, now, now + after, POLICY)], now + after)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_calls_has_no_finding_of_axe_no_console_error_and_fits_its_window(
    browser: Any, calls: tuple[Site, Browsing], name: str
) -> None:
    with page_of(browser, calls[0], Role.OPERATOR) as page:
        page.goto(PAGES[name])
        page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
        holds_in_every_look(page, name)


def test_the_rules_of_then_and_today_stand_side_by_side_and_on_a_phone_one_above_the_other(
    browser: Any, calls: tuple[Site, Browsing]
) -> None:
    with page_of(browser, calls[0], Role.VIEWER) as page:
        page.goto(PAGES["call-30"])
        row = page.locator("#rules tbody tr").last
        beside = {}
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 800})
            then, today = (row.locator(f'[data-from="{one}:"]').bounding_box() for one in ("Then", "Today"))
            beside[width] = (then["y"] == today["y"], then["x"] == today["x"])
        assert page.locator("#deciding").inner_text().startswith("The rule “Short ones” decided it; today what ")
    assert beside == {1280: (True, False), 360: (False, True)}


def test_each_outcome_of_the_list_can_be_seen(browser: Any, calls: tuple[Site, Browsing]) -> None:
    with page_of(browser, calls[0], Role.VIEWER) as page:
        page.goto("/calls")
        badges = page.locator("tbody [data-verdict]")
        width = page.viewport_size["width"]
        boxes = [one.bounding_box() for one in badges.all()]
    assert boxes
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_customer_is_added_on_the_page_of_the_call(
    browser: Any, calls: tuple[Site, Browsing], scripts: bool
) -> None:
    site, inside = calls
    number, phone = (7, "+14155550131") if scripts else (8, "+14155550132")
    inside.call(number, caller=phone)
    with page_of(browser, site, Role.OPERATOR, scripts=scripts) as page:
        page.goto(f"/calls/{sid(number)}")
        assert page.locator("h1 [data-verdict]").get_attribute("data-verdict") == "unknown_caller"
        page.locator("summary", has_text="Add this customer").click()
        page.fill("input[name=email]", "cy@example.com")
        page.get_by_role("button", name="Add", exact=True).click()
        page.wait_for_selector(".flash")
        assert "The customer is added, and 1 call was decided again" in page.locator(".flash").inner_text()
        assert page.locator("h1 [data-verdict]").get_attribute("data-verdict") == "on_its_way"


def test_new_calls_are_announced_and_the_rows_stay_where_they_are(browser: Any, calls: tuple[Site, Browsing]) -> None:
    site, inside = calls
    with page_of(browser, site, Role.VIEWER) as page:
        page.goto("/calls?customer=%2B14155550133")
        assert page.locator("tbody tr").count() == 0
        inside.call(9, caller="+14155550133")
        page.wait_for_selector("#new a")
        assert page.locator("#new a").inner_text() == "1 new call"
        assert page.locator("tbody tr").count() == 0
        page.click("#new a")
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 1


def test_a_number_is_shown_by_a_click_which_the_audit_has(browser: Any, calls: tuple[Site, Browsing]) -> None:
    site, _ = calls
    with page_of(browser, site, Role.OPERATOR) as page:
        page.goto(f"/calls/{sid(2)}")
        assert BO not in page.content()
        page.get_by_role("button", name="Show", exact=True).first.click()
        page.wait_for_selector(".revealed")
        assert page.locator(".revealed").inner_text() == BO
    assert "reveal caller" in site.role(Role.ADMIN).get("/audit").text
