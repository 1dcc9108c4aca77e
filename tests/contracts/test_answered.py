"""What `Answered` promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offhook.pipeline.ports.answered import Answer, Asked, Seen
from tests.contracts.conftest import WholeLedger
from tests.fakes.callbacks import NOON

ASKED = Asked("t1", "key-1", "fingerprint")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
KEPT_UNTIL, ENDS_BY = NOON + DAY, NOON + 60 * SECOND
OK = Answer(200, '{"added":1}')


def test_a_key_is_the_first_ones_and_the_others_see_what_it_is_about(ledger: WholeLedger) -> None:
    assert ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY) is None
    assert ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", None)
    ledger.answered.answered(ASKED, OK)
    other = replace(ASKED, fingerprint="other")
    assert ledger.answered.begin(other, NOON, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", OK)
    assert ledger.answered.begin(replace(ASKED, token_id="t2"), NOON, KEPT_UNTIL, ENDS_BY) is None


def test_an_answer_is_kept_until_its_time_and_then_the_key_is_free(ledger: WholeLedger) -> None:
    ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY)
    ledger.answered.answered(ASKED, OK)
    assert ledger.answered.begin(ASKED, KEPT_UNTIL - SECOND, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", OK)
    assert ledger.answered.begin(ASKED, KEPT_UNTIL, KEPT_UNTIL + DAY, KEPT_UNTIL + DAY) is None


def test_a_key_whose_process_has_ended_is_free_after_a_while(ledger: WholeLedger) -> None:
    ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY)
    assert ledger.answered.begin(ASKED, ENDS_BY - SECOND, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", None)
    assert ledger.answered.begin(ASKED, ENDS_BY, KEPT_UNTIL, ENDS_BY + DAY) is None


def test_what_was_given_up_is_free_at_once_and_what_was_answered_is_not(ledger: WholeLedger) -> None:
    ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY)
    ledger.answered.give_up(ASKED)
    assert ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY) is None
    ledger.answered.answered(ASKED, OK)
    ledger.answered.give_up(ASKED)
    assert ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", OK)


def test_only_whose_key_it_is_answers_and_gives_up(ledger: WholeLedger) -> None:
    ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY)
    other = replace(ASKED, fingerprint="other")
    ledger.answered.give_up(other)
    ledger.answered.answered(other, OK)
    assert ledger.answered.begin(ASKED, NOON, KEPT_UNTIL, ENDS_BY) == Seen("fingerprint", None)
