"""`flask calls list --reason`: a word that nobody knows is said to be none, where no call has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result

from offhook.main import commands_alone
from offhook.service import build
from offhook.settings import given
from tests.support.browsing import ACCOUNT, browsing

pytestmark = pytest.mark.mostly("sqlite")
Listed = Callable[[str], Result]
RULES = '[[rule]]\nname = "Night"\nskip = "at_night"\nwhen.min_duration_seconds = 9999\n'


@pytest.fixture
def listed(database_url: str) -> Iterator[Listed]:
    """What `flask calls list --reason WORD` says after one call that was too short."""
    site = browsing(database_url)
    site.call(1, seconds=20)

    def by(reason: str) -> Result:
        app = commands_alone()
        known = {"DATABASE_URL": database_url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "t" * 32}
        app.extensions["offhook"] = build(given({**known, "OFFHOOK_RULES": RULES}))
        done: Result = app.test_cli_runner().invoke(args=["calls", "list", "--json", "--reason", reason])
        app.extensions["offhook"].ledger.close()
        return done

    yield by
    site.service.ledger.close()


def test_a_reason_that_nobody_knows_is_said_to_be_none_with_the_nearest_or_the_known_ones(listed: Listed) -> None:
    near, far = listed("to_short"), listed("nonsense")
    assert 'No call has the reason "to_short"' in near.stderr and 'Did you mean "too_short"?' in near.stderr
    assert "Known: " in far.stderr and "at_night, " in far.stderr and "repeat_of, " in far.stderr
    assert [(json.loads(done.stdout), done.exit_code) for done in (near, far)] == [([], 0)] * 2


@pytest.mark.parametrize("reason", ["too_short", "at_night", "repeat_of", "status", "key_lacks_email", "http_422"])
def test_nothing_is_said_of_a_reason_of_ours_or_of_the_rules_whether_calls_have_it_or_not(
    listed: Listed, reason: str
) -> None:
    assert "No call has the reason" not in listed(reason).stderr
