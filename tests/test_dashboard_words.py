"""What no page says: words of the ledger, and commands for whoever has no terminal. Every page, with something of each kind on it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from offhook.api_and_dashboard import health
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.ports.signs import Sign
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import Role
from tests.support.browsing import ANN, BO, Browsing, sid, site_of
from tests.support.ledger import change
from tests.support.readers import NEVER, TERMINAL, at_once, words

pytestmark = pytest.mark.mostly("sqlite")
site = site_of(OFFHOOK_DASHBOARD_ROWS="1", OFFHOOK_SHORT_LIST_ROWS="2", OFFHOOK_READY_BACKLOG_SECONDS="1")
PAGES = (
    *("/", "/calls", "/deliveries", "/unknown", "/customers", "/customers/conflicts", "/customers/imports", "/rules"),
    *(
        "/rockerbox",
        "/audit",
        "/account",
        "/setup",
        f"/calls/{sid(1)}",
        f"/calls/{sid(2)}",
        f"/calls/{sid(3)}",
        "/search?q=nobody",
    ),
)


def attempted(site: Browsing, result: Result, word: str) -> None:
    ledger, now = site.service.ledger, datetime.now(UTC)
    for claimed in ledger.claim(now, 1, 60, RetryPolicy()).taken:
        ledger.finish([attempt(claimed, Outcome(result, word), now, now, RetryPolicy())], now)


def test_no_page_says_a_word_of_the_ledger_or_shows_a_command_before_it_is_unfolded(
    site: Browsing, database_url: str
) -> None:
    site.call(1)
    attempted(site, Result.MAYBE_SENT, "reset")
    site.call(1, seconds=91)  # another report of the same call
    site.call(2, caller=BO)
    site.call(3, seconds=5)
    change(database_url, "UPDATE counters SET value = 0 WHERE name = 'tallies_whole'")
    admin = site.person(Role.ADMIN)
    for path in PAGES:
        page = admin.get(path)
        assert page.status_code == 200, path
        assert not NEVER.search(words(page.text)), (path, NEVER.search(words(page.text)))
        assert not TERMINAL.search(at_once(page.text)), (path, TERMINAL.search(at_once(page.text)))


@pytest.mark.parametrize("runs", [True, False])
def test_what_waits_too_long_is_said_of_the_worker_in_a_readers_words(site: Browsing, runs: bool) -> None:
    """/readyz is behind, and calls are received all the same."""
    site.call(1, decide=False)  # 59 minutes ago
    ledger = site.service.ledger
    if runs:
        ledger.workers.leave_sign(Sign("w", "host", 1, "0.1.0", "rules", ledger.clock()), ledger.clock())
    assert health(site.service).ready()[1]["status"] == "behind"
    viewer = site.person(Role.VIEWER)
    pages = {path: viewer.get(path).text for path in ("/", "/setup")}
    for path, page in pages.items():
        assert "Receiving calls" in words(page) and "Not receiving calls" not in words(page), path
        assert not NEVER.search(words(page)), (path, NEVER.search(words(page)))
        assert not TERMINAL.search(at_once(page)), (path, TERMINAL.search(at_once(page)))
    if runs:
        assert re.search(r"Worker behind by \d+ min: a report of Twilio waits to be worked on", words(pages["/"]))
    else:
        assert "Worker does not run: calls are kept, and nothing is sent" in words(pages["/"])
        assert "Why nothing is worked on no worker has left a sign of life for 60 s " in at_once(pages["/setup"])
        folded = "Ask whoever runs Offhook Start flask worker , or set OFFHOOK_WORKER=inline."
        assert folded in words(pages["/setup"])


def test_what_a_page_cannot_do_is_for_whoever_runs_offhook_with_the_command_folded_away(
    site: Browsing, database_url: str
) -> None:
    site.call(1)
    site.call(1, seconds=91)
    change(database_url, "UPDATE counters SET value = 0 WHERE name = 'tallies_whole'")
    viewer = site.person(Role.VIEWER)
    for path, command in (
        ("/", "flask tallies rebuild"),
        ("/calls", "flask tallies rebuild"),
        ("/rules", "flask tallies rebuild"),
        (f"/calls/{sid(1)}", f"flask explain {sid(1)}"),
    ):
        said = words(viewer.get(path).text)
        assert f"Ask whoever runs Offhook In a terminal: {command}" in said, path


def test_an_attempt_whose_connection_was_cut_says_so(site: Browsing) -> None:
    site.call(1)
    attempted(site, Result.MAYBE_SENT, "reset")
    said = words(site.person(Role.VIEWER).get(f"/calls/{sid(1)}").text)
    assert "attempt 1: cut off before an answer came" in said


def test_a_customer_with_an_id_alone_has_no_empty_row_for_an_email(site: Browsing) -> None:
    site.know(BO, None, "C-78")
    page = site.person(Role.VIEWER).get(f"/calls/{site.call(1, caller=BO)}").text
    assert '<th scope="row">Customer id</th>' in page
    assert '<th scope="row">Email</th>' not in page
    assert '<th scope="row">Email</th>' in site.person(Role.VIEWER).get(f"/calls/{site.call(2, caller=ANN)}").text


def test_the_other_calls_of_an_unknown_caller_go_on_in_the_list_without_the_number(site: Browsing) -> None:
    for number in range(1, 5):
        site.call(number, caller=BO)
    site.call(5, caller="+14155550103")
    viewer = site.person(Role.VIEWER)
    page = viewer.get(f"/calls/{sid(4)}").text
    link = re.search(r'href="([^"]+)">All calls of this caller</a>', page)
    assert link is not None
    listed, seen = viewer.get(link[1]).text, []
    while listed:
        seen += re.findall(rf'href="/calls/({sid(0)[:30]}\w+)"', listed)
        older = re.search(r'href="([^"]+)" rel="next"', listed)
        listed = viewer.get(older[1].replace("&amp;", "&")).text if older else ""
    assert seen == [sid(4), sid(3), sid(2), sid(1)]
    assert BO not in page + link[1] + viewer.get(link[1]).text
