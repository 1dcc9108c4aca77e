"""The pages of people: who calls and is unknown, who has which number, what a list would change, and what is taken back."""

from __future__ import annotations

import csv
import gzip
import io
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from offhook.adapters.commands.unknown import unknown
from offhook.pipeline.customer import Customer
from offhook.pipeline.job_kinds import BacktestRules, QaFile, RetryConversions, enqueue
from offhook.pipeline.jobs import JobState
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.users import AuditFilter, Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, Browsing, Person, browsing, sid, site_of
from tests.support.readers import NEVER, words

CY, DI = "+14155550103", "+14155550104"
only_sqlite = pytest.mark.mostly("sqlite")

site = site_of()


def figures(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-figure="(\w+)">([^<]*)<', page))


def callers(page: str) -> list[str]:
    """The CallSids of the last calls of those who are listed, in the list's order."""
    return re.findall(r'<a href="/calls/(CA[0-9a-f]{32})"', page)


def done(site: Browsing, who: Role) -> list[str]:
    """What the audit has of people of this role, the newest first."""
    lines = site.service.ledger.audit.lines(AuditFilter(), None, 50)
    return [one.what for one in lines if one.who.startswith(who.value)]


def work(site: Browsing) -> None:
    """What a worker does with jobs and with calls, until nothing is left."""
    service = site.service
    runner = job_runner(service.settings, service.ledger, service.judge)
    while runner.once():
        pass
    site.work()


def uploaded(person: Person, text: str | bytes, name: str = "crm.csv", **said: Any) -> str:
    """The address of the job that looks at a file."""
    content = text.encode() if isinstance(text, str) else text
    answer = person.post("/customers/uploads", page="/customers", file=(io.BytesIO(content), name), **said)
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def post(person: Person, path: str, page: str, **fields: Any) -> str:
    """The page behind a form that is sent."""
    answer = person.post(path, page=page, **fields)
    assert answer.status_code == 303, answer.text
    return str(person.get(answer.headers["Location"]).text)


# Unknown callers


def test_empty_lists_say_what_to_do_next(database_url: str) -> None:
    site = browsing(database_url)
    viewer = site.person(Role.VIEWER)
    for path in ("/customers", "/customers/imports"):
        assert "Nobody is in your customer list yet." in words(viewer.get(path).text)
    for page in (viewer.get("/unknown").text, site.person(Role.OPERATOR).get("/unknown").text):
        assert "No call waits for a customer. Nothing has to be done here" in words(page)
        assert "unknown.csv" not in page  # there is nothing to fill in
    assert "Every number has one customer." in words(viewer.get("/customers/conflicts").text)
    assert "Nobody goes by this name" in words(viewer.get("/customers?q=nobody@example.com").text)
    site.service.ledger.close()


def test_unknown_callers_are_listed_by_how_often_and_by_how_recently(site: Browsing) -> None:
    for number, caller in enumerate([BO, CY, BO, ANN, CY, BO, DI], start=1):
        site.call(number, caller=caller)
    viewer = site.person(Role.VIEWER)
    often, latest = (viewer.get(f"/unknown?order={order}").text for order in ("often", "latest"))
    assert callers(often) == [sid(6), sid(5), sid(7)]
    assert callers(latest) == [sid(7), sid(6), sid(5)]
    assert "TV spring" in words(often)
    assert not NEVER.search(words(often)), NEVER.search(words(often))
    for page in (often, latest):
        assert not any(phone in page for phone in (BO, CY, DI))
        assert "/customer" not in re.sub(r'href="[^"]*"', "", page)


def test_every_unknown_caller_stands_on_one_page_in_either_order(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="2")
    for number in range(1, 8):
        site.call(number, caller=f"+141555501{40 + number % 5}")
    viewer = site.person(Role.VIEWER)
    for order in ("often", "latest"):
        path, seen = f"/unknown?order={order}", list[str]()
        while path:
            page = viewer.get(path).text
            seen += callers(page)
            found = re.search(r'href="([^"]+)" rel="next"', page)
            path = unescape(found[1]) if found else ""
            assert "141555501" not in path
        assert sorted(seen) == [sid(number) for number in range(3, 8)]
    for wrong in ("x", "1.2.CA", f"9.{10**15}.{sid(99)}", f"1.1.{sid(1)}.1"):
        assert len(callers(viewer.get(f"/unknown?after={wrong}").text)) == 2
    site.service.ledger.close()


def test_a_customer_is_added_and_the_calls_leave_the_list_at_once(site: Browsing) -> None:
    for number, caller in enumerate([BO, BO, CY], start=1):
        site.call(number, caller=caller)
    operator = site.person(Role.OPERATOR)
    path = f"/unknown/{sid(2)}/customer"
    assert "That is no email" in post(operator, path, "/unknown", email="bo")
    assert "Give an email or a customer id" in post(operator, path, "/unknown")
    assert done(site, Role.OPERATOR) == []
    page = post(operator, path, "/unknown", email="Bo@Example.com", customer_id="C-9", back="/unknown?order=latest")
    assert "2 calls were decided again" in words(page)
    assert callers(page) == [sid(3)]
    assert done(site, Role.OPERATOR) == ["customer added"]
    assert [site.service.ledger.stories.of_call(sid(n))[0].call.state for n in (1, 2, 3)] == [
        "converted",
        "converted",
        "parked",
    ]
    [line] = [one for one in site.service.ledger.history.imports(9) if one.source is Source.DASHBOARD]
    assert (line.name, line.added) == (operator.email, 1)


@only_sqlite
def test_who_was_named_while_nobody_may_decide_leaves_when_the_worker_decides(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_BOOKS_SECONDS="0")
    site.call(1, caller=BO)
    operator = site.person(Role.OPERATOR)
    with site.service.ledger.books():
        page = post(operator, f"/unknown/{sid(1)}/customer", "/unknown", customer_id="C-9")
    assert "decided again by themselves in a moment" in words(page)
    assert "these calls leave the list in a moment" in words(page)
    site.work()
    assert callers(operator.get("/unknown").text) == []
    site.service.ledger.close()


@only_sqlite
def test_nothing_is_added_by_a_viewer_nor_without_the_token_of_the_form(site: Browsing) -> None:
    site.call(1, caller=BO)
    viewer, operator = site.person(Role.VIEWER), site.person(Role.OPERATOR)
    for person, status, csrf in ((viewer, 403, True), (operator, 400, False)):
        for path in (f"/unknown/{sid(1)}/customer", "/customers", "/customers/uploads"):
            answer = person.post(path, page="/account", csrf=csrf, phone=BO, email="bo@example.com")
            assert answer.status_code == status, path
    assert not site.service.ledger.find_customers([BO])


@pytest.mark.mostly("sqlite")
def test_the_file_to_fill_in_is_that_of_the_command(site: Browsing, app_of: Any) -> None:
    for number, caller in enumerate([BO, CY, BO], start=1):
        site.call(number, caller=caller)
    answer = site.person(Role.OPERATOR).post("/unknown.csv", page="/unknown")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="unknown.csv"'
    assert answer.text == app_of(site).test_cli_runner().invoke(unknown, ["--csv"]).stdout_bytes.decode()
    assert done(site, Role.OPERATOR) == ["reveal unknown callers"]
    rows = list(csv.DictReader(io.StringIO(site.person(Role.VIEWER).get("/unknown.csv").text)))
    assert [row["calls"] for row in rows] == ["2", "1"]
    assert all("***" in row["phone"] for row in rows)


@pytest.mark.parametrize(("most", "is_cut"), [("1", True), ("2", False)])
@only_sqlite
def test_a_file_that_has_not_every_unknown_caller_is_said_to_have_those_who_call_most(
    database_url: str, most: str, is_cut: bool
) -> None:
    site = browsing(database_url, OFFHOOK_UNKNOWN_FILE_ROWS=most)
    for number, caller in enumerate([CY, BO, BO], start=1):
        site.call(number, caller=caller)
    for role in (Role.VIEWER, Role.OPERATOR):
        page = words(site.person(role).get("/unknown").text)
        assert (f"The file has the {most} who call most, and there are more." in page) == is_cut
    rows = list(csv.DictReader(io.StringIO(site.person(Role.VIEWER).get("/unknown.csv").text)))
    assert [row["calls"] for row in rows] == ["2", "1"][: int(most)]
    site.service.ledger.close()


@pytest.fixture
def app_of() -> Any:
    """A service -> the Flask app whose commands work on it."""

    def made(site: Browsing) -> Flask:
        app = Flask("commands")
        app.extensions["offhook"] = site.service
        return app

    return made


# A list of customers: looked at, imported, taken back


def test_a_look_at_a_list_that_would_remove_too_many_shows_whom_and_offers_no_import(site: Browsing) -> None:
    site.service.ledger.merge_customers([Customer(phone, "an@example.com", None) for phone in (BO, CY)])
    operator = site.person(Role.OPERATOR)
    looked = uploaded(operator, f"phone,email\n{BO},an@example.com\n", "one.csv", replace="yes")
    work(site)
    page = operator.get(looked).text
    assert (figures(page)["removed"], figures(page)["unchanged"]) == ("2", "1")
    assert 'say "Remove them however many they are"' in words(page) and "+1415***0103" in words(page)
    assert f"{looked}/import" not in page and "Look at it" in page


def test_a_list_that_takes_a_number_from_its_customer_shows_that_as_a_change(site: Browsing) -> None:
    site.service.ledger.merge_customers([Customer(BO, "bo@example.com", None)])
    operator = site.person(Role.OPERATOR)
    looked = uploaded(operator, f"phone,email\n{BO},bo@example.com\n{BO},cy@example.com\n", "two.csv")
    work(site)
    page = operator.get(looked).text
    assert {name: figures(page)[name] for name in ("added", "changed")} == {"added": "0", "changed": "1"}
    assert "2 customers: nobody is credited" in words(page)
    imported = operator.post(f"{looked}/import", page=looked).headers["Location"]
    work(site)
    page = operator.get(imported).text
    assert figures(page)["changed"] == "1" and "No row of it is of use" not in words(page)
    assert site.service.ledger.history.imports(1)[0].changed == 1


def test_the_list_filled_in_is_looked_at_imported_and_taken_back(site: Browsing) -> None:
    for number, caller in enumerate([BO, BO, CY], start=1):
        site.call(number, caller=caller)
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    text = operator.post("/unknown.csv", page="/unknown").text
    rows = [
        {**row, "email": "bo@example.com" if row["calls"] == "2" else ""} for row in csv.DictReader(io.StringIO(text))
    ]
    filled = io.StringIO()
    writer = csv.DictWriter(filled, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    looked = uploaded(operator, filled.getvalue(), "unknown.csv")
    waiting = operator.get(looked)
    assert "It waits for a worker." in words(waiting.text)
    assert "HX-Refresh" not in operator.get(f"{looked}/progress").headers
    work(site)
    assert operator.get(f"{looked}/progress").headers["HX-Refresh"] == "true"
    page = operator.get(looked).text
    assert "What unknown.csv would change" in words(page)
    assert {name: figures(page)[name] for name in ("added", "changed", "unused", "left_empty", "releases")} == {
        "added": "1",
        "changed": "0",
        "unused": "0",
        "left_empty": "1",
        "releases": "2",
    }
    assert BO not in page
    assert "bo@example.com" not in page
    assert not ledger.find_customers([BO])
    imported = operator.post(f"{looked}/import", page=looked).headers["Location"]
    assert imported != looked
    work(site)
    assert figures(operator.get(imported).text)["added"] == "1"
    assert ledger.find_customers([BO])[BO].email == "bo@example.com"
    assert callers(operator.get("/unknown").text) == [sid(3)]
    [mine] = [one for one in ledger.history.imports(9) if one.name == "unknown.csv"]
    undoing = f"/customers/imports/{mine.id}"
    assert figures(operator.get(undoing).text)["retired"] == "1"
    assert "b***@example.com" in words(operator.get(undoing).text)
    taken_back = operator.post(f"{undoing}/undo", page=undoing).headers["Location"]
    work(site)
    assert figures(operator.get(taken_back).text)["retired"] == "1"
    assert not ledger.find_customers([BO])
    assert "It was taken back" in words(operator.get(undoing).text)
    assert done(site, Role.OPERATOR) == [
        "import taken back",
        "customers imported",
        "customers looked at",
        "reveal unknown callers",
    ]
    for path in (looked, imported, taken_back, undoing, "/customers/imports", "/customers"):
        assert not NEVER.search(words(operator.get(path).text)), path


@only_sqlite
def test_the_rows_that_are_not_used_are_shown_and_given_to_an_operator_alone(site: Browsing) -> None:
    operator, viewer = site.person(Role.OPERATOR), site.person(Role.VIEWER)
    looked = uploaded(operator, f"phone,email\n{BO},bo@example.com\nnobody,=cmd()\n")
    work(site)
    assert "no phone number" in words(viewer.get(looked).text)
    assert "Import it" not in viewer.get(looked).text
    assert viewer.post(f"{looked}/rejected.csv", page="/account").status_code == 403
    answer = operator.post(f"{looked}/rejected.csv", page=looked)
    assert "nobody" in answer.text
    assert done(site, Role.OPERATOR)[0] == "reveal rejected rows"
    assert viewer.post(f"{looked}/import", page="/account").status_code == 403


@only_sqlite
def test_what_cannot_be_imported_says_why_in_words_of_the_form(site: Browsing) -> None:
    operator = site.person(Role.OPERATOR)
    for content, name, why in (
        (b"PK\x03\x04" + b"\0" * 40, "crm.csv", "crm.csv is a ZIP archive"),
        (b"Telefon,Mail\n1,2\n", "crm.csv", '"Columns"'),
        (b"", "", "Choose a file first."),
    ):
        answer = operator.post("/customers/uploads", page="/customers", file=(io.BytesIO(content), name))
        work(site)
        page = words(operator.get(answer.headers["Location"]).text)
        assert why in page, page
        assert "/tmp" not in page
        assert "--" not in page
    for said, why in (({"columns": "phone"}, "Name three columns"), ({"country": "XX"}, "A country is two letters")):
        assert why in words(operator.get(uploaded(operator, "phone,email\n", **said)).text)


def test_a_packed_file_that_unpacks_to_more_than_it_may_is_not_imported_and_says_so(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_CUSTOMERS_UNPACKED_BYTES="5000")
    operator = site.person(Role.OPERATOR)
    packed = gzip.compress(f"phone,email\n{BO},bo@example.com\n".encode() + b"nobody,\n" * 1000)
    looked = uploaded(operator, packed, "crm.csv.gz")
    work(site)
    page = operator.get(looked).text
    assert "crm.csv.gz comes to more than 5,000 bytes when it is unpacked" in words(page)
    assert "Make several smaller files of it" in words(page)
    assert "/import" not in page.replace("/customers/imports", "")
    assert not site.service.ledger.find_customers([BO])
    site.service.ledger.close()


@only_sqlite
def test_a_file_that_is_too_large_is_not_kept(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_UPLOAD_MAX_BYTES="2000", OFFHOOK_DASHBOARD_BODY_BYTES="10000")
    operator = site.person(Role.OPERATOR)
    assert "is larger than" in words(operator.get(uploaded(operator, "x" * 3000)).text)
    assert "is larger than" in words(
        operator.get(uploaded(operator, "x" * 11_000)).text
    )  # with a form of its own beside
    file = (io.BytesIO(b"x" * 20_000), "crm.csv")
    refused = operator.post("/customers/uploads", page="/customers", file=file)
    assert refused.status_code == 413
    assert "A file may have 2 kB here. Gzip it, or take it apart" in words(refused.text)
    assert "up to 2 kB" in words(operator.get("/customers").text)
    form = operator.post("/deliveries/preview", page="/deliveries", key="x" * 11_000)
    assert (form.status_code, "Pick less at once" in form.text) == (413, True)
    assert not site.service.ledger.jobs.latest(9)
    site.service.ledger.close()


@only_sqlite
def test_a_job_is_stopped_and_one_of_another_kind_is_not_shown_here(site: Browsing) -> None:
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    looked = uploaded(operator, "phone,email\n")
    number = looked.rpartition("/")[2]
    listed = operator.get("/customers").text
    assert f'action="/jobs/{number}/stop"' in listed
    assert f'href="{looked}"' in listed
    assert "/stop" not in site.person(Role.VIEWER).get("/customers").text
    post(operator, f"/jobs/{number}/stop", looked)
    assert "It was stopped." in words(operator.get(looked).text)
    assert done(site, Role.OPERATOR)[0] == "job stopped"
    other = enqueue(ledger.jobs, QaFile("2026-10"), "ann@example.com", ledger.clock())
    for path in (f"/customers/jobs/{other}", "/customers/jobs/99", "/customers/jobs/x", "/customers/imports/99"):
        assert operator.get(path).status_code == 404


@only_sqlite
def test_a_trial_of_rules_is_stopped_by_an_admin_alone_and_other_work_by_operators(site: Browsing) -> None:
    ledger, now = site.service.ledger, site.service.ledger.clock()
    trial = enqueue(ledger.jobs, BacktestRules(now), "ann@example.com", now)
    retry = enqueue(ledger.jobs, RetryConversions(), "ann@example.com", now)
    admin, operator = site.person(Role.ADMIN), site.person(Role.OPERATOR)
    assert f"/jobs/{trial}/stop" not in operator.get("/rules").text
    assert operator.post(f"/jobs/{trial}/stop", page="/account").status_code == 403
    assert f"/jobs/{trial}/stop" in admin.get("/rules").text
    assert f"/jobs/{retry}/stop" in operator.get("/deliveries").text
    admin.post(f"/jobs/{trial}/stop", page="/rules")
    operator.post(f"/jobs/{retry}/stop", page="/deliveries", back="/deliveries")
    assert {job.state for job in ledger.jobs.latest(9)} == {JobState.CANCELLED}
    assert "It was over already." in words(post(operator, f"/jobs/{retry}/stop", "/deliveries"))


@only_sqlite
def test_a_preview_that_is_bounded_says_so(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_UNDO_PREVIEW_ROWS="500")
    customers = [Customer(f"+1415555{1000 + n}", f"{n}@example.com", None) for n in range(1100)]
    site.service.ledger.merge_customers(customers, Brought(Source.IMPORT, "crm.csv", run="1"))
    page = words(site.person(Role.VIEWER).get("/customers/imports/1").text)
    assert "Of the first 500 numbers" in page
    site.service.ledger.close()


# Customers


@pytest.mark.parametrize("asked", ["(415) 555-0101", "ANN@example.com", "C-77", "old@example.com"])
def test_a_customer_is_found_by_number_email_and_id_of_today_and_before(site: Browsing, asked: str) -> None:
    ledger = site.service.ledger
    ledger.merge_customers([Customer(ANN, "old@example.com", None)], Brought(Source.IMPORT, "old.csv"))
    ledger.merge_customers([Customer(ANN, "ann@example.com", "C-77", attributes={"tier": "gold"})])
    site.call(1)
    page = site.person(Role.VIEWER).get(f"/customers?{urlencode({'q': asked})}").text
    said = words(page)
    assert "holds" in said and "File old.csv" in said and "gold" in said
    assert callers(page) == [sid(1)]
    hidden = [ANN, *({"ann@example.com", "old@example.com"} - {asked})]
    assert [one for one in hidden if one in page] == []
    assert not NEVER.search(said), NEVER.search(said)


@only_sqlite
def test_an_operator_says_who_has_a_number_and_shows_what_is_hidden(site: Browsing) -> None:
    site.call(1, caller=BO)
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    assert "That is no phone number" in post(operator, "/customers", "/customers", phone="12", email="bo@example.com")
    said = post(operator, "/customers", "/customers", phone="(415) 555-0102", email="bo@example.com")
    assert "1 call was decided again" in words(said)
    row = ledger.find_customers([BO])[BO].row
    page = "/customers?q=bo@example.com"
    for kind, value in (("customer_phone", BO), ("customer_email", "bo@example.com")):
        assert value in operator.post("/reveal", page=page, kind=kind, of=str(row)).text
    assert operator.post("/reveal", page=page, kind="customer_id", of=str(row)).status_code == 404
    assert operator.post("/reveal", page=page, kind="customer_email", of="x").status_code == 404
    post(operator, "/customers", page, row=str(row), customer_id="C-1")
    assert ledger.find_customers([BO])[BO].customer_id == "C-1"
    assert done(site, Role.OPERATOR) == [
        "customer added",
        "reveal customer email",
        "reveal customer phone",
        "customer added",
    ]
    lines = ledger.audit.lines(AuditFilter(), None, 50)
    assert not any(BO in one.of_what or "bo@" in one.of_what for one in lines)


def test_a_number_of_several_customers_is_given_to_one_of_them(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="2")
    people = (("bo@example.com", None), ("cy@example.com", "C-3"))
    shared = [Customer(phone, None, None, people=2, others=people) for phone in (BO, CY, DI)]
    site.service.ledger.merge_customers(shared, Brought(Source.IMPORT, "crm.csv"))
    site.call(1, caller=BO)
    operator = site.person(Role.OPERATOR)
    page = operator.get("/customers/conflicts").text
    assert "nobody: its calls wait" in words(page)
    assert "b***@example.com" in words(page)
    [more] = re.findall(r'href="([^"]+)" rel="next"', page)
    assert len(re.findall("Give it to one", operator.get(more).text)) == 1
    unknown = words(operator.get("/unknown").text)
    assert "2 customers have this number" in unknown
    row = str(site.service.ledger.find_customers([BO])[BO].row)
    said = post(operator, "/customers", "/customers/conflicts", row=row, email="bo@example.com")
    assert "1 call was decided again" in words(said)
    phones = [one.phone for one in site.service.ledger.history.shared_numbers("", 9)]
    assert sorted(phones) == sorted([CY, DI])
    site.service.ledger.close()


@only_sqlite
def test_markup_in_everything_that_a_stranger_can_write_is_text(site: Browsing) -> None:
    evil = "<script>alert(1)</script>"
    ledger, operator = site.service.ledger, site.person(Role.OPERATOR)
    attributes = {f"{evil}name": f"{evil}value"}
    ledger.merge_customers(
        [Customer(BO, f"{evil}@example.com", evil, attributes=attributes)], Brought(Source.SYNC, evil)
    )
    named = ((f"{evil}@example.com", evil), (None, f"{evil}2"))
    ledger.merge_customers([Customer(CY, None, None, people=2, others=named)], Brought(Source.IMPORT, f"{evil}.csv"))
    said = {"CallerName": evil, "From": f"sip:{evil}@example.com", "ForwardedFrom": evil, "CallStatus": "completed"}
    for number, caller in enumerate([BO, CY, DI], start=1):
        site.call(number, caller=caller, more={name: text for name, text in said.items() if name != "From"})
    site.call(4, more=said)
    looked = uploaded(
        operator, f"phone,email,customer_id,{evil}\n{DI},,{evil},{evil}\n{evil},a@example.com,,\n", f"{evil}.csv"
    )
    work(site)
    paths = [
        "/unknown",
        "/customers",
        "/customers/imports",
        "/customers/conflicts",
        looked,
        *(f"/customers/imports/{one.id}" for one in ledger.history.imports(9)),
        *(
            f"/customers?q={asked}"
            for asked in ("%3Cscript%3Ealert(1)%3C/script%3E", "%2B14155550102", "%2B14155550103")
        ),
    ]
    for path in paths:
        answer = operator.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
    assert "&lt;script&gt;alert" in operator.get("/customers/imports").text
