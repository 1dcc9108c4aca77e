"""The dashboard as an attacker meets it: markup in whatever a stranger can write, odd parameters, forged forms, on every page and
action that there is. What is new is found by itself: in the app's own map of addresses.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

import pytest
from flask import Request
from werkzeug.datastructures import ImmutableMultiDict

from offhook.pipeline.job_kinds import QaFile, enqueue
from offhook.pipeline.users import AuditFilter, AuditLine, Role
from offhook.service import job_runner
from tests.support.browser import page_of
from tests.support.browsing import ANN, BO, OURS, Browsing, browsing, sid
from tests.support.dashboard import PASSWORD, Site, add_user
from tests.support.laden import EMAILS, EVERY_KIND, PERSONS, SETTINGS, Seen, every_page, laden

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")


@pytest.fixture(scope="module")
def site(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    """Full of markup and of persons. Nothing is changed in it."""
    file = tmp_path_factory.mktemp("laden") / "offhook.db"
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), file)
    found = laden(f"sqlite:///{file}")
    yield found
    found.service.ledger.close()


@pytest.fixture(scope="module")
def pages(site: Browsing) -> list[Seen]:
    """Each page as an admin sees it."""
    return list(every_page(site, site.person(Role.ADMIN)))


def test_markup_of_a_caller_a_file_rockerbox_or_a_rule_is_text_on_every_page(site: Browsing, pages: list[Seen]) -> None:
    ran = {seen.path: runs for seen in pages if (runs := seen.page.runs) and _is_html(seen)}
    assert ran == {}
    said = {seen.path.partition("?")[0] for seen in pages if "&lt;script&gt;alert(1)" in seen.answer.text}
    # Where a stranger's words do stand, so that the look above has seen some.
    of_jobs = {path for path in said if path.startswith("/customers/jobs/")}
    assert said >= {"/", "/calls", "/customers", "/customers/imports", "/deliveries", "/rules", "/setup", "/audit"}
    assert {f"/calls/{sid(number)}" for number in (1, 6, *EVERY_KIND)} | {"/unknown"} <= said
    assert of_jobs


@pytest.fixture(scope="module")
def running(site: Browsing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server on the same database, with a user of each role more."""
    made = Site(site.service.settings.database_url, tmp_path_factory.mktemp("laden-runs"), **SETTINGS)
    made.web.start()
    yield made
    made.close()


@pytest.mark.parametrize("how_many", [1, pytest.param(100, marks=pytest.mark.soak)])
def test_a_browser_runs_nothing_of_it_and_asks_for_nothing(
    browser: Any, running: Site, site: Browsing, pages: list[Seen], how_many: int
) -> None:
    """Of each page so many addresses, and of the others one with what it shows of a stranger."""
    match, chosen = site.app.url_map.bind("localhost").match, defaultdict[str, list[str]](list)
    laden_first = sorted(pages, key=lambda seen: "&lt;script&gt;" not in seen.answer.text)
    for seen in laden_first:
        if seen.answer.text.startswith("<!doctype html>") and seen.answer.status_code == 200:  # no part of a page
            chosen[match(urlsplit(seen.path).path)[0]].append(seen.path)
    paths = [path for every in chosen.values() for path in every[:how_many]]
    assert len(paths) >= 15
    with page_of(browser, running, Role.ADMIN) as page:
        ran = list[str]()

        def opened(dialog: Any) -> None:
            ran.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", opened)
        for path in paths:
            page.requests.clear()
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            assert page.locator("main img, main script, main iframe").count() == 0, path
            asked = {urlsplit(url).path for url in page.requests[1:] if not url.startswith("data:")}
            assert all(one.startswith("/static/") for one in asked), (path, asked)
        assert ran == []


def test_no_page_fails_whatever_is_in_it(pages: list[Seen]) -> None:
    assert [(seen.path, seen.answer.status_code) for seen in pages if seen.answer.status_code >= 500] == []
    assert len(pages) > 60


def test_nobody_is_shown_a_person_who_did_not_ask_for_it(site: Browsing, pages: list[Seen]) -> None:
    """Neither in a page, its title or a link, nor in a file or its name: not even an admin, until they ask."""
    shown = {}
    for seen in [*pages, *every_page(site, site.person(Role.VIEWER), most=150)]:
        text = f"{seen.answer.headers}\n{seen.answer.text}"
        digits = re.sub(r"(?<=\d)[\s().-]+(?=\d)", "", text)
        found = [one for one in PERSONS if one[2:] in digits] + [one for one in EMAILS if one in text]
        if found:
            shown[seen.path] = found
    assert shown == {}


