"""Any file of rules: checking it, reading it back and deciding by it agree, and what is broken is refused with a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.adapters.rules_file.problems import RulesError
from offhook.adapters.rules_file.source import RulesSource
from offhook.pipeline.backtest import as_call, is_enough, outcome_of
from offhook.pipeline.call import CallState
from offhook.pipeline.conversion import WEIGHED_PARAMS, Convert, Counts, Decision, Park, Skip, decide, weigh
from offhook.pipeline.ends import Numbering, ends_of
from offhook.pipeline.phone import CallerKind
from offhook.pipeline.ports.past import PastCall
from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.conditions import CONDITIONS, asked_by
from offhook.pipeline.rules.english import in_english
from offhook.pipeline.rules.templates import in_line
from offhook.pipeline.rules.trace import LAST_RULE
from tests.fakes import steps
from tests.support.called import CALLS, Called, kept
from tests.support.rule_files import BLOCKED, LISTED, File, Table, files

pytestmark = pytest.mark.unit

ANY = settings(deadline=None, max_examples=50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / BLOCKED).write_text(LISTED)
    return tmp_path


def loaded(text: str, folder: Path) -> Rules:
    """As a worker loads it, and as `flask rules check` does."""
    (folder / "offhook.toml").write_text(text, newline="")
    return RulesSource(folder / "offhook.toml", False, "", "US").read()


def decided(rules: Rules, called: Called) -> Decision:
    return decide(called.call(), called.customer(), rules, Numbering(), called.earlier)


@ANY
@given(file=files())
def test_a_file_without_a_mistake_is_read_back_block_by_block_and_condition_by_condition(
    file: File, folder: Path
) -> None:
    rules = loaded(file.text(), folder)
    lines = in_english(rules).splitlines()
    assert [rule.name for rule in rules.blocks] == [str(block["name"]).strip() for block in file.blocks]
    for place, (rule, block) in enumerate(zip(rules.blocks, file.blocks, strict=True), 1):
        line = lines[place - 1]
        assert line.startswith(in_line(f"{place}. {rule.name}: a call that "))
        assert {key for key, *_ in asked_by(rule.when)} == set(block["when"])
        for key, condition, value, _ in asked_by(rule.when):
            assert in_line(condition.in_english(value) or f"`{key}`") in line
        assert (f"does not count ({block['skip']})" if "skip" in block else " counts") in line
    assert lines[len(rules.blocks)].startswith(("A call counts when it ", "Any other call counts when it "))
    assert all(line.isprintable() for line in lines)


@ANY
@given(file=files(), calls=st.lists(CALLS, min_size=1, max_size=3))
def test_the_first_block_that_matches_decides_and_the_trace_says_what_each_condition_says_alone(
    file: File, calls: list[Called], folder: Path
) -> None:
    alone = [{key: _alone(file, key, block["when"][key], folder) for key in _asked(block)} for block in file.blocks]
    rules = loaded(file.text(), folder)
    for called in calls:
        decision = decided(rules, called)
        trace = decision.because.trace
        assert kept(trace) == trace
        for place, tried in enumerate(trace[: len(file.blocks)]):
            _is_of(tried.rule, tried.conditions, file, place)
        _agrees(decision, file, called, rules, alone)


@ANY
@given(file=files(), calls=st.lists(CALLS, min_size=2, max_size=3))
def test_rules_decide_a_call_as_if_it_were_their_first(file: File, calls: list[Called], folder: Path) -> None:
    rules = loaded(file.text(), folder)
    for called in calls:
        decided(rules, called)
    for called in calls:
        assert decided(rules, called) == decided(loaded(file.text(), folder), called)


@ANY
@given(file=files(), calls=st.lists(CALLS, min_size=1, max_size=3))
def test_a_call_comes_to_the_same_by_what_the_ledger_keeps_of_it_where_that_is_enough(
    file: File, calls: list[Called], folder: Path
) -> None:
    judge = replace(steps.JUDGE, rules=loaded(file.text(), folder))
    for called in calls:
        call = called.call()
        assert call.root is not None
        begins = (call.key, call.first_received_at, CallState.SKIPPED, "", call.root.status, call.root.direction)
        ends = (call.root.from_, call.root.to, call.root.duration_seconds, call.root.ended_at)
        past = PastCall(*begins, *ends, call.final_at)
        if is_enough(past, judge):
            found, again = (
                weigh(one, called.customer(), judge.rules, judge.numbering, called.earlier)
                for one in (call, as_call(past))
            )
            assert outcome_of(found) == outcome_of(again)
            assert found.because.trace == again.because.trace


@ANY
@given(file=files(), calls=st.lists(CALLS, min_size=1, max_size=3))
def test_a_call_comes_to_the_same_by_the_few_parameters_that_are_looked_at(
    file: File, calls: list[Called], folder: Path
) -> None:
    rules = loaded(file.text(), folder)
    wanted = WEIGHED_PARAMS | rules.params_asked
    for called in calls:
        call = called.call()
        some = called.call(only=wanted)
        found, again = (
            weigh(one, called.customer(), rules, steps.JUDGE.numbering, called.earlier) for one in (call, some)
        )
        assert found == again or (isinstance(found, Counts) and isinstance(again, Counts))
        assert found.because == again.because


def _is_of(name: str, conditions: object, file: File, place: int) -> None:
    assert name == (str(file.blocks[place]["name"]).strip() if place < len(file.blocks) else LAST_RULE), conditions


def _agrees(decision: Decision, file: File, called: Called, rules: Rules, each_alone: list[dict[str, Rules]]) -> None:
    """With what one gets who goes through the blocks by hand, a condition at a time."""
    for place, block in enumerate(file.blocks):
        alone = {key: _says(one, called) for key, one in each_alone[place].items()}
        tried = decision.because.trace[place]
        for one in tried.conditions:
            assert one.holds is alone[one.key], (one, alone)
        falls = block.get("when_unknown", file.common.get("when_unknown", "fails"))
        of_call = {key: holds for key, holds in alone.items() if not CONDITIONS[key].looks_back}
        never_known = any(holds is None and not CONDITIONS[key].of_customer for key, holds in of_call.items())
        if False not in of_call.values() and never_known and falls == "fails":
            alone = of_call  # earlier calls are not looked at where the rule cannot match
        if False in alone.values():
            assert (tried.holds, [one.holds for one in tried.conditions]) == (False, [False])
            continue
        assert [one.key for one in tried.conditions] == sorted(alone, key=lambda key: CONDITIONS[key].looks_back)
        assert tried.holds is (None if None in alone.values() else True)
        unknown = [key for key, holds in alone.items() if holds is None]
        waits = unknown == ["customer"] and _may_be_known(called, rules)
        if waits or not unknown or falls == "holds":
            assert decision.because.rule == str(block["name"]).strip()
            assert len(decision.because.trace) == place + 1
            _is_the_result(decision, block, called, waits=waits)
            return
    assert decision.because.rule == LAST_RULE
    assert [one.rule for one in decision.because.trace[len(file.blocks) :]] == [LAST_RULE]


def _may_be_known(called: Called, rules: Rules) -> bool:
    kind = ends_of(called.call(), Numbering(), rules.ours).customer.kind
    return kind in (CallerKind.PHONE, CallerKind.NUMBER)


def _asked(block: Table) -> list[str]:
    return [key for key in CONDITIONS if key in block["when"]]


def _alone(file: File, key: str, value: object, folder: Path) -> Rules:
    """The same file with one block, which asks nothing else."""
    return loaded(file.with_blocks({"name": "Alone", "when": {key: value}, "skip": "alone"}).text(), folder)


def _says(alone: Rules, called: Called) -> bool | None:
    [condition] = decided(alone, called).because.trace[0].conditions
    return condition.holds


OF_ANOTHER = ("forwarded_by ", "repeat_of ")
NEVER = {"caller_withheld", "caller_not_a_phone"}


def _is_the_result(decision: Decision, block: Table, called: Called, *, waits: bool) -> None:
    words = [reason.word for reason in decision.reasons]
    of_another = isinstance(decision, Skip) and words[0].startswith(OF_ANOTHER)
    if "skip" in block and not waits:
        assert isinstance(decision, Skip) and words == [block["skip"]]
    elif not of_another and not (isinstance(decision, Skip) and set(words) <= NEVER):
        customer = called.customer()
        is_known = customer is not None and customer.people == 1
        assert isinstance(decision, Convert if is_known else Park)
        own = block.get("convert")
        if isinstance(decision, Convert) and isinstance(own, dict) and "action" in own:
            assert decision.conversion.action == own["action"].strip()


BITS = [
    "",
    '"',
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "nan",
    "inf",
    "1e999",
    "-1",
    "true",
    "\x00",
    "ü",
    "[[rule]]",
    "'",
    "#",
    "0x" + "f" * 40,
]


@ANY
@given(file=files(), data=st.data(), called=CALLS)
def test_a_broken_file_is_refused_with_a_line_and_a_remedy_or_it_can_be_used(
    file: File, data: st.DataObject, called: Called, folder: Path
) -> None:
    text = file.text()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.sampled_from(BITS)) + text[end:]
    try:
        rules = loaded(text, folder)
    except RulesError as error:
        assert error.problems
        for problem in error.problems:
            assert 1 <= problem.line <= text.count("\n") + 1, problem
            assert problem.message.isprintable() and problem.message[-1] in ".?", problem
        return
    assert all(line.isprintable() for line in in_english(rules).splitlines())
    decided(rules, called)
