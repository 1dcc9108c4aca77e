"""The page of Rockerbox: counts by UTC hour, what preflight finds, and the file for its QA."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.jobs import FileRole, JobState
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import AuditFilter, Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, Browsing, browsing, sid, site_of
from tests.support.readers import NEVER, TERMINAL, words

PAGE = "/rockerbox"

site = site_of()


def delivered(site: Browsing, at: datetime) -> None:
    ledger, policy = site.service.ledger, RetryPolicy()
    taken = ledger.claim(datetime.now(UTC), 9, 60, policy).taken
    ledger.finish([attempt(one, Outcome(Result.DELIVERED, "delivered", 200), at, at, policy) for one in taken], at)


def test_an_empty_page_says_what_to_do_next(site: Browsing) -> None:
    said = words(site.person(Role.VIEWER).get(PAGE).text)
    assert "Nothing arrived on this UTC day. Take another day, or look at Deliveries" in said
    assert "Nothing was made in this time" in said


def test_what_arrived_is_counted_by_utc_hour_of_the_day_that_is_asked_for(site: Browsing) -> None:
    site.call(1)
    site.call(2)
    delivered(site, datetime(2026, 11, 24, 13, 59, 59, tzinfo=UTC))
    site.call(3)
    delivered(site, datetime(2026, 11, 24, 14, tzinfo=UTC))
    viewer = site.person(Role.VIEWER)
    page = viewer.get(f"{PAGE}?day=2026-11-24").text
    said = words(page)
    assert re.search(r"13:00 2 14:00 1 15:00 0", said)
    assert re.search(r'data-figure="delivered">3<', page)
    assert re.search(r'data-figure="delivered">0<', viewer.get(f"{PAGE}?day=2026-11-23").text)
    for strange in ("x", "9999-99-99", "2999-01-01", "0001-01-01"):
        assert viewer.get(f"{PAGE}?day={strange}").status_code == 200
    assert not NEVER.search(said), NEVER.search(said)


def test_what_preflight_finds_stands_with_what_can_be_done(site: Browsing) -> None:
    site.know(BO, None, "bo@example.com")
    site.call(2, caller=BO)
    page = site.person(Role.VIEWER).get(PAGE).text
    findings = page.partition('id="findings"')[2].partition("</table>")[0]
    said = words(findings)
    assert "Wrong Their customer id looks like an email" in said
    assert "Nobody has said here which deduplication key your account has" in said
    assert f"/calls/{sid(2)}" in findings
    assert "bo@example.com" not in page
    assert not NEVER.search(words(page)), NEVER.search(words(page))
    assert not TERMINAL.search(words(page)), TERMINAL.search(words(page))


def test_what_is_more_than_a_page_may_look_at_is_checked_by_a_worker(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_AT_ONCE="2")
    site.know(ANN, "ann@example.com", "ann@example.com")
    for number in (1, 2, 3):
        site.call(number)
    viewer, operator, service = site.person(Role.VIEWER), site.person(Role.OPERATOR), site.service
    said = words(viewer.get(f"{PAGE}?check=30").text)
    assert "2 conversions looked at, the newest" in said
    assert "An operator here can have all of them checked." in said
    assert "A worker has checked nothing yet." in said
    assert operator.post(f"{PAGE}/checks", page=PAGE, check="30").headers["Location"] == f"{PAGE}#work-checks"
    assert "waits for a worker" in words(viewer.get(PAGE).text)
    assert job_runner(service.settings, service.ledger, service.judge).once()
    [job] = service.ledger.jobs.latest(5)
    assert job.asked_at - datetime.fromisoformat(job.arguments["since"]) < timedelta(days=30, minutes=1)
    page = viewer.get(PAGE).text
    assert f'href="{PAGE}?found={job.id}#result"' in page
    found = words(viewer.get(f"{PAGE}?found={job.id}").text.partition('id="result"')[2])
    assert "3 conversions looked at; 0 without an email." in found
    assert re.search(r"Their customer id looks like an email.* 3 Put emails into the email column", found)
    for text in (words(page), found):
        assert not TERMINAL.search(text), TERMINAL.search(text)
    [line] = service.ledger.audit.lines(AuditFilter(who=operator.email), None, 9)
    assert (line.what, line.of_what) == ("conversions checked", "30 days")
    site.service.ledger.close()


def test_the_qa_file_is_written_by_a_worker_and_taken_by_who_may_reveal(site: Browsing) -> None:
    site.know(BO, "bo@example.com", "=HYPERLINK(1)")
    site.call(1)
    site.call(2, caller=BO)
    operator, viewer, service = site.person(Role.OPERATOR), site.person(Role.VIEWER), site.service
    month = f"{site.at:%Y-%m}"
    assert operator.post(f"{PAGE}/qa", page=PAGE, month=month).status_code == 303
    assert "waits for a worker" in viewer.get(PAGE).text
    assert job_runner(service.settings, service.ledger, service.judge).once()
    [job] = service.ledger.jobs.latest(5)
    assert (job.state, job.asked_by) == (JobState.DONE, operator.email)
    [file] = [one for one in service.ledger.job_files.of_job(job.id) if one.role is FileRole.RESULT]
    path = f"/jobs/files/{file.id}"
    assert path in operator.get(PAGE).text
    assert path not in viewer.get(PAGE).text
    assert viewer.post(path, page=PAGE).status_code == 403
    taken = operator.post(path, page=PAGE)
    assert taken.headers["Content-Disposition"] == f'attachment; filename="rockerbox-qa-{month}.csv"'
    lines = list(csv.reader(io.StringIO(taken.text)))
    assert lines[0][0] == "order_id"
    assert {line[2] for line in lines[1:]} == {"ann@example.com", "bo@example.com"}
    assert all(not cell.startswith("=") for line in lines for cell in line)
    said = [line.what for line in service.ledger.audit.lines(AuditFilter(who=operator.email), None, 9)]
    assert said[:2] == ["reveal qa file", "qa file asked for"]


@pytest.mark.mostly("sqlite")
def test_no_other_file_is_given_out_and_a_month_must_be_one(site: Browsing) -> None:
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    for month in ("", "2026-13", "october", "2026-1", "2026-10\n2026-11"):
        operator.post(f"{PAGE}/qa", page=PAGE, month=month)
        assert "Write a month like 2026-10." in operator.get(PAGE).text
    assert not ledger.jobs.latest(5)
    upload = ledger.job_files.begin(FileRole.UPLOAD, "crm.csv", "text/csv", datetime.now(UTC) - timedelta(hours=1))
    for number in (str(upload), "999", "x", "9" * 40, "-1"):
        assert operator.post(f"/jobs/files/{number}", page=PAGE).status_code == 404
    for path in (f"{PAGE}/qa", f"{PAGE}/checks", "/jobs/files/1"):
        assert operator.post(path, page=PAGE, csrf=False).status_code == 400
        assert operator.get(path).status_code == 405
    assert site.person(Role.VIEWER).post(f"{PAGE}/qa", page=PAGE, month="2026-10").status_code == 403
