"""Why a call is in Rockerbox, or is not: the verdict in a sentence, what can be done, and what would become of it today."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from offhook.adapters.commands.explain_schema import schema
from offhook.pipeline import reasons
from offhook.pipeline.callback import Callback, RawCallback
from offhook.pipeline.conversion import Reason
from offhook.pipeline.customer import Customer
from offhook.pipeline.delivery import Outcome, Result
from offhook.pipeline.explanation import NOTHING_TO_DO, Anew, Explanation, anew_of, explain, hiding
from offhook.pipeline.masking import in_clear, masking
from offhook.pipeline.phone import mask
from offhook.pipeline.plain import plain
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.conditions import EVERY
from offhook.pipeline.rules.trace import ConditionTrace, RuleTrace
from offhook.pipeline.steps import Judge, attempt, leave_unfinished_batch
from offhook.pipeline.story import CustomerRow, Story
from tests.contracts.day import MINUTE, POLICY, keep_day
from tests.fakes import steps
from tests.fakes.callbacks import CALLER, NOON, OTHER, OURS, raw, read, sid
from tests.fakes.ledger import MemoryLedger

pytestmark = pytest.mark.unit

PUBLISHED = Path(__file__).parent.parent / "docs" / "schema" / "explain.json"
BINDING = {"verdict", "sentence", "remedy", "call", "callbacks", "decisions", "conversion", "attempts", "today"}
LATER = NOON + 60 * MINUTE


@pytest.fixture
def ledger() -> MemoryLedger:
    """With a day of calls: 1 refused, 2 on its way, 3 of somebody unknown, 4 still rings."""
    made = MemoryLedger()
    keep_day(made)
    return made


def story(ledger: MemoryLedger, number: int) -> Story:
    [found] = ledger.stories.of_call(sid(number))
    return found


def explained(ledger: MemoryLedger, number: int, judge: Judge = steps.JUDGE) -> Explanation:
    found = story(ledger, number)
    anew = anew_of(ledger.rebuilding.known_calls(), found.call.key, judge, LATER)
    return explain(found, read, anew, in_clear)


@pytest.mark.parametrize(
    ("number", "verdict", "sentence", "remedy"),
    [
        (
            1,
            "refused",
            "This call counts, and is not in Rockerbox because Rockerbox refuses what is sent (http_400).",
            "--rebuild",
        ),
        (2, "on_its_way", "This call counts, and is on its way to Rockerbox: it was decided", "Wait"),
        (
            3,
            "unknown_caller",
            f"not in Rockerbox because the caller is not in your customer list: no customer has the number {OTHER}.",
            "customers import",
        ),
        (
            4,
            "not_finished",
            "This call is not in Rockerbox yet because no callback with a final status has arrived",
            "Wait",
        ),
    ],
)
def test_first_come_the_verdict_and_what_can_be_done(
    ledger: MemoryLedger, number: int, verdict: str, sentence: str, remedy: str
) -> None:
    found = explained(ledger, number)
    assert found.verdict == verdict
    assert sentence in found.sentence
    assert remedy in found.remedy


def test_what_was_delivered_needs_nothing_and_says_when(ledger: MemoryLedger) -> None:
    [sending] = ledger.claim(LATER, 5, 60, POLICY).taken
    taken = Outcome(Result.DELIVERED, "delivered", 200)
    ledger.finish([attempt(sending, taken, LATER, LATER, POLICY)], LATER)
    found = explained(ledger, 2)
    assert found.sentence == "This call is in Rockerbox: Rockerbox took it (2026-03-12 13:00:00Z)."
    assert found.remedy == NOTHING_TO_DO
    assert (found.today.verdict, found.today.same) == ("delivered", True)


def test_a_call_that_does_not_count_says_each_reason(ledger: MemoryLedger) -> None:
    ledger.append([raw(5, "busy")])
    steps.fold(ledger)
    steps.decide(ledger, LATER)
    found = explained(ledger, 5)
    assert found.verdict == "does_not_count"
    assert found.sentence == "This call is not in Rockerbox because its status is busy; completed counts."
    assert [one.reason for one in found.decisions[0].reasons] == ["status"]


def test_the_verdict_is_one_sentence_whatever_the_reason() -> None:
    """A reason's sentence goes on behind "because": it is one sentence, and no label that ends in a colon."""
    for known in reasons.OF_DECISIONS.values():
        assert not [one for one in known.sentences if ". " in one or not one.endswith(".")]
    assert not [one.sentence for one in EVERY if one.sentence.startswith("Whether") or ": {found}" in one.sentence]


