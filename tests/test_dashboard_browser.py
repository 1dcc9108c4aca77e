"""The dashboard's pages in a real Chromium: no console error, nothing that axe finds, 360 px, keyboard alone, without JavaScript."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.pipeline.users import Role
from tests.support.browser import holds_in_every_look, page_of
from tests.support.dashboard import PASSWORD, Site

# Each page that an admin can open by GET has a row. `None` is nobody.
PAGES: list[tuple[str, Role | None]] = [
    ("/login", None),
    ("/", Role.VIEWER),
    ("/setup", Role.ADMIN),
    ("/setup", Role.VIEWER),
    ("/audit", Role.ADMIN),
    ("/unknown", Role.VIEWER),
    ("/customers", Role.VIEWER),
    ("/customers/imports", Role.VIEWER),
    ("/customers/conflicts", Role.VIEWER),
    ("/account", Role.VIEWER),
    ("/calls", Role.VIEWER),
    ("/search?q=nobody", Role.VIEWER),
    ("/deliveries", Role.VIEWER),
    ("/rules", Role.ADMIN),
    ("/rockerbox", Role.OPERATOR),
    ("/none-such", Role.VIEWER),
]
MOST_REQUESTS, MOST_BYTES = 3, 150_000


@pytest.mark.parametrize(("path", "role"), PAGES)
def test_a_page_has_no_finding_of_axe_no_console_error_and_fits_its_window(
    browser: Any, site: Site, path: str, role: Role | None
) -> None:
    with page_of(browser, site, role, is_missing=path == "/none-such") as page:
        page.goto(path)
        holds_in_every_look(page, f"{path.strip('/') or 'overview'}-{role or 'nobody'}")


@pytest.mark.parametrize(("path", "role"), [PAGES[0], PAGES[1], PAGES[2]])
def test_the_first_paint_needs_few_requests_and_little(browser: Any, site: Site, path: str, role: Role | None) -> None:
    with page_of(browser, site, role) as page:
        sizes = []
        page.on("requestfinished", lambda request: sizes.append(request.sizes()))
        page.goto(path, wait_until="networkidle")
        assert len([url for url in page.requests if not url.startswith("data:")]) <= MOST_REQUESTS
    assert sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) <= MOST_BYTES


def test_somebody_signs_in_and_out_with_the_keyboard_alone(browser: Any, site: Site) -> None:
    with page_of(browser, site) as page:
        page.goto("/setup")
        page.keyboard.type("viewer@example.com")  # the first field has the focus
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/setup")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.focus("details.menu summary")
        page.keyboard.press("Enter")
        page.focus("details.menu button")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/login")


def test_an_action_asks_first_and_works_without_javascript(browser: Any, site: Site) -> None:
    with page_of(browser, site, Role.ADMIN, scripts=False) as page:
        page.goto("/setup")
        page.fill("input[name=name]", "crm")
        page.check("input[value='calls:read']")
        page.click("text=Make it")
        assert page.locator("code.secret").inner_text().startswith("offhook_")
        row = page.locator("tr", has_text="crm")
        row.locator("summary", has_text="Revoke").click()
        row.get_by_role("button", name="Yes").click()
        assert "is revoked" in page.locator(".flash").inner_text()
    done = site.role(Role.ADMIN).get("/audit").text
    assert "token made" in done
    assert "token revoked" in done


def test_no_page_may_be_framed_nor_run_a_script_of_anybody_else(browser: Any, site: Site) -> None:
    with page_of(browser, site, Role.VIEWER, expects=["frame-ancestors", "script-src", "chrome-error"]) as page:
        page.goto("/account")
        page.evaluate("""() => {
            const script = document.createElement('script'); script.textContent = 'window.owned = 1'; document.body.append(script)
        }""")
        assert page.evaluate("window.owned") is None
