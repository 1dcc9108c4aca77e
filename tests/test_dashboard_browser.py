"""The dashboard's pages in a real Chromium: no console error, nothing that axe finds, 360 px, keyboard alone, without JavaScript."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from offhook.api_and_dashboard import dashboard
from offhook.pipeline.users import AuditLine, Invite, Role, new_secret
from offhook.service import build
from offhook.settings import given
from tests.support.browser import holds_in_every_look, page_of
from tests.support.dashboard import PASSWORD, Site
from tests.test_dashboard_calls_browser import PAGES as OF_CALLS
from tests.test_dashboard_deliveries_browser import PAGES as OF_DELIVERIES
from tests.test_dashboard_people_browser import PAGES as OF_PEOPLE

INVITED = "/invite/<secret>"
# Each page that can be opened by GET has a row here, or in the files of tests whose calls and people it needs: a test holds them to
# that. `None` is nobody.
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
    (INVITED, None),
]
NO_PAGES = {
    "/static/<name>",
    "/calls/new",  # a part of a page, as those below
    "/overview/now",
    "/jobs/of/<name>",
    "/customers/jobs/<job_id>/progress",
    "/login/oidc/callback",  # it leads on
}
MOST_REQUESTS, MOST_BYTES = 3, 150_000


@pytest.mark.parametrize(("path", "role"), PAGES)
def test_a_page_has_no_finding_of_axe_no_console_error_and_fits_its_window(
    browser: Any, site: Site, path: str, role: Role | None
) -> None:
    with page_of(browser, site, role, is_missing=path == "/none-such") as page:
        page.goto(invitation(site) if path == INVITED else path)
        holds_in_every_look(page, f"{path.strip('/') or 'overview'}-{role or 'nobody'}")


def invitation(site: Site) -> str:
    """The address of a link that lets somebody in."""
    (secret, kept), now = new_secret(), site.ledger.clock()
    invite = Invite(kept, "guest@example.com", Role.VIEWER, now, now + timedelta(hours=1))
    site.ledger.invites.add(invite, AuditLine(now, "test", "link made", "guest@example.com", "test"))
    return f"/invite/{secret}"


@pytest.mark.mostly("sqlite")
def test_each_page_is_looked_at(database_url: str) -> None:
    service = build(given({"DATABASE_URL": database_url}))
    routes = dashboard(service).url_map
    match = routes.bind("localhost").match
    looked_at = [
        *(path for path, _ in PAGES if path != "/none-such"),
        *OF_CALLS.values(),
        *OF_DELIVERIES,
        *OF_PEOPLE.values(),
    ]
    seen = {match(urlsplit(path).path)[0] for path in looked_at}
    pages = {
        rule.rule: rule.endpoint
        for rule in routes.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.rule.endswith(".csv")
    }
    assert {path for path, endpoint in pages.items() if endpoint not in seen} == NO_PAGES
    service.ledger.close()


@pytest.mark.parametrize(("path", "role"), [PAGES[0], PAGES[1], PAGES[2]])
def test_the_first_paint_needs_few_requests_and_little(browser: Any, site: Site, path: str, role: Role | None) -> None:
    with page_of(browser, site, role, is_first=True) as page:
        sizes = []
        page.on("requestfinished", lambda request: sizes.append(request.sizes()))
        page.goto(path, wait_until="networkidle")
        assert len([url for url in page.requests if not url.startswith("data:")]) <= MOST_REQUESTS
    assert sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) <= MOST_BYTES


def test_somebody_signs_in_and_out_with_the_keyboard_alone(browser: Any, site: Site) -> None:
    with page_of(browser, site) as page:
        page.goto("/setup")
        page.locator("#email:focus").wait_for()  # a moment after the page is there
        page.keyboard.type("viewer@example.com")
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
