"""An `offhook.toml` that can be shown to anybody: written anew from what was parsed, so nothing that was not meant gets in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from offhook.adapters.recordings.asked import Covers, columns_asked, params_asked
from offhook.adapters.recordings.format import RecordingError
from offhook.adapters.recordings.kept import NAMES, RULE_NAMES, RULE_WORDS
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.between import BETWEEN
from offhook.pipeline.rules.blocks import Rule
from offhook.pipeline.rules.conditions import CONDITIONS, Conditions
from offhook.pipeline.rules.kinds import NumberList, NumberSet
from offhook.pipeline.rules.matching import ValueTest
from offhook.pipeline.rules.results import Number, Own
from offhook.pipeline.rules.templates import OF_CUSTOMER, ExtraValue

_FIELD = re.compile(rf"\{{([A-Za-z_][A-Za-z0-9_-]*|{re.escape(OF_CUSTOMER)}[^{{}}]+)\}}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_SIGNS = re.compile(r"[ -/:-@\[-`|~]*")  # ASCII, and no brace, which a template would take for its own
_AMOUNT = re.compile(r"[$0-9., ]*")  # what may stand between the fields of a revenue
_NO_AMOUNT = f"{{{OF_CUSTOMER}none}}"
_NOTHING = re.compile("")
_MOST_DOLLARS = 100_000
_MOST_PLAIN_NUMBER = 9

Word = Callable[[str, str], str]
"""(what it is: label, action, field, text, name; how it is written) -> the pseudonym."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """How whoever is in rules is called. `lists` takes the text of each file of numbers by its new name: of its numbers those
    that `is_met`, which stand in the records. `columns` and `params` are what stands for the values that rules ask for.
    `keeps_numbers`: a number is its own pseudonym.
    """

    number: Callable[[str], str]
    word: Word
    is_met: Callable[[str], bool]
    lists: dict[str, str]
    columns: Covers
    params: Covers
    keeps_numbers: bool = False


def redacted_rules(rules: Rules, names: Pseudonyms) -> str:
    """The text of rules that decide as these do. Labels, actions, names and texts that are not listed get pseudonyms.

    Raises RecordingError for rules that ask for what has no pseudonyms, or was not looked at in the records.
    """
    _must_be_nobodys(rules, names)
    cover = names.word
    lines = [
        f"action = {_text('action', rules.action, cover)}",
        *_conditions(rules, names),
        *_between(rules),
        f"order_id = {json.dumps(_template(rules.order_id, cover))}",
        *_revenue(rules, cover),
        *_time(rules),
        *_extra(rules.extra, cover),
    ]
    if rules.ours:
        lines += ["", "[ours]", f"numbers = {_numbers(rules.ours, names)}"]
    for number in rules.numbers.values():
        lines += ["", "[[numbers]]", f"number = {json.dumps(names.number(number.number))}"]
        lines += _label(number, cover)
        lines += _own(number, cover)
    for rule in rules.blocks:
        lines += ["", "[[rule]]", *_block(rule, names)]
    return "\n".join(lines) + "\n"


def _must_be_nobodys(rules: Rules, names: Pseudonyms) -> None:
    without = () if names.keeps_numbers else ("countries", "area_codes")
    asked = [rules, *(rule.when for rule in rules.blocks)]
    found = [key for key in without if any(getattr(each, key) is not None for each in asked)]
    found += [
        f"the customers' {name}" for name, tests in columns_asked(rules).items() if tests and name not in names.columns
    ]
    found += [f"the parameter {name}" for name in params_asked(rules) if name not in names.params]
    if found:
        problem = f"a recording cannot hold rules with {', '.join(found)}: there is no pseudonym for what stands there"
        raise RecordingError(
            "--rules", f"{problem}. Leave --rules out; whoever replays it may name rules of their own."
        )


def _conditions(asked: Conditions, names: Pseudonyms) -> Iterator[str]:
    for key in CONDITIONS:
        value = getattr(asked, key)
        if value is not None:
            yield f"{key} = {_condition(key, value, names)}"


def _condition(key: str, value: Any, names: Pseudonyms) -> str:
    """Whole, but for numbers and what persons are and say: the rest are words of ours, times and truths."""
    if key == "customer":
        return _tests(value, names.columns, lambda name: names.word("column", name))
    if key == "params":
        return _tests(value, names.params, lambda name: names.word("name", name))
    if isinstance(value, NumberSet):
        return _numbers(value.numbers, names)
    if isinstance(value, NumberList):
        return json.dumps(_list(value, names))
    return json.dumps(SETTINGS[key].kind.plain(value))


def _tests(tests: Mapping[str, ValueTest], covers: Covers, called: Callable[[str], str]) -> str:
    """Each by the texts of the values that were met and are as asked."""
    each = (f"{json.dumps(called(name))} = {json.dumps(covers.that_are(name, test))}" for name, test in tests.items())
    return f"{{ {', '.join(each)} }}"


def _numbers(numbers: Iterable[str], names: Pseudonyms) -> str:
    return json.dumps(sorted(map(names.number, numbers)))


def _list(value: NumberList, names: Pseudonyms) -> str:
    """The new name of the file: one for each that holds the same numbers."""
    name = f"{names.word('list', value.digest)}.txt"
    met = sorted(names.number(number) for number in value.numbers if names.is_met(number))
    names.lists[name] = "".join(f"{number}\n" for number in met)
    return name


def _between(rules: Rules) -> Iterator[str]:
    for key in BETWEEN:
        value = getattr(rules, key)
        if value is not None:
            yield f"{key} = {json.dumps(SETTINGS[key].kind.plain(value))}"


def _block(rule: Rule, names: Pseudonyms) -> Iterator[str]:
    yield f"name = {_text('rule', rule.name, names.word)}"
    yield from (f"when.{line}" for line in _conditions(rule.when, names))
    if rule.when_unknown is not None:
        yield f"when_unknown = {json.dumps(rule.when_unknown)}"
    if rule.skip:
        yield f"skip = {_text('reason', rule.skip, names.word).replace('-', '_')}"
    elif rule.own:
        own = list(_own(rule.own, names.word))
        yield from (f"convert.{line}" for line in own) if own else ("convert = true",)


def _label(number: Number, cover: Word) -> Iterator[str]:
    if number.label is not None:
        yield f"label = {_text('label', number.label, cover)}"


def _own(own: Number | Own, cover: Word) -> Iterator[str]:
    if own.action is not None:
        yield f"action = {_text('action', own.action, cover)}"
    yield from _revenue(own, cover)
    yield from _time(own)
    yield from _extra(own.extra, cover)


def _revenue(part: Rules | Number | Own, cover: Word) -> Iterator[str]:
    """What is made of a customer's columns is left out where it is used: what stands for them is no amount."""
    if isinstance(part.revenue, Decimal):
        yield f"revenue = {part.revenue if part.revenue < _MOST_DOLLARS else 0:.2f}"
    elif part.revenue is not None:
        template = _template(part.revenue, cover, _AMOUNT)
        yield f"revenue = {json.dumps(template if '{' in template else _NO_AMOUNT)}"


