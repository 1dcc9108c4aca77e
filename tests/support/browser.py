"""The system's Chromium, driven by playwright, and what every page of the dashboard is held to in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.dashboard import Site
from tests.support.needed import require
from tests.support.waiting import HANGS_AFTER_SECONDS

AXE = Path(__file__).parents[1] / "npm" / "node_modules" / "axe-core" / "axe.min.js"
LOOKS = [(1280, "light"), (360, "dark")]  # between them each width and each scheme
_KEPT_IN = os.environ.get("OFFHOOK_SCREENSHOTS")
if _KEPT_IN:  # in `make soak`: each scheme at each width
    LOOKS += [(360, "light"), (1280, "dark")]
# The first is the same without what draws windows, and takes two thirds of a processor's time, or less.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
_PROGRAM = next(filter(None, map(shutil.which, _PROGRAMS)), None)
PATIENCE_MS = 1000 * HANGS_AFTER_SECONDS  # playwright's own is half a minute
_FROM_OUTSIDE = """async () => {
    // axe is no part of the page: the page's own policy stays as it is, and the driver evaluates it.
    const look = innerWidth + document.documentElement.outerHTML
    const rules = window.axeSaw === look ? {runOnly: ['color-contrast', 'link-in-text-block']} : {}
    window.axeSaw = look
    return (await axe.run(document, {resultTypes: ['violations'], ...rules})).violations
        .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.target).join(', ')}`)
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright. Skips where there is none; in CI it fails."""
    program = require(
        _PROGRAM, "pages are not looked at: chromium is not installed (apt-get install chromium-headless-shell)"
    )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # A renderer that is there has compiled our scripts and axe: pages of one context share it.
        arguments = ["--no-sandbox", "--disable-gpu", "--process-per-site"]
        browser = driver.chromium.launch(executable_path=program, args=arguments, timeout=PATIENCE_MS)
        yield browser
        _forget()
        browser.close()


@contextmanager
def page_of(
    browser: Any,
    site: Site,
    role: Any = None,
    *,
    width: int = 1280,
    dark: bool = False,
    scripts: bool = True,
    is_first: bool = False,
    is_alone: bool = False,
    is_missing: bool = False,
    expects: Sequence[str] = (),
) -> Iterator[Any]:
    """A page of its own, signed in as the role. At its end nothing was written to the console but what has a word of `expects` in
    it; of a page that `is_missing` Chromium itself writes that it is. One that `is_first` finds nothing in the browser's cache;
    for one that `is_alone` what holds for all pages of its context may be changed, like the clock.
    """
    allowed = (*expects, *(("404",) if is_missing else ()))
    with _alone(browser, site, scripts) if is_alone or not scripts else _among_others(browser, site) as context:
        if role is not None:
            cookies = site.role(role).cookies
            context.add_cookies([{"name": name, "value": value, "url": site.url} for name, value in cookies.items()])
        page, logged = context.new_page(), list[str]()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        if is_first:
            context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
        page.on("console", lambda said: logged.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        yield page
        page.close()
    wrong = [text for text in logged if not any(word in text for word in allowed)]
    assert not wrong, wrong


@contextmanager
def _alone(browser: Any, site: Site, scripts: bool = True) -> Iterator[Any]:
    context = browser.new_context(base_url=site.url, java_script_enabled=scripts)
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context
    finally:
        context.close()


_kept = ExitStack()  # at most one context: that of the site that was looked at last
_kept_of: dict[tuple[Any, str], Any] = {}


@contextmanager
def _among_others(browser: Any, site: Site) -> Iterator[Any]:
    """The context of the pages before, without their cookies. Its first page stays open, and so does its renderer: to start another
    and to have it compile axe costs as much as to look at a page. A test that fails has what it left thrown away.
    """
    key = browser, site.url
    if key not in _kept_of:
        _forget()
        _kept_of[key] = _kept.enter_context(_alone(browser, site))
        _kept_of[key].new_page().goto("/healthz")
    try:
        yield _kept_of[key]
    except BaseException:
        _forget()
        raise
    _kept_of[key].clear_cookies()


def _forget() -> None:
    _kept_of.clear()
    _kept.close()


def axe_findings(page: Any) -> list[str]:
    """What axe finds on the page as it is now. Where only the scheme is another than it was: what depends on colours."""
    require(AXE.exists(), "axe does not look at pages: npm ci --prefix tests/npm")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text() + "\n;0")
    return list(page.evaluate(_FROM_OUTSIDE))


def keep(page: Any, name: str) -> None:
    """A screenshot, where OFFHOOK_SCREENSHOTS names a folder."""
    if _KEPT_IN:
        page.screenshot(path=Path(_KEPT_IN) / f"{name}.png", full_page=True)


def holds_in_every_look(page: Any, name: str) -> None:
    """Wide and narrow, light and dark: axe finds nothing, and the page does not scroll sideways."""
    for width, scheme in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert axe_findings(page) == [], f"{name} at {width} px, {scheme}"
        assert not is_wider_than_window(page), f"{name} at {width} px"
        keep(page, f"{name}-{width}-{scheme}")


def lists_cut_off(page: Any) -> list[str]:
    """The lists whose rows are wider than what is seen of them: whoever reads them has to scroll sideways."""
    found = """() => [...document.querySelectorAll('main .scroll')].filter(one => one.scrollWidth > one.clientWidth)
        .map(one => one.getAttribute('aria-label'))"""
    return list(page.evaluate(found))


def is_wider_than_window(page: Any) -> bool:
    """Whether the page as a whole scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
