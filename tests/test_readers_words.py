"""The words of whoever reads pages, `flask explain` and mails: none of the ledger's own among them."""

from __future__ import annotations

import re

import pytest

from offhook.pipeline import reasons
from offhook.pipeline.call import CallState
from offhook.pipeline.rules.conditions import EVERY
from offhook.pipeline.story import Verdict
from offhook.pipeline.unfinished import UNFINISHED
from offhook.pipeline.words import (
    NEEDS_YOU,
    SOURCES,
    STATES,
    WORDS,
    counted,
    label_of,
    outcome_in_words,
    reason_in_words,
    to_do,
    word_of,
)
from offhook.settings import table
from tests.support.readers import NEVER

pytestmark = pytest.mark.unit

OF_PAGES = {**reasons.OF_DECISIONS, **reasons.OF_CONVERSIONS, **reasons.OF_ATTEMPTS}


@pytest.mark.parametrize("word", sorted(OF_PAGES))
def test_a_reason_is_said_without_the_ledgers_words(word: str) -> None:
    plain = word.replace(" *", " CA1").replace("*", "22")
    said = [
        *OF_PAGES[word].sentences,
        OF_PAGES[word].remedy(),
        reason_in_words(plain),
        *(outcome_in_words(verdict, plain) for verdict in Verdict),
        *(to_do(verdict, plain) for verdict in Verdict),
    ]
    assert [text for text in said if NEVER.search(text)] == []
    assert "_" not in reason_in_words(plain)


@pytest.mark.parametrize("word", sorted(OF_PAGES))
def test_a_sentence_that_pages_show_has_none_of_these_words_in_the_name_of_a_setting_either(word: str) -> None:
    within = re.compile(NEVER.pattern.replace(r"\b", ""), re.IGNORECASE)
    said = [text.replace("deadline", "") for text in OF_PAGES[word].sentences]
    assert [text for text in said if within.search(text)] == []


def test_every_verdict_state_and_way_in_has_its_words() -> None:
    assert set(WORDS) == set(Verdict)
    assert set(STATES) == {one.value for one in CallState if one is not CallState.MERGED} | {UNFINISHED}
    assert {word.kind for word in WORDS.values()} == {"ok", "wait", "bad", "skip"}
    assert {WORDS[verdict].label for verdict in NEEDS_YOU} == {"Needs you"}
    said = [
        *STATES.values(),
        *SOURCES.values(),
        *(text for word in WORDS.values() for text in (word.label, word.to_do)),
    ]
    assert [text for text in said if NEVER.search(text)] == []


@pytest.mark.parametrize(
    ("verdict", "reason", "said"),
    [
        ("delivered", "delivered", "In Rockerbox"),
        ("on_its_way", "new", "On its way: about to be sent"),
        ("on_its_way", "http_503", "On its way: Rockerbox answered 503"),
        ("unknown_caller", "caller_not_in_mapping", "Unknown caller"),
        ("unknown_caller", "several_customers", "Unknown caller: several customers have the number"),
        ("does_not_count", "too_short", "Does not count: too short"),
        ("does_not_count", "at_night", "Does not count: at night"),
        ("does_not_count", f"repeat_of CA{1:032x}", "Does not count: called again too soon"),
        ("held", "deadline", "Needs you: no answer in time"),
        ("refused", "http_422", "Needs you: Rockerbox answered 422"),
        ("not_finished", "not_ended", "Not over yet"),
        ("not_finished", "settling", "Just ended"),
        ("not_finished", "unfinished", "End never reported"),
    ],
)
def test_a_row_says_what_became_of_a_call_and_why(verdict: str, reason: str, said: str) -> None:
    assert outcome_in_words(verdict, reason) == said
    assert said.startswith(label_of(verdict, reason))


def test_one_is_one_and_many_are_many() -> None:
    said = [counted(count, "call was", "calls were") for count in (0, 1, 2000)]
    assert said == ["0 calls were", "1 call was", "2,000 calls were"]


def test_a_verdict_of_a_newer_version_is_taken_for_what_is_not_over() -> None:
    assert word_of("of_tomorrow") == WORDS[Verdict.NOT_FINISHED]
    assert to_do("of_tomorrow", "of_tomorrow") == WORDS[Verdict.NOT_FINISHED].to_do


def test_the_conditions_of_rules_are_explained_without_the_ledgers_words() -> None:
    said = [text for one in EVERY for text in (one.sentence, one.remedy)]
    assert [text for text in said if NEVER.search(text)] == []


def test_what_a_setting_means_is_said_without_the_ledgers_words() -> None:
    """Set-up shows it, beside the setting."""
    assert [meaning for _, _, meaning in table() if NEVER.search(meaning)] == []
