"""The pages of calls as people see them: the list, one call and what can be done with it, and the search."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest

from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result, RetryPolicy
from offhook.pipeline.steps import attempt
from offhook.pipeline.story import Verdict
from offhook.pipeline.tokens import hashed
from offhook.pipeline.users import AuditFilter, Role
from tests.support.browsing import ANN, BO, OURS, RULES, Browsing, browsing, sid, site_of
from tests.support.readers import NEVER, words

POLICY = RetryPolicy()
IN_UTC = re.compile(r"[0-9]Z\b")

site = site_of()


def rows(page: str) -> list[str]:
    """The calls that the list has, in its order."""
    return list(dict.fromkeys(re.findall(r'href="/calls/(CA[0-9a-f]{32})', page)))


def verdicts(page: str) -> list[str]:
    return re.findall(r'data-verdict="(\w+)"', page)


def delivered_so(site: Browsing, result: Result, status: int, answer: str = "no", at: datetime | None = None) -> None:
    """What Rockerbox said to the conversion that is due."""
    ledger, now = site.service.ledger, at or datetime.now(UTC)
    [claimed] = ledger.claim(now, 1, 60, POLICY).taken
    outcome = Outcome(result, f"http_{status}", status, answer)
    ledger.finish([attempt(claimed, outcome, now, now, POLICY)], now)


# The list


def test_an_empty_list_says_what_to_do_next(site: Browsing) -> None:
    page = site.person(Role.VIEWER).get("/calls").text
    assert "No call yet. Call one of your tracked numbers" in page
    assert "Take a filter away" in site.person(Role.VIEWER).get("/calls?outcome=held").text


def test_calls_are_listed_the_newest_first_in_a_readers_words(site: Browsing) -> None:
    for number, caller in ((1, ANN), (2, BO), (3, ANN)):
        site.call(number, caller=caller, seconds=5 if number == 3 else 90)
    page = site.person(Role.VIEWER).get("/calls").text
    assert rows(page) == [sid(3), sid(2), sid(1)]
    assert verdicts(page) == ["does_not_count", "unknown_caller", "on_its_way"]
    said = words(page)
    assert "Does not count: too short" in said
    assert "Unknown caller" in said
    assert not NEVER.search(said), NEVER.search(said)
    assert "a***@example.com" in said
    for hidden in (ANN, BO, "ann@example.com"):
        assert hidden not in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"outcome": "unknown_caller"}, [2]),
        ({"reason": "too_short"}, [3]),
        ({"state": "waits"}, [2]),
        ({"number": "(415) 555-0199", "outcome": "on_its_way"}, [1]),
        ({"number": "+14155550198"}, []),
        ({"least": "1:00"}, [2, 1]),
        ({"most": "59"}, [3]),
        ({"source": "webhook"}, [3, 2, 1]),
        ({"source": "event-stream"}, []),
        ({"customer": "Ann@Example.com"}, [3, 1]),
        ({"customer": "C-77"}, [3, 1]),
        ({"customer": "(415) 555-0102"}, [2]),
        ({"customer": "nobody@example.com"}, []),
        ({"span": "7"}, [3, 2, 1]),
        ({"until": "2020-01-01T00:00"}, []),
        ({"since": "2020-01-01"}, [3, 2, 1]),
    ],
    ids=str,
)
@pytest.mark.mostly("sqlite")
def test_the_list_is_narrowed_by_what_stands_in_the_address(
    site: Browsing, asked: dict[str, str], found: list[int]
) -> None:
    for number, caller in ((1, ANN), (2, BO), (3, ANN)):
        site.call(number, caller=caller, seconds=5 if number == 3 else 90)
    page = site.person(Role.VIEWER).get(f"/calls?{urlencode(asked)}").text
    assert rows(page) == [sid(number) for number in found]


@pytest.mark.mostly("sqlite")
def test_what_cannot_be_read_of_a_filter_is_said_and_narrows_nothing(site: Browsing) -> None:
    site.call(1)
    for asked in (
        "number=abc",
        "least=soon",
        "since=yesterday",
        "state=nowhere",
        "outcome=x",
        "after=%ff",
        "span=1e9",
    ):
        page = site.person(Role.VIEWER).get(f"/calls?{asked}")
        assert (page.status_code, rows(page.text)) == (200, [sid(1)]), asked
        assert ('role="alert"' in page.text) == (not asked.startswith("after")), asked


def test_older_calls_follow_by_key_and_filters_and_columns_stay_in_the_address(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ROWS="2")
    for number in range(1, 6):
        site.call(number, caller=BO)
    viewer, path, seen = site.person(Role.VIEWER), "/calls?outcome=unknown_caller&col=id&col=outcome", list[str]()
    while path:
        page = viewer.get(path).text
        assert page.count('scope="col"') == 2
        seen += rows(page)
        found = re.search(r'href="([^"]+)" rel="next"', page)
        path = unescape(found[1]) if found else ""
        assert not path or "outcome=unknown_caller" in path
    assert seen == [sid(number) for number in (5, 4, 3, 2, 1)]
    site.service.ledger.close()


def test_new_calls_are_counted_and_the_list_stays_as_it_is(site: Browsing) -> None:
    site.call(1)
    viewer = site.person(Role.VIEWER)
    fragment = re.search(r'hx-get="([^"]+)"', viewer.get("/calls?customer=C-77").text)
    assert fragment is not None
    path = unescape(fragment[1])
    assert "new call" not in viewer.get(path, HX_Request="true").text
    site.call(2, caller=BO)  # of somebody else than is asked for
    assert "new call" not in viewer.get(path).text
    site.call(3)
    site.call(4)
    said = viewer.get(path).text
    assert "2 new calls" in words(said)
    assert "customer=C-77" in said


def test_the_file_has_what_is_filtered_and_no_formula_and_hides_persons_unless_one_may_see_them(site: Browsing) -> None:
    site.know(BO, None, "=HYPERLINK(1)")
    site.call(1)
    site.call(2, caller=BO)
    viewer, operator = site.person(Role.VIEWER), site.person(Role.OPERATOR)
    file = viewer.get("/calls.csv?customer=C-77")
    assert file.content_type == "text/csv; charset=utf-8"
    [header, only] = list(csv.reader(io.StringIO(file.text)))
    assert (header[0], only[0]) == ("Call id", sid(1))
    assert ANN not in file.text
    assert "ann@" not in file.text
    assert viewer.post("/calls.csv", page="/calls").status_code == 403
    whole = operator.post("/calls.csv", page="/calls").text
    assert "ann@example.com" in whole
    assert ANN in whole  # as text: the apostrophe before it
    assert all(not cell.startswith(("=", "+", "-", "@")) for line in csv.reader(io.StringIO(whole)) for cell in line)
    assert [line.what for line in site.service.ledger.audit.lines(AuditFilter(what="reveal calls"), None, 5)]


def test_a_file_has_its_times_in_the_readers_zone_and_rockerboxs_hour_in_utc(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ZONE="Asia/Tokyo")
    site.know(ANN, "ann@example.com")
    site.call(1)
    site.call(2, caller=BO)
    hour = arrives(site)
    viewer, asked = site.person(Role.VIEWER), "col=when&col=length&col=decided&col=hour"
    header, unknown, sent = csv.reader(io.StringIO(viewer.get(f"/calls.csv?{asked}").text))
    assert header == ["Call id", "Began", "Length, seconds", "Decided", "Rockerbox's hour, UTC"]
    assert (sent[1][-6:], sent[2], sent[3][-6:], sent[4]) == ("+09:00", "90", "+09:00", f"{hour:%Y-%m-%d %H}:00")
    assert unknown[4] == ""
    assert f"{hour:%Y-%m-%d %H}:00" in viewer.get(f"/calls?{asked}").text
    site.service.ledger.close()


def arrives(site: Browsing) -> datetime:
    """The conversion that is due arrives three hours from now: in another hour than that of its call. Gives the hour back."""
    later = datetime.now(UTC) + timedelta(hours=3)
    delivered_so(site, Result.DELIVERED, 200, at=later)
    return later.replace(minute=0, second=0, microsecond=0)


def test_a_call_that_arrived_says_its_own_time_and_rockerboxs_hour_of_its_arrival(site: Browsing) -> None:
    site.know(ANN, "ann@example.com")
    site.call(1)
    hour = arrives(site)
    [story] = site.service.ledger.stories.of_call(sid(1))
    assert story.conversion is not None
    own = datetime.fromtimestamp(int(json.loads(story.conversion.payload)["timestamp"]), UTC)
    said = words(site.person(Role.VIEWER).get(f"/calls/{sid(1)}").text)
    assert f"the call's own time, {own:%b %-d, %H:%M}" in said
    assert f"the hour in which it arrived: {hour:%b %-d, %H}:00 UTC" in said


@pytest.mark.mostly("sqlite")
def test_reasons_to_choose_from_are_those_that_calls_have_with_the_brands_own(database_url: str) -> None:
    own = '[[rule]]\nname = "Short"\nwhen.max_duration_seconds = 20\nskip = "wrong_number"\n'
    site = browsing(database_url, OFFHOOK_RULES=RULES + own)
    site.call(1, seconds=10)
    site.call(2, seconds=60)
    viewer = site.person(Role.VIEWER)
    select = viewer.get("/calls").text.split('name="reason"')[1].split("</select>")[0]
    options = dict(re.findall(r'value="(\w+)">([^<]+)<', select))
    assert {"too_short", "settling", "caller_not_in_mapping", "repeat_of"} < set(options)
    assert not {"counts", "late", "we_called", "decided_anew"} & set(options)
    assert options["wrong_number"] == "wrong number"
    assert rows(viewer.get("/calls?reason=wrong_number").text) == [sid(1)]
    assert not NEVER.search(words(select)), NEVER.search(words(select))
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_a_list_that_asks_by_itself_keeps_no_idle_session_alive(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_SESSION_SEEN_SECONDS="0")
    viewer = site.person(Role.VIEWER)
    with viewer.client.session_transaction() as session:
        kept = hashed(session["sid"])

    def seen_at() -> datetime:
        found = site.service.ledger.sessions.with_id(kept)
        assert found is not None
        return found.seen_at

    began = seen_at()
    assert viewer.get("/calls/new").status_code == 200
    assert seen_at() == began
    assert viewer.get("/calls").status_code == 200
    assert seen_at() > began
    site.service.ledger.close()


# A call


@pytest.mark.mostly("sqlite")
def test_a_call_of_an_unknown_caller_opens_with_the_verdict_and_what_can_be_done(site: Browsing) -> None:
    site.call(2, caller=BO)
    page = site.person(Role.VIEWER).get(f"/calls/{sid(2)}").text
    assert verdicts(page)[0] == Verdict.UNKNOWN_CALLER
    said = words(page)
    assert "Add the customer; the call is then sent with its own time." in said
    assert '"phone_call"' in page or "phone_call" in said  # what would be sent
    assert "An operator here can do it" in said
    assert "<form action=" not in page.split('id="to-do"')[1]
    assert not NEVER.search(said), NEVER.search(said)
    assert BO not in page
    assert f"twilio.com/console/voice/calls/logs/{sid(2)}" in page


def test_adding_the_customer_sends_the_call_and_writes_the_audit(site: Browsing) -> None:
    site.call(2, caller=BO)
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(2)}"
    assert operator.post(f"{path}/customer", page=path).headers["Location"].endswith(path)
    assert "Give an email or a customer id" in operator.get(path).text
    assert operator.post(f"{path}/customer", page=path, email="not one").status_code == 303
    assert verdicts(operator.get(path).text)[0] == "unknown_caller"
    operator.post(f"{path}/customer", page=path, email="Bo@Example.com")
    page = operator.get(path).text
    assert verdicts(page)[0] == "on_its_way"
    assert "b***@example.com" in page.lower()
    [kept] = site.service.ledger.find_customers([BO]).values()
    assert (kept.email or "").lower() == "bo@example.com"
    [line] = site.service.ledger.audit.lines(AuditFilter(what="customer added"), None, 5)
    assert (line.who, line.of_what) == (operator.email, sid(2))


@pytest.mark.mostly("sqlite")
def test_a_customer_who_is_added_on_a_calls_page_has_every_call_of_the_number_decided(site: Browsing) -> None:
    """As on the page of unknown callers: it is the same step."""
    site.call(2, caller=BO)
    site.call(4, caller=BO)
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(2)}"
    operator.post(f"{path}/customer", page=path, email="bo@example.com")
    assert "The customer is added, and 2 calls were decided again" in operator.get(path).text
    assert [verdicts(operator.get(f"/calls/{sid(number)}").text)[0] for number in (2, 4)] == ["on_its_way"] * 2


def test_a_call_that_does_not_count_is_decided_again(site: Browsing) -> None:
    site.call(3, seconds=5)
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(3)}"
    page = operator.get(path).text
    assert verdicts(page)[0] == "does_not_count"
    assert "Does not count: This call is not in Rockerbox because it lasted 5 s; at least 30 s count. " in words(page)
    assert not NEVER.search(words(page)), NEVER.search(words(page))
    assert "How the rules were asked" in page
    assert "min_duration_seconds" in page.split('id="asked"')[1]
    before = len(site.service.ledger.stories.of_call(sid(3))[0].decisions)
    operator.post(f"{path}/decide", page=path)
    assert "It was decided again." in operator.get(path).text
    assert len(site.service.ledger.stories.of_call(sid(3))[0].decisions) == before + 1


def test_what_was_refused_is_sent_again_as_it_is_or_as_today_would_have_it(site: Browsing) -> None:
    site.call(1)
    delivered_so(site, Result.REFUSED, 422, "<b>ann@example.com is no good</b>")
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(1)}"
    page = operator.get(path).text
    assert verdicts(page)[0] == "refused"
    assert "Needs you: This call counts, and is not in Rockerbox because" in words(page)
    assert "(it answered 422)." in words(page)
    assert "http_" not in words(page)
    assert not NEVER.search(words(page)), NEVER.search(words(page))
    assert "&lt;b&gt;a***@example.com is no good" in page
    assert f"{path}/rebuild" not in page
    site.know(ANN, "ann.two@example.com", "C-77")
    assert f"{path}/rebuild" in operator.get(path).text
    operator.post(f"{path}/rebuild", page=path)
    assert verdicts(operator.get(path).text)[0] == "on_its_way"
    delivered_so(site, Result.REFUSED, 422)
    operator.post(f"{path}/retry", page=path)
    assert verdicts(operator.get(path).text)[0] == "on_its_way"


def test_what_may_have_arrived_is_sent_again_only_by_who_looked(site: Browsing) -> None:
    site.call(1)
    ledger, now = site.service.ledger, datetime.now(UTC)
    [claimed] = ledger.claim(now, 1, 60, POLICY).taken
    late = now + timedelta(days=4)
    ledger.finish([attempt(claimed, Outcome(Result.MAYBE_SENT, "deadline"), now, late, POLICY)], late)
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(1)}"
    assert verdicts(operator.get(path).text)[0] == "held"
    assert not NEVER.search(words(operator.get(path).text))
    operator.post(f"{path}/retry", page=path)
    page = operator.get(path).text
    assert "Look there first" in page
    assert verdicts(page)[0] == "held"
    operator.post(f"{path}/retry", page=path, looked="yes")
    assert verdicts(operator.get(path).text)[0] == "on_its_way"


@pytest.mark.parametrize("what", ["customer", "decide", "retry", "rebuild"])
@pytest.mark.mostly("sqlite")
def test_what_changes_something_needs_an_operator_and_the_token_of_its_form(site: Browsing, what: str) -> None:
    path = f"/calls/{site.call(2, caller=BO)}"
    viewer, operator = site.person(Role.VIEWER), site.person(Role.OPERATOR)
    assert viewer.post(f"{path}/{what}", page=path).status_code == 403
    assert operator.post(f"{path}/{what}", page=path, csrf=False).status_code == 400
    assert operator.get(f"{path}/{what}").status_code == 405
    assert site.app.test_client().post(f"{path}/{what}").status_code == 303
    assert [line.what for line in site.service.ledger.audit.lines(AuditFilter(who=viewer.email), None, 9)] == []
    assert verdicts(operator.get(path).text)[0] == "unknown_caller"


@pytest.mark.mostly("sqlite")
def test_a_call_that_is_not_known_says_where_to_look(site: Browsing) -> None:
    viewer = site.person(Role.VIEWER)
    unknown = viewer.get(f"/calls/{sid(9)}")
    assert unknown.status_code == 404
    assert "request inspector" in unknown.text
    assert f"twilio.com/console/voice/calls/logs/{sid(9)}" in unknown.text
    odd = viewer.get("/calls/<script>").text
    assert "is CA and 32" in odd
    assert "twilio.com" not in odd
    site.call(8, decide=False)
    assert "not taken in yet" in viewer.get(f"/calls/{sid(8)}").text
    assert viewer.get(f"/calls/{sid(10).upper()}").status_code == 303


@pytest.mark.mostly("sqlite")
def test_the_times_that_a_calls_page_says_are_of_the_readers_zone(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ZONE="Asia/Tokyo", OFFHOOK_SETTLE_SECONDS="600")
    site.at = datetime.now(UTC)
    site.call(2, caller=BO)
    [story] = site.service.ledger.stories.of_call(sid(2))
    assert story.call.settle_at is not None
    until = story.call.settle_at.astimezone(ZoneInfo("Asia/Tokyo"))
    page = words(site.person(Role.VIEWER).get(f"/calls/{sid(2)}").text)
    assert f"its legs may still arrive until {until:%b %-d, %H:%M:%S}." in page
    assert not IN_UTC.search(page), IN_UTC.search(page)
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_what_is_in_rockerbox_says_since_when_in_the_readers_zone(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_DASHBOARD_ZONE="Asia/Tokyo")
    site.know(ANN, "ann@example.com")
    site.call(1)
    delivered_so(site, Result.DELIVERED, 200)
    [story] = site.service.ledger.stories.of_call(sid(1))
    assert story.conversion is not None
    assert story.conversion.delivered_at is not None
    at = story.conversion.delivered_at.astimezone(ZoneInfo("Asia/Tokyo"))
    page = words(site.person(Role.VIEWER).get(f"/calls/{sid(1)}").text)
    assert f" ({at:%b %-d, %H:%M:%S})." in page.split("What happened")[0]
    assert not IN_UTC.search(page), IN_UTC.search(page)
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_a_call_of_another_year_says_which(site: Browsing) -> None:
    site.at = datetime(2024, 12, 31, 12, tzinfo=UTC)
    viewer, path = site.person(Role.VIEWER), f"/calls/{site.call(1)}"
    assert "Dec 31 2024, 12:01" in words(viewer.get("/calls").text)
    assert "Tuesday 31 December 2024, 12:01" in words(viewer.get(path).text)


@pytest.mark.mostly("sqlite")
def test_who_has_the_number_today_stands_beside_who_had_it_then(site: Browsing) -> None:
    path = f"/calls/{site.call(2, caller=BO)}"
    site.know(BO, "bo@example.com", "C-78")
    page = words(site.person(Role.VIEWER).get(path).text)
    today = re.search(
        r"Email b\*\*\*@example.com Customer id C-78 Known since nobody was known (.{12,18}) File - ", page
    )
    assert today is not None, page
    operator = site.person(Role.OPERATOR)
    of = re.search(r'value="customer_email"><input type="hidden" name="of" value="(\d+)"', operator.get(path).text)
    assert of is not None
    assert "bo@example.com" in operator.post("/reveal", page=path, kind="customer_email", of=of[1]).text


@pytest.mark.mostly("sqlite")
def test_the_rules_of_then_are_a_click_away_where_todays_are_others(database_url: str) -> None:
    site = browsing(database_url)
    path = f"/calls/{site.call(3, seconds=5)}"
    assert "The rules are those of then." in words(site.person(Role.VIEWER).get(path).text)
    site.service.ledger.close()
    later = browsing(database_url, OFFHOOK_RULES=RULES.replace("min_duration_seconds = 30", "min_duration_seconds = 3"))
    viewer = later.person(Role.VIEWER)
    page = viewer.get(path).text
    assert "The rules have changed since: those of then , those of today ." in words(page)
    link = re.search(r'href="(/rules/\w+)">those of then', page)
    assert link is not None
    assert "min_duration_seconds = 30" in viewer.get(link[1]).text
    assert "Outcome Does not count Unknown caller" in words(page)
    table = page.partition('id="rules"')[2].partition("</table>")[0]
    assert re.findall(r'data-from="(\w+):">.*?at least (\d+) s,', table) == [("Then", "30"), ("Today", "3")]
    assert table.count("<tr><td") == 1
    assert "outside of their blocks decided it, and would today." in words(page)
    later.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_the_rules_of_then_are_read_back_with_how_many_numbers_their_files_had(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "blocked.txt"
    rules = f'[[rule]]\nname = "Blocked"\nskip = "blocked"\nwhen.callers_in = "{file}"\n'
    file.write_text(f"{BO}\n{ANN}\n")
    site = browsing(database_url, OFFHOOK_RULES=rules)
    path = f"/calls/{site.call(1, caller=BO)}"
    assert "The rule “Blocked” decided it, and would today." in words(site.person(Role.VIEWER).get(path).text)
    site.service.ledger.close()
    for numbers, rules_today, said in (
        ([ANN], rules, r"Blocked: a call that has a caller in the list \S+ \(2 numbers\).* \(1 numbers\)"),
        ([ANN, OURS], rules, "In words they are the same; a file of numbers that they name may hold others."),
        ([], "", "The rule “Blocked” decided it; today what the rules say outside of their blocks would."),
    ):
        file.write_text("".join(f"{one}\n" for one in numbers))
        later = browsing(database_url, OFFHOOK_RULES=rules_today)
        page = words(later.person(Role.VIEWER).get(path).text)
        assert re.search(said, page), page
        assert BO not in page and later.service.judge().rules.version not in page
        later.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_other_calls_of_a_caller_are_the_newest_of_all_that_there_are(site: Browsing) -> None:
    for number in range(1, 13):
        site.call(number)
    viewer = site.person(Role.VIEWER)
    page = viewer.get(f"/calls/{sid(1)}").text
    assert rows(page.split("Other calls of this caller", 1)[1]) == [sid(number) for number in range(12, 2, -1)]
    assert "The newest 10 of more" in words(page)
    all_of_them = re.search(r'href="(/calls\?customer=[^"]+)">All calls of this customer', page)
    assert all_of_them is not None
    assert len(rows(viewer.get(all_of_them[1]).text)) == 12
    withheld = words(viewer.get(f"/calls/{site.call(20, caller='anonymous')}").text)
    assert "The caller has no number by which other calls could be found." in withheld
    assert "No other call of this number is known" in words(viewer.get(f"/calls/{site.call(21, caller=BO)}").text)


@pytest.mark.parametrize(
    ("said", "shown", "hidden"),
    [
        ({"From": OURS, "To": BO, "Direction": "outbound-api"}, ("From TV spring +14155550199", "To +1415***0102"), 1),
        ({"From": BO, "To": OURS}, ("From +1415***0102", "To TV spring +14155550199"), 1),
        ({"From": f"whatsapp:{BO}", "To": OURS}, ("From whatsapp:+1415***0102", "To TV spring +14155550199"), 1),
        ({"From": "client:ann", "To": OURS}, ("From client:an***", "To +1415***0199"), 2),
    ],
    ids=["we called", "they called", "spelled otherwise", "an agent's browser"],
)
@pytest.mark.mostly("sqlite")
def test_a_calls_page_says_who_called_whom_and_hides_whose_number_is_not_ours(
    site: Browsing, said: dict[str, str], shown: tuple[str, str], hidden: int
) -> None:
    path = f"/calls/{site.call(2, more=said)}"
    page = words(site.person(Role.VIEWER).get(path).text)
    assert all(one in page for one in shown), page
    assert site.person(Role.OPERATOR).get(path).text.count("Shows it, and writes") == hidden


@pytest.mark.mostly("sqlite")
def test_what_is_shown_of_a_call_that_we_placed_is_the_number_that_was_called(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_RULES='directions = ["inbound", "outbound-api"]')
    path = f"/calls/{site.call(2, more={'From': OURS, 'To': BO, 'Direction': 'outbound-api'})}"
    operator = site.person(Role.OPERATOR)
    for page in (path, "/unknown"):
        [kind] = re.findall(r'name="kind" value="(\w+)"', operator.get(page).text)
        assert BO in operator.post("/reveal", page=page, kind=kind, of=sid(2)).text, page
    for kind, address in (("calling_number", OURS), ("called_number", BO)):
        assert address in operator.post("/reveal", page=path, kind=kind, of=sid(2)).text
        assert operator.post("/reveal", page=path, kind=kind, of=sid(9)).status_code == 404
    site.service.ledger.close()


@pytest.mark.mostly("sqlite")
def test_markup_in_every_parameter_is_text_on_every_page(site: Browsing) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    names = ("CallerName", "CallerCity", "CallerState", "ForwardedFrom", "ApiVersion", "SipResponseCode", "X<b>")
    path = f"/calls/{site.call(1, caller=bad[:60], more=dict.fromkeys(names, bad))}"
    site.know(BO, None, bad)
    site.call(2, caller=BO)
    operator = site.person(Role.OPERATOR)
    for page in (
        path,
        f"/calls/{sid(2)}",
        "/calls",
        f"/calls?{urlencode({'customer': bad, 'number': bad, 'reason': bad})}",
    ):
        text = operator.get(page).text
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
    found = operator.get(f"/search?{urlencode({'q': bad + 'x'})}").text
    assert "<script>alert" not in found
    assert "&lt;script&gt;alert" in found


def test_a_call_of_several_accounts_asks_which_is_meant(site: Browsing) -> None:
    other = f"AC{2:032x}"
    site.call(1)
    site.call(1, caller=BO, account=other)
    viewer = site.person(Role.VIEWER)
    page = viewer.get(f"/calls/{sid(1)}").text
    assert "Several accounts" in page
    assert f"account={other}" in page
    assert verdicts(viewer.get(f"/calls/{sid(1)}?account={other}").text)[0] == "unknown_caller"
    operator, path = site.person(Role.OPERATOR), f"/calls/{sid(1)}"
    assert operator.post(f"{path}/customer", page=f"{path}?account={other}", email="bo@example.com").status_code == 404
    operator.post(f"{path}/customer", page=f"{path}?account={other}", email="bo@example.com", account=other)
    assert verdicts(viewer.get(f"/calls/{sid(1)}?account={other}").text)[0] == "on_its_way"


@pytest.mark.mostly("postgres")
def test_what_no_database_keeps_as_text_is_refused(site: Browsing) -> None:
    operator = site.person(Role.OPERATOR)
    for path in (
        "/calls/a%00b",
        "/calls?reason=%00",
        "/calls.csv?customer=a%00",
        "/search?q=%00a",
        "/calls?after=x%00",
    ):
        assert operator.get(path).status_code == 400, path
    path = f"/calls/{site.call(2, caller=BO)}"
    assert operator.post(f"{path}/customer", page=path, email="a@b.example", customer_id="\0").status_code == 400


# The search


@pytest.mark.parametrize(
    "name", ["(415) 555-0101", "415.555.0101", "+1 415 555 0101", "ann@example.com", "ANN@EXAMPLE.COM", "C-77"]
)
@pytest.mark.mostly("sqlite")
def test_one_hit_opens_at_once(site: Browsing, name: str) -> None:
    site.call(1)
    answer = site.person(Role.VIEWER).get(f"/search?{urlencode({'q': name})}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/calls/{sid(1)}")


def test_a_call_id_and_an_order_id_open_their_call(site: Browsing) -> None:
    site.call(1)
    [story] = site.service.ledger.stories.of_call(sid(1))
    assert story.conversion is not None
    viewer = site.person(Role.VIEWER)
    for name in (sid(1), f" {sid(1).lower()} ", story.conversion.order_id):
        assert viewer.get(f"/search?{urlencode({'q': name})}").headers["Location"] == f"/calls/{sid(1)}"


def test_several_hits_are_listed_and_none_says_what_to_try(site: Browsing) -> None:
    site.call(1)
    site.call(2, seconds=5)
    viewer = site.person(Role.VIEWER)
    page = viewer.get("/search?q=C-77").text
    assert rows(page) == [sid(2), sid(1)]
    assert verdicts(page) == ["does_not_count", "on_its_way"]
    assert ANN not in page
    for name, said in (
        ("dee@example.com", "No customer is known by this email"),
        ("(415) 555-0155", "nobody in your customer list has it"),
        (sid(9), "Twilio has not reported this call"),
        ("what?", "Nothing goes by this name"),
    ):
        assert said in viewer.get(f"/search?{urlencode({'q': name})}").text, name
    assert "Write a phone number" in viewer.get("/search").text


@pytest.mark.mostly("sqlite")
def test_a_customer_without_a_call_is_a_hit_that_opens_at_once(site: Browsing) -> None:
    site.know("+14155550177", "cy+tv@example.com", "C&8")
    viewer = site.person(Role.VIEWER)
    for name in ("cy+tv@example.com", "C&8", "(415) 555-0177"):
        answer = viewer.get(f"/search?{urlencode({'q': name})}")
        goes_to = urlsplit(answer.headers["Location"])
        assert (answer.status_code, goes_to.path, parse_qs(goes_to.query)) == (303, "/customers", {"q": [name]})
        found = words(viewer.get(answer.headers["Location"]).text)
        assert "Nobody goes by this name" not in found
        assert "C&8" in found and "No call" in found
    assert viewer.get("/search?q=dee@example.com").status_code == 200


@pytest.mark.mostly("sqlite")
def test_a_hit_says_what_the_list_of_calls_says_of_it(database_url: str) -> None:
    site = browsing(database_url, OFFHOOK_SETTLE_SECONDS="600")
    others = (("bo@example.com", None), ("bob@example.com", "C-3"))
    site.service.ledger.merge_customers([Customer(BO, None, None, people=2, others=others)])
    site.at = datetime.now(UTC) - timedelta(minutes=5)
    site.call(1, caller=BO)
    site.at -= timedelta(hours=1)
    site.call(2, caller=BO)
    viewer = site.person(Role.VIEWER)
    found, listed = (viewer.get(path).text for path in ("/search?q=%28415%29+555-0102", "/calls"))
    rows = [re.findall(r"<td.*?</td></tr>", page.split("<tbody>")[1], re.DOTALL) for page in (found, listed)]
    assert [words(row).split() for row in rows[0]] == [words(row).split() for row in rows[1]]
    assert "Just ended" in words(found)
    assert "Unknown caller: several customers have the number" in words(found)
    assert "2 customers" in words(found)
    assert "Times are of UTC." in words(found)
    assert not NEVER.search(words(found)), NEVER.search(words(found))
    site.service.ledger.close()
