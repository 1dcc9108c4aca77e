"""The rules of then beside those of today: what differs in words, and which rule decides."""

from __future__ import annotations

import pytest

from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import only
from offhook.pipeline.rules.kinds import NumberList
from offhook.pipeline.rules_compared import RulesCompared, Sides, deciding, rules_compared

pytestmark = pytest.mark.unit


def block(name: str, seconds: int) -> Rule:
    return Rule(name, only({"max_duration_seconds": seconds}), skip="blocked")


def sides(then: Rules, today: Rules) -> list[tuple[str, str]]:
    found = rules_compared(then, today)
    assert found.in_short == ""
    return [(one.then, one.today) for one in found.sides]


def test_a_sentence_that_is_another_today_stands_beside_it_and_no_other_does() -> None:
    then, today = Rules(min_duration_seconds=30, action="call"), Rules(min_duration_seconds=3, action="call")
    [(was, now)] = sides(then, today)
    assert "at least 30 s," in was and now == was.replace("30 s,", "3 s,")


def test_a_rule_that_came_or_went_has_nothing_beside_it_and_moves_no_other() -> None:
    old, new = block("Old", 9), block("New", 5)
    before, after = Rules(blocks=(old,)), Rules(blocks=(new, old))
    [(was, now)] = sides(before, after)
    assert (was, now.startswith("1. New: a call that")) == ("", True)
    assert sides(after, before) == [(now, "")]
    assert [(was, now[:6]) for was, now in sides(Rules(), before)] == [("", "1. Old")]
    changed = sides(Rules(min_duration_seconds=7), before)
    assert [(was[:6], now[:6]) for was, now in changed] == [("", "1. Old"), ("A call", "Any ot")]


def test_rules_that_stand_in_another_order_are_others() -> None:
    one, two = block("One", 9), block("Two", 5)
    names = {name[:6] for pair in sides(Rules(blocks=(one, two)), Rules(blocks=(two, one))) for name in pair if name}
    assert names in ({"1. One", "2. One"}, {"2. Two", "1. Two"})


def test_of_rules_that_read_the_same_that_is_said() -> None:
    assert rules_compared(Rules(), Rules()) == RulesCompared((), "In words they are the same.")
    lists = [
        Rules(callers_in=NumberList.of("guests.txt", frozenset({one}))) for one in ("+14155550101", "+14155550102")
    ]
    in_short = "In words they are the same; a file of numbers that they name may hold others."
    assert rules_compared(*lists) == RulesCompared((), in_short)


def test_a_list_that_has_more_numbers_today_reads_otherwise() -> None:
    then, today = (
        Rules(callers_in=NumberList.of_then("guests.txt", "d", 2)),
        Rules(callers_in=NumberList.of_then("guests.txt", "e", 3)),
    )
    [(was, now)] = sides(then, today)
    assert '"guests.txt" (2 numbers)' in was and '"guests.txt" (3 numbers)' in now


def test_rules_that_cannot_be_read_back_are_laid_beside_none() -> None:
    found = rules_compared(None, Rules())
    assert (found.sides, "cannot be read back" in found.in_short) == ((), True)
    assert Sides("", "x") != Sides("x", "")


@pytest.mark.parametrize(
    ("then", "today", "sentence"),
    [
        (None, "Short", ""),
        ("Short", None, "The rule “Short” decided it."),
        ("", "", "What the rules say outside of their blocks decided it, and would today."),
        ("Short", "", "The rule “Short” decided it; today what the rules say outside of their blocks would."),
        ("", "Long", "What the rules say outside of their blocks decided it; today the rule “Long” would."),
    ],
)
def test_the_rule_that_decided_and_the_one_that_would_today_are_named(
    then: str | None, today: str | None, sentence: str
) -> None:
    assert deciding(then, today) == sentence
