"""The audit's page and its file, as an admin uses them."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime, timedelta

import pytest

from offhook.pipeline.ports.waiting import Waiting
from offhook.pipeline.users import AuditFilter, AuditLine, Role
from offhook.service import job_runner
from tests.support.browsing import Browsing, browsing, site_of

pytestmark = pytest.mark.mostly("sqlite")
LONG_AGO = datetime(2026, 1, 2, 12, tzinfo=UTC)

site = site_of()


def done(site: Browsing, what: str, of_what: str = "", at: datetime = LONG_AGO) -> None:
    site.service.ledger.audit.write(AuditLine(at, "ann@example.com", what, of_what, "192.0.2.7"))


def lines(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_the_file_has_all_that_is_filtered_and_no_formula(site: Browsing) -> None:
    for number in range(60):  # more than a page
        done(site, "send again", f"=cmd({number})")
    done(site, "reveal caller")
    admin = site.person(Role.ADMIN)
    page = admin.get("/audit?what=send+again").text
    assert 'href="/audit.csv?what=send+again"' in page
    file = admin.get("/audit.csv?what=send+again")
    assert file.content_type == "text/csv; charset=utf-8"
    header, *rest = lines(file.text)
    assert header == ["at", "who", "what", "of_what", "from_where", "seq"]
    assert [row[3] for row in rest] == [f"'=cmd({number})" for number in reversed(range(60))]
    assert rest[0][0] == "2026-01-02T12:00:00Z"
    assert lines(admin.get("/audit.csv?what=nothing").text) == [header]


def test_the_time_narrows_the_page_and_what_cannot_be_read_is_said(site: Browsing) -> None:
    done(site, "was long ago")
    done(site, "was yesterday", at=LONG_AGO + timedelta(days=1))
    admin = site.person(Role.ADMIN)
    page = admin.get("/audit?until=2026-01-03T00:00").text
    assert "was long ago" in page
    assert "was yesterday" not in page
    wrong = admin.get("/audit?since=soon&who=ann@example.com")
    assert (wrong.status_code, "is no time" in wrong.text, "was yesterday" in wrong.text) == (200, True, True)


def test_only_an_admin_sees_it(site: Browsing) -> None:
    for path in ("/audit", "/audit.csv"):
        assert [site.person(role).get(path).status_code for role in Role] == [403, 403, 200]


def after_a_workers_round(url: str, days: str) -> list[tuple[str, str]]:
    site = browsing(url, OFFHOOK_AUDIT_DAYS=days, OFFHOOK_CUSTOMERS_NICE="0")
    service, stopping = site.service, threading.Event()
    for age in (0, 29, 31):
        done(site, f"{age} days ago", at=service.ledger.clock() - timedelta(days=age))

    def look() -> Waiting:
        stopping.set()
        return service.ledger.waiting()

    job_runner(service.settings, service.ledger, service.judge).run(stopping, look)
    found = [(one.what, one.of_what) for one in service.ledger.audit.lines(AuditFilter(), None, 9)]
    service.ledger.close()
    return found


def test_a_worker_removes_what_is_older_than_the_setting_and_a_line_says_so(database_url: str) -> None:
    before = datetime.now(UTC) - timedelta(days=30)
    said = ("audit pruned", f"lines of before {before:%Y-%m-%d} UTC")
    assert after_a_workers_round(database_url, "30") == [said, ("29 days ago", ""), ("0 days ago", "")]


def test_nothing_is_removed_unless_the_setting_says_so(database_url: str) -> None:
    assert after_a_workers_round(database_url, "0") == [("31 days ago", ""), ("29 days ago", ""), ("0 days ago", "")]