def test_an_unfinished_call_says_what_to_set_once(ledger: MemoryLedger) -> None:
    leave_unfinished_batch(ledger, steps.JUDGE, LATER, 60.0, 10)
    found = explained(ledger, 4)
    assert found.verdict == "not_finished"
    assert "because no final status of the call itself came within" in found.sentence
    assert "Set the status callback on the number itself" in found.remedy
    assert found.remedy not in found.sentence


def test_the_whole_way_is_there(ledger: MemoryLedger) -> None:
    found = explained(ledger, 1)
    assert [(leg.call_sid, leg.parent_call_sid) for leg in found.legs] == [(sid(1), None), (sid(11), sid(1))]
    assert [(one.call_sid, one.status, one.source) for one in found.callbacks] == [
        (sid(1), "completed", "webhook"),
        (sid(11), "completed", "webhook"),
    ]
    assert [one.result for one in found.decisions] == ["converted"]
    assert found.conversion is not None and found.conversion.payload["email"] == "ann@example.com"
    assert [(one.status_code, one.answer, one.of_replaced) for one in found.attempts] == [(400, "no", None)]
    assert (found.call.number, found.call.customer) == (OURS, CALLER)


def test_a_callback_says_how_late_it_came(ledger: MemoryLedger) -> None:
    def a_minute_before(one: RawCallback, _: frozenset[str] | None = None, /) -> Callback:
        return replace(read(one), occurred_at=one.received_at - MINUTE)

    found = explain(story(ledger, 2), a_minute_before, Anew(), in_clear)
    assert [one.delay_seconds for one in found.callbacks] == [60.0]


def test_today_names_what_is_otherwise(ledger: MemoryLedger) -> None:
    ledger.merge_customers([Customer(CALLER, "new@example.com", None), Customer(OTHER, "bo@example.com", None)])
    [email] = explained(ledger, 1).today.differences
    assert (email.what, email.then, email.now) == ("email", "ann@example.com", "new@example.com")
    assert (explained(ledger, 1).today.verdict, explained(ledger, 1).today.same) == ("refused", False)
    today = explained(ledger, 3).today
    assert (today.verdict, today.same) == ("on_its_way", False)
    assert [(one.what, one.then, one.now) for one in today.differences] == [
        ("verdict", "unknown_caller", "on_its_way"),
        ("reasons", "caller_not_in_mapping", "counts"),
    ]


def test_today_other_rules_would_skip_what_was_sent(ledger: MemoryLedger) -> None:
    judge = replace(steps.JUDGE, rules=Rules(min_duration_seconds=3600))
    today = explained(ledger, 2, judge).today
    assert (today.verdict, today.same) == ("does_not_count", False)
    assert [one.what for one in today.differences] == ["verdict", "reasons"]


def test_today_nothing_is_otherwise_where_nothing_changed(ledger: MemoryLedger) -> None:
    for number in (1, 2, 3, 4):
        assert explained(ledger, number).today.same is True, number


def test_where_today_cannot_be_known_it_is_said(ledger: MemoryLedger) -> None:
    found = explain(story(ledger, 1), read, Anew(unknown="the rules cannot be used"), in_clear).today
    assert (found.verdict, found.same, found.sentence) == ("refused", None, "the rules cannot be used")
    ledger.append([raw(12, parent=1)])  # a leg that waits to be taken in
    assert explained(ledger, 1).today.same is None