def test_every_answer_says_what_a_browser_may_do_with_it(site: Browsing, pages: list[Seen]) -> None:
    """Pages, files, errors and redirects; for somebody and for nobody."""
    person, nobody = site.person(Role.VIEWER), site.app.test_client()
    answers = [seen.answer for seen in pages]
    answers += [nobody.get(seen.path) for seen in pages]
    answers += [person.client.open(path, method=method) for method in METHODS for path in ("/", "/audit", "/login")]
    answers += [person.client.post("/login", data=b"x" * 600_000, content_type="application/x-www-form-urlencoded")]
    assert {one.status_code for one in answers} >= {200, 303, 400, 403, 404, 405, 413}
    for one in answers:
        assert one.headers["Cache-Control"] == "no-store", one
        assert {name: one.headers.get(name) for name in HEADERS} == HEADERS, one
        policy = one.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND")


def test_another_method_and_a_method_in_a_header_do_nothing_that_a_post_may_not(site: Browsing) -> None:
    admin = site.person(Role.ADMIN)
    before = _lines(site)
    for rule in _posts(site):
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = admin.client.open(
                rule, method=method, headers={"X-HTTP-Method-Override": "POST"}, data={"_method": "POST"}
            )
            assert answer.status_code in (200, 303, 404, 405), (method, rule)
    new = site.service.ledger.audit.lines(AuditFilter(), None, _lines(site) - before)
    assert {line.what for line in new} <= {"file taken"}  # a file that leaves by GET, whatever its headers say


def test_no_action_is_taken_without_the_token_of_its_form(site: Browsing) -> None:
    admin, other = site.person(Role.ADMIN), _token(site.person(Role.ADMIN).get("/account"))
    before = _lines(site)
    forged: tuple[dict[str, str], ...] = ({}, {"csrf_token": ""}, {"csrf_token": "x"}, {"csrf_token": other})
    for rule in _posts(site):
        for fields in forged:
            assert admin.client.post(rule, data=fields).status_code == 400, rule
            answer = admin.client.post(rule, data=json.dumps(fields), content_type="application/json")
            assert answer.status_code == 400, rule
    assert _lines(site) == before


def test_no_action_is_taken_that_a_browser_says_comes_from_elsewhere(site: Browsing) -> None:
    admin, before = site.person(Role.ADMIN), _lines(site)
    token = _token(admin.get("/account"))
    for rule in _posts(site):
        for where in ("cross-site", "same-site", "other"):
            answer = admin.client.post(rule, data={"csrf_token": token}, headers={"Sec-Fetch-Site": where})
            assert answer.status_code == 400, rule
    assert _lines(site) == before


def test_no_cell_of_a_file_is_a_formula(site: Browsing) -> None:
    operator = site.person(Role.OPERATOR)
    paths = {rule.rule for rule in site.app.url_map.iter_rules() if rule.rule.endswith(".csv") and "<" not in rule.rule}
    assert paths >= {"/calls.csv", "/unknown.csv"}
    every = urlencode([("col", "caller"), ("col", "customer"), ("col", "number"), ("col", "reason"), ("col", "when")])
    for path in sorted(paths):
        files = [operator.get(f"{path}?{every}"), operator.post(f"{path}?{every}", page="/account")]
        files += [site.person(Role.ADMIN).get(path)]
        for file in (one for one in files if one.status_code == 200):
            assert file.content_type == "text/csv; charset=utf-8"
            assert file.headers["Content-Disposition"].startswith("attachment; ")
            assert formulas(file.text) == [], path


def formulas(text: str) -> list[str]:
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    return [cell for cell in cells if _FORMULA.match(cell) or cell.startswith(("\t", "\r"))]


FORMULAS = ("=HYPERLINK(1)", "@SUM(1)", "-2+3")


