"""Each condition of the rules: the call that just counts, the one that just does not, and what is said of it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.call import Call, Leg
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.conversion import Convert, Reason, decide
from offhook.pipeline.customer import Customer
from offhook.pipeline.ends import Numbering
from offhook.pipeline.rules.conditions import ALWAYS, CONDITIONS
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.results import RESULTS, Number

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
CALLER, OURS = "+14155550142", "+14155550100"
LISTED = f'\n[[numbers]]\nnumber = "{OURS}"\n'
CASES = [
    # the rules, the call that counts, the one that does not, why
    ('directions = ["outbound-api"]', "outbound-api", "inbound", "Its direction is inbound; outbound-api counts."),
    ('statuses = ["busy", "canceled"]', "busy", "completed", "Its status is completed; busy or canceled counts."),
    ("min_duration_seconds = 30", 30, 29, "It lasted 29 s; at least 30 s count."),
    ("min_duration_seconds = 30", 30, None, "It lasted 0 s; at least 30 s count."),
    ("max_duration_seconds = 3600", 3600, 3601, "It lasted 3601 s; at most 3600 s count."),
    (f"only_listed_numbers = true{LISTED}", OURS, CALLER, f"{CALLER} is not among the tracked numbers."),
]


def call(what: str | int | None) -> Call:
    """A completed call of a minute to our number, but for `what`: a direction, a status, a length, another number."""
    direction = next((each for each in Direction if each == what), Direction.INBOUND)
    status = next((each for each in Status if each == what), Status.COMPLETED)
    seconds = what if isinstance(what, int) or what is None else 60
    to = what if isinstance(what, str) and what.startswith("+") else OURS
    leg = Leg("CA1", None, status, direction, CALLER, to, seconds, NOON)
    return Call(CallKey("AC1", "CA1"), leg, (), 1, NOON, NOON)


def against(rules: str, what: str | int | None) -> list[Reason]:
    """Why this call does not count; empty when it does."""
    decision = decide(call(what), Customer(CALLER, "ann@example.com", None), parse(rules), Numbering())
    return [] if isinstance(decision, Convert) else list(decision.reasons)


@pytest.mark.parametrize(("rules", "counts", "other", "why"), CASES)
def test_what_is_asked_is_what_counts(rules: str, counts: str | int | None, other: str | int | None, why: str) -> None:
    key = rules.partition(" ")[0]
    assert against(rules, counts) == []
    assert against(rules, other) == [Reason(CONDITIONS[key].reason, why)]


def test_all_that_is_against_a_call_is_listed_in_the_order_of_the_table() -> None:
    rules = 'directions = ["outbound-api"]\nstatuses = ["busy"]\nmin_duration_seconds = 61\nonly_listed_numbers = true'
    assert [reason.word for reason in against(rules, "ended")] == [
        "direction",
        "status",
        "too_short",
        "number_not_listed",
    ]


def test_a_tracked_number_may_have_its_own_of_each_result_that_says_so() -> None:
    own = {each.name for each in fields(Number)} - {"number", "label"}
    assert own == {name for name, one in RESULTS.items() if one.of_number}


@pytest.mark.parametrize(
    ("caller", "reason"),
    [
        ("anonymous", Reason("caller_withheld", "The caller withheld the number, so nobody can be matched.")),
        ("client:ann", Reason("caller_not_a_phone", "The caller is not a phone number (client).")),
    ],
)
def test_what_is_always_asked_is_asked_whatever_the_file_says(caller: str, reason: Reason) -> None:
    whose = call(60)
    assert whose.root is not None
    decision = decide(replace(whose, root=replace(whose.root, from_=caller)), None, parse(""), Numbering())
    assert decision.reasons == (reason,)


def test_what_is_always_asked_has_no_key_and_is_read_back_as_well() -> None:
    assert {one.reason for one in ALWAYS}.isdisjoint(one.reason for one in CONDITIONS.values())
    assert all(one.english in in_english(parse("")) for one in ALWAYS)
