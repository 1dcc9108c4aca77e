"""The page of deliveries: what it lists, what it says before something is sent again, and who may have that done."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from offhook.pipeline.callback import CallKey
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from offhook.pipeline.users import AuditFilter, Role
from offhook.service import job_runner
from tests.support.browsing import ACCOUNT, ANN, Browsing, Person, browsing, sid, site_of
from tests.support.readers import NEVER, words

POLICY = RetryPolicy()
PAGE = "/deliveries"

site = site_of()


def rows(page: str) -> list[int]:
    """The numbers of the calls that the list has, in its order."""
    found = page.partition('id="deliveries"')[2].partition("</table>")[0]
    return [int(one, 16) for one in dict.fromkeys(re.findall(r'href="/calls/CA([0-9a-f]{32})', found))]


def key(number: int) -> str:
    return f"{ACCOUNT}/{sid(number)}"


def comes_to(site: Browsing, result: Result, status: int | None = None, answer: str = "", days: int = 0) -> None:
    """What became of the conversion that is due; `days` later, where that counts."""
    ledger, now = site.service.ledger, datetime.now(UTC)
    [claimed] = ledger.claim(now, 1, 60, POLICY).taken
    late = now + timedelta(days=days)
    outcome = Outcome(result, f"http_{status}" if status else "deadline", status, answer)
    ledger.finish([attempt(claimed, outcome, now, late, POLICY)], late)


def four(site: Browsing) -> None:
    """1 is in Rockerbox, 2 was refused, 3 may have arrived, 4 waits."""
    site.call(1)
    comes_to(site, Result.DELIVERED, 200)
    site.call(2)
    comes_to(site, Result.REFUSED, 422, "<b>ann@example.com is no good</b>")
    site.call(3)
    comes_to(site, Result.MAYBE_SENT, days=4)
    site.call(4)


def held_after_midnight(site: Browsing) -> None:
    """Call 5: its first attempt got no answer, and the second would leave on another day."""
    site.call(5)
    comes_to(site, Result.MAYBE_SENT)
    assert site.service.ledger.claim(datetime.now(UTC) + timedelta(days=2), 1, 60, POLICY).held


def stands(site: Browsing, number: int) -> str:
    [story] = site.service.ledger.stories.of_call(sid(number))
    assert story.conversion is not None
    return story.conversion.state


def hour_of_last_attempt(site: Browsing, number: int) -> str:
    """As Rockerbox's Webhooks page has hours."""
    known = CallKey(ACCOUNT, sid(number))
    at = site.service.ledger.stories.latest_attempts([known])[known].finished_at
    return f"{at.astimezone(UTC):%b %-d, %H:00} UTC"


def audited(site: Browsing) -> list[str]:
    return [line.of_what for line in site.service.ledger.audit.lines(AuditFilter(what="send again"), None, 9)]