@pytest.mark.mostly("sqlite")
def test_no_cell_of_a_file_that_a_worker_has_written_is_a_formula(database_url: str) -> None:
    """The files of calls and of Rockerbox's QA, and the rows of a list that were not used: each carries such cells as text."""
    rules = f'[[numbers]]\nnumber = "{OURS}"\nlabel = "-2+3"\n'
    site = browsing(database_url, OFFHOOK_RULES=rules)
    site.know(ANN, "ann@example.com", "=HYPERLINK(1)")
    site.call(1)
    operator = site.person(Role.OPERATOR)
    columns = urlencode([("col", "number"), ("col", "customer"), ("col", "caller")])
    assert operator.post(f"/calls/files?{columns}", page="/calls", clear="yes").status_code == 303
    for month in {f"{at:%Y-%m}" for at in (site.at, datetime.now(UTC))}:
        assert operator.post("/rockerbox/qa", page="/rockerbox", month=month).status_code == 303
    row = io.BytesIO(f"phone,email,customer_id\n{','.join(FORMULAS)}\n".encode())
    uploaded = operator.post("/customers/uploads", page="/customers", file=(row, "crm.csv"))
    runner = job_runner(site.service.settings, site.service.ledger, site.service.judge)
    while runner.once():
        pass
    found = {}
    for page, carried in (("/calls", {"-2+3", ANN}), ("/rockerbox", {"=HYPERLINK(1)"})):
        paths = re.findall(r'action="(/jobs/files/\d+)"', operator.get(page).text)
        found[page] = ("".join(operator.post(path, page=page).text for path in paths), carried)
    looked_at = urlsplit(uploaded.headers["Location"]).path
    rejected = operator.post(f"{looked_at}/rejected.csv", page=looked_at)
    assert rejected.content_type == "text/csv; charset=utf-8"
    # The row as it was is one cell, which a spreadsheet may take apart once more.
    found["rejected"] = (rejected.text, {",'".join(FORMULAS)})
    for where, (text, carried) in found.items():
        assert formulas(text) == [], where
        cells = {cell for line in csv.reader(io.StringIO(text)) for cell in line}
        assert {f"'{one}" for one in carried} <= cells, (where, text)
    site.service.ledger.close()


ELSEWHERE = ("https://evil.example", "//evil.example", "/\\evil.example", "https:evil.example", "javascript:alert(1)")


@pytest.mark.mostly("sqlite")
def test_no_form_leads_to_another_site_by_where_it_says_that_it_came_from(database_url: str) -> None:
    site = browsing(database_url)
    site.call(1, caller=BO)
    admin, now = site.person(Role.ADMIN), site.service.ledger.clock()
    job = enqueue(site.service.ledger.jobs, QaFile("2026-10"), "test", now)
    forms: dict[str, dict[str, Any]] = {
        "/customers": {"phone": "no number"},
        f"/unknown/{sid(1)}/customer": {"email": "no email"},
        "/reveal": {"kind": "caller", "of": sid(1)},
        "/account/zone": {"zone": ""},
        "/calls/files": {},
        "/deliveries/retry": {},
        f"/jobs/{job}/stop": {},
    }
    for path, fields in forms.items():
        assert leads_to(admin.post(path, page="/account", back="/calls?reason=x", **fields)).startswith(
            "/calls?reason=x"
        )
        for elsewhere in ELSEWHERE:
            goes_to = leads_to(admin.post(path, page="/account", back=elsewhere, **fields))
            assert goes_to.partition("#")[0] == "/", (path, elsewhere)
    site.service.ledger.close()


def leads_to(answer: Any) -> str:
    """Where a browser goes on, or what a page links back to."""
    if answer.status_code == 303:
        return str(answer.headers["Location"])
    [link] = re.findall(r'href="([^"]*)">Back<', answer.text)
    return str(link)


@pytest.mark.mostly("sqlite")
def test_only_who_is_signed_in_sends_more_than_a_form_and_only_as_a_file(database_url: str) -> None:
    """A form of many megabytes keeps a thread busy for many seconds with taking it apart."""
    site = browsing(database_url)
    many = b"a&" * 200_000
    form, operator = "application/x-www-form-urlencoded", site.person(Role.OPERATOR)
    nobody = site.app.test_client()
    assert nobody.post("/login", data=many, content_type=form).status_code == 413
    assert nobody.post("/login", data={"file": (io.BytesIO(b"x" * 400_000), "a.csv")}).status_code == 413
    assert operator.client.post("/deliveries/preview", data=many, content_type=form).status_code == 413
    assert (
        operator.post("/customers/uploads", page="/customers", file=(io.BytesIO(b"x" * 400_000), "a.csv")).status_code
        == 303
    )
    site.service.ledger.close()


