"""`flask rules apply` and `flask rules backtest` in a terminal: what they say before anything is changed."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import Result

from offhook.main import commands_alone
from offhook.service import build
from offhook.settings import given
from tests.support.browsing import ACCOUNT, ANN, RULES, browsing, sid

pytestmark = pytest.mark.mostly("sqlite")
SENT, SHORT = range(1, 9), 9


def after_calls(url: str, rules: str, *words: str) -> Result:
    """What a command says under these rules, after eight calls of 90 s that count and one of 20 s that does not."""
    site = browsing(url)
    site.know(ANN, "ann@example.com")
    for number in (*SENT, SHORT):
        site.call(number, seconds=20 if number == SHORT else 90)
    app = commands_alone()
    known = {"DATABASE_URL": url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "t" * 32, "OFFHOOK_RULES": rules}
    app.extensions["offhook"] = build(given(known))
    done: Result = app.test_cli_runner().invoke(args=list(words))
    app.extensions["offhook"].ledger.close()
    site.service.ledger.close()
    return done


def test_every_call_that_was_converted_and_would_not_be_is_listed_before_others_are_decided_anew(
    database_url: str,
) -> None:
    rules = RULES.replace("min_duration_seconds = 30", "max_duration_seconds = 30")
    done = after_calls(database_url, rules, "rules", "apply", "--since", "1d", "--yes")
    assert done.exit_code == 0, done.output
    before, _, after = done.stdout.partition("All of these that were converted:")
    assert set(re.findall(r"CA\w{32}", after)) == {sid(number) for number in SENT}
    assert "1 calls were decided anew" in after and "Rockerbox takes nothing back" in before


def test_a_document_names_every_call_that_was_converted_and_would_not_be(database_url: str) -> None:
    rules = RULES.replace("min_duration_seconds = 30", "max_duration_seconds = 30")
    done = after_calls(database_url, rules, "rules", "apply", "--since", "1d", "--yes", "--json")
    stay = {one["from"]: one["samples"] for one in json.loads(done.stdout)["changed"]}["converted"]
    assert set(stay) == {sid(number) for number in SENT}


@pytest.mark.parametrize(
    ("rules", "was", "would"),
    [
        (f'action = "another"\n{RULES}', 'action "phone_call"', 'action "another"'),
        (
            f'time = "started"\nrevenue = 5.0\n{RULES}',
            "without revenue, time ended",
            "revenue 5.00 dollars, time started",
        ),
        (
            f"{RULES}revenue = 7\n",
            "without revenue",
            "revenue 7.00 dollars",
        ),  # of a tracked number, as RULES end with it
        (f'order_id = "x-{{call_sid}}"\n{RULES}[extra]\nbrand = "a"\n', "order_id", "extra brand"),
    ],
)
def test_a_call_that_counts_by_both_rules_and_would_be_sent_otherwise_is_a_change(
    database_url: str, rules: str, was: str, would: str
) -> None:
    done = after_calls(database_url, rules, "rules", "backtest", "--since", "1d", "--json")
    found = json.loads(done.stdout)
    assert (found["calls"], found["unchanged"]) == (9, 1)
    [change] = found["changed"]
    assert change["from"].startswith("converted: ") and was in change["from"]
    assert change["to"].startswith("converted: ") and would in change["to"]
    assert (change["count"], set(change["samples"]) <= {sid(number) for number in SENT}) == (8, True)


def test_a_person_reads_what_would_change_in_a_readers_words_and_a_program_in_the_ledgers(database_url: str) -> None:
    words = ("rules", "backtest", "--since", "1d")
    rules = RULES.replace("min_duration_seconds = 30", "max_duration_seconds = 30")
    done = after_calls(database_url, rules, *words)
    assert "Does not count: too long" in done.stdout and "Does not count: too short" in done.stdout
    assert "Counts" in done.stdout
    for raw in ("too_long", "too_short", "skipped", "converted: "):
        assert raw not in done.stdout


def test_the_rules_that_were_used_change_nothing_of_what_is_sent(database_url: str) -> None:
    same = f"# in other words\n{RULES}"
    found = json.loads(after_calls(database_url, same, "rules", "backtest", "--since", "1d", "--json").stdout)
    assert (found["calls"], found["unchanged"], found["changed"]) == (9, 9, [])


def test_rules_that_send_another_action_alone_leave_nothing_to_be_decided_anew(database_url: str) -> None:
    done = after_calls(database_url, f'action = "another"\n{RULES}', "rules", "apply", "--since", "1d")
    assert "No skipped or waiting call would come to anything else." in done.stdout
