"""The overview through real HTTP: figures that add up, filters, links, words, roles; markup in every parameter stays text."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from offhook.adapters.ledger.schema import micros
from offhook.adapters.ledger.stories import StoriesOnSql
from offhook.pipeline.counting import figures as figures_of
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.ports.unavailable import LedgerUnavailable
from offhook.pipeline.story import NeedsPeople
from offhook.pipeline.users import Role
from offhook.pipeline.words import why_in_words
from tests.support.browser import LOOKS, axe_findings, is_wider_than_window, keep, page_of
from tests.support.browsing import ACCOUNT, ANN, BO, browsing, sid
from tests.support.dashboard import Client, Site
from tests.support.ledger import change
from tests.support.readers import NEVER, words
from tests.support.waiting import HANGS_AFTER_SECONDS

pytestmark = pytest.mark.mostly("sqlite")
NEVER_SHOWN = ("parked", "skipped", "dead", "ambiguous", "quarantined", "folded", "mapping", "settling")
MARKUP = "<img src=x onerror=alert(1)>\"'"


def figures(page: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r'data-figure="(\w+)">(\d+)<', page)}


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


@pytest.fixture(scope="module")
def viewer(filled: Site) -> Client:
    return filled.role(Role.VIEWER)


def test_the_first_screen_says_whether_it_works_how_many_counted_and_why_not_the_rest(viewer: Client) -> None:
    page = viewer.get("/?range=30d").text
    found = figures(page)
    assert set(found) == {"calls", "counted", "delivered", "on_the_way", "needs_you"}
    assert found["counted"] == found["delivered"] + found["on_the_way"] + found["needs_you"]
    assert min(found.values()) > 0
    rows = re.findall(r'href="/calls\?[^"]*reason=[^"]*">([^<]+)</a></td><td class="r">(\d+)</td>', page)
    assert len(rows) >= 5
    assert sum(int(calls) for _, calls in rows) == found["calls"] - found["counted"]
    assert why_in_words("does_not_count", "too_short") in {label for label, _ in rows}
    assert set(re.findall(r'data-health="(\w+)"', page)) == {"callbacks", "worker", "rockerbox", "customers"}
    assert [word for word in NEVER_SHOWN if word in text_of(page).lower()] == []


def test_the_figures_are_those_of_flask_today(viewer: Client, filled: Site) -> None:
    ends = filled.ledger.clock().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    for range_, days in (("today", 1), ("30d", 30)):
        tallied = figures_of(filled.ledger.tallies.between(ends - timedelta(days=days), ends))
        shown = figures(viewer.get(f"/?range={range_}").text)
        assert (shown["calls"], shown["counted"]) == (tallied.calls, tallied.converted)
        assert shown["needs_you"] == tallied.by_outcome["refused"] + tallied.by_outcome["held"]


def test_a_reason_leads_to_the_calls_of_the_same_days_and_number(viewer: Client) -> None:
    page = viewer.get("/?range=7d&number=%2B17655550101").text
    link = html.unescape(re.findall(r'href="(/calls\?[^"]*reason=too_short[^"]*)"', page)[0])
    asked = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert (asked["reason"], asked["outcome"], asked["number"]) == ("too_short", "does_not_count", "+17655550101")
    assert asked["since"] < asked["until"]
    shown = re.search(r'reason=too_short[^"]*">[^<]+</a></td><td class="r">(\d+)<', page)
    assert shown is not None
    listed = viewer.get(link).text
    assert len(set(re.findall(r'href="/calls/(CA[0-9a-f]{32})', listed))) == int(shown[1])


def test_the_numbers_of_a_period_are_those_of_its_numbers_together(viewer: Client) -> None:
    whole = figures(viewer.get("/?range=30d").text)
    each = [
        figures(viewer.get(f"/?range=30d&number={number}").text)
        for number in ("%2B17655550100", "%2B17655550101", "%2B13175550102")
    ]
    assert whole["delivered"] == sum(one["delivered"] for one in each)
    assert all(0 < one["calls"] < whole["calls"] for one in each)


def test_any_days_can_be_asked_for_and_what_cannot_be_read_is_today(viewer: Client, filled: Site) -> None:
    today = filled.ledger.clock().date()
    week = figures(viewer.get("/?range=7d").text)
    assert figures(viewer.get(f"/?from={today - timedelta(days=6)}&to={today}").text) == week
    long_ago = viewer.get("/?from=2001-01-01&to=2001-02-01")
    assert figures(long_ago.text)["calls"] == 0
    assert "Nobody called in this time" in long_ago.text
    assert figures(viewer.get(f"/?from={today}&to=0001-01-01").text) == figures(viewer.get("/").text)
    for odd in ("range=x", "from=9999-12-31&to=9999-12-31", "from=&to=", "range=today&number=x"):
        assert viewer.get(f"/?{odd}").status_code == 200


def test_a_chart_is_a_table_for_who_has_no_javascript(viewer: Client) -> None:
    page = viewer.get("/?range=30d").text
    table = page[page.index("data-chart") : page.index("</figure>")]
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>((?:<td class="r">\d+</td>)+)</tr>', table)
    assert len(rows) == 30
    assert sum(sum(map(int, re.findall(r">(\d+)<", cells))) for _, cells in rows) == figures(page)["calls"]


def test_what_needs_somebody_is_said_with_where_it_is_mended(viewer: Client) -> None:
    page = viewer.get("/?from=2001-01-01&to=2001-01-01").text  # it does so whatever days are shown
    todo = page[page.index('id="needs-you"') : page.index("<h2>Numbers")]
    assert "unknown callers in 7 days" in todo
    assert re.search(r"not in Rockerbox: [^<]+\. <a href=\"/(deliveries\?|calls/CA)", todo)


def test_markup_in_a_parameter_stays_text(viewer: Client) -> None:
    for name in ("range", "from", "to", "number"):
        page = viewer.http.get(f"{viewer.url}/", params={name: MARKUP}, timeout=HANGS_AFTER_SECONDS)
        assert page.status_code == 200
        assert "<img" not in page.text


def test_an_empty_overview_says_what_to_do_next(site: Site) -> None:
    page = site.role(Role.VIEWER).get("/?from=2001-01-01&to=2001-01-02").text
    assert figures(page) == dict.fromkeys(("calls", "counted", "delivered", "on_the_way", "needs_you"), 0)
    assert "call a tracked number" in page
    for list_ in ("Why calls did not", "Tracked numbers"):
        assert f'aria-label="{list_}' not in page
    assert page.count("Nobody called in this time. Choose more days above") == 3
    assert "Nothing needs you now." in text_of(page) or "<li>" in page


def test_one_call_is_said_as_one(database_url: str) -> None:
    inside = browsing(database_url)
    inside.know(ANN, "ann@example.com")
    inside.call(1)
    page = words(inside.person(Role.VIEWER).get("/?range=7d").text)
    assert "1 call 1 counts by your rules 0 in Rockerbox 1 on its way 0 need you" in page
    assert "1 call = 1 that counts + 0 that do not; 1 = 0 in Rockerbox + 1 on its way + 0 that need you." in page
    inside.call(2, seconds=5)
    inside.call(3, caller=BO)
    page = words(inside.person(Role.VIEWER).get("/?range=7d").text)
    assert "3 calls = 1 that counts + 2 that do not;" in page
    assert "1 call of unknown callers in 7 days waits for a customer." in page
    assert not NEVER.search(page), NEVER.search(page)
    inside.service.ledger.close()


def test_that_rockerbox_takes_nothing_is_said_as_deliveries_says_it_and_needs_somebody(database_url: str) -> None:
    inside = browsing(database_url)
    inside.know(ANN, "ann@example.com")
    inside.call(1)
    inside.attempted(Outcome(Result.BLOCKED, "http_403", 403))
    viewer = inside.person(Role.VIEWER)
    sentence = r"Rockerbox takes nothing from you since [^.]+: Rockerbox answered 403\. Look at [^.]+ meanwhile\."
    [said] = re.findall(sentence, words(viewer.get("/deliveries").text))
    page = viewer.get("/").text
    assert 'class="dot bad" data-health="rockerbox"' in page
    health, _, todo = words(page).partition("Needs you of all days")
    assert (health.count(said), todo.count(said)) == (1, 1)
    inside.service.ledger.close()


def test_what_rockerbox_took_last_is_what_arrived_last_whenever_it_was_made(database_url: str) -> None:
    inside = browsing(database_url)
    inside.know(ANN, "ann@example.com")
    for number, minutes_ago in ((1, 3), (2, 300)):
        inside.call(number)
        inside.attempted(Outcome(Result.DELIVERED, "delivered", 200))
        at = micros(inside.service.ledger.clock() - timedelta(minutes=minutes_ago))
        change(database_url, f"UPDATE conversions SET delivered_at = {at} WHERE call_sid = '{sid(number)}'")
    assert "Rockerbox took the latest one 3 min ago" in words(inside.person(Role.VIEWER).get("/").text)
    inside.service.ledger.close()


def test_what_rockerbox_refused_is_said_with_its_reason_and_the_way_to_just_that(database_url: str) -> None:
    inside = browsing(database_url)
    viewer = inside.person(Role.VIEWER)

    def needs_you() -> str:
        return str(viewer.get("/").text.partition('id="needs-you"')[2].partition("<h2>Numbers")[0])

    only = inside.refused(1, caller=ANN)
    link = f'<a href="/calls/{only}?account={ACCOUNT}">See the call</a>'
    assert f"<b>1 call</b> is not in Rockerbox: Rockerbox answered 422. {link}" in needs_you()
    inside.refused(2, caller=ANN)
    inside.call(3)
    inside.attempted(Outcome(Result.DELIVERED, "delivered", 200))
    said = re.search(
        r'<b>2 calls</b> are not in Rockerbox: Rockerbox answered 422\. <a href="([^"]+)">See them</a>', needs_you()
    )
    assert said is not None
    listed = viewer.get(html.unescape(said[1])).text.partition('id="deliveries"')[2]
    assert set(re.findall(r'href="/calls/(CA\w{32})', listed)) == {only, sid(2)}
    inside.service.ledger.close()


def test_the_header_of_every_page_has_how_much_waits_where(database_url: str) -> None:
    inside = browsing(database_url)
    viewer = inside.person(Role.VIEWER)
    assert 'class="n"' not in viewer.get("/rules").text
    inside.call(1, caller=BO)
    inside.call(2, caller=BO)
    inside.refused(3, caller=ANN)
    for path in ("/", "/rules", "/unknown", "/account"):
        nav = words(viewer.get(path).text.partition("</nav>")[0])
        assert "Unknown callers 2 calls wait Deliveries 1 call needs you Customers" in nav, path
    assert 'class="n"' not in viewer.get("/none-such").text  # asks nothing to say that
    inside.know(BO, "bo@example.com")
    inside.work()
    assert "Unknown callers Deliveries 1 call needs you" in words(viewer.get("/rules").text)
    inside.service.ledger.close()


def test_a_header_whose_counts_cannot_be_read_is_there_without_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = browsing(database_url)
    inside.call(1, caller=BO)
    viewer = inside.person(Role.VIEWER)

    def fails(_self: object) -> NeedsPeople:
        raise LedgerUnavailable("it took too long", "slow")

    monkeypatch.setattr(StoriesOnSql, "needs_people", fails)
    page = viewer.get("/rules")
    assert (page.status_code, "Unknown callers Deliveries Customers" in words(page.text)) == (200, True)
    inside.service.ledger.close()


@pytest.mark.parametrize("is_old", [True, False])
def test_the_customer_list_that_needs_somebody_is_said_in_a_sentence(database_url: str, is_old: bool) -> None:
    inside = browsing(database_url, OFFHOOK_CUSTOMERS_OLD_DAYS="0.000000001")
    if is_old:
        inside.know(ANN, "ann@example.com")
    page = words(inside.person(Role.VIEWER).get("/").text)
    is_said = re.search(r"The customer list was imported \d+ s ago: callers who came since are unknown\.", page)
    assert bool(is_said) == is_old, page
    assert ("The customer list was never imported: callers are unknown until it is." in page) != is_old
    inside.service.ledger.close()


@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_it_and_nobody_else_does(filled: Site, role: Role) -> None:
    assert filled.role(role).get("/").status_code == 200
    assert filled.anybody().get("/").headers["Location"].startswith("/login")


@pytest.mark.parametrize("path", ["/", "/?range=30d"])
def test_it_is_readable_in_a_browser_at_each_size_and_in_each_scheme(browser: Any, filled: Site, path: str) -> None:
    with page_of(browser, filled, Role.VIEWER) as page:
        for width, scheme in LOOKS:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path)
            assert axe_findings(page) == [], f"{path} at {width} px, {scheme}"
            assert not is_wider_than_window(page)
            keep(page, f"overview-{'month' if 'range' in path else 'today'}-filled-{width}-{scheme}")
            # Soon after midnight nobody has called today.
            nobody = page.get_by_text("Nobody called in this time. Choose more days above, or").count()
            assert page.locator("figure canvas").count() == (0 if nobody and path == "/" else 1)
            assert page.locator("figure details[open]").count() == 0


def test_the_first_screen_needs_no_click_and_no_scrolling(browser: Any, filled: Site) -> None:
    with page_of(browser, filled, Role.VIEWER) as page:
        page.goto("/?range=30d")
        answers = ("[data-health=callbacks]", "[data-figure=counted]", "#why + * tbody tr:nth-child(3)", "#needs-you")
        for answer in answers:
            box = page.locator(answer).first.bounding_box()
            assert box["y"] + box["height"] < 900, answer


def test_other_days_and_one_number_are_asked_for_with_the_keyboard_alone(browser: Any, filled: Site) -> None:
    with page_of(browser, filled, Role.VIEWER) as page:
        page.goto("/")
        page.focus("details.other summary")
        page.keyboard.press("Enter")
        page.focus("select[name=number]")
        page.keyboard.type("Radio")
        page.focus("details.other button")
        page.keyboard.press("Enter")
        page.wait_for_url("**number=%2B13175550102**")
        assert "Radio spot" in page.inner_text("h1")


def test_without_javascript_the_chart_is_its_table(browser: Any, filled: Site) -> None:
    with page_of(browser, filled, Role.VIEWER, scripts=False) as page:
        page.goto("/?range=7d")
        assert page.locator("figure table tbody tr").count() == 7
        assert page.locator("figure table").is_visible()


def test_what_is_looked_at_stays_true_and_does_not_move_under_a_reader(browser: Any, filled: Site) -> None:
    with page_of(browser, filled, Role.VIEWER, is_alone=True) as page:
        page.clock.install()
        page.goto("/?range=30d")
        live = 1000 * int(page.locator("#live").get_attribute("data-live"))
        as_before = page.locator("[data-figure=calls]").inner_text()
        page.evaluate(
            "for (const one of document.querySelectorAll('[data-figure=calls], [data-health]')) one.textContent = '?'"
        )
        page.locator("figure summary").click()
        page.clock.run_for(live)
        assert [url for url in page.requests if "/overview/now" in url] == []  # somebody reads the figures
        page.locator("figure summary").click()
        page.locator("figure summary").evaluate("one => one.blur()")
        page.clock.run_for(live)
        page.locator("[data-figure=calls]", has_text=as_before).wait_for()
        page.locator("[data-health]", has_text="?").first.wait_for(state="detached")
        assert page.locator("[data-figure=calls]").inner_text() == as_before
        assert page.locator("figure canvas").count() == 1
        [asked] = [url for url in page.requests if "/overview/now" in url]
        assert asked.endswith("?range=30d")