def post_keys(person: Person, path: str, *numbers: int, **fields: str) -> str:
    """A form with several ticks; the page that it leads to."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', person.get(PAGE).text)
    assert token is not None
    data = {**fields, "csrf_token": token[1], "key": [key(number) for number in numbers]}
    return str(person.client.post(path, data=data, follow_redirects=True).text)


def test_an_empty_list_says_that_nothing_waits(site: Browsing) -> None:
    viewer = site.person(Role.VIEWER)
    assert "Nothing waits: every call that counts is in Rockerbox" in viewer.get(PAGE).text
    assert "Nothing has to be done" in viewer.get(f"{PAGE}?show=refused").text
    assert "Take a filter away" in viewer.get(f"{PAGE}?span=7").text


def test_what_is_not_in_rockerbox_is_listed_with_its_answer_in_a_readers_words(site: Browsing) -> None:
    four(site)
    viewer = site.person(Role.VIEWER)
    page = viewer.get(PAGE).text
    assert rows(page) == [4, 3, 2]
    said = words(page)
    assert "Needs you: Rockerbox answered 422" in said
    assert "422 <b>a***@example.com is no good</b>" in said
    assert "It may have arrived." in said
    assert "On its way: about to be sent" in said
    assert not NEVER.search(said), NEVER.search(said)
    assert "ann@example.com" not in page
    assert "<b>a***" not in page
    assert re.search(r'data-figure="on_the_way">1<', page)
    assert re.search(r'data-figure="needs_you">2<', page)
    assert 'type="checkbox" name="key"' not in page
    assert "An operator here can send" in said


def test_that_it_may_have_arrived_is_said_once_of_what_is_held_for_it(site: Browsing) -> None:
    held_after_midnight(site)
    said = words(site.person(Role.VIEWER).get(PAGE).text)
    assert said.lower().count("it may have arrived") == 1


@pytest.mark.parametrize(
    ("asked", "found"),
    [("way", [4]), ("refused", [2]), ("maybe", [3]), ("held", []), ("done", [1]), ("x", [4, 3, 2])],
)
@pytest.mark.mostly("sqlite")
def test_the_list_shows_what_is_asked_for(site: Browsing, asked: str, found: list[int]) -> None:
    four(site)
    assert rows(site.person(Role.VIEWER).get(f"{PAGE}?show={asked}").text) == found


@pytest.mark.mostly("sqlite")
def test_a_reason_and_a_time_narrow_the_list_and_what_cannot_be_read_is_said(site: Browsing) -> None:
    four(site)
    viewer = site.person(Role.VIEWER)
    assert rows(viewer.get(f"{PAGE}?reason=http_422").text) == [2]
    assert rows(viewer.get(f"{PAGE}?until=2020-01-01").text) == []
    page = viewer.get(f"{PAGE}?since=yesterday&after=x")
    assert (page.status_code, rows(page.text)) == (200, [4, 3, 2])
    assert 'role="alert"' in page.text


def test_older_ones_follow_by_key(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="2")
    site.know(ANN, "ann@example.com")
    for number in range(1, 6):
        site.call(number)
    viewer, path, seen = site.person(Role.VIEWER), f"{PAGE}?show=way", list[int]()
    while path:
        page = viewer.get(path).text
        seen += rows(page)
        found = re.search(r'href="([^"]+)" rel="next"', page)
        path = unescape(found[1]) if found else ""
    assert seen == [5, 4, 3, 2, 1]
    site.service.ledger.close()


def test_the_next_attempt_and_a_pause_stand_on_the_page(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_BREAKER_THRESHOLD="1", OFFHOOK_BREAKER_BASE_SECONDS="100")
    site.know(ANN, "ann@example.com")
    site.call(1)
    comes_to(site, Result.RETRY, 503, "busy")
    page = words(site.person(Role.VIEWER).get(PAGE).text)
    assert "A pause until" in page
    assert "On its way: Rockerbox answered 503" in page
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_that_rockerbox_takes_nothing_is_said_with_the_reason(site: Browsing) -> None:
    site.call(1)
    comes_to(site, Result.BLOCKED, 401)
    said = words(site.person(Role.VIEWER).get(PAGE).text)
    assert "Rockerbox takes nothing from you" in said
    assert "Rockerbox answered 401" in said


def test_one_is_sent_again_from_its_row_and_the_audit_says_so(site: Browsing) -> None:
    four(site)
    operator = site.person(Role.OPERATOR)
    operator.post(f"{PAGE}/retry", page=PAGE, key=key(2), back="/deliveries?show=refused")
    assert "1 is sent again in a moment." in operator.get(f"{PAGE}?show=refused").text
    assert stands(site, 2) == "pending"
    assert audited(site) == [sid(2)]


def test_what_may_have_arrived_is_sent_again_only_by_who_looked(site: Browsing) -> None:
    four(site)
    operator = site.person(Role.OPERATOR)
    assert "look there first" in post_keys(operator, f"{PAGE}/retry", 3)
    assert (stands(site, 3), audited(site)) == ("ambiguous", [])
    assert "1 is sent again" in post_keys(operator, f"{PAGE}/retry", 3, looked="yes")
    assert stands(site, 3) == "pending"


def test_the_preview_of_the_picked_ones_says_what_could_count_twice_and_changes_nothing(site: Browsing) -> None:
    four(site)
    operator = site.person(Role.OPERATOR)
    page = post_keys(operator, f"{PAGE}/preview", 1, 2, 3, 4)
    for name, count in (("safe", 1), ("could_count_twice", 1), ("stay", 2)):
        assert re.search(rf'data-figure="{name}">{count}<', page), name
    said = words(page)
    assert "1 may be in Rockerbox already." in said
    assert hour_of_last_attempt(site, 3) in said
    assert hour_of_last_attempt(site, 3) in words(operator.get(PAGE).text)
    assert not NEVER.search(said), NEVER.search(said)
    assert [stands(site, number) for number in (1, 2, 3, 4)] == ["delivered", "dead", "ambiguous", "pending"]
    done = post_keys(operator, f"{PAGE}/retry", 1, 2, 3, 4)
    assert "1 is sent again in a moment. 1 may be in Rockerbox already" in done
    assert [stands(site, number) for number in (1, 2, 3, 4)] == ["delivered", "pending", "ambiguous", "pending"]
    assert "Nothing is picked" in post_keys(operator, f"{PAGE}/preview")


def previewed(operator: Person, **asked: Any) -> dict[str, list[str]]:
    """The fields of the second form, which the preview has."""
    page = operator.post(f"{PAGE}/preview", page=PAGE, all="yes", back=PAGE, **asked).text
    form = page.partition(f'action="{PAGE}/retry"')[2]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form):
        fields.setdefault(name, []).append(unescape(value))
    return fields


def test_all_that_the_filter_matches_is_sent_again_by_a_job_not_only_what_is_on_the_page(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="1")
    site.know(ANN, "ann@example.com")
    for number in (1, 2, 3):
        site.call(number)
        comes_to(site, Result.REFUSED, 422 if number < 3 else 400)
    site.call(4)
    comes_to(site, Result.MAYBE_SENT, days=4)
    operator, service = site.person(Role.OPERATOR), site.service
    fields = previewed(operator, show="open", reason="http_422")
    site.call(5)
    comes_to(site, Result.REFUSED, 422)  # after the preview: it is not among what was shown
    operator.client.post(f"{PAGE}/retry", data=fields)
    assert stands(site, 1) == "dead"
    assert "waits for a worker" in operator.get(PAGE).text
    assert job_runner(service.settings, service.ledger, service.judge).once()
    assert [stands(site, number) for number in (1, 2, 3, 4, 5)] == ["pending", "pending", "dead", "ambiguous", "dead"]
    assert "2 will be sent again." in operator.get(PAGE).text
    assert audited(site) == ["all: Not in Rockerbox; 0 that may have arrived"]
    site.service.ledger.close()


def test_of_all_that_may_have_arrived_only_what_somebody_looked_for_is_sent(site: Browsing) -> None:
    four(site)
    operator, service = site.person(Role.OPERATOR), site.service
    runner = job_runner(service.settings, service.ledger, service.judge)
    fields = previewed(operator, show="open")
    comes_to(site, Result.MAYBE_SENT, days=4)  # 4 may have arrived since
    operator.client.post(f"{PAGE}/retry", data=fields)
    assert runner.once() and not runner.once()
    assert [stands(site, number) for number in (2, 3, 4)] == ["pending", "ambiguous", "ambiguous"]
    operator.client.post(f"{PAGE}/retry", data={**fields, "looked": "yes"})
    assert runner.once() and runner.once()
    assert [stands(site, number) for number in (2, 3, 4)] == ["pending", "pending", "ambiguous"]
    assert "Look there first" in post_keys(operator, f"{PAGE}/retry", all="yes", show="maybe")


def test_what_rockerbox_could_not_count_stays_as_it_is(database_url: str) -> None:
    site = browsing(database_url, ROCKERBOX_DEDUPE_KEY="customer_id,date")
    site.know(ANN, "ann@example.com")
    site.call(1)
    comes_to(site, Result.REFUSED, 422)
    operator = site.person(Role.OPERATOR)
    assert "without customer_id Rockerbox counts nothing" in words(post_keys(operator, f"{PAGE}/preview", 1))
    assert "1 would not be counted" in post_keys(operator, f"{PAGE}/retry", 1)
    assert stands(site, 1) == "dead"
    site.service.ledger.close()


@pytest.mark.parametrize("what", ["preview", "retry"])
@pytest.mark.mostly("sqlite")
def test_sending_again_needs_an_operator_and_the_token_of_its_form(site: Browsing, what: str) -> None:
    four(site)
    viewer, operator, path = site.person(Role.VIEWER), site.person(Role.OPERATOR), f"{PAGE}/{what}"
    assert viewer.post(path, page=PAGE, key=key(2)).status_code == 403
    assert operator.post(path, page=PAGE, csrf=False, key=key(2)).status_code == 400
    assert operator.get(path).status_code == 405
    for strange in ("x", "/", "a/b", "\n/\n", "x" * 500):
        assert operator.post(path, page=PAGE, key=strange).status_code == 303
    assert operator.post(path, page=PAGE, all="yes", show="done").status_code == 400
    assert operator.post(path, page=PAGE, key=key(9), back="https://example.com/").headers["Location"] == "/"
    assert (stands(site, 2), audited(site)) == ("dead", [])


def test_charts_say_what_became_of_calls_and_how_long_it_took(site: Browsing) -> None:
    four(site)
    page = site.person(Role.VIEWER).get(PAGE).text
    chart = words(page.partition("Calls that count, by their day")[2])
    found = re.findall(r"[A-Z][a-z]{2} \d+ (\d+) (\d+) (\d+)", chart.partition("How long it takes")[0])
    assert len(found) == 30
    assert [sum(map(int, column)) for column in zip(*found, strict=True)] == [1, 1, 2]
    assert "19 of 20 within" in chart
    assert "Nothing has arrived in the last 7 days" not in chart


@pytest.mark.mostly("sqlite")
def test_markup_of_a_customer_of_rockerbox_and_of_the_address_is_text(site: Browsing) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    site.know(ANN, None, bad)
    site.call(1)
    comes_to(site, Result.REFUSED, 422, bad)
    operator = site.person(Role.OPERATOR)
    preview = post_keys(operator, f"{PAGE}/preview", 1)
    asked = urlencode({"reason": bad, "show": bad, "span": bad})
    for page in (operator.get(PAGE).text, preview, operator.get(f"{PAGE}?{asked}").text):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
