"""What can be done with a call as it stands: whose buttons a page shows."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from offhook.pipeline.can_be_done import May, may, rests
from offhook.pipeline.delivery import State
from offhook.pipeline.sending_again import RESTING
from offhook.pipeline.story import Story
from tests.contracts.day import keep_day
from tests.fakes.callbacks import sid
from tests.fakes.ledger import MemoryLedger

pytestmark = pytest.mark.unit
NOTHING = May(add=False, decide=False, retry=False, risks=False, rebuild=False)
REFUSED, ON_ITS_WAY, UNKNOWN, RINGING = range(1, 5)


@pytest.fixture(scope="module")
def day() -> MemoryLedger:
    made = MemoryLedger()
    keep_day(made)
    return made


def story(day: MemoryLedger, number: int) -> Story:
    [found] = day.stories.of_call(sid(number))
    return found


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (REFUSED, replace(NOTHING, retry=True, rebuild=True)),
        (ON_ITS_WAY, NOTHING),
        (UNKNOWN, replace(NOTHING, add=True, decide=True)),
        (RINGING, NOTHING),
    ],
)
def test_what_can_be_done_is_what_its_state_allows(day: MemoryLedger, number: int, found: May) -> None:
    one = story(day, number)
    assert may(one, rules_hold=True, can_rebuild=True) == found
    assert rests(one) is found.retry
    without_rules = may(one, rules_hold=False, can_rebuild=True)
    assert without_rules == replace(found, decide=False, rebuild=False)
    assert may(one, rules_hold=True, can_rebuild=False) == replace(found, rebuild=False)


def test_who_withheld_the_number_cannot_be_added(day: MemoryLedger) -> None:
    found = story(day, UNKNOWN)
    withheld = replace(found, call=replace(found.call, customer_phone=None))
    assert may(withheld, rules_hold=True, can_rebuild=False) == replace(NOTHING, decide=True)


@pytest.mark.parametrize("state", list(State))
def test_what_rests_is_sent_again_and_what_may_have_arrived_at_a_risk(day: MemoryLedger, state: State) -> None:
    refused = story(day, REFUSED)
    assert refused.conversion is not None
    for maybe_sent in (True, False):
        sent = replace(refused.conversion, state=state.value, maybe_sent=maybe_sent)
        found = may(replace(refused, conversion=sent), rules_hold=True, can_rebuild=False)
        is_resting = state in RESTING
        assert astuple(found) == (False, False, is_resting, is_resting and maybe_sent, False)
