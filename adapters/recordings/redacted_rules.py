"""An `offhook.toml` that can be shown to anybody: written anew from what was parsed, so nothing that was not meant gets in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from offhook.adapters.recordings.format import RecordingError
from offhook.adapters.recordings.kept import NAMES, RULE_NAMES, RULE_WORDS
from offhook.pipeline.rules import SETTINGS, Rules
from offhook.pipeline.rules.between import BETWEEN
from offhook.pipeline.rules.conditions import CONDITIONS
from offhook.pipeline.rules.results import Number
from offhook.pipeline.rules.templates import ExtraValue

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_BETWEEN = re.compile(r"[ -/:-@\[-`|~]*")  # ASCII, and no brace, which a template would take for its own
_MOST_DOLLARS = 100_000
_MOST_PLAIN_NUMBER = 9

Cover = Callable[[str, str], str]
"""(what it is: label, action, field, text, name; how it is written) -> the pseudonym."""


def redacted_rules(rules: Rules, number_of: Callable[[str], str], cover: Cover) -> str:
    """The text of rules that decide as these do. Labels, actions, names and texts that are not listed get pseudonyms.

    Raises RecordingError for rules that name persons, or texts of parameters, in ways that have no pseudonyms.
    """
    _must_be_nobodys(rules)
    lines = [
        f"action = {_text('action', rules.action, cover)}",
        *_conditions(rules),
        f"order_id = {json.dumps(_template(rules.order_id, cover))}",
        *_revenue(rules),
        *_time(rules),
        *_extra(rules.extra, cover),
    ]
    for number in rules.numbers.values():
        lines += ["", "[[numbers]]", f"number = {json.dumps(number_of(number.number))}", *_number(number, cover)]
    return "\n".join(lines) + "\n"


def _must_be_nobodys(rules: Rules) -> None:
    own = [key for key in _OF_SOMEBODY if getattr(rules, key) is not None]
    found = [*(["[[rule]]"] if rules.blocks else []), *(["[ours]"] if rules.ours else []), *own]
    if isinstance(rules.revenue, str) or any(isinstance(each.revenue, str) for each in rules.numbers.values()):
        found.append("revenue from a template")
    if found:
        told = f"a recording cannot hold rules with {', '.join(found)}: there is no pseudonym for what stands there"
        raise RecordingError("--rules", f"{told}. Leave --rules out; whoever replays it may name rules of their own.")


_OF_SOMEBODY = ("tracked_numbers", "callers_in", "customer", "params")


def _conditions(rules: Rules) -> Iterator[str]:
    """Whole: they are words of ours, numbers and truths."""
    for key in (*CONDITIONS, *BETWEEN):
        value = getattr(rules, key)
        if value is not None:
            yield f"{key} = {json.dumps(SETTINGS[key].kind.plain(value))}"


def _number(number: Number, cover: Cover) -> Iterator[str]:
    if number.label is not None:
        yield f"label = {_text('label', number.label, cover)}"
    if number.action is not None:
        yield f"action = {_text('action', number.action, cover)}"
    yield from _revenue(number)
    yield from _time(number)
    yield from _extra(number.extra, cover)


def _revenue(told: Rules | Number) -> Iterator[str]:
    if isinstance(told.revenue, Decimal):
        yield f"revenue = {told.revenue if told.revenue < _MOST_DOLLARS else 0:.2f}"


def _time(told: Rules | Number) -> Iterator[str]:
    if told.time is not None:
        yield f"time = {json.dumps(told.time)}"


def _extra(extra: Mapping[str, ExtraValue], cover: Cover) -> Iterator[str]:
    if extra:
        pairs = (f"{json.dumps(_name(name, cover))} = {_value(value, cover)}" for name, value in extra.items())
        yield f"extra = {{ {', '.join(pairs)} }}"


def _name(name: str, cover: Cover) -> str:
    return name if name in RULE_NAMES or name in NAMES or _is_plain(name) else cover("field", name)


def _value(value: ExtraValue, cover: Cover) -> str:
    if isinstance(value, str):
        return json.dumps(_template(value, cover))
    if isinstance(value, bool):
        return json.dumps(value)
    return str(value) if isinstance(value, int) and 0 <= value <= _MOST_PLAIN_NUMBER else "0"


def _text(kind: str, text: str, cover: Cover) -> str:
    return json.dumps(text if _is_plain(text) else cover(kind, text))


def _is_plain(text: str) -> bool:
    """True for words of the list and signs between them."""
    return all(word.lower() in RULE_WORDS for word in _WORD.findall(text)) and bool(
        _BETWEEN.fullmatch(_WORD.sub("", text))
    )


def _template(template: str, cover: Cover) -> str:
    """The fields stay; of a parameter that is not Twilio's the name is the one that recordings give it."""
    parts = _FIELD.split(template.replace("{{", "\0").replace("}}", "\1"))
    texts = [_between(text, cover) for text in parts[::2]]
    fields = [f"{{{name if name in RULE_NAMES or name in NAMES else cover('name', name)}}}" for name in parts[1::2]]
    return "".join(text for pair in zip(texts, [*fields, ""], strict=True) for text in pair)


def _between(text: str, cover: Cover) -> str:
    return text if _is_plain(text) else cover("text", text)