def _time(part: Rules | Number | Own) -> Iterator[str]:
    if part.time is not None:
        yield f"time = {json.dumps(part.time)}"


def _extra(extra: Mapping[str, ExtraValue], cover: Word) -> Iterator[str]:
    if extra:
        pairs = (f"{json.dumps(_name(name, cover))} = {_value(value, cover)}" for name, value in extra.items())
        yield f"extra = {{ {', '.join(pairs)} }}"


def _name(name: str, cover: Word) -> str:
    return name if name in RULE_NAMES or name in NAMES or _is_plain(name) else cover("field", name)


def _value(value: ExtraValue, cover: Word) -> str:
    if isinstance(value, str):
        return json.dumps(_template(value, cover))
    if isinstance(value, bool):
        return json.dumps(value)
    return str(value) if isinstance(value, int) and 0 <= value <= _MOST_PLAIN_NUMBER else "0"


def _text(kind: str, text: str, cover: Word) -> str:
    return json.dumps(text if _is_plain(text) else cover(kind, text))


def _is_plain(text: str) -> bool:
    """True for words of the list and signs between them."""
    return all(word.lower() in RULE_WORDS for word in _WORD.findall(text)) and bool(
        _SIGNS.fullmatch(_WORD.sub("", text))
    )


def _template(template: str, cover: Word, kept: re.Pattern[str] = _NOTHING) -> str:
    """The fields stay, each by the name that recordings give it. A text between them that is all `kept` stays, too."""
    parts = _FIELD.split(template.replace("{{", "\0").replace("}}", "\1"))
    texts = [text if kept.fullmatch(text) else _said(text, cover) for text in parts[::2]]
    fields = [f"{{{_field(name, cover)}}}" for name in parts[1::2]]
    return "".join(text for pair in zip(texts, [*fields, ""], strict=True) for text in pair)


def _field(name: str, cover: Word) -> str:
    if name.startswith(OF_CUSTOMER):
        return OF_CUSTOMER + cover("column", name.removeprefix(OF_CUSTOMER))
    return name if name in RULE_NAMES or name in NAMES else cover("name", name)


def _said(text: str, cover: Word) -> str:
    return text if _is_plain(text) else cover("text", text)