class Noting(ImmutableMultiDict[str, str]):
    """The parameters of an address; which of them a page looks at is written down."""

    looked_at: ClassVar[set[str]] = set()

    def get(self, key: str, *more: Any, **how: Any) -> Any:
        self.looked_at.add(key)
        return super().get(key, *more, **how)

    def getlist(self, key: str, *more: Any) -> Any:
        self.looked_at.add(key)
        return super().getlist(key, *more)

    def __contains__(self, key: object) -> bool:
        self.looked_at.add(str(key))
        return super().__contains__(key)


class NotingRequest(Request):
    parameter_storage_class = Noting


def _key(*parts: object) -> str:
    """As pages say where the next one begins."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


ODD = (
    "9" * 400,
    "\N{ARABIC-INDIC DIGIT THREE}",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}\uffff\U0010ffff",
    "a\0b",
    _key("0001-01-01", "a", "b"),
    _key("9999-12-31T23:59:59-14:00", "a", "b"),
    _key("2026-01-01T00:00:00", "\ud800", "b"),
    f"1.{'9' * 16}.{sid(1)}",
)


@pytest.mark.mostly("postgres")  # which keeps less as text, and has shorter numbers
@pytest.mark.parametrize("how_many", [2, pytest.param(len(ODD), marks=pytest.mark.soak)])
def test_no_parameter_makes_a_page_fail(how_many: int, database_url: str) -> None:
    """Each parameter is given so many of the odd values, and the next one, of this page or another, those that come next."""
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="1")
    site.know("+14155550101", "ann@example.com")
    for number in (1, 2):
        site.call(number)
    site.app.request_class = NotingRequest
    admin, failed, tried, odd_ones = site.person(Role.ADMIN), [], set[str](), cycle(ODD)
    for rule in site.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.rule.startswith("/static"):
            continue
        paths = [re.sub(r"<\w+>", quote(odd, safe="", errors="replace"), rule.rule) for odd in ODD if rule.arguments]
        Noting.looked_at.clear()
        plain = re.sub(r"<\w+>", sid(1), rule.rule)
        admin.client.get(plain)
        names = Noting.looked_at - {"q"} | (
            {"q"} if "q" in rule.rule or rule.rule in ("/search", "/customers") else set()
        )
        tried |= names
        paths += [
            f"{plain}?{urlencode({name: odd}, errors='replace')}"
            for name in sorted(names)
            for odd in islice(odd_ones, how_many)
        ]
        failed += [(path, code) for path in paths if (code := admin.client.get(path).status_code) >= 500]
    assert failed == []
    assert tried >= {"after", "since", "before", "day", "from", "q", "who", "next", "account"}
    site.service.ledger.close()


def _token(page: Any) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def _posts(site: Browsing) -> list[str]:
    rules = [rule.rule for rule in site.app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    return [re.sub(r"<\w+>", sid(6) if rule.startswith(("/calls", "/unknown")) else "1", rule) for rule in rules]


def _lines(site: Browsing) -> int:
    """The last line of the audit."""
    return site.service.ledger.audit.lines(AuditFilter(), None, 1)[0].seq


def _is_html(seen: Seen) -> bool:
    return str(seen.answer.content_type).startswith("text/html")


@pytest.mark.mostly("sqlite")
def test_a_token_that_was_planted_before_somebody_signs_in_is_worth_nothing_afterwards(database_url: str) -> None:
    site = browsing(database_url)
    add_user(site.service.ledger, "ann@example.com", Role.VIEWER)
    client = site.app.test_client()
    planted = _token(client.get("/login"))
    form = {"csrf_token": planted, "email": "ann@example.com", "password": PASSWORD}
    assert client.post("/login", data=form).status_code == 303
    assert client.post("/account/zone", data={"csrf_token": planted, "zone": ""}).status_code == 400
    own = _token(client.get("/account"))
    assert client.post("/account/zone", data={"csrf_token": own, "zone": ""}).status_code == 303
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_a_session_that_began_as_its_user_was_disabled_is_none(database_url: str) -> None:
    """Whoever was signing in at that moment has a row that the disabling did not see."""
    site = browsing(database_url)
    person = site.person(Role.VIEWER)
    ledger = site.service.ledger
    someone = next(one for one in ledger.users.every() if one.email == person.email)
    [session] = ledger.sessions.of_user(someone.id)
    line = AuditLine(session.created_at, "test", "user disabled", person.email, "test")
    assert ledger.users.disable(someone.id, session.created_at, line)
    ledger.sessions.add(session, session.created_at, line)
    assert ledger.sessions.with_id(session.id) is not None
    assert person.get("/account").status_code == 303
    site.service.ledger.close()
