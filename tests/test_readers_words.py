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
    about_many,
    counted,
    in_general,
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


def spelled_out(word: str) -> str:
    """One of the words that a name of the table stands for."""
    return word.replace(" *", " CA1").replace("*", "22")


@pytest.mark.parametrize("word", sorted(OF_PAGES))
def test_a_reason_has_a_few_words_for_it_with_nothing_left_to_fill_in(word: str) -> None:
    said = reason_in_words(spelled_out(word))
    assert said and not said[0].isspace() and "{" not in said
    assert len(said) <= 40  # a column of a page
    assert said != spelled_out(word) or said.isalpha()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("http_404", "Rockerbox answered 404"),
        ("key_lacks_order_id", "it lacks order_id"),
        ("forwarded_by", "forwarded by another call of yours"),  # as a tally has it, without which call
        (f"called_back CA{1:032x}", "calls back a missed call"),
        ("dns_timeout", "no way to Rockerbox"),
        ("of_tomorrow", "of tomorrow"),
        ("", ""),
    ],
)
def test_the_few_words_for_a_reason_stand_in_the_table(reason: str, said: str) -> None:
    assert reason_in_words(reason) == said


@pytest.mark.parametrize(
    ("reason", "of_one", "of_many"),
    [
        (
            f"repeat_of CA{1:032x}",
            "Nothing has to be done: the earlier call counts for both.",
            "Nothing: the earlier call",
        ),
        ("repeat_of", "Nothing has to be done: the earlier call counts for both.", "Nothing: the earlier call"),
        ("caller_withheld", "Nothing can be done: the caller hides the number", "Nothing: nobody can be matched."),
        ("too_short", WORDS[Verdict.DOES_NOT_COUNT].to_do, "Lower the least length in the rules"),
        ("at_night", WORDS[Verdict.DOES_NOT_COUNT].to_do, "Change the rules if such calls shall count;"),
    ],
)
def test_what_can_be_done_about_a_reason_stands_in_the_table(reason: str, of_one: str, of_many: str) -> None:
    assert to_do(Verdict.DOES_NOT_COUNT, reason).startswith(of_one)
    assert about_many(Verdict.DOES_NOT_COUNT, reason).startswith(of_many)


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


@pytest.mark.parametrize("reason", reasons.REASONS)
def test_every_reason_is_said_in_general_without_a_name_that_differs_from_call_to_call(reason: str) -> None:
    said = in_general(reason)
    assert said and "{" not in said and said[0] == said[0].upper()


def test_the_most_frequent_reasons_are_said_in_general() -> None:
    assert in_general("caller_not_in_mapping") == "Not in your customer list"
    assert in_general("status") == "Not answered"
    assert in_general("too_short") == "Too short"
    assert in_general("at_night") == "At night"
    assert in_general("caller_withheld") == reasons.REASONS["caller_withheld"].sentences[0]


def test_a_verdict_of_a_newer_version_is_taken_for_what_is_not_over() -> None:
    assert word_of("of_tomorrow") == WORDS[Verdict.NOT_FINISHED]
    assert to_do("of_tomorrow", "of_tomorrow") == WORDS[Verdict.NOT_FINISHED].to_do


def test_the_conditions_of_rules_are_explained_without_the_ledgers_words() -> None:
    said = [text for one in EVERY for text in (one.sentence, one.remedy)]
    assert [text for text in said if NEVER.search(text)] == []


def test_what_a_setting_means_is_said_without_the_ledgers_words() -> None:
    """Set-up shows it, beside the setting."""
    assert [meaning for _, _, meaning in table() if NEVER.search(meaning)] == []
