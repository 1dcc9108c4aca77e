"""What each rule came to, what did not count, and what the sums by rule lack: pure functions, no ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from offhook.pipeline.counting import RuleTally, Tally
from offhook.pipeline.ports.tallies import SumsByRule
from offhook.pipeline.rule_figures import RuleFigures, lacking, left_out, rule_figures

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 12, tzinfo=UTC)
RULES = (
    RuleTally("Old", "converted", "", 4),
    RuleTally("", "parked", "caller_not_in_mapping", 2),
    RuleTally("", "skipped", "not_answered", 1),
    RuleTally("", "skipped", "too_short", 3),
    RuleTally(None, "skipped", "no_root_leg", 1),
)
PLACES = tuple(
    Tally(AT, "", outcome, reason, calls)
    for outcome, reason, calls in (
        ("delivered", "delivered", 3),
        ("refused", "http_400", 1),
        ("unknown_caller", "caller_not_in_mapping", 2),
        ("does_not_count", "no_root_leg", 1),
        ("does_not_count", "not_answered", 1),
        ("does_not_count", "too_short", 3),
        ("not_finished", "settling", 9),
    )
)


def test_rules_stand_in_their_order_then_the_last_one_then_those_of_before() -> None:
    assert rule_figures(["TV", "Web"], RULES) == [
        RuleFigures("TV", True, why=[]),
        RuleFigures("Web", True, why=[]),
        RuleFigures("", True, waiting=2, excluded=4, why=[("too_short", 3), ("not_answered", 1)]),
        RuleFigures(None, False, excluded=1, why=[("no_root_leg", 1)]),
        RuleFigures("Old", False, counted=4, why=[]),
    ]


def test_what_did_not_count_is_that_of_all_calls_the_most_frequent_first() -> None:
    assert left_out(SumsByRule((), PLACES)) == [("too_short", 3), ("no_root_leg", 1), ("not_answered", 1)]


@pytest.mark.parametrize(
    ("rules", "calls"),
    [
        (RULES, 0),
        ((), 11),
        (RULES[1:], 4),
        ((*RULES[1:], RuleTally("Old", "parked", "caller_not_in_mapping", 4)), 4),
        ((*RULES[:2], RuleTally("", "skipped", "too_short", 4), RULES[4]), 1),
    ],
    ids=["none", "all", "those that count", "they stand as they did before", "for another reason"],
)
def test_calls_that_the_sums_by_rule_lack_or_have_elsewhere_are_counted(
    rules: tuple[RuleTally, ...], calls: int
) -> None:
    assert lacking(SumsByRule(rules, PLACES)) == calls
