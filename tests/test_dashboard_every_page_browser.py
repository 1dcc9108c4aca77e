"""Each page of a dashboard where everything has happened, in a real Chromium: what each role finds, what is written to the console,
how much the first paint needs, what axe says of the pages that follow a form, and what is printed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from offhook.pipeline.users import Role
from tests.conftest import give_tables
from tests.support import happened
from tests.support.browser import axe_findings, holds_in_every_look, is_wider_than_window, page_of
from tests.support.browsing import ANN, BO, Browsing, browsing, sid
from tests.support.dashboard import Site, add_user
from tests.test_dashboard_browser import INVITED, MOST_BYTES, MOST_REQUESTS, NO_PAGES, invitation
from tests.test_dashboard_doors import ANSWERS, ELSEWHERE

MORE = (
    *(f"/calls/{sid(number)}" for number in range(happened.UNKNOWN, happened.JUST_ENDED + 1)),
    "/calls?outcome=refused",
    "/search?q=C-77",
    "/customers?q=C-77",
    "/deliveries?show=done",
    "/?range=30d",
)
"""Addresses beside those of the map: what else is there to see."""
NOT_HERE = {"POST /login", "POST /login/oidc", "POST /invite/<secret>"}  # they are for who is not signed in
A4 = 718  # CSS pixels between margins of a centimetre


@dataclass
class Looked:
    """The running dashboard, the same in this process, and an address for each of its pages."""

    site: Site
    inside: Browsing
    pages: Mapping[str, str]

    def path_of(self, address: str) -> str:
        """The rule of the map that an address is one of, as test_dashboard_doors.py has them."""
        found, _ = self.inside.app.url_map.bind("localhost").match(urlsplit(address).path, "POST", return_rule=True)
        return f"POST {found.rule}"


@pytest.fixture(scope="module")
def looked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    folder = tmp_path_factory.mktemp("looked")
    url = give_tables(f"sqlite:///{folder}/offhook.db", request)
    rules = happened.rules_of_now(folder)
    settings = {"OFFHOOK_RULES": rules, "OFFHOOK_DASHBOARD_LIVE_SECONDS": "3600"}
    settings["OFFHOOK_DASHBOARD_AT_ONCE"] = "3"  # so that a worker may be asked to check more
    site, inside = Site(url, folder, **settings), browsing(url, OFFHOOK_RULES=rules)
    known = happened.happens(inside)
    inside.know(ANN, "ann.new@example.com", "C-77")  # so that what was refused can be decided again
    gone = add_user(site.ledger, "gone@example.com", Role.VIEWER)
    assert site.ledger.users.disable(gone.id, site.ledger.clock(), happened.line(inside, "user disabled", gone.email))
    gets = (rule.rule for rule in inside.app.url_map.iter_rules() if "GET" in (rule.methods or ()))
    pages = {path: known.get(path, path) for path in gets if not path.endswith(".csv") and path not in NO_PAGES}
    assert pages.keys() - known.keys() >= {"/", "/calls", "/setup", "/audit", "/account"}
    site.web.start()
    yield Looked(site, inside, pages)
    site.close()
    inside.service.ledger.close()


_FORMS = """() => {
    document.querySelectorAll('details').forEach(one => { one.open = true })
    return [...document.querySelectorAll('form')].filter(one => one.method === 'post' && one.checkVisibility()).map(one => one.action)
}"""


@pytest.mark.parametrize("role", [*(pytest.param(one, marks=pytest.mark.soak) for one in list(Role)[:2]), Role.ADMIN])
def test_each_role_finds_what_it_may_do_and_no_more_on_light_pages_without_a_word_in_the_console(
    browser: Any, looked: Looked, role: Role
) -> None:
    offered: dict[str, set[str]] = defaultdict(set)
    may_not = {path for path in looked.pages if _answer(f"GET {path}", role) == 403}
    addresses = [at for path, at in looked.pages.items() if path not in {*may_not, "/login", INVITED}]
    with page_of(browser, looked.site, role, is_alone=True) as page:
        weighed = Weighed(page)
        for address in (*addresses, *MORE):
            weighed.goes_to(address)
            for form in page.evaluate(_FORMS):
                offered[looked.path_of(form)].add(address)
    mine = {route for route in ANSWERS if route.startswith("POST") and _answer(route, role) != 403} | ELSEWHERE
    assert offered.keys() == mine - NOT_HERE


def _answer(route: str, role: Role) -> int:
    return ANSWERS[route][1 + list(Role).index(role)]


class Weighed:
    """Goes to pages, and holds each to what its first paint may need. Of what the browser has kept since the page before, the
    bytes count that it had when it came."""

    def __init__(self, page: Any) -> None:
        self._page, self._came, self._bytes = page, list[Any](), dict[str, int]()
        page.on("requestfinished", self._finished)

    def _finished(self, request: Any) -> None:
        self._came.append(request)

    def goes_to(self, address: str) -> None:
        self._page.requests.clear()
        self._came.clear()
        answer = self._page.goto(address)
        asked = [url for url in self._page.requests if not url.startswith("data:")]
        assert answer.status == 200, address
        for one in list(self._came):
            sizes = one.sizes()
            came = sizes["responseBodySize"] + sizes["responseHeadersSize"]
            self._bytes[one.url] = max(came, self._bytes.get(one.url, 0))
        assert len(asked) <= MOST_REQUESTS, (address, asked)
        assert 1000 < sum(self._bytes[url] for url in asked) <= MOST_BYTES, address


def test_the_pages_of_who_is_not_signed_in_are_light_too(browser: Any, looked: Looked) -> None:
    with page_of(browser, looked.site, is_alone=True) as page:
        weighed = Weighed(page)
        weighed.goes_to("/login")
        weighed.goes_to(invitation(looked.site))


@pytest.mark.parametrize(
    "address", ["/search?q=C-77", f"/calls/{sid(happened.TWICE)}", "/customers/imports/<import_id>"]
)
def test_a_page_that_was_looked_for_has_no_finding_of_axe(browser: Any, looked: Looked, address: str) -> None:
    with page_of(browser, looked.site, Role.OPERATOR) as page:
        page.goto(looked.pages.get(address, address))
        assert page.locator("main a").count() > 1
        _opened(page)
        holds_in_every_look(page, re.sub(r"\W+", "-", address).strip("-"))


@pytest.mark.soak
def test_a_job_of_each_kind_that_is_done_has_no_finding_of_axe(browser: Any, looked: Looked) -> None:
    jobs = looked.inside.service.ledger.jobs.latest(99)
    own = [f"/customers/jobs/{one.id}" for one in jobs if one.kind in ("import_customers", "undo_import")]
    assert len(own) == 4
    with page_of(browser, looked.site, Role.ADMIN, width=360) as page:
        for address in (*own, "/calls", "/deliveries", "/rules", "/rockerbox"):
            page.goto(address)
            _opened(page)
            assert axe_findings(page) == [], address
            assert not is_wider_than_window(page), address


def _opened(page: Any) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")


def test_what_is_shown_once_has_no_finding_of_axe(browser: Any, looked: Looked) -> None:
    """A new link, a new token, and without JavaScript a number that is a page of its own."""
    with page_of(browser, looked.site, Role.ADMIN) as page:
        page.goto("/setup")
        page.get_by_label("Email").last.fill("new@example.com")
        page.get_by_role("button", name="Make a link of one use").click()
        assert "/invite/" in page.locator("code.secret").inner_text()
        holds_in_every_look(page, "setup-link")
        page.get_by_label("Name", exact=True).fill("shop")
        page.get_by_label("calls:read").check()
        page.get_by_role("button", name="Make it").click()
        assert page.locator("code.secret").inner_text().startswith("offhook_")
        holds_in_every_look(page, "setup-token")
        page.goto(f"/calls/{sid(happened.UNKNOWN)}")
        page.evaluate("document.querySelector('.masked form').submit()")  # as it is sent where no script looks
        page.wait_for_url("**/reveal")
        assert page.locator("h1").inner_text() == BO
        holds_in_every_look(page, "reveal")


def test_a_sign_in_that_is_refused_has_no_finding_of_axe(browser: Any, looked: Looked) -> None:
    with page_of(browser, looked.site, expects=["401"]) as page:
        page.goto("/login")
        page.get_by_label("Email").fill("viewer@example.com")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").wait_for()
        holds_in_every_look(page, "login-refused")


# What is printed

_CUT_OFF = """() => [...document.querySelectorAll('main *')].filter(one => one.checkVisibility() && one.closest('.hidden') === null)
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 || ['auto', 'scroll', 'hidden'].includes(getComputedStyle(one)
        .overflowX) && one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML.slice(0, 100))"""
_OF_A_SCREEN = "header, nav, button, input, select, summary.button, a.button, a.skip"


def printed(page: Any, address: str) -> str:
    """What is read on paper, by which nothing is cut off, and nothing stands that is for a screen."""
    page.add_init_script("addEventListener('resize', event => event.stopImmediatePropagation())")  # to print is none
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(address)
    page.emulate_media(media="print", color_scheme="light")
    page.set_viewport_size({"width": A4, "height": 1000})
    assert [one.inner_text() for one in page.locator(_OF_A_SCREEN).all() if one.is_visible()] == [], address
    assert page.evaluate(_CUT_OFF) == [], address
    return str(page.locator("main").inner_text())


def test_the_overview_and_a_call_are_printed_with_their_figures_and_without_buttons(
    browser: Any, looked: Looked
) -> None:
    with page_of(browser, looked.site, Role.OPERATOR) as page:
        said = printed(page, "/?range=30d")
        figures = {one.get_attribute("data-figure") for one in page.locator("[data-figure]").all() if one.is_visible()}
        assert figures == {"calls", "counted", "delivered", "on_the_way", "needs_you"}
        assert "did not become conversions" in said and "TV spring" in said
        assert page.locator("figure canvas").is_visible()
        for number, verdict in ((happened.DELIVERED, "In Rockerbox"), (happened.REFUSED, "Needs you")):
            said = printed(page, f"/calls/{sid(number)}")
            assert page.locator("h1 [data-verdict]").is_visible()
            assert said.partition("\n\n")[2].startswith(f"{verdict}: This call"), said[:200]
            assert sid(number) in said and "Show" not in said and "Times are of UTC." in said


def test_a_link_of_one_use_is_printed_with_what_it_is_for(browser: Any, looked: Looked) -> None:
    with page_of(browser, looked.site) as page:
        said = printed(page, invitation(looked.site))
    assert "You come in as guest@example.com, without a password. This link works once." in said
