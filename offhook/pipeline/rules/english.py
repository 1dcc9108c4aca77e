"""The rules read back in English, as `flask rules check` does: every sentence is put together from the two tables."""

from __future__ import annotations

from offhook.pipeline.rules import Rules
from offhook.pipeline.rules.conditions import all_asked
from offhook.pipeline.rules.results import RESULTS, Number, Results


def in_english(rules: Rules) -> str:
    """The rules as sentences, one a line."""
    *most, last = filter(None, (condition.in_english(value) for condition, value in all_asked(rules)))
    lines = [
        f"A call counts when it {', '.join(most)}, and {last}.",
        f"It is{_sent(rules).removeprefix(',')}.",
        _which_numbers(rules),
        *(_number(number) for number in rules.numbers.values()),
    ]
    return "\n".join(lines)


def _sent(results: Results | Number) -> str:
    whose = {key: entry for key, entry in RESULTS.items() if entry.of_number or isinstance(results, Results)}
    return "".join(entry.in_english(getattr(results, key)) for key, entry in whose.items())


def _which_numbers(rules: Rules) -> str:
    if not rules.only_listed_numbers:
        return "Calls of every number count; these differ:" if rules.numbers else "Calls of every number count."
    if not rules.numbers:
        return "No call counts at all: only listed numbers do, and none is listed. Add a [[numbers]] block."
    return "Only calls of these numbers count:"


def _number(number: Number) -> str:
    name = f"{number.number} ({number.label})" if number.label else number.number
    return f"  {name}{_sent(number) or ', sent as the others are'}."
