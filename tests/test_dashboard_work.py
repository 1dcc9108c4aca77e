"""The lists of long work on the pages: how far it is, what came of it, the files that it has left, and who may take or stop what."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from offhook.adapters.dashboard.work import LISTS
from offhook.pipeline.job_kinds import KINDS, ImportCustomers, QaFile, RetryConversions, enqueue
from offhook.pipeline.jobs import FileRole, JobState, Progress
from offhook.pipeline.users import AuditFilter, Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, Browsing, browsing, sid
from tests.support.readers import NEVER, TERMINAL, words

only_sqlite = pytest.mark.mostly("sqlite")


@pytest.fixture
def site(database_url: str) -> Iterator[Browsing]:
    found = browsing(database_url)
    found.know(ANN, "ann@example.com", "C-77")
    yield found
    found.service.ledger.close()


def work(site: Browsing) -> None:
    runner = job_runner(site.service.settings, site.service.ledger, site.service.judge)
    while runner.once():
        pass


def files_of(page: str) -> list[str]:
    return re.findall(r'action="(/jobs/files/\d+)"', page)


def test_each_kind_of_long_work_stands_in_one_list() -> None:
    kinds = [kind for one in LISTS.values() for kind in one.kinds]
    assert sorted(map(str, kinds)) == sorted(map(str, KINDS.values()))


@pytest.mark.parametrize("name", sorted(LISTS.keys() - {"exports", "checks"}))
@only_sqlite
def test_an_empty_list_says_what_to_do_next(site: Browsing, name: str) -> None:
    """That of files of calls, and that of a worker's checks, are shown once there is something to ask a worker for."""
    page = {"retries": "/deliveries", "imports": "/customers", "trials": "/rules", "qa": "/rockerbox"}[name]
    said = words(site.person(Role.VIEWER).get(page).text)
    assert LISTS[name].caption in said
    assert LISTS[name].empty in said


def test_a_file_of_calls_is_written_by_a_worker_and_found_again_by_whoever_comes_back(site: Browsing) -> None:
    site.call(1)
    site.call(2, caller=BO)
    site.call(3, seconds=5)
    operator, viewer = site.person(Role.OPERATOR), site.person(Role.VIEWER)
    asked = operator.post("/calls/files?outcome=on_its_way", page="/calls", back="/calls")
    assert asked.headers["Location"] == "/calls#work-exports"
    operator.post("/calls/files?outcome=does_not_count", page="/calls", clear="yes")
    waiting = viewer.get("/calls").text
    assert waiting.count("waits for a worker") == 2
    assert files_of(waiting) == []
    work(site)
    page = operator.get("/calls").text
    clear, hidden = files_of(page)
    assert files_of(viewer.get("/calls").text) == [hidden]
    assert viewer.post(clear, page="/calls").status_code == 403
    assert operator.post(clear, page="/calls", csrf=False).status_code == 400
    taken = viewer.post(hidden, page="/calls")
    assert taken.headers["Content-Disposition"] == 'attachment; filename="calls.csv"'
    assert [line["Call id"] for line in csv.DictReader(io.StringIO(taken.text))] == [sid(1)]
    assert ANN not in taken.text
    [line] = csv.DictReader(io.StringIO(operator.post(clear, page="/calls").text))
    assert (line["Call id"], line["Caller"]) == (sid(3), f"'{ANN}")  # no formula for a spreadsheet
    said = [
        (one.what, one.of_what) for one in site.service.ledger.audit.lines(AuditFilter(who=operator.email), None, 9)
    ]
    assert said[:3] == [
        ("reveal calls", "calls.csv"),
        ("calls file asked for", "numbers whole"),
        ("calls file asked for", "numbers hidden in part"),
    ]


def test_the_file_that_a_worker_writes_is_the_pages_own_in_the_columns_zone_and_words_of_who_asked(
    database_url: str,
) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ZONE="Asia/Tokyo", OFFHOOK_UNFINISHED_HOURS="0.01")
    site.know(ANN, "ann@example.com", "C-77")
    site.call(1)
    site.call(2, caller=BO)
    site.call(3, seconds=5)
    site.call(4, more={"CallStatus": "in-progress", "CallDuration": ""})
    operator = site.person(Role.OPERATOR)
    of_what = [
        f"col={name}&"
        for name in ("when", "number", "customer", "outcome", "reason", "state", "decided", "hour", "length")
    ]
    for asked in ("", "".join(of_what), "outcome=unknown_caller&col=caller"):
        for clear in ("", "yes"):
            operator.post(f"/calls/files?{asked}", page="/calls", clear=clear)
            work(site)
            written = operator.post(files_of(operator.get("/calls").text)[0], page="/calls").text
            page = f"/calls.csv?{asked}"
            assert written == (operator.post(page, page="/calls") if clear else operator.get(page)).text
            assert ("ann@example.com" in written or BO in written) == bool(clear)
            assert len(written.splitlines()) == (2 if "unknown" in asked else 5)
            assert not NEVER.search(written), NEVER.search(written)
            assert "_" not in written  # no word of a program
    header, *lines = csv.reader(io.StringIO(operator.get(f"/calls.csv?{''.join(of_what)}").text))
    assert header[:2] == ["Call id", "Began"]
    assert {line[1][-6:] for line in lines} == {"+09:00"}
    assert {line[2] for line in lines} == {"TV spring"}
    site.service.ledger.close()