def test_the_row_that_said_who_called_and_what_the_rules_found_are_there_when_they_were_kept(
    ledger: MemoryLedger,
) -> None:
    trace = (RuleTrace("hot leads", True, (ConditionTrace("min_duration_seconds", "30", "60", True),)),)
    known = story(ledger, 1)
    line = replace(known.decisions[0], rule="hot leads", trace=trace, customer_row=7)
    row = CustomerRow(7, "ann@example.com", "C1", NOON, None, "import", "customers.csv")
    found = explain(replace(known, decisions=[line]), read, Anew(), masking([CALLER]), {7: row})
    [decision] = found.decisions
    [tried] = decision.trace
    assert (decision.rule, tried.rule, tried.holds) == ("hot leads", "hot leads", True)
    assert [(one.key, one.asked, one.found, one.holds) for one in tried.conditions] == list(trace[0].conditions)
    assert decision.customer is not None
    assert (decision.customer.email, decision.customer.name) == ("a***@example.com", "customers.csv")
    Draft202012Validator(schema()).validate(json.loads(json.dumps(plain(found))))


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("Menu 3, without Digits", "Menu 3, without Digits"),
        ("SipHeader_X-Of +14155550188", "SipHeader_X-Of +1415***0188"),
        ("SipHeader_X-Of 4155550188", "SipHeader_X-Of 415***0188"),
        ("SipHeader_X-Of (415) 555-0188 or ann@example.com", "SipHeader_X-Of (415***0188 or a***@example.com"),
        ("CallerName ANN LEE, Menu 3", "hidden"),
    ],
)
def test_parameters_that_the_rules_looked_at_are_shown_without_persons(
    ledger: MemoryLedger, found: str, shown: str
) -> None:
    trace = (RuleTrace("menu", False, (ConditionTrace("params", "Menu is 2", found, False),)),)
    known = story(ledger, 1)
    traced = replace(known, decisions=[replace(known.decisions[0], trace=trace)])
    for hide, expected in ((masking([CALLER]), shown), (in_clear, found)):
        [decision] = explain(traced, read, Anew(), hide).decisions
        assert decision.trace[0].conditions[0].found == expected


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_nobody_is_named_unless_it_is_asked_for(ledger: MemoryLedger, number: int) -> None:
    known = story(ledger, number)
    hidden = json.dumps(plain(explain(known, read, Anew(), hiding(known.call))))
    shown = json.dumps(plain(explain(known, read, Anew(), in_clear)))
    for person in (CALLER, OTHER, "ann@example.com"):
        assert person not in hidden
    assert known.call.from_ in shown


def test_our_own_number_is_shown_whole_as_wherever_calls_are_counted(ledger: MemoryLedger) -> None:
    known = story(ledger, 1)
    decided = replace(
        known.decisions[0], reasons=(Reason("not_listed", f"{OURS} is none of the numbers; {CALLER} called."),)
    )
    found = explain(replace(known, decisions=[decided]), read, Anew(), hiding(known.call))
    assert (found.call.from_number, found.call.to_number, found.call.number) == (mask(CALLER), OURS, OURS)
    assert found.decisions[0].reasons[0].sentence == f"{OURS} is none of the numbers; {mask(CALLER)} called."
    assert (found.legs[0].from_number, found.legs[0].to_number) == (mask(CALLER), OURS)


def test_a_number_that_is_the_customers_is_hidden_though_it_stands_where_ours_does(ledger: MemoryLedger) -> None:
    known = story(ledger, 1)
    odd = replace(known, call=replace(known.call, customer_phone=OURS))
    assert OURS not in json.dumps(plain(explain(odd, read, Anew(), hiding(odd.call))))


def test_the_published_schema_is_that_of_the_types() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert published == schema(), "run `.venv/bin/flask explain --schema > docs/schema/explain.json`"
    Draft202012Validator.check_schema(published)
    assert set(published["required"]) >= BINDING


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_what_is_printed_follows_the_schema(ledger: MemoryLedger, number: int) -> None:
    printed = json.loads(json.dumps(plain(explained(ledger, number))))
    Draft202012Validator(schema(), format_checker=FormatChecker()).validate(printed)
    del printed["verdict"]
    assert not Draft202012Validator(schema()).is_valid(printed)


def test_a_reason_of_the_brands_own_rule_says_what_can_be_done(ledger: MemoryLedger) -> None:
    known = story(ledger, 2)
    said = Reason("small_talk", "The rule Short talks says that such calls do not count.")
    line = replace(known.decisions[-1], result="skipped", reasons=(said,), rule="Short talks")
    call = replace(known.call, state="skipped")
    found = explain(replace(known, call=call, decisions=[line], conversion=None), read, Anew(), masking([CALLER]))
    assert found.remedy.startswith("Change this rule (`flask rules show`)")
