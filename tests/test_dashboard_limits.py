"""What the pages of the dashboard are limited by is a setting each: another value is the one that the page goes by, and says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.job_files import keep_file
from offhook.pipeline.job_kinds import ImportCustomers, enqueue
from offhook.pipeline.jobs import FileRole
from offhook.pipeline.steps import attempt
from offhook.pipeline.tokens import new_token
from offhook.pipeline.users import AuditLine, Role
from tests.support.browsing import BO, Browsing, site_of
from tests.support.dashboard import add_user
from tests.support.ledger import change
from tests.support.readers import words

pytestmark = pytest.mark.mostly("sqlite")

site = site_of(
    OFFHOOK_DASHBOARD_DAYS="3",
    OFFHOOK_DASHBOARD_RECENT_DAYS="1",
    OFFHOOK_DASHBOARD_JOBS_SECONDS="7",
    OFFHOOK_DASHBOARD_ANSWER_CHARACTERS="20",
    OFFHOOK_SHORT_LIST_ROWS="2",
    OFFHOOK_DASHBOARD_ROWS="3",
    OFFHOOK_RETRY_AFTER_SECONDS="9",
)


def test_deliveries_and_rules_go_back_as_many_days_as_the_setting_says(site: Browsing) -> None:
    site.call(1, seconds=5)
    viewer = site.person(Role.VIEWER)
    deliveries = words(viewer.get("/deliveries").text)
    assert "No call of the last 3 days counts yet." in deliveries
    assert "Nothing has arrived in the last 1 day." in deliveries
    rules = viewer.get("/rules").text
    assert "What did not count in 3 days" in rules
    since = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%dT%H")
    link = re.search(r'href="(/calls\?[^"]*reason=too_short[^"]*)"', rules)
    assert link is not None
    assert f"since={since}:00" in link[1].replace("%3A", ":")
    assert "too short" in words(viewer.get(link[1].replace("&amp;", "&")).text)
    assert '<option value="3" selected>3 days</option>' in site.person(Role.ADMIN).get("/rules").text


def test_the_unknown_callers_of_the_overview_are_those_of_the_days_of_the_setting(site: Browsing) -> None:
    site.at -= timedelta(days=2)
    site.call(1, caller=BO)
    assert "unknown callers in" not in words(site.person(Role.VIEWER).get("/").text)
    site.at += timedelta(days=2)
    site.call(2, caller=BO)
    assert "1 call of unknown callers in 1 day waits for a customer." in words(site.person(Role.VIEWER).get("/").text)


def test_a_page_asks_how_far_a_job_is_as_often_as_the_setting_says(site: Browsing) -> None:
    ledger, now = site.service.ledger, datetime.now(UTC)
    upload = keep_file(ledger.job_files, FileRole.UPLOAD, "crm.csv", [b"phone\n"], 100, now)
    job = enqueue(ledger.jobs, ImportCustomers(upload=upload), "ann@example.com", now)
    viewer = site.person(Role.VIEWER)
    assert 'hx-trigger="every 7s"' in viewer.get(f"/customers/jobs/{job}").text
    assert 'data-live="7" hx-get="/jobs/of/imports' in viewer.get("/customers").text


def test_an_answer_is_shown_as_far_as_the_setting_says(site: Browsing) -> None:
    made, ledger, now = site.call(1), site.service.ledger, datetime.now(UTC)
    [claimed] = ledger.claim(now, 9, 60, RetryPolicy()).taken
    refused = Outcome(Result.REFUSED, "http_422", 422, "twenty characters, and more of them")
    ledger.finish([attempt(claimed, refused, now, now, RetryPolicy())], now)
    viewer = site.person(Role.VIEWER)
    for path in (f"/calls/{made}", "/deliveries"):
        assert "<code>twenty characters, a...</code>" in viewer.get(path).text, path


def test_set_up_has_as_many_lines_of_the_audit_as_a_short_list(site: Browsing) -> None:
    admin = site.person(Role.ADMIN)
    for number in range(3):
        admin.post("/setup/users/invite", page="/setup", email=f"viewer{number}@example.com")
    lines = words(admin.get("/setup").text.partition('id="audit"')[2])
    assert re.findall(r"link made viewer(\d)@", lines) == ["2", "1"]


def test_users_and_tokens_are_turned_over_by_as_many_as_a_page_has(site: Browsing) -> None:
    ledger, admin = site.service.ledger, site.person(Role.ADMIN)
    for number in range(4):
        add_user(ledger, f"a{number}@example.com", Role.VIEWER, None)
        ledger.tokens.add(new_token(f"shop {number}", ["calls:read"], ledger.clock())[0], _line())
    pages, seen = ["/setup"], list[tuple[list[str], list[str]]]()
    while len(pages) > len(seen):
        page = admin.get(pages[-1]).text.partition('id="audit"')[0]
        seen.append((re.findall(r"<td>(a\d)@", page), re.findall(r"<td>shop (\d)", page)))
        pages += [unescape(one) for one in re.findall(r'href="([^"]*)" rel="next"', page)][:1]
    users = [found for found, _ in seen]
    assert users[:2] == [["a0", "a1", "a2"], ["a3"]]
    more = re.search(r'href="([^"]*tokens-after[^"]*)" rel="next"', admin.get(pages[1]).text)
    assert more is not None
    last = admin.get(unescape(more[1])).text.partition('id="audit"')[0]
    assert (re.findall(r"<td>(a\d)@", last), re.findall(r"<td>shop (\d)", last)) == (["a3"], ["0"])
    assert seen[0][1] == ["3", "2", "1"]
    assert admin.get("/setup?users-after=gone&tokens-after=gone").status_code == 200


def _line() -> AuditLine:
    return AuditLine(datetime.now(UTC), "test", "token made", "", "test")


def test_who_is_asked_to_come_again_is_so_after_the_seconds_of_the_setting(site: Browsing, database_url: str) -> None:
    viewer = site.person(Role.VIEWER)
    change(database_url, "ALTER TABLE outcomes RENAME TO aside")
    answer = viewer.get("/calls")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "9")