@only_sqlite
def test_no_file_of_calls_is_asked_for_of_somebody_whom_nobody_knows(site: Browsing) -> None:
    operator = site.person(Role.OPERATOR)
    operator.post("/calls/files?customer=nobody@example.com", page="/calls", back="/calls?customer=nobody@example.com")
    assert "Nobody is known by that name" in words(operator.get("/calls").text)
    assert not site.service.ledger.jobs.latest(5)


def test_how_far_it_is_stands_on_the_page_and_in_the_part_that_is_asked_for_again(site: Browsing) -> None:
    ledger, now = site.service.ledger, site.service.ledger.clock()
    job = enqueue(ledger.jobs, RetryConversions(), "ann@example.com", now)
    taken = ledger.jobs.claim(now, 60, 3).taken
    assert taken is not None
    ledger.jobs.go_on(job, taken.fence, Progress(1200, 3000, "conversions"), now + timedelta(seconds=60))
    viewer = site.person(Role.VIEWER)
    whole = viewer.get("/deliveries?show=done").text
    part = viewer.get("/jobs/of/retries?back=/deliveries?show%3Ddone").text
    for page in (whole, part):
        assert 'max="3000" value="1200"' in page
        assert "at work" in page
        assert "1,200 of 3,000 conversions" in words(page)
        assert 'data-live="2" hx-get="/jobs/of/retries?back=/deliveries?show%3Ddone"' in page
    assert "<html" not in part
    ledger.jobs.ask_cancel(job, now)
    assert "it stops in a moment" in words(viewer.get("/jobs/of/retries").text)
    assert viewer.get("/jobs/of/none-such").status_code == 404
    assert "//evil.example" not in viewer.get("/jobs/of/retries?back=//evil.example").text


@only_sqlite
def test_only_the_files_that_a_list_offers_are_given_out(site: Browsing) -> None:
    """An upload, and the rows that an import did not use, are taken elsewhere or not at all."""
    ledger, now = site.service.ledger, site.service.ledger.clock()
    upload = ledger.job_files.begin(FileRole.UPLOAD, "crm.csv", "text/csv", now)
    ledger.job_files.add_piece(upload, 0, b"phone,email\n12,x\n+14155550103,cy@example.com\n")
    ledger.job_files.complete(upload, 45)
    imported = enqueue(ledger.jobs, ImportCustomers(upload=upload), "ann@example.com", now)
    work(site)
    job = ledger.jobs.job(imported)
    assert job is not None and job.state is JobState.DONE
    operator = site.person(Role.OPERATOR)
    kept = ledger.job_files.of_job(imported)
    assert {one.role for one in kept} == {FileRole.UPLOAD, FileRole.RESULT}
    for file in kept:
        assert operator.post(f"/jobs/files/{file.id}", page="/customers").status_code == 404
    assert f'href="/customers/jobs/{imported}"' in operator.get("/customers").text


@only_sqlite
def test_what_a_job_says_is_said_in_a_readers_words(site: Browsing) -> None:
    ledger, now = site.service.ledger, site.service.ledger.clock()
    upload = ledger.job_files.begin(FileRole.UPLOAD, "crm.csv", "text/csv", now)
    ledger.job_files.add_piece(upload, 0, b"phone,email\n12,x\n")
    ledger.job_files.complete(upload, 17)
    enqueue(ledger.jobs, ImportCustomers(upload=upload), "ann@example.com", now)
    site.call(1)
    enqueue(ledger.jobs, QaFile(f"{site.at:%Y-%m}"), "ann@example.com", now)
    work(site)
    viewer = site.person(Role.VIEWER)
    customers = words(viewer.get("/customers").text)
    assert "No row of it was of use: your customer list is as it was." in customers
    rockerbox = words(viewer.get("/rockerbox").text)
    assert "1 conversion, with emails and customer ids in clear. 1 of them was not delivered." in rockerbox
    for said in (customers, rockerbox):
        assert not NEVER.search(said), NEVER.search(said)
        assert not TERMINAL.search(said), TERMINAL.search(said)
