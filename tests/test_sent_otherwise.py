"""What rules of then and others would send otherwise of a call that counts by both: as both write it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from offhook.adapters.rules_file.then import rules_of_then
from offhook.pipeline.call import CallState, fold
from offhook.pipeline.callback import Direction, Status
from offhook.pipeline.conversion import Counts, weigh
from offhook.pipeline.customer import Customer
from offhook.pipeline.ports.past import ListUsed, PastCall
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import only
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.results import Number, Own, Time
from offhook.pipeline.sent_otherwise import SentOtherwise
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OURS, key, raw

ANN = Customer(CALLER, "ann@example.com", None)
EACH = only({})


def compared(then: Rules, now: Rules, rule: str = "") -> tuple[str, str] | None:
    call = fold(key(1), [steps.JUDGE.read(raw(1), None)])
    found = weigh(call, ANN, now, steps.JUDGE.numbering)
    assert isinstance(found, Counts)
    ends = (Status.COMPLETED, Direction.INBOUND, CALLER, OURS, 60, NOON, NOON)
    past = PastCall(key(1), NOON, CallState.CONVERTED, "counts", *ends, then.version, rule)
    return SentOtherwise(now, {then.version: then}.get).of(past, found)


def blocks(own: Own) -> tuple[Rule, ...]:
    return (Rule("Each", EACH, own=own),)


@pytest.mark.parametrize(
    ("then", "rule", "now", "expected"),
    [
        (Rules(), "", Rules(min_duration_seconds=1), None),
        (Rules(), "", Rules(time=Time.ENDED), None),
        (Rules(), "", Rules(time=Time.STARTED), ("time ended", "time started")),
        (Rules(revenue=Decimal(5)), "", Rules(), ("revenue 5.00 dollars", "without revenue")),
        (Rules(), "", Rules(blocks=blocks(Own(action="night"))), ('action "phone_call"', 'action "night"')),
        (Rules(blocks=blocks(Own(action="night"))), "Each", Rules(action="night"), None),
        (Rules(blocks=blocks(Own(action="night"))), "Another", Rules(), None),
        (Rules(numbers={OURS: Number(OURS, action="tv")}), "", Rules(), ('action "tv"', 'action "phone_call"')),
        (Rules(extra={"a": "1", "b": "2"}), "", Rules(extra={"a": "1", "b": "3"}), ("extra b = 2", "extra b = 3")),
        (Rules(extra={"a": "1"}), "", Rules(), ("extra a = 1", "without extra")),
    ],
)
def test_what_both_rules_write_is_compared_number_by_number_and_rule_by_rule(
    then: Rules, rule: str, now: Rules, expected: tuple[str, str] | None
) -> None:
    found = compared(then, now, rule)
    assert (found and tuple(one.replace('"', "") for one in found)) == (
        expected and tuple(one.replace('"', "") for one in expected)
    )


def test_of_rules_that_nobody_knows_any_more_nothing_is_said() -> None:
    assert SentOtherwise(Rules(action="x"), lambda _: None)._compare("v", "", "", OURS, False) is None


def test_rules_of_then_are_read_from_their_text_though_a_list_that_they_name_is_gone() -> None:
    lists = 'action = "vip"\n[[rule]]\nname = "Blocked"\nskip = "blocked"\nwhen.callers_in = "gone.txt"\n'
    texts = {
        "listed": lists,
        Rules(action="x").version: 'action = "x"',
        "other": 'action = "y"',
        "wrong": "no_such = 1",
    }
    of_then = rules_of_then(texts.get, "US")
    found = {version: of_then(version) for version in (*texts, "unknown")}
    assert {version: one and one.action for version, one in found.items()} == {
        "listed": "vip",
        Rules(action="x").version: "x",
        "other": None,
        "wrong": None,
        "unknown": None,
    }
    read_back = in_english(found["listed"] or Rules())
    assert 'has a caller in the list "gone.txt" (of which the numbers were not kept)' in read_back
    known = rules_of_then(texts.get, "US", lists_used=lambda _: [ListUsed("gone.txt", "d", 7)])("listed")
    assert known is not None and 'in the list "gone.txt" (7 numbers)' in in_english(known)
