"""The page of rules: read back, with figures, other rules tried out, and the rules of before."""

from __future__ import annotations

import io
import json
import re
import shlex
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest

from offhook.main import commands_alone
from offhook.pipeline.phone import mask
from offhook.pipeline.rules import Rules
from offhook.pipeline.users import AuditFilter, Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, RULES, Browsing, Person, browsing, sid, site_of
from tests.support.ledger import change
from tests.support.readers import NEVER, words

BLOCKS = """min_duration_seconds = 30
[[rule]]
name = "Short ones of the spring"
skip = "much_too_short"
when = { max_duration_seconds = 9 }
"""

site = site_of(OFFHOOK_RULES=BLOCKS)


def tries(person: Person, text: str | bytes, *, csrf: bool = True, **fields: str) -> tuple[int, str]:
    """Upload rules: the status, and the page that it leads to."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', person.get("/rules").text)
    assert token is not None
    raw = text.encode() if isinstance(text, str) else text
    data = {**fields, **({"csrf_token": token[1]} if csrf else {}), "file": (io.BytesIO(raw), "new.toml")}
    answer = person.client.post("/rules/backtest", data=data, content_type="multipart/form-data")
    return answer.status_code, answer.text if answer.status_code != 303 else person.get("/rules").text


def works(site: Browsing) -> None:
    service = site.service
    assert job_runner(service.settings, service.ledger, service.judge).once()


def test_the_rules_are_read_back_and_an_empty_page_says_what_to_do(site: Browsing) -> None:
    said = words(site.person(Role.VIEWER).get("/rules").text)
    assert "1. Short ones of the spring: a call that" in said
    assert "does not count (much_too_short)" in said
    assert "No call was decided in these days. Call one of your tracked numbers" in said
    assert "An admin here can try other rules" in said
    assert not NEVER.search(said), NEVER.search(said)


def test_each_rule_has_the_calls_that_it_decided_and_why_others_do_not_count(site: Browsing) -> None:
    for number, caller, seconds in ((1, ANN, 90), (2, BO, 90), (3, ANN, 5), (4, ANN, 20), (5, ANN, 20)):
        site.call(number, caller=caller, seconds=seconds)
    page = site.person(Role.VIEWER).get("/rules").text
    figures = words(page.partition('id="figures"')[2].partition("</table>")[0])
    assert "Short ones of the spring 0 0 1 much too short 1" in figures
    assert "What the file says outside of its rules 1 1 2 too short 2" in figures
    excluded = page.partition('id="excluded"')[2].partition("</table>")[0]
    assert "too short 2" in words(excluded)
    assert "much too short 1" in words(excluded)
    link = re.search(r'href="([^"]+reason=too_short[^"]*)"', excluded)
    assert link is not None
    listed = site.person(Role.VIEWER).get(unescape(link[1])).text
    assert sid(4) in listed and sid(5) in listed and sid(1) not in listed


def test_a_call_that_was_decided_twice_stands_where_its_latest_decision_is(site: Browsing) -> None:
    site.call(2, caller=BO)
    site.know(BO, "bo@example.com")
    site.work()
    figures = words(site.person(Role.VIEWER).get("/rules").text.partition('id="figures"')[2].partition("</table>")[0])
    assert "outside of its rules 1 0 0" in figures


def test_the_figures_of_rules_are_of_all_calls_however_much_a_page_looks_through(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_RULES=BLOCKS, OFFHOOK_DASHBOARD_AT_ONCE="2")
    for number in range(1, 6):
        site.call(number, seconds=20)
    page = site.person(Role.VIEWER).get("/rules").text
    assert "outside of its rules 0 0 5 too short 5" in words(page.partition('id="figures"')[2].partition("</table>")[0])
    assert "too short 5" in words(page.partition('id="excluded"')[2].partition("</table>")[0])
    site.service.ledger.close()


def test_calls_that_an_earlier_version_decided_are_said_to_be_missing_until_they_are_counted(
    site: Browsing, database_url: str
) -> None:
    for number in (1, 2):
        site.call(number)
    change(database_url, "UPDATE outcomes SET rule = NULL, rule_state = NULL, rule_reason = NULL")
    change(database_url, "DELETE FROM rule_tallies")
    site.call(3)
    said = words(site.person(Role.VIEWER).get("/rules").text)
    assert "2 of these calls are missing here, or counted where they were before: an earlier version" in said
    assert "In a terminal: flask tallies rebuild" in said
    assert "outside of its rules 1 0 0" in said
    assert not NEVER.search(said), NEVER.search(said)
    site.service.ledger.tallies.count_anew()
    said = words(site.person(Role.VIEWER).get("/rules").text)
    assert "missing here" not in said and "outside of its rules 3 0 0" in said


def test_other_rules_are_tried_and_what_would_change_is_said_in_a_readers_words(site: Browsing) -> None:
    site.call(1)
    site.call(4, seconds=20)
    site.call(2, caller=BO)
    admin = site.person(Role.ADMIN)
    status, page = tries(admin, "min_duration_seconds = 10\n", days="7")
    assert status == 303
    assert "waits for a worker" in page
    works(site)
    page = admin.get("/rules").text
    said = words(page)
    assert "3 calls; 2 come to the same, 1 do not." in said
    assert re.search(r"Does not count: too short\s+Counts\s+1", said)
    assert f"/calls/{sid(4)}" in page
    assert not NEVER.search(said), NEVER.search(said)
    [line] = site.service.ledger.audit.lines(AuditFilter(what="rules tried out"), None, 5)
    assert (line.who, line.of_what) == (admin.email, "7 days")
    assert "too short Counts 1" in words(site.person(Role.VIEWER).get("/rules").text)


def test_of_rules_that_are_tried_it_is_said_what_of_a_call_would_be_sent_otherwise(site: Browsing) -> None:
    site.call(1)
    admin = site.person(Role.ADMIN)
    tries(admin, f"revenue = 9.5\n{BLOCKS}", days="7")
    works(site)
    page = words(admin.get("/rules").text)
    assert "1 calls; 0 come to the same, 1 do not." in page
    assert "Counts: without revenue Counts: revenue 9.50 dollars 1" in page


@pytest.mark.mostly("sqlite")
def test_a_file_that_cannot_be_used_is_said_with_its_lines_and_nothing_is_tried(site: Browsing) -> None:
    admin = site.person(Role.ADMIN)
    status, page = tries(admin, "min_duration_seconds = 10\nmin_duration = 3\n")
    assert status == 422
    assert "Line 2:" in words(page)
    for wrong in (b"", b"\xff\xfe", b"#" * 300_000):
        assert "Choose a file of rules" in tries(admin, wrong)[1]
    assert not site.service.ledger.jobs.latest(5)


@pytest.mark.mostly("sqlite")
def test_an_upload_reads_no_file_of_this_machine(site: Browsing, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a word that nobody shall read\n")
    admin = site.person(Role.ADMIN)
    text = BLOCKS.replace("max_duration_seconds = 9", f'callers_in = "{secret}"')
    status, page = tries(admin, text)
    assert status == 422
    assert "a word that nobody" not in page
    assert "no file that today's rules name" in words(page)


@pytest.mark.mostly("sqlite")
def test_trying_rules_is_for_admins_and_needs_the_token(site: Browsing) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        assert tries(site.person(role), BLOCKS)[0] == 403
    assert tries(site.person(Role.ADMIN), BLOCKS, csrf=False)[0] == 400
    assert site.person(Role.ADMIN).get("/rules/backtest").status_code == 404  # as a version: there is none of this name
    assert not site.service.ledger.jobs.latest(5)


def test_the_rules_of_before_stand_with_their_text_and_when_they_held(database_url: str) -> None:
    old = browsing(database_url, OFFHOOK_RULES="# <script>the old ones</script>\nmin_duration_seconds = 77\n")
    old.call(1)
    old.service.ledger.close()
    site = browsing(database_url, OFFHOOK_RULES=RULES)
    site.call(2)
    viewer = site.person(Role.VIEWER)
    page = viewer.get("/rules").text
    table = page.partition('id="versions"')[2].partition("</table>")[0]
    assert table.count("<tr><td>") == 2
    assert words(table).index("in use now") < words(table).rindex("Read them")
    newest, oldest = re.findall(r'href="(/rules/[^"]+)"', table)
    assert "TV spring" in viewer.get(newest).text
    text = viewer.get(oldest).text
    assert "&lt;script&gt;the old ones" in text
    assert "min_duration_seconds = 77" in text
    assert ", until" in text
    assert viewer.get("/rules/none-such").status_code == 404
    assert viewer.get("/rules/%00").status_code == 400
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_the_numbers_of_a_list_are_shown_with_the_rules_of_then_whatever_became_of_the_file(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "blocked.txt"
    file.write_text(f"{BO} # a friend\n" + "".join(f"+1415555{number:04}\n" for number in range(200, 205)))
    rules = f'[[rule]]\nname = "Blocked"\nskip = "blocked"\nwhen.callers_in = "{file}"\n'
    site = browsing(database_url, OFFHOOK_RULES=rules, OFFHOOK_SHORT_LIST_ROWS="2")
    site.call(1, caller=BO)
    file.unlink()
    [(version, use)] = [(one.version, one.number) for one in site.service.ledger.past.rules_used(5)]
    page = words(site.person(Role.VIEWER).get(f"/rules/{version}").text)
    assert f"as it was then: 6 numbers {mask(BO)}, +1415***0200 and 4 more" in page
    named = re.search(r"In a terminal: flask (rules show --use \d+ --list (\S+))", page)
    assert named is not None and named[1] == f"rules show --use {use} --list {file}"
    assert version not in page

    app = commands_alone()
    app.extensions["offhook"] = site.service
    console = app.test_cli_runner()
    shows = ["rules", "show", "--version", version]
    then = console.invoke(args=shows)
    assert then.stdout.strip() == rules.strip()
    assert f"held then: 6; `flask rules show --version {version} --list {file}` shows them" in then.stderr
    [known] = json.loads(console.invoke(args=[*shows, "--json"]).stdout)["lists"]
    assert (known["file"], known["count"]) == (str(file), 6)
    listed = console.invoke(args=[*shows, "--list", str(file), "--json"])
    assert json.loads(listed.stdout)[:2] == [{"phone": mask(BO)}, {"phone": "+1415***0200"}]
    assert console.invoke(args=[*shlex.split(named[1]), "--json"]).stdout == listed.stdout
    assert console.invoke(args=["rules", "show", "--use", str(use)]).stdout == then.stdout
    whole = console.invoke(args=[*shows, "--list", str(file), "--json", "--in-clear"])
    assert [one["phone"] for one in json.loads(whole.stdout)][:2] == [BO, "+14155550200"]
    for args, code, why in (
        ([*shows, "--list", "x.txt"], 1, "No list x.txt is kept"),
        (["rules", "show", "--list", "x.txt"], 2, "--list needs --version or --use"),
        (["rules", "show", "--use", str(use + 1)], 1, f"Rules never began to hold under the number {use + 1}."),
        (["rules", "show", "--use", "0"], 1, "Rules never began to hold under the number 0."),
        ([*shows, "--use", str(use)], 2, "give one of them"),
    ):
        refused = console.invoke(args=args)
        assert (refused.exit_code, why in refused.stderr) == (code, True), refused.stderr
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_of_a_list_that_held_no_number_then_that_is_said(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "blocked.txt"
    file.write_text("# nobody yet\n")
    rules = f'[[rule]]\nname = "Blocked"\nskip = "blocked"\nwhen.callers_in = "{file}"\n'
    site = browsing(database_url, OFFHOOK_RULES=rules)
    site.call(1)
    page = site.person(Role.VIEWER).get(f"/rules/{site.service.judge().rules.version}").text
    assert "as it was then: 0 numbers The file held no number then, so no caller was in it." in words(page)
    assert "<p></p>" not in page and "In a terminal" not in page
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_rules_of_before_are_turned_over_page_by_page_and_each_says_until_when_it_held(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="10")
    kept = [Rules(min_duration_seconds=seconds, text=f"# {seconds}") for seconds in range(23)]
    for minutes, rules in enumerate(kept):
        site.service.ledger.keep_rules(rules, site.at + timedelta(minutes=minutes))
    viewer, path, seen = site.person(Role.VIEWER), "/rules", []
    while True:
        page = viewer.get(path).text
        table = page.partition('id="versions"')[2].partition("</table>")[0]
        seen += re.findall(r'href="(/rules/[^"]+)"', table)
        assert table.count('data-from="until"') == table.count("<tr><td>") - (path == "/rules")
        older = re.search(r'href="([^"]+)" rel="next"', page)
        if older is None:
            break
        path = unescape(older[1])
    assert len(seen) == len(kept)
    for where, rules in zip(seen, reversed(kept), strict=True):
        text = viewer.get(unescape(where)).text
        assert "<pre" in text and rules.text in text and (", until" in text) == (rules is not kept[-1])
        assert (", until" in viewer.get(unescape(where).partition("?")[0]).text) == (rules is not kept[-1])
    assert "There are no older ones." in viewer.get("/rules?since=1").text
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_rules_that_came_back_stand_each_time_with_when_they_held(database_url: str) -> None:
    site = browsing(database_url)
    first, other = Rules(text="# first"), Rules(min_duration_seconds=7, text="# other")
    times = [site.at + timedelta(days=day) for day in (-9, -6, -2)]
    for rules, at in zip((first, other, first), times, strict=True):
        site.service.ledger.keep_rules(rules, at)
    viewer = site.person(Role.VIEWER)
    table = viewer.get("/rules").text.partition('id="versions"')[2].partition("</table>")[0]
    back, between, before = re.findall(r'href="(/rules/[^"]+)"', table)
    days = [f"{at:%b %-d %Y}" for at in times]
    for where, text, heading in (
        (back, "# first", f"since {days[2]}"),
        (between, "# other", f"since {days[1]}"),
        (before, "# first", f"since {days[0]}"),
    ):
        page = viewer.get(unescape(where)).text
        assert text in page and heading in words(page)
    assert f"until {days[1]}" in words(viewer.get(unescape(before)).text)
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_rules_that_cannot_be_used_are_said_with_what_to_correct(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_RULES="no_such_key = 1\n")
    said = words(site.person(Role.VIEWER).get("/rules").text)
    assert "The rules that are there cannot be used." in said
    assert "no_such_key" in said
    site.service.ledger.close()
