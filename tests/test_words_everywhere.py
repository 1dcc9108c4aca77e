"""What is read of calls in every state, on each page that there is and in what `flask explain` prints: a reader's words alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest
from click import Command
from flask import Flask

from offhook.adapters.commands.conversions import conversions
from offhook.adapters.commands.explain import explain
from offhook.pipeline.customer import Customer
from offhook.pipeline.story import Verdict, verdict
from offhook.pipeline.users import Role
from offhook.pipeline.words import STATES
from tests.support import happened
from tests.support.browsing import BO, Browsing, browsing, sid
from tests.support.laden import every_page
from tests.support.readers import NEVER, said_of_parts, words

CALLS = range(happened.DELIVERED, happened.JUST_ENDED + 1)
ONE_ACCOUNT = [number for number in CALLS if number != happened.TWICE]


@pytest.fixture(scope="module")
def site(sqlite_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    """Where everything has happened once."""
    folder = tmp_path_factory.mktemp("words")
    file = folder / "offhook.db"
    shutil.copyfile(sqlite_template.removeprefix("sqlite:///"), file)
    found = browsing(f"sqlite:///{file}", OFFHOOK_RULES=happened.rules_of_now(folder))
    happened.happens(found)
    yield found
    found.service.ledger.close()


def test_every_verdict_and_state_is_among_what_is_read(site: Browsing) -> None:
    stories = site.service.ledger.stories
    found = [story for number in CALLS for story in stories.of_call(sid(number))]
    assert {story.call.state for story in found} == {*STATES}
    states = {story.conversion.state for story in found if story.conversion}
    assert states == {"delivered", "pending", "dead", "ambiguous", "quarantined"}
    verdicts = {verdict(one.call.state, one.conversion.state if one.conversion else None) for one in found}
    assert verdicts == set(Verdict)


@pytest.mark.parametrize("role", [pytest.param(Role.VIEWER, marks=pytest.mark.soak), Role.ADMIN])
def test_no_page_has_a_word_of_the_ledgers_nor_a_hash_of_rules_and_each_says_once_of_which_zone_its_times_are(
    site: Browsing, role: Role
) -> None:
    version = site.service.judge().rules.version
    wrong, looked_at, zones = {}, set(), {}
    for seen in every_page(site, site.person(role), 120):
        if str(seen.answer.content_type).startswith("text/html"):
            looked_at.add(seen.path.partition("?")[0])
            said = words(seen.answer.text) + said_of_parts(seen.answer.text)
            if "<main" in seen.answer.text:
                zones[seen.path] = words(seen.answer.text.partition("<main")[2]).count("Times are of UTC.")
            wrong[seen.path] = [*NEVER.findall(said), *re.findall(version[:8], said)]
    assert {path: found for path, found in wrong.items() if found} == {}
    assert zones.keys() >= {"/rules", "/customers"} and set(zones.values()) == {1}, zones
    cut = words(site.person(role).get(f"/rules/{version}").text)
    assert f"and {happened.BLOCKED - site.service.settings.short_list_rows} more" in cut  # where a command is named
    assert looked_at >= {f"/calls/{sid(number)}" for number in CALLS} | {f"/rules/{version}"}


def printed(site: Browsing, command: Command, *options: str) -> str:
    app = Flask(__name__)
    app.extensions["offhook"] = site.service
    done = app.test_cli_runner().invoke(command, list(options))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", [(explain,), (conversions, "show")], ids=["explain", "conversions show"])
def test_what_is_printed_of_a_call_has_no_word_of_the_ledgers_no_reason_word_and_no_hash(
    site: Browsing, command: tuple[Command, *tuple[str, ...]]
) -> None:
    for number in ONE_ACCOUNT:
        said = printed(site, *command, sid(number))
        assert NEVER.findall(said) == []
        assert site.service.judge().rules.version not in said
        [story] = site.service.ledger.stories.of_call(sid(number))
        reasons = [one.word for line in story.decisions for one in line.reasons]
        reasons += [one.reason for one in story.attempts] + ([story.conversion.reason] if story.conversion else [])
        assert [word for word in reasons if "_" in word and word in said] == []


def test_what_would_be_otherwise_today_is_printed_in_the_same_words(site: Browsing) -> None:
    site.service.ledger.merge_customers([Customer(BO, "bo@example.com", None)])
    said = printed(site, explain, sid(happened.UNKNOWN))
    assert "\n    Outcome: Unknown caller -> On its way\n    Why: not in your customer list -> counts\n" in said


def test_several_calls_that_may_be_meant_are_listed_in_the_same_words(site: Browsing) -> None:
    said = printed(site, explain, "C-77")
    assert "Needs you       Rockerbox answered 422 " in said
    assert "http_422" in printed(site, explain, "C-77", "--csv")
    assert NEVER.findall(said.replace("`flask explain", "")) == []


def test_an_engineer_has_the_words_of_the_ledger_for_the_asking(site: Browsing) -> None:
    version = site.service.judge().rules.version
    raw = printed(site, explain, sid(happened.UNKNOWN), "--raw")
    assert "Waits for its customer (parked)" in raw
    assert "    caller_not_in_mapping: " in raw
    assert f"(rules {version}, customer list " in raw
    raw = printed(site, explain, sid(happened.REFUSED), "--raw")
    assert "refuses what is sent (http_422)." in raw
    assert re.search(r"refused +http_422 +Needs you", raw)
    plain = json.loads(printed(site, explain, sid(happened.UNKNOWN), "--json"))
    assert (plain["call"]["state"], plain["decisions"][0]["rules_version"]) == ("parked", version)
    assert plain["decisions"][0]["reasons"][0]["reason"] == "caller_not_in_mapping"
