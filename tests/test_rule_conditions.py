"""Each condition of a rule: a call for which it holds, one for which it fails, and one of which nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.reading import parse
from offhook.pipeline.call import CallState
from offhook.pipeline.callback import CallKey, Direction, Status
from offhook.pipeline.conversion import Convert, Decision, Park, Skip, decide
from offhook.pipeline.earlier import Earlier
from offhook.pipeline.ends import Numbering
from offhook.pipeline.ports.books import CallBefore
from offhook.pipeline.rules.conditions import CONDITIONS
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.facts import EarlierCall
from offhook.pipeline.rules.trace import ConditionTrace, RuleTrace, Trail, as_kept, from_kept, outlines_of
from tests.support.called import NOON, Called, before, kept
from tests.support.rule_files import CALLER, LONDON, OTHER, OURS

pytestmark = pytest.mark.unit


def after(*calls: EarlierCall) -> Called:
    """A call after these; without any, one of which nobody knows what came before."""
    return Called(earlier=calls or None)


def decided(rules: str, called: Called, folder: Path | None = None) -> Decision:
    return decide(called.call(), called.customer(), parse(rules, folder=folder), Numbering(), called.earlier)


TALKED, MISSED = ((Status.COMPLETED, 40),), ((Status.NO_ANSWER, 0),)
HUMAN, MACHINE = {"AnsweredBy": "human"}, {"AnsweredBy": "machine_start"}
NOBODY: dict[str, Any] = {"attributes": None}
# the condition, a call for which it holds, one for which it fails, one of which nobody knows
CASES: list[tuple[str, Called, Called, Called | None]] = [
    ('directions = ["outbound-api"]', Called(CALLER, direction=Direction.OUTBOUND_API), Called(), None),
    ('statuses = ["busy"]', Called(status=Status.BUSY), Called(), None),
    ("min_duration_seconds = 60", Called(), Called(seconds=59), None),
    ("max_duration_seconds = 60", Called(), Called(seconds=61), None),
    ("only_listed_numbers = true", Called(), Called(to=CALLER), None),
    (f'tracked_numbers = ["{OURS}"]', Called(), Called(to=OTHER), None),
    ('tracked_numbers = ["tv"]', Called(to=OTHER), Called(), None),
    ('tracked_numbers = ["Television"]', Called(), Called(to=OTHER), None),
    ("answered_by_person = true", Called(legs=TALKED), Called(legs=MISSED), Called()),
    ("answered_by_person = true", Called(params=HUMAN), Called(params=MACHINE), Called(params={"AnsweredBy": "unknown"})),
    ("answered_by_person = false", Called(legs=MISSED), Called(legs=TALKED), Called()),
    ("answered_by_person = false", Called(status=Status.BUSY), Called(params=HUMAN), Called()),
    ("min_talk_seconds = 40", Called(legs=TALKED), Called(legs=((Status.COMPLETED, 39),)), Called()),
    ("max_talk_seconds = 40", Called(legs=TALKED), Called(legs=((Status.COMPLETED, 41),)), Called()),
    ("min_talk_seconds = 1", Called(params=HUMAN), Called(legs=MISSED), Called()),
    ('hours = ["06:00-07:00"]', Called(), Called(ended=NOON + timedelta(minutes=1)), None),
    ('hours = ["22:00-06:59"]', Called(ended=NOON - timedelta(hours=3)), Called(), None),
    ('hours = ["23:00-24:00"]', Called(ended=NOON - timedelta(hours=7, minutes=30)), Called(), None),
    ('days = ["wed"]', Called(), Called(ended=NOON - timedelta(hours=8)), None),
    ('holiday_in = "US"', Called(ended=NOON + timedelta(days=1)), Called(), None),
    ('holiday_in = "US-CA"', Called(ended=NOON + timedelta(days=2)), Called(), None),
    ('workday_in = "US"', Called(), Called(ended=NOON + timedelta(days=1)), None),
    ("first_call = true", Called(), Called(earlier=(before(400, CallState.SKIPPED),)), Called(earlier=None)),
    ("first_call = false", Called(earlier=(before(1),)), Called(), Called(earlier=None)),
    ('no_conversion_within = "30d"', after(before(31)), after(before(29)), after()),
    ('no_conversion_within = "30d"', after(before(1, CallState.SKIPPED)), after(before(1, CallState.PARKED)), None),
    ('no_conversion_within_of_number = "30d"', after(before(1, ours=OTHER)), after(before(1)), after()),
    ("withheld = true", Called("anonymous"), Called(), None),
    ("withheld = false", Called(), Called("anonymous"), None),
    ('countries = ["GB"]', Called(LONDON), Called(), Called("anonymous")),
    ('area_codes = ["415", "20"]', Called(LONDON), Called("+12125550142"), Called("client:ann")),
    ('callers_in = "blocked.txt"', Called(), Called(LONDON), None),
    ('customer = { tier = "gold" }', Called(attributes={"tier": "gold"}), Called(attributes={"tier": "silver"}), None),
    ('customer = { tier = ["gold", "silver"] }', Called(attributes={"tier": "silver"}), Called(), None),
    ("customer = { value = { at_least = 10 } }", Called(attributes={"value": "10.0"}), Called(attributes={"value": "ten"}), None),
    ('params = { StirVerstat = "A" }', Called(params={"StirVerstat": "A"}), Called(params={"StirVerstat": "B"}), None),
    ("params = { Menu = { at_least = 1, at_most = 3 } }", Called(params={"Menu": "3"}), Called(params={"Menu": "4"}), None),
    ("params = { Menu = { matches = '^[0-9]+$' } }", Called(params={"Menu": "12"}), Called(params={"Menu": "1a"}), None),
    ("params = { Menu = 1 }", Called(params={"Menu": "1"}), Called(), None),
]  # fmt: skip
AROUND = f"""
directions = ["inbound", "outbound-api"]
statuses = ["completed", "busy"]
time_zone = "America/New_York"
[groups]
tv = ["{OTHER}"]
[[numbers]]
number = "{OURS}"
label = "Television"
"""


def with_rule(condition: str, more: str = "") -> str:
    return f'{AROUND}[[rule]]\nname = "Tried"\nwhen.{condition}\nskip = "it_holds"\n{more}'


@pytest.fixture(autouse=True)
def blocked(tmp_path: Path) -> Path:
    (tmp_path / "blocked.txt").write_text(f"# robocalls\n\n{CALLER}  # every day\n")
    return tmp_path


def held(rules: str, called: Called, folder: Path) -> bool:
    return [reason.word for reason in decided(rules, called, folder).reasons] == ["it_holds"]


@pytest.mark.parametrize(("condition", "holds", "fails", "_unknown"), CASES)
def test_a_rule_matches_where_its_condition_holds_and_no_other_call(
    condition: str, holds: Called, fails: Called, _unknown: Called | None, blocked: Path
) -> None:
    assert held(with_rule(condition), holds, blocked)
    assert not held(with_rule(condition), fails, blocked)
    assert not held(with_rule(condition, 'when_unknown = "holds"'), fails, blocked)


@pytest.mark.parametrize(("condition", "unknown"), [(each[0], each[3]) for each in CASES if each[3]])
def test_the_rule_says_which_way_falls_what_nobody_knows(condition: str, unknown: Called, blocked: Path) -> None:
    assert not held(with_rule(condition), unknown, blocked)
    assert held(with_rule(condition, 'when_unknown = "holds"'), unknown, blocked)


LOOK_FURTHER = ("customer", *(name for name, one in CONDITIONS.items() if one.looks_back))


@pytest.mark.parametrize("how", ["", 'when_unknown = "holds"'])
@pytest.mark.parametrize(("condition", "calls"), [(each[0], each[1:]) for each in CASES])
def test_who_called_matters_not_where_rules_look_at_the_call_alone(
    condition: str, calls: tuple[Called | None, ...], how: str, blocked: Path
) -> None:
    """What such rules skip for a caller whom nobody knows, and of whom nothing is known, they skip for anybody."""
    text = with_rule(condition, how)
    rules = parse(text, folder=blocked)
    assert rules.look_at_the_call_alone is (condition.partition(" ")[0] not in LOOK_FURTHER)
    for called in filter(None, calls):
        nobody = decided(text, replace(called, attributes=None, earlier=None), blocked)
        if rules.look_at_the_call_alone and isinstance(nobody, Skip):
            assert isinstance(decided(text, called, blocked), Skip)
            assert isinstance(decided(text, replace(called, earlier=(before(1),)), blocked), Skip)


def test_no_condition_is_left_out() -> None:
    assert {condition.partition(" ")[0] for condition, *_ in CASES} == set(CONDITIONS)


@pytest.mark.parametrize("condition", [each[0] for each in CASES])
def test_each_condition_is_read_back(condition: str, blocked: Path) -> None:
    read = parse(with_rule(condition), folder=blocked)
    assert in_english(read).splitlines()[0].startswith("1. Tried: a call that ")
    assert read.version != parse(AROUND).version


def test_rules_remember_only_so_many_answers_and_decide_on() -> None:
    rules = parse(f'{AROUND}[[rule]]\nname = "Long"\nwhen.min_duration_seconds = 4500\nskip = "long_ones"\n')
    nobody = Called(**NOBODY).customer()
    for seconds in (*range(5000), 4499, 4500, 3):
        decision = decide(Called(seconds=seconds).call(), nobody, rules, Numbering())
        assert isinstance(decision, Skip) is (seconds >= 4500)


def test_a_call_waits_for_the_row_of_its_customer_where_a_rule_hangs_on_nothing_else() -> None:
    asked = 'when = { min_duration_seconds = 30, customer = { tier = "gold" } }'
    rules = f'{AROUND}[[rule]]\nname = "Gold"\n{asked}\nskip = "gold_ones"\n'
    assert isinstance(decided(rules, Called(**NOBODY)), Park)
    assert isinstance(decided(rules, Called(attributes={"tier": "gold"})), Skip)
    assert isinstance(decided(rules, Called(attributes={"tier": "lead"})), Convert)
    too_short = decided(rules, Called(seconds=29, **NOBODY))
    assert [rule.holds for rule in too_short.because.trace] == [False, True]  # parked by the last rule, not by this one


def test_a_caller_who_can_never_be_known_is_not_waited_for() -> None:
    rules = f'{AROUND}[[rule]]\nname = "Gold"\nwhen.customer.tier = "gold"\nconvert = true\n'
    assert [one.word for one in decided(rules, Called("anonymous", **NOBODY)).reasons] == ["caller_withheld"]


def test_the_trace_says_what_each_condition_of_the_rule_saw() -> None:
    rules = with_rule("min_talk_seconds = 30", "when.max_talk_seconds = 100\n")
    [tried] = decided(rules, Called(legs=TALKED)).because.trace
    assert (tried.rule, tried.holds) == ("Tried", True)
    assert [(one.key, one.asked, one.found, one.holds) for one in tried.conditions] == [
        ("min_talk_seconds", "30", "40", True),
        ("max_talk_seconds", "100", "40", True),
    ]


ASKS_PARAMS = f"""{AROUND}
[[rule]]
name = "Menu"
when.params = {{ Menu = 2, Digits = "9" }}
skip = "menu"
[[rule]]
name = "Proven"
when.params.StirVerstat = {{ matches = "^TN" }}
skip = "proven"
"""


def test_the_trace_says_which_values_the_parameters_had_that_were_asked_for() -> None:
    trace = decided(ASKS_PARAMS, Called(params={"Menu": "3", "StirVerstat": "No", "CallerName": "ANN"})).because.trace
    found = "without Digits, Menu 3, StirVerstat No"
    assert [one.found for rule in trace for one in rule.conditions if one.key == "params"] == [found, found]
    assert kept(trace) == trace


def test_what_is_found_of_parameters_is_bounded_and_no_value_is_cut() -> None:
    one = decided(ASKS_PARAMS, Called(params={"Menu": "x" * 101, "Digits": "y" * 100, "StirVerstat": "a\nb"}))
    assert one.because.trace[0].conditions[0].found == f"Digits {'y' * 100}, Menu of 101 characters, StirVerstat a?b"
    asked = ", ".join(f'P{number:02d} = "1"' for number in range(20))
    many = decided(
        with_rule(f"params = {{ {asked} }}"), Called(params={f"P{number:02d}": "v" * 100 for number in range(20)})
    )
    assert many.because.trace[0].conditions[0].found == ", ".join(
        [*(f"P{number:02d} {'v' * 100}" for number in range(4)), "and 16 more"]
    )


def test_the_sentence_about_parameters_repeats_none() -> None:
    called = Called(params={"Menu": "4155550123"})
    reasons = decided(f"params = {{ Menu = 2 }}\n{AROUND}", called).reasons
    [reason] = [one for one in reasons if one.word == "other_params"]
    assert reason.sentence == "Its parameters are not as asked: asked is Menu is 2."


FAILS = '[[rule]]\nname = "Fäils"\nwhen = { min_talk_seconds = 90, countries = ["US"] }\nskip = "fails"\n'
UNSURE = '[[rule]]\nname = "Un\\"sure"\nwhen = { answered_by_person = true, withheld = false }\nskip = "unsure"\n'


def trail(rules: str, called: Called) -> Trail:
    trace = decided(rules, called).because.trace
    assert isinstance(trace, Trail)
    return trace


def test_the_trace_that_is_kept_is_read_as_it_was() -> None:
    trace = trail(f"{AROUND}{FAILS}{UNSURE}", Called(from_=LONDON))
    assert [(one.rule, one.holds, len(one.conditions)) for one in trace[:2]] == [
        ("Fäils", False, 1),
        ('Un"sure', None, 2),
    ]
    assert kept(trace) == tuple(trace) == kept(tuple(trace))
    assert outlines_of([as_kept(trace), None, as_kept(tuple(trace))]) == {trace.outline.name}


@pytest.mark.parametrize("rules", [f'{AROUND}{UNSURE}when_unknown = "holds"\n{FAILS}', AROUND])
def test_the_trace_that_is_kept_ends_with_the_rule_that_matched(rules: str) -> None:
    trace = trail(rules, Called())
    assert kept(trace) == tuple(trace) and len(trace) == 1


def test_a_trace_as_it_was_kept_once_is_read_without_an_outline() -> None:
    once = '[["Gold",null,[["customer","tier is gold","nobody knows",null]]],["",true,[]]]'
    [gold, last] = from_kept(once, {})
    assert gold == RuleTrace("Gold", None, (ConditionTrace("customer", "tier is gold", "nobody knows", None),))
    assert last == RuleTrace("", True, ()) and from_kept(None, {}) == ()


def test_what_many_rules_ask_is_kept_once_for_all_decisions() -> None:
    blocks = "".join(FAILS.replace("Fäils", f"rule {number}") for number in range(50))
    trace = trail(AROUND + blocks, Called(from_=LONDON))
    assert trace.outline == trail(AROUND + blocks, Called(LONDON, seconds=5)).outline
    assert trace.outline != trail(AROUND + blocks.replace("90", "91"), Called(from_=LONDON)).outline
    assert len(as_kept(trace)) * 5 < len(as_kept(tuple(trace)))


@pytest.mark.parametrize(("condition", "holds", "fails", "_unknown"), CASES)
def test_what_the_ledger_keeps_of_a_call_is_enough_where_rules_do_not_ask_for_callbacks(
    condition: str, holds: Called, fails: Called, _unknown: Called | None, blocked: Path
) -> None:
    rules = parse(with_rule(condition), folder=blocked)
    for called in (holds, fails):
        whole = called.call()
        assert whole.root is not None
        bare = replace(whole, root=replace(whole.root, details={}), children=())
        words = [
            [reason.word for reason in decide(call, called.customer(), rules, Numbering(), called.earlier).reasons]
            for call in (whole, bare)
        ]
        assert rules.needs_callbacks or words[0] == words[1]
    assert rules.needs_callbacks == condition.startswith(("answered", "min_talk", "max_talk", "params"))


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "(a|a)*b", "(a|ab)*c", "a*a*a*a*b", "(a)\\1", "a(?=b)", "(a{1,9}){1,9}"]
)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(RulesError, match="could take for ever"):
        parse(with_rule(f"params.Menu = {{ matches = '{pattern}' }}"))


@pytest.mark.parametrize("pattern", ["^[0-9]+$", "^(yes|no)$", "^\\+1(415|628)[0-9]{7}$", "colou?r", "^a+-b*-c+$"])
def test_usual_patterns_are_taken(pattern: str) -> None:
    assert parse(with_rule(f"params.Menu = {{ matches = '{pattern}' }}")).blocks


def test_a_value_that_is_too_long_matches_no_pattern() -> None:
    rules = with_rule("params.Menu = { matches = '^a+$' }")
    assert held(rules, Called(params={"Menu": "a" * 500}), Path())
    assert not held(rules, Called(params={"Menu": "a" * 501}), Path())


def block(when: str, more: str = "") -> str:
    return f'[[rule]]\nname = "{when[:9]}"\nwhen = {{ {when} }}\nskip = "it_holds"\n{more}'


GOLD_FIRST = 'customer = { tier = "gold" }, first_call = true'


@pytest.mark.parametrize(
    ("rules", "called", "is_looked_at"),
    [
        ("first_call = true\n", Called(), True),
        ("min_duration_seconds = 61\n", Called(), False),
        (block("first_call = true, min_duration_seconds = 60"), Called(), True),
        (block("first_call = true, min_duration_seconds = 61"), Called(), False),
        (block("first_call = true, answered_by_person = true"), Called(), False),  # nobody knows, which fails
        (block("first_call = true, answered_by_person = true", 'when_unknown = "holds"\n'), Called(), True),
        (block("min_duration_seconds = 60") + block("first_call = true"), Called(), False),
        (block("min_duration_seconds = 61") + block("first_call = true"), Called(), True),
        (block(GOLD_FIRST), Called(**NOBODY), True),
        (block(GOLD_FIRST), Called(), False),
        ('repeat_within = "10m"\n', Called(), True),
        ('repeat_within = "10m"\nmin_duration_seconds = 61\n', Called(), False),
    ],
)
def test_the_ledger_is_asked_for_earlier_calls_where_a_decision_hangs_on_them(
    rules: str, called: Called, is_looked_at: bool
) -> None:
    asked = []

    def ask() -> dict[CallKey, list[CallBefore]]:
        asked.append(True)
        return {}

    call = called.call()
    earlier = Earlier(ask, Numbering()).before(call, CALLER)
    for _ in range(2):
        decide(call, called.customer(), parse(rules), Numbering(), earlier)
    assert asked == [True] * is_looked_at


def test_a_rule_of_which_something_is_not_known_is_kept_without_what_was_not_looked_at() -> None:
    found = decided(block("first_call = true, answered_by_person = true"), Called(legs=()))
    assert found.because is not None
    [rule, _] = found.because.trace
    assert rule.holds is None and [(one.key, one.holds) for one in rule.conditions] == [("answered_by_person", None)]
    assert kept(found.because.trace) == found.because.trace
