"""The rules read back in English, as `flask rules check` does: every sentence is put together from the two tables."""

from __future__ import annotations

from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.between import BETWEEN, Unknown
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import Conditions, all_asked, asked_by
from offhook.pipeline.rules.results import RESULTS, Number, Own, Results
from offhook.pipeline.rules.templates import in_line


def in_english(rules: Rules) -> str:
    """The rules as sentences, one a line, whatever their names and texts hold."""
    lines = [
        *(_block(place, rule) for place, rule in enumerate(rules.blocks, 1)),
        f"{'Any other call' if rules.blocks else 'A call'} counts when it {_all_of(_last(rules))}.",
        f"It is{_sent(rules).removeprefix(',')}.",
        *filter(None, (entry.in_english(getattr(rules, key)) for key, entry in BETWEEN.items())),
        *([_UNKNOWN] if rules.when_unknown is Unknown.HOLDS else []),
        _which_numbers(rules),
        *(_number(number) for number in rules.numbers.values()),
    ]
    return "\n".join(map(in_line, lines))


_UNKNOWN = "Where nobody knows whether something holds, it does."


def _last(rules: Conditions) -> list[str]:
    return [clause for condition, value in all_asked(rules) if (clause := condition.in_english(value))]


def _all_of(clauses: list[str]) -> str:
    *most, last = clauses
    return f"{', '.join(most)}, and {last}" if most else last


def _block(place: int, rule: Rule) -> str:
    """Every condition that is asked is read back, also one that the last rule does not mention: here each may decide."""
    clauses = [
        one.in_english(value) or f"is as `{key}` says ({shown})" for key, one, value, shown in asked_by(rule.when)
    ]
    becomes = f"does not count ({rule.skip})" if rule.skip else f"counts{_sent(rule.own) if rule.own else ''}"
    unknown = " What nobody knows holds here." if rule.when_unknown is Unknown.HOLDS else ""
    return f"{place}. {rule.name}: a call that {_all_of(clauses) if clauses else 'comes to here'} {becomes}.{unknown}"


def _sent(results: Results | Number | Own) -> str:
    whose = {key: entry for key, entry in RESULTS.items() if entry.of_number or isinstance(results, Results)}
    return "".join(entry.in_english(getattr(results, key)) for key, entry in whose.items())


def _which_numbers(rules: Rules) -> str:
    if not rules.only_listed_numbers:
        return "Calls of every number count; these are listed:" if rules.numbers else "Calls of every number count."
    if not rules.numbers:
        return "No call counts at all: only listed numbers do, and none is listed. Add a [[numbers]] block."
    return "Only calls of these numbers count:"


def _number(number: Number) -> str:
    name = f"{number.number} ({number.label})" if number.label else number.number
    return f"  {name}{_sent(number) or ', sent as the others are'}."
