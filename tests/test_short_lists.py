"""A short list has as many rows as OFFHOOK_SHORT_LIST_ROWS says, and says so where it was cut off; a customer's numbers likewise."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlencode

import pytest
from click import Command
from click.testing import Result
from flask import Flask

from offhook.adapters.commands.calls import calls
from offhook.adapters.commands.explain import explain
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.customers import Brought, Source
from offhook.pipeline.users import Role
from offhook.service import job_runner
from tests.support.browsing import ANN, BO, Browsing, Person, browsing, sid
from tests.support.readers import words

pytestmark = pytest.mark.mostly("sqlite")
FILE = Brought(Source.IMPORT, "crm.csv", run="1")
_CUT = "The newest 2 of more."


@pytest.fixture
def site(database_url: str) -> Iterator[Browsing]:
    """Two rows a list, two numbers a customer."""
    made = browsing(database_url, OFFHOOK_SHORT_LIST_ROWS="2", OFFHOOK_CUSTOMER_NUMBERS="2")
    made.know(ANN, "ann@example.com")
    yield made
    made.service.ledger.close()


def listed(page: str, caption: str) -> list[str]:
    """The calls of one table of a page, in its order."""
    [table] = re.findall(rf'<caption class="hidden">{caption}</caption>(.*?)</table>', page, re.DOTALL)
    return re.findall(r'href="/calls/(CA[0-9a-f]{32})', table)


def said(site: Browsing, command: Command, *options: str) -> str:
    done = run(site, command, *options)
    assert done.exit_code == 0, done.output
    return done.stderr


def run(site: Browsing, command: Command, *options: str) -> Result:
    app = Flask(__name__)
    app.extensions["offhook"] = site.service
    return app.test_cli_runner().invoke(command, list(options))


@pytest.mark.parametrize(("others", "is_cut"), [(2, False), (3, True)])
def test_other_calls_of_the_caller_are_the_newest_wherever_the_call_itself_stands(
    site: Browsing, others: int, is_cut: bool
) -> None:
    for number in range(1, others + 2):
        site.call(number)
    viewer = site.person(Role.VIEWER)
    for own in (1, others + 1):
        page = viewer.get(f"/calls/{sid(own)}").text
        newest = [sid(number) for number in range(others + 1, 0, -1) if number != own][:2]
        assert listed(page, "Other calls of this caller") == newest
        assert (_CUT in words(page)) == is_cut


@pytest.mark.parametrize(("count", "is_cut"), [(2, False), (3, True)])
def test_a_search_and_explain_list_the_newest_calls_that_may_be_meant(site: Browsing, count: int, is_cut: bool) -> None:
    for number in range(1, count + 1):
        site.call(number)
    page = site.person(Role.VIEWER).get("/search?q=ann@example.com").text
    assert listed(page, "Calls") == [sid(count), sid(count - 1)]
    assert ("The newest 2 of more calls" in words(page)) == is_cut
    assert ("(the newest 2 of more)" in said(site, explain, "ann@example.com")) == is_cut


def test_what_is_beside_a_number_and_what_brought_customers_is_cut_off_and_says_so(site: Browsing) -> None:
    history = [Customer(BO, f"bo{turn}@example.com", None) for turn in range(3)]
    for turn, customer in enumerate(history):
        site.service.ledger.merge_customers([customer], Brought(Source.IMPORT, f"{turn}.csv", run=str(turn)))
        site.call(turn + 1, caller=BO)
    viewer, operator = site.person(Role.VIEWER), site.person(Role.OPERATOR)
    page = viewer.get(f"/customers?q=%2B{BO[1:]}").text
    assert words(page).count(_CUT) == 2  # what was said of it, and its calls
    assert listed(page, "Calls of number 1") == [sid(3), sid(2)]
    assert words(viewer.get("/customers").text).count(_CUT) == 1  # what brought customers
    for turn in range(3):
        file = (io.BytesIO(b"phone,email\n"), f"{turn}.csv")
        assert operator.post("/customers/uploads", page="/customers", file=file).status_code == 303
    page = words(viewer.get("/customers").text)
    assert page.count(_CUT) == 2 and page.count("waits for a worker") == 2


def test_every_file_that_is_kept_is_reached_page_by_page_and_the_filters_stay(site: Browsing) -> None:
    site.call(1)
    operator, ledger = site.person(Role.OPERATOR), site.service.ledger
    for _ in range(5):
        operator.post("/calls/files", page="/calls", back="/calls")
    runner = job_runner(site.service.settings, ledger, site.service.judge)
    while runner.once():
        pass
    seen, address = [], "/calls?reason=too_short&col=when&col=id"
    for files, has_newest in ((2, False), (2, True), (1, True)):
        page = operator.get(address.partition("#")[0]).text
        offered = re.findall(r'action="(/jobs/files/\d+)"', page)
        assert len(offered) == files
        seen += offered
        [pager] = re.findall(
            r'<nav class="pager" aria-label="More of: Files of calls[^"]*">(.*?)</nav>', page, re.DOTALL
        )
        assert (">Newest<" in pager) == has_newest
        links = [unescape(one) for one in re.findall(r'href="([^"]+)"', pager)]
        assert all("/calls?reason=too_short&col=when&col=id" in one and one.endswith("#work-exports") for one in links)
        part = operator.get(f"/jobs/of/exports?{urlencode({'back': address.partition('#')[0]})}").text
        assert re.findall(r'action="(/jobs/files/\d+)"', part) == offered  # what is asked for again by itself
        address = links[-1]
    assert address == "/calls?reason=too_short&col=when&col=id#work-exports"  # of the last page, back to the newest
    assert len(set(seen)) == 5
    assert all(operator.post(file, page="/calls").status_code == 200 for file in seen)
    beyond = words(operator.get("/calls?exports-before=1").text)
    assert "There are no older ones." in beyond and "Newest" in beyond
    asked = operator.post("/calls/files", page="/calls", back="/calls?exports-before=2&reason=too_short")
    assert asked.headers["Location"] == "/calls?reason=too_short#work-exports"  # where the new one stands


@pytest.mark.parametrize(("count", "is_cut"), [(2, False), (3, True)])
def test_where_a_customer_has_more_numbers_than_are_looked_for_it_is_said(
    site: Browsing, count: int, is_cut: bool
) -> None:
    phones = [f"+1415555016{number}" for number in range(count)]
    site.service.ledger.merge_customers([Customer(phone, "cy@example.com", None) for phone in phones])
    for number, phone in enumerate(phones, start=1):
        site.call(number, caller=phone)
    viewer, sentence = (
        site.person(Role.VIEWER),
        "This customer has more than 2 numbers: calls of 2 of them are looked at",
    )
    for path in ("/calls?customer=cy@example.com", "/search?q=cy@example.com"):
        page = viewer.get(path).text
        assert listed(page, "Calls") == [sid(2), sid(1)]
        assert (sentence in words(page)) == is_cut
    for command in ((calls, "list", "--customer", "cy@example.com"), (explain, "cy@example.com")):
        assert (f"{sentence} (OFFHOOK_CUSTOMER_NUMBERS)" in said(site, *command)) == is_cut
    cards = words(viewer.get("/customers?q=cy@example.com").text)
    assert ("More numbers go by this name; these are 2 of them." in cards) == is_cut


def test_a_customer_who_was_retired_or_has_another_number_today_is_found_with_the_calls_of_before(
    site: Browsing,
) -> None:
    ledger = site.service.ledger
    site.call(1)
    ledger.merge_customers(
        [Customer(ANN, "eve@example.com", None), Customer(BO, "ann@example.com", None)], FILE
    )  # Ann moved
    site.call(2, caller=BO)
    viewer = site.person(Role.VIEWER)
    assert finds(site, viewer, "ann@example.com") == {sid(1), sid(2)}
    ledger.retire_customers([ANN, BO], FILE)
    assert finds(site, viewer, "ann@example.com") == {sid(1), sid(2)}


def test_of_an_email_that_finds_no_call_nothing_is_said_that_is_untrue_of_a_number_of_several(site: Browsing) -> None:
    people = (("dee@example.com", None), ("eve@example.com", None))
    site.service.ledger.merge_customers([Customer(BO, None, None, people=3, others=people)], FILE)
    site.call(1, caller=BO)
    site.call(2, caller=BO)
    assert "No call of z***@example.com is known: no customer is known by this email" in refused(
        site, "zoe@example.com"
    )
    viewer = site.person(Role.VIEWER)
    page = words(viewer.get("/search?q=zoe@example.com").text)
    assert "No customer is known by this email" in page and "more customers than are kept by name" in page
    assert finds(site, viewer, "dee@example.com") == {sid(1), sid(2)}
    page = words(viewer.get("/customers?q=dee@example.com").text)
    assert "said to have this number: d***@example.com e***@example.com" in page


def test_of_more_numbers_than_are_looked_for_those_of_today_come_first(site: Browsing) -> None:
    ledger, today = site.service.ledger, "+14155550169"
    merged = [Customer(f"+1415555016{number}", "cy@example.com", None) for number in range(2)]
    ledger.merge_customers(merged, FILE)
    ledger.retire_customers([one.phone for one in merged], FILE)
    ledger.merge_customers([Customer(today, "cy@example.com", None)], FILE)
    site.call(1, caller=today)
    site.call(2, caller=merged[0].phone)
    site.call(3, caller=merged[1].phone)
    viewer = site.person(Role.VIEWER)
    assert finds(site, viewer, "cy@example.com") == {sid(1), sid(2)}
    for command in ((calls, "list", "--customer", "cy@example.com"), (explain, "cy@example.com")):
        assert "This customer has more than 2 numbers" in said(site, *command)


@pytest.mark.parametrize("shown", ["--format=table", "--json", "--csv"])
def test_a_list_of_calls_that_is_cut_off_says_so_beside_every_format(site: Browsing, shown: str) -> None:
    site.call(1)
    site.call(2)
    assert said(site, calls, "list", shown, "--limit", "1") == "There are more than this one: --limit shows more.\n"
    assert said(site, calls, "list", shown, "--limit", "2") == ""


def finds(site: Browsing, viewer: Person, name: str) -> set[str]:
    """The calls that pages and commands list for a name; they agree."""
    everywhere = [
        listed(viewer.get(f"/calls?customer={name}").text, "Calls"),
        listed(viewer.get(f"/search?q={name}").text, "Calls"),
        printed(site, calls, "list", "--customer", name, "--json"),
        printed(site, explain, name, "--json"),
    ]
    assert all(sorted(one) == sorted(everywhere[0]) for one in everywhere), everywhere
    return set(everywhere[0])


def printed(site: Browsing, command: Command, *options: str) -> list[str]:
    return [one["call_sid"] for one in json.loads(run(site, command, *options).stdout)]


def refused(site: Browsing, name: str) -> str:
    done = run(site, explain, name)
    assert done.exit_code == 1, done.output
    return done.stderr
